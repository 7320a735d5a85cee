//! What topologies do to become a service.

pub(crate) mod dead_letter;
pub(crate) mod record_codec;
pub(crate) mod state;

use std::error::Error;
use std::sync::Arc;

use clap::Args;
use vigie_daemon::{Check, Context, ServiceError};
use vigie_kafka_client::{KafkaConfig, KafkaError};
use vigie_schemas::{Codec, CodecError, RegistryConfig, SyncCodec};
use vigie_streams::{AppState, StateBackend, StreamsApp, StreamsConfig, StreamsError, StreamsOptions, Topology};

use self::dead_letter::AvroDeadLetters;
use self::record_codec::RecordCodec;

/// A codec for the stream threads.
pub(crate) async fn connect(registry: &RegistryConfig, kafka: &KafkaConfig) -> Result<SyncCodec, ServiceError> {
    let codec = Codec::connect(registry, &kafka.topic_prefix).await.map_err(codec_error)?;
    Ok(codec.sync(tokio::runtime::Handle::current()))
}

/// Runs a topology until the context asks it to stop, with its state as the health of component `name`.
pub(crate) async fn run<C: RecordCodec>(
    name: &str,
    streams: StreamsConfig,
    topology: Topology,
    codec: C,
    ctx: &Context,
) -> Result<(), ServiceError> {
    let health = ctx.health.component(name);
    let listener = health.clone();
    let dead_letters = Arc::new(AvroDeadLetters(codec));
    let app = StreamsApp::new(streams, topology, dead_letters, ctx.clock.clone(), &ctx.metrics);
    let app = app.on_state(move |state| match state {
        AppState::Running => listener.ready(),
        other => listener.not_ready(other.to_string()),
    });
    let shutdown = ctx.shutdown.clone();
    let running = tokio::task::spawn_blocking(move || app.run(|| shutdown.is_cancelled()));
    let outcome = running.await.map_err(ServiceError::failed)?;
    outcome.map_err(|error| {
        health.failed(error.to_string());
        streams_error(error)
    })
}

/// State on disk needs a folder.
pub(crate) fn check_state<A: Args>(check: &mut Check<A>, streams: &StreamsOptions) {
    let is_placed = streams.backend() == StateBackend::Memory || streams.state_dir.is_some();
    check.option("state-backend", is_placed, "disk without a folder", "--state-dir (VIGIE_STATE_DIR) beside it");
}

pub(crate) fn streams_error(error: StreamsError) -> ServiceError {
    if error.is_unavailable() { ServiceError::unavailable("kafka", error) } else { ServiceError::failed(error) }
}

pub(crate) fn kafka_error(error: KafkaError) -> ServiceError {
    if error.is_unavailable() { ServiceError::unavailable("kafka", error) } else { ServiceError::failed(error) }
}

fn codec_error(error: CodecError) -> ServiceError {
    match error {
        CodecError::Registry { url, detail } => ServiceError::unavailable(format!("schema registry {url}"), detail),
        other => ServiceError::failed(other),
    }
}

/// The message of an error with its causes, on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}

//! The registry's REST interface.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::compatibility::Level;
use super::store::{RegistryError, SchemaStore};

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaBody {
    schema: String,
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<Value>,
}

#[derive(Deserialize)]
struct LevelBody {
    compatibility: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Options {
    verbose: bool,
    default_to_global: bool,
    subject_prefix: String,
}

/// Serves `store`.
pub fn router(store: SchemaStore) -> Router {
    Router::new()
        .route("/", get(async || answer(&json!({}))))
        .route("/mode", get(async || answer(&json!({"mode": "READWRITE"}))))
        .route("/schemas/types", get(async || answer(&json!(["AVRO"]))))
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(lookup))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route("/subjects/{subject}/versions/{version}", get(version))
        .route("/subjects/{subject}/versions/{version}/schema", get(version_schema))
        .route("/schemas/ids/{id}", get(schema_by_id))
        .route("/schemas/ids/{id}/schema", get(plain_schema_by_id))
        .route("/schemas/ids/{id}/versions", get(versions_by_id))
        .route("/schemas/ids/{id}/subjects", get(subjects_by_id))
        .route("/config", get(global_level).put(set_global_level))
        .route("/config/{subject}", get(own_level).put(set_own_level).delete(unset_own_level))
        .route("/compatibility/subjects/{subject}/versions", post(check_all))
        .route("/compatibility/subjects/{subject}/versions/{version}", post(check_one))
        .fallback(async || refuse(StatusCode::NOT_FOUND, 404, "HTTP 404 Not Found"))
        .with_state(store)
}

type Answer = Result<Response, RegistryError>;

async fn subjects(State(store): State<SchemaStore>, Query(options): Query<Options>) -> Response {
    answer(&json!(store.subjects(&options.subject_prefix)))
}

async fn lookup(State(store): State<SchemaStore>, Path(subject): Path<String>, body: Bytes) -> Answer {
    Ok(answer(&json!(store.lookup(&subject, &schema_in(&body)?)?)))
}

async fn versions(State(store): State<SchemaStore>, Path(subject): Path<String>) -> Answer {
    Ok(answer(&json!(store.version_numbers(&subject)?)))
}

async fn register(State(store): State<SchemaStore>, Path(subject): Path<String>, body: Bytes) -> Answer {
    let registered = store.register(&subject, &schema_in(&body)?)?;
    tracing::debug!(subject, version = registered.version, id = registered.id, "schema registered");
    Ok(answer(&json!({"id": registered.id})))
}

async fn version(State(store): State<SchemaStore>, Path((subject, version)): Path<(String, String)>) -> Answer {
    Ok(answer(&json!(store.version(&subject, &version)?)))
}

async fn version_schema(State(store): State<SchemaStore>, Path((subject, version)): Path<(String, String)>) -> Answer {
    Ok(answer_text(store.version(&subject, &version)?.schema))
}

async fn schema_by_id(State(store): State<SchemaStore>, Path(id): Path<String>) -> Answer {
    Ok(answer(&json!({"schema": uses_of(&store, &id)?[0].schema})))
}

async fn plain_schema_by_id(State(store): State<SchemaStore>, Path(id): Path<String>) -> Answer {
    Ok(answer_text(uses_of(&store, &id)?.swap_remove(0).schema))
}

async fn versions_by_id(State(store): State<SchemaStore>, Path(id): Path<String>) -> Answer {
    let uses = uses_of(&store, &id)?;
    let uses = uses.iter().map(|used| json!({"subject": used.subject, "version": used.version}));
    Ok(answer(&uses.collect()))
}

async fn subjects_by_id(State(store): State<SchemaStore>, Path(id): Path<String>) -> Answer {
    let mut subjects: Vec<String> = uses_of(&store, &id)?.into_iter().map(|used| used.subject).collect();
    subjects.dedup();
    Ok(answer(&json!(subjects)))
}

async fn global_level(State(store): State<SchemaStore>) -> Response {
    answer(&json!({"compatibilityLevel": store.level()}))
}

async fn set_global_level(State(store): State<SchemaStore>, body: Bytes) -> Answer {
    let level = level_in(&body)?;
    store.set_level(None, Some(level))?;
    Ok(answer(&json!({"compatibility": level})))
}

async fn own_level(
    State(store): State<SchemaStore>,
    Path(subject): Path<String>,
    Query(options): Query<Options>,
) -> Answer {
    let level = match store.own_level(&subject) {
        Err(RegistryError::NoOwnLevel(_)) if options.default_to_global => store.level(),
        other => other?,
    };
    Ok(answer(&json!({"compatibilityLevel": level})))
}

async fn set_own_level(State(store): State<SchemaStore>, Path(subject): Path<String>, body: Bytes) -> Answer {
    let level = level_in(&body)?;
    store.set_level(Some(&subject), Some(level))?;
    Ok(answer(&json!({"compatibility": level})))
}

async fn unset_own_level(State(store): State<SchemaStore>, Path(subject): Path<String>) -> Answer {
    let level = store.own_level(&subject)?;
    store.set_level(Some(&subject), None)?;
    Ok(answer(&json!({"compatibilityLevel": level})))
}

async fn check_all(
    State(store): State<SchemaStore>,
    Path(subject): Path<String>,
    Query(options): Query<Options>,
    body: Bytes,
) -> Answer {
    Ok(verdict(store.check(&subject, None, &schema_in(&body)?)?, &options))
}

async fn check_one(
    State(store): State<SchemaStore>,
    Path((subject, version)): Path<(String, String)>,
    Query(options): Query<Options>,
    body: Bytes,
) -> Answer {
    Ok(verdict(store.check(&subject, Some(&version), &schema_in(&body)?)?, &options))
}

fn verdict(objections: Vec<String>, options: &Options) -> Response {
    let mut verdict = json!({"is_compatible": objections.is_empty()});
    if options.verbose {
        verdict["messages"] = json!(objections);
    }
    answer(&verdict)
}

fn uses_of(store: &SchemaStore, id: &str) -> Result<Vec<super::Registered>, RegistryError> {
    store.by_id(id.parse().map_err(|_| RegistryError::UnknownSchema(format!("{id} ")))?)
}

fn schema_in(body: &[u8]) -> Result<String, RegistryError> {
    let body: SchemaBody =
        serde_json::from_slice(body).map_err(|error| RegistryError::InvalidSchema(error.to_string()))?;
    match body.schema_type.as_deref() {
        None | Some("AVRO") if body.references.is_empty() => Ok(body.schema),
        None | Some("AVRO") => Err(RegistryError::InvalidSchema("references are not supported".to_owned())),
        Some(other) => {
            Err(RegistryError::InvalidSchema(format!("schema type {other} is not supported, expected AVRO")))
        }
    }
}

fn level_in(body: &[u8]) -> Result<Level, RegistryError> {
    let body: LevelBody =
        serde_json::from_slice(body).map_err(|error| RegistryError::InvalidLevel(error.to_string()))?;
    body.compatibility.parse().map_err(|_| RegistryError::InvalidLevel(body.compatibility))
}

fn answer(value: &Value) -> Response {
    answer_text(value.to_string())
}

fn answer_text(json: String) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], json).into_response()
}

fn refuse(status: StatusCode, error_code: u32, message: &str) -> Response {
    let body = Json(json!({"error_code": error_code, "message": message}));
    (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body.0.to_string()).into_response()
}

impl IntoResponse for RegistryError {
    fn into_response(self) -> Response {
        let (status, code) = match &self {
            Self::UnknownSubject(_) => (StatusCode::NOT_FOUND, 40_401),
            Self::UnknownVersion(_) => (StatusCode::NOT_FOUND, 40_402),
            Self::UnknownSchema(_) => (StatusCode::NOT_FOUND, 40_403),
            Self::NoOwnLevel(_) => (StatusCode::NOT_FOUND, 40_408),
            Self::InvalidSchema(_) => (StatusCode::UNPROCESSABLE_ENTITY, 42_201),
            Self::InvalidVersion(_) => (StatusCode::UNPROCESSABLE_ENTITY, 42_202),
            Self::InvalidLevel(_) => (StatusCode::UNPROCESSABLE_ENTITY, 42_203),
            Self::Incompatible { .. } => (StatusCode::CONFLICT, 409),
            Self::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, 50_001),
        };
        refuse(status, code, &self.to_string())
    }
}

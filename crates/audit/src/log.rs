//! What services hand their events to.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use vigie_clock::SharedClock;
use vigie_schemas::AuditRecord;

use crate::event::{Event, log};
use crate::writer::Writer;
use crate::{AuditConfig, AuditError};

/// Events that wait to be written, at most.
const QUEUE: usize = 1024;
/// Records of one transaction, at most.
const BATCH: usize = 100;

type Reply = oneshot::Sender<Result<(), AuditError>>;

enum Message {
    Write(Box<AuditRecord>, Option<Reply>),
    Flush(oneshot::Sender<()>),
}

/// Where events are audited: on the topic, and in the log. Clones share one writer, which connects at the first event.
#[derive(Clone)]
pub struct AuditLog {
    messages: mpsc::Sender<Message>,
    service: &'static str,
    clock: SharedClock,
    patience: Duration,
}

impl AuditLog {
    /// Starts the writer, which lives as long as one of the clones. A subject may open `quota` authors a day (UTC); 0 is without limit. An
    /// event is given up that is not written within `patience`.
    pub fn start(
        config: AuditConfig,
        service: &'static str,
        quota: u32,
        patience: Duration,
        clock: SharedClock,
    ) -> Self {
        let (messages, queue) = mpsc::channel(QUEUE);
        tokio::spawn(work(Writer::new(config, quota, clock.clone()), queue, quota));
        Self { messages, service, clock, patience }
    }

    /// Audits an event and returns once it is on the topic for good: what it is about may be done then, and not before.
    ///
    /// # Errors
    /// [`AuditError`]: it must not be done.
    pub async fn write(&self, event: Event) -> Result<(), AuditError> {
        let (reply, replied) = oneshot::channel();
        self.queue(event, Some(reply));
        let late = || AuditError::Away(format!("not written within {} s", self.patience.as_secs()));
        let outcome = timeout(self.patience, replied).await.map_err(|_| late())?;
        outcome.unwrap_or_else(|_| Err(AuditError::Unwritten("too many events wait to be written".to_owned())))
    }

    /// Audits an event that has happened, or was refused, without waiting.
    pub fn note(&self, event: Event) {
        self.queue(event, None);
    }

    /// Audits in the log only what nobody can be held to: whoever comes without a token must not fill the topic.
    pub fn mention(&self, event: Event) {
        log(&event.record(self.service, self.clock.now()), Err("nobody was identified"));
    }

    /// Waits until everything is written, or cannot be.
    pub async fn flush(&self) {
        let (done, is_done) = oneshot::channel();
        let flushed = async { self.messages.send(Message::Flush(done)).await.is_ok() && is_done.await.is_ok() };
        let _ = timeout(self.patience, flushed).await;
    }

    fn queue(&self, event: Event, reply: Option<Reply>) {
        let record = Box::new(event.record(self.service, self.clock.now()));
        if let Err(error) = self.messages.try_send(Message::Write(record, reply))
            && let Message::Write(record, _) = error.into_inner()
        {
            log(&record, Err("too many events wait to be written"));
        }
    }
}

async fn work(mut writer: Writer, mut queue: mpsc::Receiver<Message>, limit: u32) {
    let mut messages = Vec::new();
    while queue.recv_many(&mut messages, BATCH).await > 0 {
        let (mut records, mut replies, mut flushed) = (Vec::new(), Vec::new(), Vec::new());
        for message in messages.drain(..) {
            match message {
                Message::Write(record, reply) => {
                    records.push(*record);
                    replies.push(reply);
                }
                Message::Flush(done) => flushed.push(done),
            }
        }
        let written = if records.is_empty() { Ok(Vec::new()) } else { writer.append(&records).await };
        let outcomes: Vec<Result<(), AuditError>> = match written {
            Ok(written) => {
                let outcome = |is_over: bool| if is_over { Err(AuditError::OverQuota { limit }) } else { Ok(()) };
                let logged = written.iter().inspect(|written| log(&written.record, Ok(&written.hash)));
                logged.map(|written| outcome(written.is_over)).collect()
            }
            Err(error) => {
                let logged = records.iter().inspect(|record| log(record, Err(&error.to_string())));
                logged.map(|_| Err(error.clone())).collect()
            }
        };
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            // Who asked may have hung up.
            let _ = reply.map(|reply| reply.send(outcome));
        }
        for done in flushed {
            let _ = done.send(());
        }
    }
}

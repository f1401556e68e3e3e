//! How exports reach the ledger. Here: their verbs, done by the ledger itself when nobody runs it,
//! or else by the daemon that does; and the ledger open for reading. Never here: files. Read next:
//! [`super::files`].

use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::args::Configured;
use crate::cli::import::door::ledger_or_socket;
use crate::cli::reading;
use crate::cli::socket::Socket;
use crate::clock::Clock;
use crate::config::Config;
use crate::daemon::Time;
use crate::daemon::providers::instances;
use crate::domain::event::EventId;
use crate::domain::export::ExportId;
use crate::domain::names::ProviderName;
use crate::domain::time::Timestamp;
use crate::ledger::delivery::DeliveryLedger as _;
use crate::ledger::export::{ExportLedger as _, Exported, NewExport, NewStep, Released, RowPlace};
use crate::store::sqlite::SqliteLedger;

/// The way in.
pub(super) struct Door {
    writer: Result<SqliteLedger, Socket>,
    /// The ledger, open for reading: what files are made of is read beside a daemon.
    pub(super) reader: SqliteLedger,
    clock: Arc<dyn Clock>,
    /// How many events the daemon is told of by one request.
    events_per_request: usize,
}

/// Most bytes that an event's number takes in a request, with what stands around it.
const EVENT_BYTES_MAX: usize = 20;
/// Bytes around the events of a request.
const AROUND_BYTES: usize = 20;

#[derive(Deserialize)]
struct Begun {
    export: i64,
}

#[derive(Deserialize)]
struct Counted {
    events: i64,
}

#[derive(Deserialize)]
struct Noted {}

#[derive(Deserialize)]
struct Gone {
    events: i64,
    next: Option<Next>,
}

#[derive(Deserialize)]
struct Next {
    destination: i64,
    event: i64,
}

impl Door {
    /// Opens the way in.
    ///
    /// # Errors
    /// When the ledger cannot be opened.
    pub(super) async fn open(config: &Config, command: &str) -> anyhow::Result<Self> {
        let writer = ledger_or_socket(config, command).await?;
        let reader = SqliteLedger::open_to_read(&config.store.path).await?;
        let bytes = config.intake.body_bytes_max.saturating_sub(AROUND_BYTES);
        let events_per_request = (bytes / EVENT_BYTES_MAX).max(1);
        Ok(Self { writer, reader, clock: Time::of(config).await?.clock, events_per_request })
    }

    /// Closes the ledger.
    pub(super) async fn close(self) {
        self.reader.close().await;
        if let Ok(ledger) = self.writer {
            ledger.close().await;
        }
    }

    /// This host's clock.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The provider's clock, as it was read last; read anew where that was too long ago to judge
    /// by, as this host's clock may have stepped since.
    pub(super) async fn provider_now(
        &self,
        configured: &Configured,
        provider: &ProviderName,
    ) -> anyhow::Result<Timestamp> {
        let known = self.reader.provider_facts(provider).await?.clock;
        let known = known.with_context(|| format!("the clock of {provider} was never read"))?;
        if !known.is_stale(self.now()) {
            return Ok(known.estimate(self.now()));
        }
        let unread = || format!("the clock of {provider} was read too long ago, and cannot be now");
        let config = reading::configure_with_secrets(configured).with_context(unread)?;
        let instances = instances(&config)?;
        let instance = instances.iter().find(|each| each.name() == provider);
        let contact = match instance {
            Some(instance) => instance.provider.contact().await.map_err(|answer| {
                anyhow!(answer.message.unwrap_or_else(|| answer.outcome.kind().to_string()))
            }),
            None => Err(anyhow!("the config does not name it")),
        };
        contact.with_context(unread)?.provider_at.with_context(unread)
    }

    pub(super) async fn begin(&self, new: &NewExport) -> anyhow::Result<ExportId> {
        match &self.writer {
            Ok(ledger) => done(ledger.begin_export(new, self.clock.now()).await?),
            Err(socket) => {
                let meters: Vec<&str> = new.meters.iter().map(|meter| meter.as_str()).collect();
                let body = json!({
                    "form": new.form.as_str(),
                    "meters": meters,
                    "before_micros": new.before.map(Timestamp::micros),
                    "who": new.who,
                });
                let named = ("provider", new.provider.as_str());
                let Begun { export } = ask(socket, "begin", named, &body).await?;
                Ok(ExportId(export))
            }
        }
    }

    pub(super) async fn mark(&self, id: ExportId, events: &[EventId]) -> anyhow::Result<i64> {
        match &self.writer {
            Ok(ledger) => done(ledger.mark_exported(id, events, self.clock.now()).await?),
            Err(socket) => {
                let named = ("export", &*id.to_string());
                let mut marked = 0;
                for events in events.chunks(self.events_per_request) {
                    let events: Vec<i64> = events.iter().map(|event| event.0).collect();
                    let body = json!({ "events": events });
                    let Counted { events } = ask(socket, "mark", named, &body).await?;
                    marked += events;
                }
                Ok(marked)
            }
        }
    }

    pub(super) async fn note(&self, id: ExportId, step: &NewStep) -> anyhow::Result<()> {
        match &self.writer {
            Ok(ledger) => done(ledger.note_export(id, step, self.clock.now()).await?),
            Err(socket) => {
                let body = json!({
                    "step": step.step.as_str(),
                    "files": step.files.as_ref().map(|(count, _)| count),
                    "digest": step.files.as_ref().map(|(_, digest)| digest),
                    "why": step.why,
                    "who": step.who,
                });
                let Noted {} = ask(socket, "step", ("export", &*id.to_string()), &body).await?;
                Ok(())
            }
        }
    }

    pub(super) async fn release(&self, id: ExportId, after: RowPlace) -> anyhow::Result<Released> {
        match &self.writer {
            Ok(ledger) => done(ledger.release_exported(id, after, self.clock.now()).await?),
            Err(socket) => {
                let named = ("export", &*id.to_string());
                let body = json!({ "destination": after.destination, "event": after.event });
                let Gone { events, next } = ask(socket, "release", named, &body).await?;
                let next = next.map(|Next { destination, event }| RowPlace { destination, event });
                Ok(Released { events, next })
            }
        }
    }
}

fn done<T>(exported: Exported<T>) -> anyhow::Result<T> {
    match exported {
        Exported::Done(value) => Ok(value),
        Exported::Refused(why) => bail!(why),
    }
}

async fn ask<T: for<'de> Deserialize<'de>>(
    socket: &Socket,
    verb: &str,
    named: (&str, &str),
    body: &Value,
) -> anyhow::Result<T> {
    let path = format!("/v1/export/{verb}");
    Ok(socket.post(&path, named, "application/json", body.to_string()).await?)
}

//! Where an import's records go in. Here: the ledger itself when nobody runs it, or else the daemon
//! that does. Never here: files. Read next: [`super::progress`].

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

use super::tally::{Reason, Tally};
use crate::cli::socket::Socket;
use crate::clock::Clock;
use crate::config::Config;
use crate::daemon::Time;
use crate::domain::names::SourceName;
use crate::intake::batch::{Batch, Place};
use crate::intake::correct::CorrectionBatch;
use crate::intake::desk::CorrectionVerdicts;
use crate::intake::gate::{Gate, GateError, Status, Verdicts};
use crate::intake::json::write_record;
use crate::intake::resubmit::Resubmission;
use crate::ledger::LedgerError;
use crate::ledger::intake::{Admitted, Rejected};
use crate::ledger::rejected::{Ended, RejectedLedger as _};
use crate::service::{Bell, FatalBell};
use crate::store::sqlite::SqliteLedger;
use crate::store::{LockError, OpenError};

/// The way in.
pub(crate) enum Door {
    /// Nobody runs the ledger: it is open here.
    Ledger(Box<Here>),
    /// A daemon runs it.
    Daemon(There),
}

/// The ledger, open in this process.
pub(crate) struct Here {
    ledger: Arc<SqliteLedger>,
    gate: Gate,
    fatal: mpsc::Receiver<LedgerError>,
}

/// A daemon.
pub(crate) struct There {
    socket: Socket,
    source: SourceName,
    body_bytes_max: usize,
    records_max: usize,
}

/// Opens the ledger to write, or finds the way to whoever does. The lock decides which: it cannot
/// be free and the daemon there.
///
/// # Errors
/// When the ledger cannot be opened.
pub(crate) async fn ledger_or_socket(
    config: &Config,
    command: &str,
) -> anyhow::Result<Result<SqliteLedger, Socket>> {
    let who = format!("tallyd {command} (pid {})", std::process::id());
    let now = Time::of(config).await?.clock.now();
    match SqliteLedger::open_fenced(&config.store, &config.fencing, &who, now).await {
        Ok(ledger) => Ok(Ok(ledger)),
        Err(OpenError::Locked(LockError::Held { who, .. })) => Ok(Err(Socket::new(config, who)?)),
        Err(error) => Err(error.into()),
    }
}

impl Door {
    /// Opens the way in for records of `source`.
    ///
    /// # Errors
    /// When the ledger cannot be opened.
    pub(crate) async fn open(config: &Config, source: &SourceName) -> anyhow::Result<Self> {
        match ledger_or_socket(config, "import").await? {
            Ok(ledger) => {
                let clock = Time::of(config).await?.clock;
                Ok(Self::Ledger(Box::new(Here::new(config, ledger, clock))))
            }
            Err(socket) => Ok(Self::Daemon(There {
                socket,
                source: source.clone(),
                body_bytes_max: config.intake.body_bytes_max,
                records_max: config.intake.batch_records_max,
            })),
        }
    }

    /// Books a batch of `file`.
    ///
    /// # Errors
    /// When it cannot be booked now, or the ledger failed.
    pub(crate) async fn book(&mut self, file: &str, batch: Batch) -> anyhow::Result<Tally> {
        match self {
            Self::Ledger(here) => here.book(file, batch).await,
            Self::Daemon(there) => there.book(file, batch).await,
        }
    }

    /// Closes the ledger, if it is open here.
    pub(crate) async fn close(self) {
        match self {
            Self::Ledger(here) => here.close().await,
            Self::Daemon(_) => {}
        }
    }
}

impl Here {
    /// The gate of `ledger`.
    pub(crate) fn new(config: &Config, ledger: SqliteLedger, clock: Arc<dyn Clock>) -> Self {
        let ledger = Arc::new(ledger);
        let (bell, fatal) = FatalBell::new();
        let settings = Arc::new(config.intake.clone());
        // Nobody accrues here: the daemon looks at the journal when it starts.
        let accrual = Bell::default();
        let gate = Gate::new(ledger.clone(), settings, clock, accrual, bell);
        Self { ledger, gate, fatal }
    }

    async fn book(&mut self, file: &str, batch: Batch) -> anyhow::Result<Tally> {
        match self.gate.admit(batch).await {
            Ok(verdicts) => Ok(tally(file, verdicts)),
            Err(why) => Err(self.failed(why)),
        }
    }

    /// Accepts corrections.
    pub(crate) async fn correct(
        &mut self,
        batch: CorrectionBatch,
    ) -> anyhow::Result<CorrectionVerdicts> {
        let corrected = self.gate.correct(self.ledger.as_ref(), batch).await;
        corrected.map_err(|why| self.failed(why))
    }

    /// Sends what was rejected again.
    pub(crate) async fn resubmit(&mut self, asked: Resubmission) -> anyhow::Result<Ended> {
        let ended = self.gate.resubmit(self.ledger.as_ref(), asked).await;
        ended.map_err(|why| self.failed(why))
    }

    /// Dismisses what was rejected.
    pub(crate) async fn dismiss(&self, number: i64, why: &str, who: &str) -> anyhow::Result<Ended> {
        Ok(self.ledger.dismiss(number, why, who, self.gate.clock().now()).await?)
    }

    fn failed(&mut self, why: GateError) -> anyhow::Error {
        match (why, self.fatal.try_recv()) {
            (GateError::Fatal, Ok(cause)) => anyhow::Error::new(cause).context("the ledger failed"),
            (why, _) => why.into(),
        }
    }

    /// Closes the ledger.
    pub(crate) async fn close(self) {
        let Self { ledger, gate, .. } = self;
        drop(gate);
        if let Some(ledger) = Arc::into_inner(ledger) {
            ledger.close().await;
        }
    }
}

pub(crate) const fn line(place: Place) -> u64 {
    match place {
        Place::Line(line) => line,
        // A file has lines only; a record's number in a body would be the nearest thing.
        Place::Record(_) => 0,
    }
}

fn tally(file: &str, verdicts: Verdicts) -> Tally {
    let mut tally = Tally {
        accepted: verdicts.accepted,
        duplicate: verdicts.duplicate,
        conflict: verdicts.conflict,
        rejected: verdicts.rejected,
        reasons: Vec::new(),
    };
    for item in verdicts.items {
        let status = match item.status {
            Status::Accepted(_) | Status::Duplicate(_) => continue,
            Status::Conflict(_) | Status::Rejected => item.status.as_str().to_owned(),
        };
        let (field, reason) = item.fault.unwrap_or_default();
        let (file, line) = (file.to_owned(), line(item.place));
        tally.explain(Reason { file, line, id: item.id, status, field, reason });
    }
    tally
}

#[derive(Deserialize)]
struct Told {
    accepted: u64,
    duplicate: u64,
    conflict: u64,
    rejected: u64,
    records: Vec<ToldRecord>,
}

#[derive(Deserialize)]
struct ToldRecord {
    line: Option<usize>,
    id: Option<String>,
    status: String,
    field: Option<String>,
    reason: Option<String>,
}

/// Some records as a body, and where in the file each of its lines stood.
#[derive(Default)]
struct Parcel {
    body: String,
    lines: Vec<u64>,
}

impl There {
    async fn book(&self, file: &str, batch: Batch) -> anyhow::Result<Tally> {
        let mut whole = Tally::default();
        self.keep_rejected(&batch).await?;
        for (place, item) in batch.rejected {
            whole.rejected += 1;
            let (file, line, status) = (file.to_owned(), line(place), "rejected".to_owned());
            let (id, field, reason) = (item.id, item.field, item.reason);
            whole.explain(Reason { file, line, id, status, field, reason });
        }
        let mut parcel = Parcel::default();
        for (place, Admitted { record, .. }) in batch.admitted {
            let text = write_record(&record);
            let full = parcel.lines.len() == self.records_max
                || parcel.body.len() + text.len() + 1 > self.body_bytes_max;
            if full && !parcel.lines.is_empty() {
                whole.add(self.send(file, std::mem::take(&mut parcel)).await?);
            }
            parcel.body.push_str(&text);
            parcel.body.push('\n');
            parcel.lines.push(line(place));
        }
        if !parcel.lines.is_empty() {
            whole.add(self.send(file, parcel).await?);
        }
        whole.reasons.sort_by_key(|reason| reason.line);
        Ok(whole)
    }

    async fn keep_rejected(&self, batch: &Batch) -> anyhow::Result<()> {
        let items = batch.rejected.iter().map(|(place, item)| rejected_json(*place, item));
        let bounds = (self.records_max, self.body_bytes_max);
        keep_rejected(&self.socket, self.source.as_str(), &items.collect::<Vec<_>>(), bounds).await
    }

    async fn send(&self, file: &str, parcel: Parcel) -> anyhow::Result<Tally> {
        let Parcel { body, lines } = parcel;
        let source = ("source", self.source.as_str());
        let told: Told =
            self.socket.post("/v1/usage", source, "application/x-ndjson", body).await?;
        let mut tally = Tally {
            accepted: told.accepted,
            duplicate: told.duplicate,
            conflict: told.conflict,
            rejected: told.rejected,
            reasons: Vec::new(),
        };
        for record in told.records {
            if !matches!(record.status.as_str(), "conflict" | "rejected") {
                continue;
            }
            let index = record.line.and_then(|line| line.checked_sub(1));
            let line = index.and_then(|index| lines.get(index)).copied().unwrap_or_default();
            tally.explain(Reason {
                file: file.to_owned(),
                line,
                id: record.id,
                status: record.status,
                field: record.field.unwrap_or_default(),
                reason: record.reason.unwrap_or_default(),
            });
        }
        Ok(tally)
    }
}

/// An item that is none, as the daemon takes it.
pub(crate) fn rejected_json(place: Place, item: &Rejected) -> String {
    let (id, line) = (item.id.as_deref(), line(place));
    let (field, reason, raw) = (&item.field, &item.reason, &item.raw);
    let (form, whole) = (item.form.as_str(), item.whole);
    json!({
        "id": id, "line": line, "field": field, "reason": reason, "raw": raw, "form": form,
        "whole": whole,
    })
    .to_string()
}

/// What is rejected here is nothing that the daemon could take: it is handed over as it is, to be
/// kept for a person, at most `records_max` items and about `body_bytes_max` bytes at once.
pub(crate) async fn keep_rejected(
    socket: &Socket,
    source: &str,
    items: &[String],
    (records_max, body_bytes_max): (usize, usize),
) -> anyhow::Result<()> {
    let mut rest = items;
    while !rest.is_empty() {
        // At least one, however long: the daemon then says what is too long about it.
        let mut bytes = 2;
        let fits = |item: &&String| {
            bytes += item.len() + 1;
            bytes <= body_bytes_max
        };
        let count = rest.iter().take(records_max).take_while(fits).count().max(1);
        let (these, after) = rest.split_at(count);
        let body = format!("[{}]", these.join(","));
        let source = ("source", source);
        let _kept: Told = socket.post("/v1/rejected", source, "application/json", body).await?;
        rest = after;
    }
    Ok(())
}

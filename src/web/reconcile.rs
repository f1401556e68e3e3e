//! Reports that are made beside the daemon, from the operator's socket. Here: requests that are
//! counted, a run that is kept, a comparison that is concluded, and the JSON form of each. Never
//! here: a comparison. Read next: [`super::holds`].

use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Refusal, refuse, with_json};
use super::app::App;
use super::{operator, usage};
use crate::domain::digest::Digest;
use crate::domain::drift::{DriftKind, Role};
use crate::domain::event::EventId;
use crate::domain::names::{AccountName, NameError, ProviderMeter, ProviderName};
use crate::domain::quantity::Quantity;
use crate::domain::reading::{FindingKind, Grouping};
use crate::domain::resolution::ItemName;
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::{Timestamp, Window};
use crate::ledger::LedgerError;
use crate::ledger::reconcile::{Comparison, Concluded, Fate, Judged, LaneId, ReconcileLedger};
use crate::ledger::report::{Drift, Found, Question, ReportLedger, Run, Suspect};

/// What reports leave in the ledger.
#[async_trait]
pub trait Reports: Send + Sync {
    /// Counts requests for totals, before they are made.
    ///
    /// # Errors
    /// Then they were not counted.
    async fn count(
        &self,
        provider: &ProviderName,
        calls: u32,
        now: Timestamp,
    ) -> Result<(), LedgerError>;

    /// Keeps a run; answers its number.
    ///
    /// # Errors
    /// Then it was not kept.
    async fn keep(&self, run: &Run) -> Result<i64, LedgerError>;

    /// Keeps a comparison with all that it proves, and has its lane compared again next.
    ///
    /// # Errors
    /// Then nothing was changed.
    async fn conclude(
        &self,
        comparison: Comparison,
        now: Timestamp,
    ) -> Result<Concluded, LedgerError>;
}

#[async_trait]
impl<T: ReportLedger + ReconcileLedger> Reports for T {
    async fn count(
        &self,
        provider: &ProviderName,
        calls: u32,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.count_reads(provider, calls, now).await
    }

    async fn keep(&self, run: &Run) -> Result<i64, LedgerError> {
        self.keep_run(run).await
    }

    async fn conclude(
        &self,
        comparison: Comparison,
        now: Timestamp,
    ) -> Result<Concluded, LedgerError> {
        self.conclude_and_compare_next(comparison, now).await
    }
}

/// What is asked of the ledger.
enum Asked {
    Count(u32),
    Keep(Box<Run>),
    Conclude(Comparison),
}

/// `POST /v1/reconcile?provider=NAME`: counts requests for totals that are about to be made, keeps
/// a run, or concludes a comparison: whichever the body says.
pub(super) async fn take(State(app): State<Arc<App>>, request: Request) -> Response {
    match take_one(app, request).await {
        Ok(response) => response,
        Err(refusal) => *refusal,
    }
}

async fn take_one(app: Arc<App>, request: Request) -> Result<Response, Refusal> {
    let provider = operator::provider(&app, &request)?;
    let (body, share, _, deadline) = usage::receive(&app, request).await?;
    let malformed = |why: String| {
        let said = format!("the body is nothing that a report leaves: {why}");
        Refusal::new(refuse(StatusCode::BAD_REQUEST, "malformed_body", said))
    };
    let sent: Sent = serde_json::from_slice(&body).map_err(|why| malformed(why.to_string()))?;
    let asked = match sent {
        Sent::Count(calls) => Asked::Count(calls),
        Sent::Keep(run) => {
            let run = run.read(provider.clone()).ok_or_else(|| malformed("a value".to_owned()))?;
            Asked::Keep(Box::new(run))
        }
        Sent::Conclude(sent) => {
            Asked::Conclude(sent.read().ok_or_else(|| malformed("a value".to_owned()))?)
        }
    };
    let task = Arc::clone(&app);
    let working = app.work.spawn(async move {
        let now = task.rooms.gate.clock().now();
        let ledger = &task.rooms.reports;
        let done = match asked {
            Asked::Count(calls) => ledger.count(&provider, calls, now).await.map(|()| json!({})),
            Asked::Keep(run) => ledger.keep(&run).await.map(|run| json!({ "run": run })),
            Asked::Conclude(comparison) => {
                let concluded = ledger.conclude(comparison, now).await;
                concluded.map(|done| json!({ "moved": done.moved, "outdated": done.outdated }))
            }
        };
        drop(share);
        done
    });
    let done = answer::outcome(working, deadline).await?;
    let done = done.map_err(|why| operator::ledger_error(&app, why))?;
    Ok(with_json(StatusCode::OK, &done))
}

/// The body of a request that counts `calls`.
#[must_use]
pub fn count_json(calls: u32) -> Value {
    json!({ "count": calls })
}

/// The body of a request that has a run kept.
#[must_use]
pub fn keep_json(run: &Run) -> Value {
    json!({ "keep": run_json(run) })
}

/// A run as JSON.
#[must_use]
pub fn run_json(run: &Run) -> Value {
    let Question { provider, account, meter, range } = &run.question;
    let drifts: Vec<Value> = run.drifts.iter().map(drift_json).collect();
    json!({
        "provider": provider.as_str(),
        "account": account.as_ref().map(AccountName::as_str),
        "meter": meter.as_ref().map(ProviderMeter::as_str),
        "since": range.start.to_rfc3339(),
        "until": range.end.to_rfc3339(),
        "begun_at": run.begun_at.to_rfc3339(),
        "ended_at": run.ended_at.to_rfc3339(),
        "calls": run.calls,
        "calls_min": run.calls_min,
        "compared": run.compared,
        "agreed": run.agreed,
        "drifts": drifts,
    })
}

fn drift_json(drift: &Drift) -> Value {
    let Drift { account, meter, span, found } = drift;
    let suspects: Vec<Value> = found
        .suspects
        .iter()
        .map(|each| {
            json!({
                "item": each.item.to_string(),
                "role": each.role.as_str(),
                "set": each.set,
                "quantity": each.quantity.to_string(),
                "state": each.state,
                "records": each.records,
                "more_records": each.more_records,
                "attempts": each.attempts,
            })
        })
        .collect();
    json!({
        "account": account,
        "meter": meter,
        "start": span.start.to_rfc3339(),
        "end": span.end.to_rfc3339(),
        "kind": found.kind.as_str(),
        "quantity": found.quantity.to_string(),
        "detail": found.detail,
        "suspects": suspects,
    })
}

/// The body of a request that has a comparison concluded.
#[must_use]
pub fn conclude_json(comparison: &Comparison) -> Value {
    let fate = |fate: &Fate| {
        json!({
            "event": fate.event.0,
            "to": fate.to.as_str(),
            "why": fate.why,
            "hold": fate.hold.as_ref().map(|(reason, detail)| json!([reason.as_str(), detail])),
        })
    };
    let parts: Vec<Value> = comparison
        .parts
        .iter()
        .map(|part| {
            let fates: Vec<Value> = part.fates.iter().map(fate).collect();
            json!({
                "start": part.span.start.to_rfc3339(),
                "end": part.span.end.to_rfc3339(),
                "total": part.total.to_string(),
                "fingerprint": hex::encode(part.fingerprint),
                "finding": part.finding.as_str(),
                "detail": part.detail,
                "fates": fates,
            })
        })
        .collect();
    json!({ "conclude": {
        "lane": comparison.lane.0,
        "grouping": comparison.grouping.as_str(),
        "provider_at": comparison.provider_at.to_rfc3339(),
        "parts": parts,
    }})
}

/// What a report leaves, as it is sent.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sent {
    Count(u32),
    Keep(SentRun),
    Conclude(SentComparison),
}

#[derive(Deserialize)]
struct SentRun {
    account: Option<String>,
    meter: Option<String>,
    since: String,
    until: String,
    begun_at: String,
    ended_at: String,
    calls: u32,
    calls_min: u32,
    compared: u64,
    agreed: u64,
    drifts: Vec<SentDrift>,
}

#[derive(Deserialize)]
struct SentDrift {
    account: Option<String>,
    meter: String,
    start: String,
    end: String,
    kind: String,
    quantity: String,
    detail: String,
    suspects: Vec<SentSuspect>,
}

#[derive(Deserialize)]
struct SentSuspect {
    item: String,
    role: String,
    set: u32,
    quantity: String,
    state: String,
    records: Vec<String>,
    more_records: u64,
    attempts: Vec<String>,
}

#[derive(Deserialize)]
struct SentComparison {
    lane: i64,
    grouping: String,
    provider_at: String,
    parts: Vec<SentPart>,
}

#[derive(Deserialize)]
struct SentPart {
    start: String,
    end: String,
    total: String,
    fingerprint: String,
    finding: String,
    detail: String,
    fates: Vec<SentFate>,
}

#[derive(Deserialize)]
struct SentFate {
    event: i64,
    to: String,
    why: String,
    hold: Option<(String, String)>,
}

fn window(start: &str, end: &str) -> Option<Window> {
    let window =
        Window { start: Timestamp::parse_rfc3339(start)?, end: Timestamp::parse_rfc3339(end)? };
    (window.start < window.end).then_some(window)
}

/// A name, where one was sent; nothing where it is none.
#[expect(clippy::option_option, reason = "nothing sent is not a wrong name")]
fn maybe<N>(text: Option<&String>, make: fn(&str) -> Result<N, NameError>) -> Option<Option<N>> {
    match text {
        None => Some(None),
        Some(text) => make(text).ok().map(Some),
    }
}

impl SentRun {
    fn read(self, provider: ProviderName) -> Option<Run> {
        let account = maybe(self.account.as_ref(), AccountName::new)?;
        let meter = maybe(self.meter.as_ref(), ProviderMeter::new)?;
        let range = window(&self.since, &self.until)?;
        Some(Run {
            question: Question { provider, account, meter, range },
            begun_at: Timestamp::parse_rfc3339(&self.begun_at)?,
            ended_at: Timestamp::parse_rfc3339(&self.ended_at)?,
            calls: self.calls,
            calls_min: self.calls_min,
            compared: self.compared,
            agreed: self.agreed,
            drifts: self.drifts.into_iter().map(SentDrift::read).collect::<Option<_>>()?,
        })
    }
}

impl SentDrift {
    fn read(self) -> Option<Drift> {
        let suspects = self.suspects.into_iter().map(SentSuspect::read).collect::<Option<_>>()?;
        let found = Found {
            kind: DriftKind::parse(&self.kind)?,
            quantity: Quantity::parse_unbounded(&self.quantity).ok()?,
            detail: self.detail,
            suspects,
        };
        let span = window(&self.start, &self.end)?;
        Some(Drift { account: self.account, meter: self.meter, span, found })
    }
}

impl SentSuspect {
    fn read(self) -> Option<Suspect> {
        Some(Suspect {
            item: ItemName::parse(&self.item)?,
            role: Role::parse(&self.role)?,
            set: self.set,
            quantity: Quantity::parse_unbounded(&self.quantity).ok()?,
            state: self.state,
            records: self.records,
            more_records: self.more_records,
            attempts: self.attempts,
        })
    }
}

impl SentComparison {
    fn read(self) -> Option<Comparison> {
        Some(Comparison {
            lane: LaneId(self.lane),
            grouping: Grouping::parse(&self.grouping)?,
            provider_at: Timestamp::parse_rfc3339(&self.provider_at)?,
            parts: self.parts.into_iter().map(SentPart::read).collect::<Option<_>>()?,
        })
    }
}

impl SentPart {
    fn read(self) -> Option<Judged> {
        let fingerprint = hex::decode(&self.fingerprint).ok()?;
        Some(Judged {
            span: window(&self.start, &self.end)?,
            total: Quantity::parse_unbounded(&self.total).ok()?,
            fingerprint: Digest::try_from(fingerprint.as_slice()).ok()?,
            finding: FindingKind::parse(&self.finding)?,
            detail: self.detail,
            fates: self.fates.into_iter().map(SentFate::read).collect::<Option<_>>()?,
        })
    }
}

impl SentFate {
    fn read(self) -> Option<Fate> {
        // A report withdraws; what is sent again, only settlement says.
        let to = EventState::parse(&self.to).filter(|to| *to == EventState::Held)?;
        let (reason, detail) = self.hold?;
        let hold = Some((HoldReason::parse(&reason)?, detail));
        Some(Fate { event: EventId(self.event), to, why: self.why, hold })
    }
}

//! A line of a report. PURE. Here: what there are lines of, what one shows, the days that its
//! difference is narrowed to, and what waits in front of routes as a difference. Never here: a
//! reading. Read next: [`super::reporter`].

use super::calendar::ceiling;
use super::drift::Bracket;
use super::keeper::KeepError;
use super::parts::Part;
use crate::domain::drift::{DriftKind, Role};
use crate::domain::names::{ProviderMeter, ProviderName};
use crate::domain::quantity::Quantity;
use crate::domain::time::{MICROS_PER_DAY, Timestamp, Window};
use crate::ledger::LedgerError;
use crate::ledger::report::{
    BilledPeriod, Comparand, Drift, Found, ParkedUsage, Question, Run, records_said,
};
use crate::provider::ReadBack;

/// One line of a report: an account, a meter and a span, from what was acknowledged to the invoice.
#[derive(Clone, Debug)]
pub struct Row {
    /// Whose usage of what.
    pub comparand: Comparand,
    /// The span: a billing period, or a part of a UTC month.
    pub span: Window,
    /// What was acknowledged.
    pub acknowledged: Quantity,
    /// What the provider should hold.
    pub accrued: Quantity,
    /// What live events have said.
    pub told: Quantity,
    /// What the provider's total may be.
    pub bracket: Bracket,
    /// The provider's total, of the span rounded to its grain.
    pub total: Option<Quantity>,
    /// The invoices of the span, each with what it bills once it is final.
    pub invoices: Vec<BilledPeriod>,
    /// What became of everything that was acknowledged.
    pub parts: Vec<Part>,
    /// What differs.
    pub found: Vec<Found>,
    /// What was compared, for whoever acts on it.
    pub seen: Option<Seen>,
    /// The days on which something is missing, once they are over, each with its total: a later
    /// report can ask for the same and be compared with this one.
    pub lacking: Vec<(Seen, Quantity)>,
}

/// A total as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The span that was asked for.
    pub span: Window,
    /// The provider's clock.
    pub read_at: Timestamp,
    /// What the provider promises of its totals.
    pub promise: ReadBack,
}

/// A run, and its lines.
#[derive(Clone, Debug)]
pub struct Report {
    /// The run's number among those that are kept.
    pub number: i64,
    /// As it is kept.
    pub run: Run,
    /// A line for each total.
    pub rows: Vec<Row>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The ledger could not be read.
    #[error("the ledger cannot be read")]
    Ledger(#[from] LedgerError),
    /// The report could not be kept, or its requests not be counted.
    #[error("the report cannot be kept")]
    NotKept(#[source] KeepError),
    /// The provider's clock and meters are not known.
    #[error("{0} was never contacted: `tallyd run` has to reach it once")]
    NeverContacted(ProviderName),
    /// The budget of reads does not allow it.
    #[error(
        "it takes {needed} requests for totals, and {left} of {of} in 30 days are left: ask for \
         fewer accounts, meters or periods, or raise reads_per_month"
    )]
    Spent {
        /// Requests that it takes.
        needed: u32,
        /// Requests that are left.
        left: u32,
        /// Requests in 30 days.
        of: u32,
    },
}

/// The whole days that a line's difference lies in, once they are over; nothing where it has none
/// that days could narrow.
#[must_use]
pub fn days_of(row: &Row, provider_now: Timestamp) -> Option<(Seen, Window)> {
    let seen = row.seen?;
    row.found.iter().find(|found| by_total(found))?;
    // It is asked for later than it begins only where another program told its beginning: that
    // one's day is no part of the comparison.
    let start = match seen.span.start > row.span.start {
        true => ceiling(seen.span.start, MICROS_PER_DAY),
        false => seen.span.start.floor_to(MICROS_PER_DAY),
    };
    let days = Window { start, end: ceiling(seen.span.end, MICROS_PER_DAY) };
    let end = days.end.min(provider_now.floor_to(MICROS_PER_DAY));
    (days.start < end).then_some((seen, Window { end, ..days }))
}

/// Whether a difference is one between a total and the events.
#[must_use]
pub fn by_total(found: &Found) -> bool {
    match found.kind {
        // What settlement disproved is one of this kind too, and names what it holds.
        DriftKind::Missing => found.suspects.iter().all(|each| each.role != Role::Held),
        DriftKind::Excess | DriftKind::UnknownRemote => true,
        DriftKind::Unmapped | DriftKind::Late | DriftKind::Unverifiable | DriftKind::Unbilled => {
            false
        }
    }
}

/// Says on which days a line's difference lies, and names only what could explain those.
pub fn explain_by_days(row: &mut Row, days: &[(Window, Found)]) {
    let Some(found) = row.found.iter_mut().find(|found| by_total(found)) else { return };
    // Where nothing was told on a day, what is too much there has a name of its own.
    let alike =
        |day: &Found| day.kind == found.kind || (found.kind.is_loud() && day.kind.is_loud());
    let of_kind: Vec<&(Window, Found)> = days.iter().filter(|(_, day)| alike(day)).collect();
    if of_kind.is_empty() {
        return;
    }
    found.suspects.clear();
    let mut said = Vec::new();
    let mut sets = 0;
    for (span, day) in of_kind {
        let date: String = span.start.to_rfc3339().chars().take("2026-01-01".len()).collect();
        said.push(format!("{} on {date}", day.quantity));
        for suspect in &day.suspects {
            let mut suspect = suspect.clone();
            suspect.set += sets;
            found.suspects.push(suspect);
        }
        sets = found.suspects.iter().map(|each| each.set).max().unwrap_or(sets);
    }
    found.detail = format!("{}; {}", found.detail, said.join(", "));
}

/// Usage that waits in front of a route, as a difference.
#[must_use]
pub fn unmapped(usage: ParkedUsage, range: Window) -> Drift {
    let before = match usage.route.as_str() {
        "" => "no route takes it".to_owned(),
        route => format!("the route {route} cannot take it"),
    };
    let records = records_said(&usage.records, usage.more_records);
    let detail = format!("customer {}: {before}: {}; {records}", usage.customer, usage.reason);
    let (kind, quantity) = (DriftKind::Unmapped, usage.quantity);
    let found = Found { kind, quantity, detail, suspects: Vec::new() };
    Drift { account: None, meter: usage.meter, span: range, found }
}

/// The comparands of an account that is named, and beside them its other meters; of all accounts
/// only what is known.
#[must_use]
pub fn named<'m>(
    question: &Question,
    mut known: Vec<Comparand>,
    meters: impl Iterator<Item = &'m ProviderMeter>,
) -> Vec<Comparand> {
    let Some(account) = &question.account else { return known };
    let asked = |meter: &&ProviderMeter| question.meter.as_ref().is_none_or(|only| only == *meter);
    for meter in meters.filter(asked) {
        if known.iter().all(|each| each.meter != *meter) {
            let (account, meter) = (account.clone(), meter.clone());
            known.push(Comparand { account, meter, lane: None, periods: Vec::new() });
        }
    }
    known
}

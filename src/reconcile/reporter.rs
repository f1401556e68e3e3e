//! The report: source, ledger, provider and invoice, side by side. Here: which totals are read, in
//! the fewest requests and within the budget, and what is shown and kept of each. Never here:
//! whether two things differ ([`super::drift`]); a change to what was told. Read next:
//! [`crate::ledger::report`].
//!
//! One request tells the total of an account, a meter and a span. Only a span that differs is asked
//! for again, by the day, so that fewer events are left to explain it.

use std::sync::Arc;

use super::Settings;
use super::calendar::uncovered;
use super::drift::{Bracket, Compared, ToldOf, disproved, late, of_invoice, of_total, unread};
use super::judge::{LOOKS_APART_MICROS, Reading, first_seen};
use super::keeper::Keeper;
use super::line::{
    Report, ReportError, Row, Seen, by_total, days_of, explain_by_days, named, unmapped,
};
use super::parts::{acknowledged, parts};
use super::remedy::disprove;
use super::span::calls;
use super::surveyor::SurveyorLedger;
use super::target::{Foreign, Target};
use crate::clock::Clock;
use crate::domain::cutover::Telling;
use crate::domain::drift::DriftKind;
use crate::domain::fold::Fold;
use crate::domain::names::ProviderMeter;
use crate::domain::provider_facts::ClockReading;
use crate::domain::quantity::Quantity;
use crate::domain::reading::{FindingKind, Grouping};
use crate::domain::time::{MICROS_PER_MINUTE, Timestamp, Window};
use crate::ledger::LedgerError;
use crate::ledger::cutover::Opening;
use crate::ledger::reconcile::{Comparison, Judged, LaneEvent, LaneId};
use crate::ledger::report::{Comparand, Drift, FinalPeriod, Found, Question, ReportLedger, Run};
use crate::provider::{Provider, ReadBack};

/// What a report reads.
pub trait ReporterLedger: ReportLedger + SurveyorLedger {}
impl<T: ReportLedger + SurveyorLedger> ReporterLedger for T {}

/// Makes reports on the agreement with one provider instance.
pub struct Reporter {
    settings: Settings,
    ledger: Arc<dyn ReporterLedger>,
    provider: Arc<dyn Provider>,
    clock: Arc<dyn Clock>,
    telling: Telling,
}

/// What is known before anything is read.
struct Outlook {
    clock: ClockReading,
    /// Of usage before this, more may have been told than the ledger knows of.
    unbounded_until: Option<Timestamp>,
    calls: u32,
    /// Why nothing more is asked for.
    stopped: Option<String>,
}

impl Reporter {
    /// The reporter of the provider that `settings` names.
    #[must_use]
    pub fn new(
        settings: Settings,
        ledger: Arc<dyn ReporterLedger>,
        provider: Arc<dyn Provider>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { settings, ledger, provider, clock, telling: Telling::default() }
    }

    /// The same, which compares nothing that another program told.
    #[must_use]
    pub fn telling(self, telling: Telling) -> Self {
        Self { telling, ..self }
    }

    /// Compares what `question` names, and has the run kept.
    ///
    /// # Errors
    /// When nothing could be compared, or it could not be kept.
    pub async fn report(
        &self,
        question: &Question,
        keeper: &dyn Keeper,
    ) -> Result<Report, ReportError> {
        let begun_at = self.clock.now();
        let name = &self.settings.provider;
        let facts = self.ledger.provider_facts(name).await?;
        let clock = facts.clock.ok_or_else(|| ReportError::NeverContacted(name.clone()))?;
        let caught_up = self.ledger.caught_up().await?;
        let unbounded_until = (!caught_up).then(|| clock.estimate(begun_at));
        let mut outlook = Outlook { clock, unbounded_until, calls: 0, stopped: None };
        let meters = facts.meters.iter().map(|pin| &pin.meter);
        let comparands = match &question.account {
            // Of an account that is named, also what nobody here knows of.
            Some(_) => named(question, self.ledger.comparands(question).await?, meters),
            None => self.ledger.comparands(question).await?,
        };
        let targets = self.targets(question, comparands, clock.estimate(begun_at)).await?;
        let readable = targets.iter().filter(|target| target.asked.is_some()).count();
        let calls_min = u32::try_from(readable).unwrap_or(u32::MAX);
        let left = self.left().await?;
        if calls_min > left {
            let of = self.settings.reads_per_month;
            return Err(ReportError::Spent { needed: calls_min, left, of });
        }
        self.count(calls_min, keeper).await?;
        let mut rows = Vec::with_capacity(targets.len());
        for target in targets {
            rows.push(self.compare(target, &mut outlook).await?);
        }
        self.narrow(&mut rows, &mut outlook, keeper).await?;
        let mut drifts = self.drifts(&mut rows).await?;
        if question.account.is_none() && question.meter.is_none() {
            let parked = self.ledger.parked_usage(question.range).await?;
            drifts.extend(parked.into_iter().map(|usage| unmapped(usage, question.range)));
        }
        let read = rows.iter().filter(|row| row.total.is_some());
        let agreed = read.clone().filter(|row| row.found.is_empty()).count();
        let run = Run {
            question: question.clone(),
            begun_at,
            ended_at: self.clock.now(),
            calls: outlook.calls,
            calls_min,
            compared: u64::try_from(read.count()).unwrap_or(u64::MAX),
            agreed: u64::try_from(agreed).unwrap_or(u64::MAX),
            drifts,
        };
        let number = keeper.keep(&run).await.map_err(ReportError::NotKept)?;
        Ok(Report { number, run, rows })
    }

    /// How a final invoice differs from all that may have been told, by the ledger alone: without a
    /// request.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn billed(&self, period: &FinalPeriod) -> Result<Option<Found>, LedgerError> {
        let FinalPeriod { account, meter, lane, span, billed, .. } = period;
        let of = Comparand {
            account: account.clone(),
            meter: meter.clone(),
            lane: *lane,
            periods: Vec::new(),
        };
        let Some((own, before)) = self.before(&of, *span).await? else { return Ok(None) };
        let events = match lane {
            Some(lane) => self.ledger.lane_events(*lane, own, u32::MAX).await?,
            None => Vec::new(),
        };
        let told = ToldOf { events: &events, before: &before, bills: self.bills(meter) };
        Ok(of_invoice((billed, period.invoice.as_str()), None, told, u32::MAX))
    }

    /// The part of a period that this program tells, and what another told of it before; nothing
    /// where that is not known, or no part of what is billed.
    async fn before(
        &self,
        of: &Comparand,
        span: Window,
    ) -> Result<Option<(Window, Bracket)>, LedgerError> {
        let from = match Foreign::of(of, span, &self.telling) {
            Foreign::Nothing => return Ok(Some((span, Bracket::nothing()))),
            Foreign::All => return Ok(None),
            // Which record counts in a level may be the other program's.
            Foreign::Before(_) if self.bills(&of.meter) != Fold::Sum => return Ok(None),
            Foreign::Before(from) => from,
        };
        let before = Window { start: span.start, end: from };
        let (provider, account) = (&self.settings.provider, &of.account);
        let opening = self.ledger.opening(provider, account, &of.meter, before).await?;
        let bracket = |opening: Opening| Bracket { low: opening.low, high: opening.high };
        Ok(opening.map(|opening| (Window { start: from, end: span.end }, bracket(opening))))
    }

    /// How a meter's events come to what is billed of them.
    fn bills(&self, meter: &ProviderMeter) -> Fold {
        self.provider.capabilities(meter).map_or(Fold::Sum, |capabilities| capabilities.bills)
    }

    async fn left(&self) -> Result<u32, LedgerError> {
        let used = self.ledger.read_calls(&self.settings.provider, self.clock.now()).await?;
        Ok(self.settings.reads_per_month.saturating_sub(used.month))
    }

    async fn count(&self, calls: u32, keeper: &dyn Keeper) -> Result<(), ReportError> {
        if calls == 0 {
            return Ok(());
        }
        let counted = keeper.count_reads(&self.settings.provider, calls).await;
        counted.map_err(ReportError::NotKept)
    }

    /// What is to be read: the periods that are known, each span once, and of the rest of the
    /// months what anything is booked in. Of a named account all of it.
    async fn targets(
        &self,
        question: &Question,
        comparands: Vec<Comparand>,
        provider_now: Timestamp,
    ) -> Result<Vec<Target>, LedgerError> {
        let mut targets = Vec::new();
        for comparand in comparands {
            let mut spans: Vec<Window> = comparand.periods.iter().map(|each| each.span).collect();
            spans.sort();
            spans.dedup();
            for span in uncovered(question.range, &spans) {
                let booked =
                    self.ledger.is_booked(&self.settings.provider, &comparand, span).await?;
                if booked || (question.account.is_some() && comparand.periods.is_empty()) {
                    spans.push(span);
                }
            }
            spans.sort();
            for span in spans {
                let able = self.provider.capabilities(&comparand.meter);
                let telling = &self.telling;
                targets.push(Target::new(&comparand, span, able, telling, provider_now));
            }
        }
        Ok(targets)
    }

    /// Reads a total, and compares what is known of its span.
    async fn compare(&self, target: Target, outlook: &mut Outlook) -> Result<Row, LedgerError> {
        let Target { mut comparand, span, asked, why, invoices } = target;
        let read = match asked {
            None => Err(why),
            Some((asked, promise)) => {
                self.read(&comparand, asked, promise, outlook).await.map_err(Some)
            }
        };
        // What moved meanwhile may count as well: the events, and their lane, come after the total.
        if comparand.lane.is_none() {
            comparand.lane = self.lane_by_now(&comparand, span).await?;
        }
        let reach = asked.map_or(span, |(asked, _)| Window {
            start: span.start.min(asked.start),
            end: span.end.max(asked.end),
        });
        let all = match comparand.lane {
            Some(lane) => self.ledger.lane_events(lane, reach, u32::MAX).await?,
            None => Vec::new(),
        };
        let within = |window: Window| -> Vec<LaneEvent> {
            all.iter().filter(|event| window.contains(event.occurred_at)).cloned().collect()
        };
        let exact = within(span);
        let compared = within(asked.map_or(span, |(asked, _)| asked));
        let books = self.ledger.span_books(&self.settings.provider, &comparand, span).await?;
        let mut found = Vec::new();
        let (mut total, mut seen) = (None, None);
        match &read {
            Ok((quantity, is_seen)) => {
                found.extend(judged(quantity, &compared, is_seen, outlook));
                (total, seen) = (Some(quantity.clone()), Some(*is_seen));
            }
            // A period that has not begun yet, or only just, has nothing to compare.
            Err(None) => {}
            Err(Some(_)) if asked.is_none() && compared.is_empty() => {}
            Err(Some(why)) => found.extend(unread(why, span, &compared)),
        }
        found.extend(disproved(&exact));
        found.extend(late(&exact, &books.outstanding));
        // Only a total of exactly the period is what the invoice should say.
        let whole = total.as_ref().filter(|_| asked.is_some_and(|(asked, _)| asked == span));
        for period in &invoices {
            if let Some(billed) = &period.billed
                && let Some((own, before)) = self.before(&comparand, span).await?
            {
                let invoice = period.invoice.as_ref().map_or("of it", |invoice| invoice.as_str());
                let digits = asked.map_or(u32::MAX, |(_, promise)| promise.digits_max);
                let events = &within(own);
                let bills = self.bills(&comparand.meter);
                let told = ToldOf { events, before: &before, bills };
                found.extend(of_invoice((billed, invoice), whole, told, digits));
            }
        }
        Ok(Row {
            acknowledged: acknowledged(&books),
            parts: parts(&books, &exact),
            bracket: Bracket::of(&compared),
            accrued: books.accrued,
            told: books.told,
            comparand,
            span,
            total,
            invoices,
            found,
            seen,
            lacking: Vec::new(),
        })
    }

    async fn lane_by_now(
        &self,
        of: &Comparand,
        range: Window,
    ) -> Result<Option<LaneId>, LedgerError> {
        let (account, meter) = (Some(of.account.clone()), Some(of.meter.clone()));
        let question = Question { provider: self.settings.provider.clone(), account, meter, range };
        let known = self.ledger.comparands(&question).await?;
        Ok(known.into_iter().find_map(|each| each.lane))
    }

    /// One total; or why there is none.
    async fn read(
        &self,
        comparand: &Comparand,
        span: Window,
        promise: ReadBack,
        outlook: &mut Outlook,
    ) -> Result<(Quantity, Seen), String> {
        if let Some(why) = &outlook.stopped {
            return Err(format!("not asked for: {why}"));
        }
        let (meter, account) = (&comparand.meter, &comparand.account);
        outlook.calls += 1;
        let totals = match self.provider.read_totals(meter, account, span, Grouping::Whole).await {
            Ok(totals) => totals,
            Err(answer) => {
                let said = answer.message.as_deref().unwrap_or("no reason was given");
                let why = format!("{}: {said}", answer.outcome.kind());
                if !answer.outcome.concerns_one_question() {
                    outlook.stopped = Some(why.clone());
                }
                return Err(why);
            }
        };
        let Some(read_at) = totals.provider_at else {
            return Err("the provider did not say when it made the total".to_owned());
        };
        let total: Quantity = totals.parts.iter().map(|part| &part.quantity).sum();
        Ok((total, Seen { span, read_at, promise }))
    }

    /// Reads what differs again, by the day, as far as the budget goes: what explains a day's
    /// difference says more.
    async fn narrow(
        &self,
        rows: &mut [Row],
        outlook: &mut Outlook,
        keeper: &dyn Keeper,
    ) -> Result<(), ReportError> {
        for row in rows {
            let Some((seen, days)) = days_of(row, outlook.clock.estimate(self.clock.now())) else {
                continue;
            };
            let price = calls(Grouping::Day, days);
            if outlook.stopped.is_some() || price > self.left().await? {
                continue;
            }
            self.count(price, keeper).await?;
            let Comparand { meter, account, lane, .. } = &row.comparand;
            let read = self.provider.read_totals(meter, account, days, Grouping::Day).await;
            let Ok(totals) = read else {
                outlook.calls += price;
                continue;
            };
            outlook.calls += totals.calls;
            let read_at = totals.provider_at.unwrap_or(seen.read_at);
            let mut narrowed = Vec::new();
            for part in &totals.parts {
                let events = match lane {
                    Some(lane) => self.ledger.lane_events(*lane, part.span, u32::MAX).await?,
                    None => Vec::new(),
                };
                let seen = Seen { span: part.span, read_at, ..seen };
                let day = judged(&part.quantity, &events, &seen, outlook);
                if day.as_ref().is_some_and(|found| found.kind == DriftKind::Missing) {
                    row.lacking.push((seen, part.quantity.clone()));
                }
                narrowed.extend(day.map(|found| (part.span, found)));
            }
            explain_by_days(row, &narrowed);
        }
        Ok(())
    }

    /// Acts on the differences of a report as far as that is safe, and says what was done of each.
    /// What lacks something is compared next by settlement, more finely, which sends again only
    /// what is proven absent; and what was settled and is gone is held, once two reports say so.
    /// What has too much moves nothing.
    ///
    /// # Errors
    /// When the ledger cannot be read, or does not take it.
    pub async fn apply(
        &self,
        report: &Report,
        keeper: &dyn Keeper,
    ) -> Result<Vec<String>, ReportError> {
        let mut said = Vec::new();
        for row in &report.rows {
            let Some(found) = row.found.iter().find(|found| by_total(found)) else { continue };
            let place = format!("{} {} {}", row.comparand.account, row.comparand.meter, row.span);
            let (Some(lane), Some(seen), DriftKind::Missing) =
                (row.comparand.lane, row.seen, found.kind)
            else {
                let detail = found.detail.as_str();
                tracing::error!(place, detail, "a provider counts what nobody here told it");
                said.push(format!("{place}: {detail}; nothing is moved, a person decides"));
                continue;
            };
            let provider_at = row.lacking.first().map_or(seen.read_at, |(day, _)| day.read_at);
            let mut parts = Vec::with_capacity(row.lacking.len());
            for (seen, total) in &row.lacking {
                parts.push(self.disproved(lane, *seen, total).await?);
            }
            let mut details: Vec<String> = parts.iter().map(|part| part.detail.clone()).collect();
            if details.is_empty() {
                details.push("no day of it that is over lacks anything".to_owned());
            }
            let waits = parts.iter().any(|part| part.finding == FindingKind::FirstSeen);
            let grouping = Grouping::Whole.finer();
            let comparison = Comparison { lane, grouping, provider_at, parts };
            let concluded = keeper.conclude(comparison).await.map_err(ReportError::NotKept)?;
            let then = match (waits, concluded.moved) {
                (true, _) => {
                    let minutes = LOOKS_APART_MICROS / MICROS_PER_MINUTE;
                    format!("apply it again in {minutes} minutes to hold them")
                }
                (false, 0) => "nothing is moved".to_owned(),
                (false, moved) => format!("{moved} held as disproved"),
            };
            let details = details.join(", ");
            said.push(format!(
                "{place}: {details}; {then}; settlement compares it by the day next"
            ));
        }
        Ok(said)
    }

    /// What a day's total disproves of what was settled, once two reports say so.
    async fn disproved(
        &self,
        lane: LaneId,
        seen: Seen,
        total: &Quantity,
    ) -> Result<Judged, LedgerError> {
        let (span, read_at) = (seen.span, seen.read_at);
        let events = self.ledger.lane_events(lane, span, u32::MAX).await?;
        let untold = self.ledger.untold(lane, span).await?;
        let (events, untold) = (&events[..], &untold[..]);
        let reading = Reading { span, total, events, untold, read_at, grouping: Grouping::Day };
        let judged = disprove(&reading, &seen.promise);
        if judged.fates.is_empty() {
            return Ok(judged);
        }
        let since = self.ledger.seen_since(lane, span, judged.fingerprint, total).await?;
        let apart = |since| read_at.micros_since(since) >= LOOKS_APART_MICROS;
        Ok(if since.is_some_and(apart) { judged } else { first_seen(judged) })
    }

    /// The differences of all lines, each with what stands behind it.
    async fn drifts(&self, rows: &mut [Row]) -> Result<Vec<Drift>, LedgerError> {
        let mut drifts = Vec::new();
        for row in rows {
            for found in &mut row.found {
                for suspect in &mut found.suspects {
                    let evidence = self.ledger.evidence(suspect.item).await?;
                    suspect.records = evidence.records;
                    suspect.more_records = evidence.more_records;
                    suspect.attempts = evidence.attempts;
                }
                drifts.push(Drift {
                    account: Some(row.comparand.account.as_str().to_owned()),
                    meter: row.comparand.meter.as_str().to_owned(),
                    span: row.span,
                    found: found.clone(),
                });
            }
        }
        Ok(drifts)
    }
}

/// What a total differs by from what the events make possible.
fn judged(total: &Quantity, events: &[LaneEvent], seen: &Seen, outlook: &Outlook) -> Option<Found> {
    let bounded = outlook.unbounded_until.is_none_or(|until| seen.span.start > until);
    let compared =
        Compared { span: seen.span, total: Ok(total), events, read_at: seen.read_at, bounded };
    of_total(&compared, &seen.promise)
}

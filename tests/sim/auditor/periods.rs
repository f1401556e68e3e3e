//! What is billed is what was used, or it is said why not. Here: windows that end where periods do,
//! usage that goes to another balance, what the ledger knows of periods against what is true of
//! them, and the program's own report at the end. Never here: when a period ends (see
//! [`crate::server`]). Read next: [`super::books`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use tallyd::domain::time::{Timestamp, Window};
use tallyd::reconcile::line::Row;

use super::{Auditor, Said, Violation, violated};
use crate::amount::Amount;
use crate::faults::Class;
use crate::rows::{Balance, Event, Line, Rows};
use crate::scene::Scene;
use crate::server::{HOUR, Invoice, Keeps, MINUTE, SECOND};

/// How far an estimate of the provider's clock may be off: a reading's age, and a step that nobody
/// noticed within it.
const CLOCK_ERROR: i64 = 25 * MINUTE;
/// How long before a draft becomes final it takes usage no longer, as the program has it.
const CLOSING_MARGIN: i64 = 5 * MINUTE;
/// How long after its end a period's draft may be unseen, as the program has it.
const UNSEEN: i64 = 45 * MINUTE;

/// A record's meter and account.
type Place = (String, String);

impl Auditor {
    /// Whether a line's window is the record's own, or as much of it as lies in one period.
    pub(super) fn window_fits(&self, line: &Line, said: &Said, span: i64) -> bool {
        if let Some(span) = self.span_of_totals(&line.meter) {
            return self.is_whole_window(line, said, span);
        }
        if self.is_gauge(&line.meter) {
            return self.is_of_periods(line);
        }
        if self.stage.scene().server.keeps.only_counts() {
            // What is counted when it is told has no windows.
            let all = (Window::ALWAYS.start.micros(), Window::ALWAYS.end.micros());
            return self.lies_within(line, said, all);
        }
        let whole = said.at - said.at.rem_euclid(span);
        if self.lies_within(line, said, (whole, whole + span)) {
            return true;
        }
        // Where few entries are left, it may be the record's month.
        let month = Window::month_of(Timestamp::from_micros(said.at));
        let month = (month.start.micros(), month.end.micros());
        let widened = self.few.contains(&line.account) && self.lies_within(line, said, month);
        if widened {
            self.stage.scene().reach("window widened");
        }
        widened
    }

    /// Whether a line's window is that of a gauge: all time, cut where periods end. One that was
    /// narrowed since gave away what is beside its window.
    fn is_of_periods(&self, line: &Line) -> bool {
        self.is_cut_from(line, (Window::ALWAYS.start.micros(), Window::ALWAYS.end.micros()))
    }

    /// Whether a line's window holds its record, and is this one, cut where periods end.
    fn lies_within(&self, line: &Line, said: &Said, window: (i64, i64)) -> bool {
        self.is_cut_from(line, window) && line.start <= said.at && said.at < line.end
    }

    /// Whether a line's window is this one, cut where periods end.
    fn is_cut_from(&self, line: &Line, (start, end): (i64, i64)) -> bool {
        let scene = self.stage.scene();
        let bounds = scene.server.billing.bounds.get(&line.account);
        let takeover = scene.server.foreign.takeover.as_ref();
        let from = takeover.map(|takeover| takeover.of(&line.meter, &line.account));
        let is_bound =
            |at: i64| bounds.is_some_and(|bounds| bounds.contains(&at)) || from == Some(at);
        (line.start == start || (line.start > start && is_bound(line.start)))
            && (line.end == end || (line.end < end && is_bound(line.end)))
    }

    /// Usage goes to another balance whole: to its own period, or into one that was open.
    pub(super) fn transfer(
        &mut self,
        line: &Line,
        said: &Said,
        span: i64,
    ) -> Result<(), Violation> {
        let held = self.followed.entry((line.record, line.balance)).or_default();
        *held = *held + line.quantity;
        if line.quantity < Amount::ZERO || line.cause_id > line.id {
            self.parted.insert(line.balance);
        }
        let sum = self.transferred.entry((line.record, line.meter.clone())).or_default();
        *sum = *sum + line.quantity;
        if self.window_fits(line, said, span) {
            self.stage.scene().reach("usage parted at a bound");
            return Ok(());
        }
        let scene = self.stage.scene();
        let bounds = scene.server.billing.bounds.get(&line.account);
        let begins = bounds.is_some_and(|bounds| bounds.contains(&line.start));
        let carried = begins && line.start > said.at && line.end <= line.start + HOUR;
        drop(scene);
        // What was carried once may be parted again, or carried on.
        if !carried {
            let what = format!("a transfer to a window that no period has: {line:?} of {said:?}");
            return violated("transfer", what);
        }
        self.stage.scene().reach("usage carried");
        Ok(())
    }

    /// What one transfer takes another brings: nothing is lost between two balances.
    pub(super) fn transfers_are_whole(&self) -> Result<(), Violation> {
        for ((record, meter), sum) in &self.transferred {
            if *sum != Amount::ZERO {
                let what = format!("transfers of record {record} to {meter} come to {sum}");
                return violated("conservation", what);
            }
        }
        Ok(())
    }

    /// What the ledger knows of a period that is billed is what the invoice says.
    pub(super) fn periods_are_true(&self, read: &Rows) -> Result<(), Violation> {
        let mut scene = self.stage.scene();
        for period in &read.periods {
            let Some(name) = &period.invoice else { continue };
            let Some(invoice) = scene.server.billing.named(name) else {
                return violated("true-periods", format!("there is no {name}: {period:?}"));
            };
            let billed = invoice.billed.as_ref();
            let billed = billed.and_then(|billed| billed.get(&period.meter)).copied();
            let right = (period.start, period.end) == invoice.period
                && period.account == invoice.account
                && (period.billed.is_none() || period.billed == billed)
                && period.closed_at.is_none_or(|at| at == invoice.finalizes_at)
                && (period.closed_at.is_some() || period.closes_at == Some(invoice.promised_until));
            // One without a line tells no term: it may be taken for the one over a term just before
            // its own, until that one is read; as a draft, until it is asked for again.
            let mistaken = scene.server.keeps == Keeps::Entries
                && period.billed.is_none_or(|billed| billed == Amount::ZERO)
                && (period.closed_at.is_none() || invoice.bills_nothing());
            if !right && !mistaken {
                return violated("true-periods", format!("{period:?} of {invoice:?}"));
            }
            let what = if period.closed_at.is_some() { "period closed" } else { "draft seen" };
            scene.reach(what);
        }
        Ok(())
    }

    /// What is told first of a balance is told of one period: of those that were known before.
    pub(super) fn events_stay_in_their_period(&mut self, read: &Rows) -> Result<(), Violation> {
        let known = std::mem::take(&mut self.bounds);
        for period in &read.periods {
            let place = (period.meter.clone(), period.account.clone());
            self.bounds.entry(place).or_default().extend([period.start, period.end]);
        }
        let told: BTreeSet<i64> = self.events.values().map(|event| event.balance).collect();
        let first = |event: &&Event| event.target.is_none() && !told.contains(&event.balance);
        for event in read.events.iter().filter(first) {
            let place = (event.meter.clone(), event.account.clone());
            let (Some(before), Some(now)) = (known.get(&place), self.bounds.get(&place)) else {
                continue;
            };
            let Some(balance) = read.balances.iter().find(|each| each.id == event.balance) else {
                continue;
            };
            // What was carried is told for the begin of its window, and nothing of it is later.
            let last = balance.newest_at.min(balance.end - 1);
            let within = (Bound::Excluded(balance.start), Bound::Included(last));
            let crossed =
                balance.start < last && before.range(within).any(|bound| now.contains(bound));
            if crossed {
                let what = format!("{} is told across a bound: {balance:?}", event.identifier);
                return violated("one-period", what);
            }
        }
        Ok(())
    }

    /// Why a balance is not held for its period, if it is not.
    pub(super) fn why_not_late(&self, balance: &Balance, read: &Rows) -> Option<&'static str> {
        let (meter, account, _) = &self.balances[&balance.id];
        let scene = self.stage.scene();
        // What was carried counts as used when its window begins.
        let at = balance.newest_at.clamp(balance.start, self.last_of(balance));
        match balance.hold.as_deref() {
            Some("late_for_period") => {
                let late = is_late(&scene, account, meter, at)
                    || is_taken_for_closed(&scene, read, (meter, account), at);
                (!late).then_some("its period takes it")
            }
            Some("no_period") => {
                let takes = takes(read, meter, account, at) && !is_idle(read, account, at);
                takes.then_some("a known period takes it")
            }
            _ => Some("it is held for another reason"),
        }
    }

    /// At the end, when everything is known: what is held for want of a period has none.
    pub(super) fn periods_are_known(&self, read: &Rows) -> Result<(), Violation> {
        let scene = self.stage.scene();
        if scene.faults.struck.contains_key(&Class::Month) {
            // Older invoices than those of a month are never read.
            return Ok(());
        }
        for period in read.periods.iter().filter(|period| period.billed.is_some()) {
            let (account, meter) = (&period.account, &period.meter);
            let truly = scene.server.billing.invoice_of(account, meter, period.start);
            let truly = truly.and_then(|truly| truly.billed.as_ref()?.get(meter)).copied();
            if period.billed != Some(truly.unwrap_or_default()) {
                let invoices = &scene.server.billing.invoices;
                let its: Vec<_> = invoices.iter().filter(|each| each.account == *account).collect();
                let what = format!("{truly:?} is billed of {period:?}: {its:?}");
                return violated("true-periods", what);
            }
        }
        for period in read.periods.iter().filter(|period| period.closed_at.is_none()) {
            let is_its = |invoice: &&Invoice| invoice.formerly == period.invoice;
            let mut invoices = scene.server.billing.invoices.iter();
            if let Some(invoice) = period.invoice.as_ref().and_then(|_| invoices.find(is_its)) {
                let what = format!("the draft of {period:?} is long closed: {invoice:?}");
                return violated("true-periods", what);
            }
        }
        for balance in read.balances.iter().filter(|balance| !balance.due) {
            let (meter, account, _) = &self.balances[&balance.id];
            let at = balance.newest_at.max(balance.start);
            // That it idled may be known for longer than it did.
            let billed =
                scene.server.billing.bills(account, meter, at) && !is_idle(read, account, at);
            if balance.hold.as_deref() == Some("no_period") && billed {
                let what = format!("balance {} of {account} {meter} has a period", balance.id);
                return violated("known-periods", what);
            }
        }
        Ok(())
    }

    /// The program's own report of everything: what was acknowledged is what came in, the parts
    /// come to it, and what is billed is named.
    pub(crate) fn reported(&self, rows: &[Row]) -> Result<(), Violation> {
        let mut used: BTreeMap<Place, Amount> = BTreeMap::new();
        for ((position, meter), line) in &self.booked {
            let (id, said) = &self.journal[position];
            let counts = self.standing(id, said.quantity);
            if self.is_level(line.balance) {
                continue;
            }
            let sum = used.entry((meter.clone(), line.account.clone())).or_default();
            *sum = *sum + self.contribution(line, counts);
        }
        for balance in self.shares.keys() {
            let (meter, account, _) = &self.balances[balance];
            let sum = used.entry((meter.clone(), account.clone())).or_default();
            *sum = *sum + self.used_of(*balance).unwrap_or_default();
        }
        let mut scene = self.stage.scene();
        let mut told: BTreeMap<Place, Amount> = BTreeMap::new();
        for row in rows {
            let amount = |text: String| Amount::parse(&text).expect("it is plain");
            let acknowledged = amount(row.acknowledged.to_string());
            let parts: Amount = row.parts.iter().map(|(_, part)| amount(part.to_string())).sum();
            if parts != acknowledged {
                let what = format!("{parts} of {acknowledged} has a name: {row:?}");
                return violated("report-adds-up", what);
            }
            let (meter, account) = (row.comparand.meter.as_str(), row.comparand.account.as_str());
            let sum = told.entry((meter.to_owned(), account.to_owned())).or_default();
            *sum = *sum + acknowledged;
            for period in &row.invoices {
                let name = period.invoice.as_ref().map(|name| name.as_str());
                let invoice = name.and_then(|name| scene.server.billing.named(name));
                let billed = invoice.and_then(|invoice| invoice.billed.as_ref()?.get(meter));
                let shown = period.billed.as_ref().map(|billed| amount(billed.to_string()));
                if period.billed.is_some() && shown.as_ref() != billed {
                    let what = format!("the invoice bills {billed:?}: {row:?}");
                    return violated("report-is-true", what);
                }
                let Some(billed) = shown else { continue };
                let agrees = billed == scene.server.bills((meter, account), span(row));
                scene.reach(if agrees { "billed as told" } else { "billed less than told" });
                if !agrees && row.found.is_empty() {
                    return violated("report-is-true", format!("nothing is found: {row:?}"));
                }
            }
        }
        for place in used.keys().chain(told.keys()) {
            let of = |sums: &BTreeMap<Place, Amount>| sums.get(place).copied().unwrap_or_default();
            let (used, told) = (of(&used), of(&told));
            if used != told {
                let what = format!("{place:?}: {used} came in, and {told} is reported");
                return violated("report-is-whole", what);
            }
        }
        Ok(())
    }
}

fn span(row: &Row) -> (i64, i64) {
    (row.span.start.micros(), row.span.end.micros())
}

/// Whether the ledger knows a period that holds `at` and is not closed.
pub(super) fn takes(read: &Rows, meter: &str, account: &str, at: i64) -> bool {
    read.periods.iter().any(|period| {
        (period.meter.as_str(), period.account.as_str()) == (meter, account)
            && (period.start..period.end).contains(&at)
            && period.closed_at.is_none()
    })
}

/// Whether the ledger knows that usage of `at` is on no bill.
pub(super) fn is_idle(read: &Rows, account: &str, at: i64) -> bool {
    read.idle.iter().any(|idle| {
        idle.account == account && idle.start <= at && idle.end.is_none_or(|end| at < end)
    })
}

/// Whether the ledger takes a period for closed by a bill without a line, which tells no term: its
/// own, which is open, may have been seen before.
fn is_taken_for_closed(
    scene: &Scene,
    read: &Rows,
    (meter, account): (&str, &str),
    at: i64,
) -> bool {
    let mut here = read.periods.iter().filter(|period| {
        (period.meter.as_str(), period.account.as_str()) == (meter, account)
            && (period.start..period.end).contains(&at)
    });
    scene.server.keeps == Keeps::Entries
        && here.any(|period| {
            let invoice = period.invoice.as_ref();
            let invoice = invoice.and_then(|name| scene.server.billing.named(name));
            period.closed_at.is_some() && invoice.is_some_and(Invoice::bills_nothing)
        })
}

/// Whether the period of usage at `at` takes it no longer, or may be thought not to.
pub(super) fn is_late(scene: &Scene, account: &str, meter: &str, at: i64) -> bool {
    let now = scene.server.now + CLOCK_ERROR;
    // A bill may be closed before its time.
    let closes = |invoice: &Invoice| {
        now >= invoice.finalizes_at.min(invoice.promised_until - CLOSING_MARGIN)
    };
    let billing = &scene.server.billing;
    if let Some(invoice) = billing.invoice_of(account, meter, at) {
        return closes(invoice) || now >= invoice.period.1 + UNSEEN;
    }
    // One that ended at once and was never billed; or one that began, and whose end the program
    // knew by an older plan.
    let bounds = billing.bounds.get(account);
    let ends = bounds.and_then(|bounds| bounds.range(at + SECOND..).next().copied());
    ends.is_some_and(|end| now >= end + UNSEEN)
}

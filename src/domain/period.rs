//! Periods as they are learned. PURE. Here: what a subscription or an invoice, as the provider
//! tells it now, makes of the periods that are known of a subscription; and how the billing of an
//! instant stands. Never here: where either was read, what follows. Read next:
//! [`crate::domain::billing`].
//!
//! A subscription says which period is open; an invoice says which spans it billed, and outranks
//! what a subscription let expect of them. Periods of one subscription and meter never overlap, so
//! that an instant of usage belongs to one of them.

use std::collections::BTreeMap;

use super::billing::{BilledTerm, Invoice, InvoiceStatus, Subscription, SubscriptionStatus};
use super::closed::closed;
use super::names::{InvoiceId, ProviderMeter, SubscriptionId};
use super::quantity::Quantity;
use super::time::{MICROS_PER_HOUR, MICROS_PER_MINUTE, Timestamp, Window};

/// How long a draft takes usage where it does not say when it becomes final, in microseconds: an
/// hour, Stripe's default, and the least that it lets one set.
/// <https://docs.stripe.com/billing/subscriptions/usage-based/configure-grace-period>
pub const GRACE_MICROS_MIN: i64 = MICROS_PER_HOUR;
/// How long before a draft becomes final nothing more is sent for it, in microseconds: a request
/// that hangs for its whole timeout, and a clock that is read by the second, fit into it often.
pub const CLOSING_MARGIN_MICROS: i64 = 5 * MICROS_PER_MINUTE;
/// How long after a period's end it is taken for open though no draft of it is known, in
/// microseconds: the least grace less a quarter. Later, its invoice may be final already.
pub const UNSEEN_MICROS_MAX: i64 = 45 * MICROS_PER_MINUTE;
/// How long after a term's end an invoice may be made that has no line and is taken to be over it,
/// in microseconds: two hours. A later one may be over another term: one that is cancelled and
/// begins anew may be over soon.
const TERM_BILLED_WITHIN_MICROS: i64 = 2 * MICROS_PER_HOUR;

closed! {
    /// What becomes of usage whose period is closed; the more careful the later.
    LatePolicy {
        /// It is written off, with the policy as the reason.
        Drop = "drop",
        /// It is carried into the period that is open, and billed there.
        NextPeriod = "next_period",
        /// A person decides.
        Hold = "hold",
    }
}

/// A span of usage that one invoice of a subscription bills of a meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// Of what.
    pub meter: ProviderMeter,
    /// Used when.
    pub span: Window,
    /// When its draft becomes final, on the provider's clock; known with the draft.
    pub closes_at: Option<Timestamp>,
    /// Since when nothing more comes into it.
    pub closed_at: Option<Timestamp>,
    /// The invoice that bills it.
    pub invoice: Option<InvoiceId>,
    /// How much was billed, once it is closed.
    pub billed: Option<Quantity>,
}

impl Period {
    fn expected(meter: ProviderMeter, span: Window) -> Self {
        Self { meter, span, closes_at: None, closed_at: None, invoice: None, billed: None }
    }

    /// A span that takes no usage.
    #[must_use]
    pub fn without_usage(meter: ProviderMeter, span: Window) -> Self {
        Self { closed_at: Some(span.start), ..Self::expected(meter, span) }
    }

    /// Whether only a subscription let expect it: no invoice has said anything of it.
    fn is_expected(&self) -> bool {
        self.invoice.is_none() && self.closed_at.is_none()
    }
}

/// What `subscription`, as it was told when the provider's clock was at `seen_at`, makes of the
/// periods known of it.
#[must_use]
pub fn learn_subscription(
    mut known: Vec<Period>,
    subscription: &Subscription,
    seen_at: Timestamp,
) -> Vec<Period> {
    let until = match subscription.status {
        SubscriptionStatus::Billing => subscription.ends_at,
        // It is not said since when. What was used until now comes into the period if it goes on.
        SubscriptionStatus::Paused => Some(seen_at),
        SubscriptionStatus::Ended => Some(subscription.ended_at.unwrap_or(seen_at)),
    };
    for item in &subscription.items {
        let start = item.period.start;
        cut_expected(&mut known, start, |period| {
            period.meter == item.meter && period.span.start < start
        });
        let end = until.map_or(item.period.end, |until| until.min(item.period.end));
        let same = |period: &&mut Period| period.meter == item.meter && period.span.start == start;
        match known.iter_mut().find(same) {
            Some(period) if period.is_expected() => period.span.end = end.max(start),
            Some(_) => {}
            None => {
                let within =
                    |period: &Period| period.meter == item.meter && period.span.contains(start);
                if start < end && !known.iter().any(within) {
                    let span = Window { start, end };
                    known.push(Period::expected(item.meter.clone(), span));
                }
            }
        }
    }
    if let Some(until) = until {
        cut_expected(&mut known, until, |_| true);
    }
    in_order(known)
}

/// What an invoice's lines of `subscription` make of the periods known of it.
#[must_use]
pub fn learn_invoice(
    mut known: Vec<Period>,
    subscription: &SubscriptionId,
    invoice: &Invoice,
) -> Vec<Period> {
    let mut billed: BTreeMap<(ProviderMeter, Window), Quantity> = BTreeMap::new();
    for line in invoice.lines.iter().filter(|line| line.subscription == *subscription) {
        if line.period.start < line.period.end {
            let sum =
                billed.entry((line.meter.clone(), line.period)).or_insert_with(Quantity::zero);
            *sum = &*sum + &line.quantity;
        }
    }
    for ((meter, span), quantity) in billed {
        let same = |period: &&mut Period| period.meter == meter && period.span == span;
        if let Some(period) = known.iter_mut().find(same) {
            // One that bills nothing of it was voided, or taken for the one over this term.
            let bills = period.billed.as_ref().is_some_and(|billed| !billed.is_zero());
            let others = bills && period.invoice.as_ref() != Some(&invoice.id);
            if !others {
                state(period, invoice, quantity);
            }
            continue;
        }
        let overlaps = |period: &Period| {
            period.meter == meter && period.span.start < span.end && span.start < period.span.end
        };
        // One that bills nothing may have been taken for the one over this term, as its end was
        // not known then.
        let was_mistaken = |period: &Period| {
            let bills_nothing = period.billed.as_ref().is_some_and(Quantity::is_zero);
            period.span.start == span.start && bills_nothing && !quantity.is_zero()
        };
        let is_taken =
            |period: &Period| overlaps(period) && !period.is_expected() && !was_mistaken(period);
        if known.iter().any(is_taken) {
            // Another invoice has billed some of it: no instant belongs to two.
            continue;
        }
        let (mut cut, rest): (Vec<Period>, Vec<Period>) = known.into_iter().partition(overlaps);
        known = rest;
        for period in &mut cut {
            let Window { start, end } = period.span;
            for part in [(start, end.min(span.start)), (start.max(span.end), end)] {
                if part.0 < part.1 {
                    let part = Window { start: part.0, end: part.1 };
                    known.push(Period::expected(meter.clone(), part));
                }
            }
        }
        let mut period = Period::expected(meter, span);
        state(&mut period, invoice, quantity);
        known.push(period);
    }
    in_order(known)
}

/// What an invoice over a term makes of the periods known of its subscription, where the provider
/// has no line of what was not used. It has to be known by then which term the subscription is in.
#[must_use]
pub fn learn_unused(mut known: Vec<Period>, term: &BilledTerm, invoice: &Invoice) -> Vec<Period> {
    let of_lines = || invoice.lines.iter().filter(|line| line.subscription == term.subscription);
    let within = |end: &Timestamp| {
        (0..TERM_BILLED_WITHIN_MICROS).contains(&term.billed_at.micros_since(*end))
    };
    let last = of_lines().map(|line| line.period.end).max();
    let last = last.or_else(|| known.iter().map(|period| period.span.end).filter(within).max());
    // A draft may have been read before it had the line that tells its term: what it was taken for
    // then is as if no draft of it had been seen.
    for period in &mut known {
        let is_its = period.invoice.as_ref() == Some(&invoice.id) && period.closed_at.is_none();
        let has_line =
            || of_lines().any(|line| line.meter == period.meter && line.period == period.span);
        if is_its && Some(period.span.end) != last && !has_line() {
            *period = Period::expected(period.meter.clone(), period.span);
        }
    }
    for period in unused(&mut known, last, invoice) {
        state(period, invoice, Quantity::zero());
    }
    known
}

/// The open periods that an invoice over a term bills without having a line of them: those that end
/// where its lines do, at `last`. One without a line tells no end: it is taken to be over the last
/// that ended before it was made.
fn unused<'a>(
    known: &'a mut [Period],
    last: Option<Timestamp>,
    invoice: &'a Invoice,
) -> impl Iterator<Item = &'a mut Period> {
    let closes_at = invoice.finalizes_at;
    known.iter_mut().filter(move |period| {
        // Of two drafts that may be its own, the one that is closed sooner counts.
        let is_later_draft = invoice.status == InvoiceStatus::Draft
            && period.closes_at.is_some_and(|at| closes_at.is_none_or(|closes| at <= closes));
        Some(period.span.end) == last
            && period.closed_at.is_none()
            && period.invoice.as_ref() != Some(&invoice.id)
            && !is_later_draft
    })
}

/// What it makes of the periods known of a subscription that there is no such invoice any more: as
/// long as they are open, they are as if no draft of them had been seen; those that are closed are
/// billed nothing.
#[must_use]
pub fn lose_invoice(mut known: Vec<Period>, missing: &InvoiceId) -> Vec<Period> {
    for period in known.iter_mut().filter(|period| period.invoice.as_ref() == Some(missing)) {
        if period.closed_at.is_none() {
            *period = Period::expected(period.meter.clone(), period.span);
        } else {
            period.billed = Some(Quantity::zero());
        }
    }
    known
}

/// Says of a period what its invoice does.
fn state(period: &mut Period, invoice: &Invoice, quantity: Quantity) {
    period.invoice = Some(invoice.id.clone());
    let closed_at = invoice.finalized_at.or(invoice.finalizes_at).unwrap_or(invoice.created_at);
    match invoice.status {
        InvoiceStatus::Draft => {
            // A draft that does not become final by itself may be made so by a person at any time.
            let at = invoice.created_at.plus_micros(GRACE_MICROS_MIN);
            period.closes_at = Some(invoice.finalizes_at.unwrap_or(at));
            // One that bills nothing had been taken to close it, and did not.
            (period.closed_at, period.billed) = (None, None);
        }
        InvoiceStatus::Final => {
            period.closed_at = Some(closed_at);
            period.billed = Some(quantity);
        }
        InvoiceStatus::Void => {
            period.closed_at = Some(closed_at);
            period.billed = Some(Quantity::zero());
        }
    }
}

/// Ends the expected periods that `which` names no later than `at`; those that would begin then are
/// gone.
fn cut_expected(known: &mut Vec<Period>, at: Timestamp, which: impl Fn(&Period) -> bool) {
    for period in known.iter_mut().filter(|period| period.is_expected() && which(period)) {
        period.span.end = period.span.end.min(at);
    }
    known.retain(|period| period.span.start < period.span.end);
}

fn in_order(mut known: Vec<Period>) -> Vec<Period> {
    known.retain(|period| period.span.start < period.span.end);
    known.sort_by(|a, b| (&a.meter, a.span).cmp(&(&b.meter, b.span)));
    known
}

/// The window that usage at `at` goes into, which lies in `window`, where that has `bounds` within:
/// the part that holds it, or, where windows stay whole, the one of its side; `window` itself where
/// neither is. Bounds are in order.
#[must_use]
pub fn home(window: Window, bounds: &[Timestamp], at: Timestamp, stays_whole: bool) -> Window {
    match stays_whole {
        true => keep_whole(window, bounds, at).unwrap_or(window),
        false => cut(window, bounds, at),
    }
}

/// The part of `window`, cut at `bounds`, that holds `at`. Bounds are in order.
#[must_use]
fn cut(window: Window, bounds: &[Timestamp], at: Timestamp) -> Window {
    let next = bounds.partition_point(|bound| *bound <= at);
    let before = next.checked_sub(1).and_then(|place| bounds.get(place));
    let start = before.map_or(window.start, |bound| window.start.max(*bound));
    let end = bounds.get(next).map_or(window.end, |bound| window.end.min(*bound));
    Window { start, end }
}

/// Where usage at `at` goes whose windows can only be told whole: into its own window, or, where a
/// bound lies within that, into the one beside it that no bound parts from it. Nothing where both
/// hold bounds: its period is shorter than a window is.
#[must_use]
fn keep_whole(window: Window, bounds: &[Timestamp], at: Timestamp) -> Option<Window> {
    let length = window.end.micros_since(window.start);
    let any = |after: Timestamp, until: Timestamp| {
        let next = bounds.partition_point(|bound| *bound <= after);
        bounds.get(next).is_some_and(|bound| *bound < until)
    };
    let before = Window { start: window.start.plus_micros(-length), end: window.start };
    let after = Window { start: window.end, end: window.end.plus_micros(length) };
    if !any(window.start, window.end) {
        Some(window)
    } else if !any(before.start, at.plus_micros(1)) {
        Some(before)
    } else if !any(at, after.end) {
        Some(after)
    } else {
        None
    }
}

/// A time of a subscription in which usage is stored and on no bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleTime {
    /// Since when.
    pub start: Timestamp,
    /// Until when; nothing while it goes on.
    pub end: Option<Timestamp>,
}

/// What `subscription`, as it was told when the provider's clock was at `seen_at`, makes of the
/// idle times known of it that go on: those that begin, or end.
#[must_use]
pub fn learn_idle_times(
    open: &[Timestamp],
    subscription: &Subscription,
    seen_at: Timestamp,
) -> Vec<IdleTime> {
    match subscription.idle_since {
        Some(start) if open.contains(&start) => Vec::new(),
        Some(start) => vec![IdleTime { start, end: None }],
        None => {
            let end = subscription.changed_at.map_or(seen_at, |at| at.min(seen_at));
            // One that is over in the second in which it began held nothing; a second is kept.
            let after = |start: Timestamp| end.max(start.plus_seconds(1));
            open.iter().map(|start| IdleTime { start: *start, end: Some(after(*start)) }).collect()
        }
    }
}

/// What is known of how an instant of an account's usage of a meter is billed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Billing {
    /// Since when it is stored and on no bill, if it is of such a time.
    pub idle_since: Option<Timestamp>,
    /// The start of the period that it is in, if it is in one that is known. Only a balance that is
    /// due knows it.
    pub starts_at: Option<Timestamp>,
    /// The end of the period that it is in, likewise.
    pub ends_at: Option<Timestamp>,
    /// When the draft of that period becomes final.
    pub closes_at: Option<Timestamp>,
    /// Since when that period is closed.
    pub closed_at: Option<Timestamp>,
    /// Since when some subscription bills the meter; nothing where none is known.
    pub billed_from: Option<Timestamp>,
    /// Until when one did, where none does any more.
    pub billed_until: Option<Timestamp>,
    /// The end of the last period of it that is known, before it.
    pub known_until: Option<Timestamp>,
    /// The start of the first period of it that is known, after it.
    pub known_from: Option<Timestamp>,
    /// The first period after it that is not closed.
    pub next: Option<Window>,
}

/// How the billing of an instant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BillingStanding {
    /// It can be told: nothing is known that says otherwise.
    Open,
    /// Its period takes no more since this instant, or is about to.
    Closed(Timestamp),
    /// Its period ended then, and its invoice was not seen: it may be final.
    Unseen(Timestamp),
    /// Subscriptions bill its meter, and no period that holds it is known, long after the one
    /// beside it ended or began: its own may be closed.
    Unlearned(Timestamp),
    /// No subscription bills what was used before this instant.
    NotYet(Timestamp),
    /// No subscription bills what was used since this instant.
    NoLonger(Timestamp),
    /// Its subscription bills nothing of what was used since this instant, and may bill later usage
    /// again.
    Idle(Timestamp),
}

impl Billing {
    /// How it stands for usage of `at` when the provider's clock is at `provider_now`.
    #[must_use]
    pub fn standing(&self, at: Timestamp, provider_now: Timestamp) -> BillingStanding {
        if let Some(since) = self.idle_since {
            return BillingStanding::Idle(since);
        }
        if let Some(closed) = self.closed_at {
            return BillingStanding::Closed(closed);
        }
        if let Some(closes) = self.closes_at {
            let last = closes.plus_micros(-CLOSING_MARGIN_MICROS);
            return if provider_now < last {
                BillingStanding::Open
            } else {
                BillingStanding::Closed(closes)
            };
        }
        match (self.ends_at, self.billed_from, self.billed_until) {
            (Some(end), _, _) if end.plus_micros(UNSEEN_MICROS_MAX) <= provider_now => {
                BillingStanding::Unseen(end)
            }
            (Some(_), _, _) => BillingStanding::Open,
            (None, _, Some(until)) if until <= at => BillingStanding::NoLonger(until),
            (None, Some(from), _) if at < from => BillingStanding::NotYet(from),
            (None, _, _) => self.beside(provider_now),
        }
    }

    /// How it stands for usage that no known period holds: its own ended no later than the next one
    /// began, or began no sooner than the last one ended. Between two that are known there may be
    /// any number of others, and its own may have ended long before the next one began.
    fn beside(&self, provider_now: Timestamp) -> BillingStanding {
        let lasts = |bound: Timestamp| provider_now < bound.plus_micros(UNSEEN_MICROS_MAX);
        match (self.known_until, self.known_from) {
            (Some(_), Some(bound)) => BillingStanding::Unlearned(bound),
            (Some(bound), None) | (None, Some(bound)) if !lasts(bound) => {
                BillingStanding::Unlearned(bound)
            }
            (Some(_), None) | (None, Some(_)) | (None, None) => BillingStanding::Open,
        }
    }
}

#[cfg(test)]
mod tests;

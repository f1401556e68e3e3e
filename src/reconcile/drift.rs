//! Where ledger, provider and invoice differ. PURE. Here: what a total may be, whether it is that,
//! and what of what is known could make up a difference. Never here: the reading
//! ([`super::reporter`]); what follows from a difference ([`super::judge`]). Read next:
//! [`super::suspects`].
//!
//! The certain events and the open ones make a bracket that the provider's total lies in, if nobody
//! else writes to the meter. A total within it is no difference, however much of it is open: what
//! is open is settlement's to decide. A total that does not have to contain an event yet is given
//! the benefit of that.

use std::ops::RangeInclusive;

use super::explain::{Share, is_young, share};
use super::gauge::{is_gauge, range};
use super::suspects::{SINGLES_MAX, sets};
use crate::domain::drift::{DriftKind, Role};
use crate::domain::fold::Fold;
use crate::domain::quantity::Quantity;
use crate::domain::resolution::{ItemKind, ItemName};
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::{MICROS_PER_MINUTE, Timestamp, Window};
use crate::ledger::reconcile::{LaneEvent, Standing};
use crate::ledger::report::{Found, Outstanding, Suspect};
use crate::provider::ReadBack;

/// What a total may be, if what is known is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bracket {
    /// The least.
    pub low: Quantity,
    /// The most.
    pub high: Quantity,
}

impl Bracket {
    /// The bracket of nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self { low: Quantity::zero(), high: Quantity::zero() }
    }

    /// The bracket of events.
    #[must_use]
    pub fn of(events: &[LaneEvent]) -> Self {
        Self::by(events, share)
    }

    fn by(events: &[LaneEvent], share: impl Fn(&LaneEvent) -> Share) -> Self {
        if is_gauge(events) {
            let (low, high) = range(events, share);
            return Self { low, high };
        }
        let (mut low, mut high) = (Quantity::zero(), Quantity::zero());
        for event in events {
            let quantity = &event.quantity;
            match share(event) {
                Share::Nothing => {}
                Share::All => (low, high) = (&low + quantity, &high + quantity),
                Share::Open if quantity.is_negative() => low = &low + quantity,
                Share::Open => high = &high + quantity,
            }
        }
        Self { low, high }
    }

    /// The bracket of what is billed of a period with these events.
    fn of_bill(events: &[LaneEvent], bills: Fold) -> Self {
        let mut counting: Vec<(&LaneEvent, Share)> = events
            .iter()
            .map(|event| (event, share(event)))
            .filter(|(_, share)| *share != Share::Nothing)
            .collect();
        let quantity = |(event, _): &(&LaneEvent, Share)| event.quantity.clone();
        let is_certain = |(_, share): &(&LaneEvent, Share)| *share == Share::All;
        match bills {
            Fold::Sum | Fold::Unique | Fold::Gauge => Self::of(events),
            Fold::Max => {
                let certain = counting.iter().filter(|each| is_certain(each));
                Self {
                    low: certain.map(quantity).max().unwrap_or_default(),
                    high: counting.iter().map(quantity).max().unwrap_or_default(),
                }
            }
            Fold::Last => {
                counting.sort_by_key(|(event, _)| std::cmp::Reverse(event.occurred_at));
                // The newest that certainly counts, or else nothing; and all newer ones that may.
                let certain = counting.iter().position(is_certain);
                let newer = counting.iter().take(certain.map_or(counting.len(), |place| place + 1));
                let mut values: Vec<Quantity> = newer.map(quantity).collect();
                values.extend(certain.is_none().then(Quantity::zero));
                let (low, high) = (values.iter().min(), values.iter().max());
                Self {
                    low: low.cloned().unwrap_or_default(),
                    high: high.cloned().unwrap_or_default(),
                }
            }
        }
    }

    /// The same with what another program told beside it.
    fn with(&self, other: &Self) -> Self {
        Self { low: &self.low + &other.low, high: &self.high + &other.high }
    }

    /// Whether a total lies inside.
    #[must_use]
    pub fn contains(&self, total: &Quantity) -> bool {
        self.low <= *total && *total <= self.high
    }

    /// The bracket of what is billed: a total below zero is billed as nothing.
    fn billable(&self) -> Self {
        let clamp = |quantity: &Quantity| quantity.clone().max(Quantity::zero());
        Self { low: clamp(&self.low), high: clamp(&self.high) }
    }

    fn said(&self) -> String {
        if self.low == self.high {
            format!("{}", self.low)
        } else {
            format!("{} to {}", self.low, self.high)
        }
    }
}

/// A total beside the events that it is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Compared<'a> {
    /// The span of the total.
    pub span: Window,
    /// The total; or why there is none.
    pub total: Result<&'a Quantity, &'a str>,
    /// All events of the lane with their time in the span.
    pub events: &'a [LaneEvent],
    /// The provider's clock at the reading.
    pub read_at: Timestamp,
    /// Whether the ledger knows of all that was told; not while it was rolled back and has not
    /// caught up.
    pub bounded: bool,
}

/// How the total differs from what it may be, if it does.
#[must_use]
pub fn of_total(compared: &Compared<'_>, promise: &ReadBack) -> Option<Found> {
    let events = compared.events;
    let total = match compared.total {
        Ok(total) => total,
        Err(why) => return Some(unverifiable(Bracket::of(events).high.magnitude(), why)),
    };
    let bracket = Bracket::of(events);
    let Some(search) = Search::of(total, &bracket, events, promise.digits_max) else {
        let why = format!(
            "{total} beside {}: more than the {} digits that a total can be trusted with",
            bracket.said(),
            promise.digits_max
        );
        return Some(unverifiable(total.magnitude(), &why));
    };
    if bracket.contains(total) {
        return None;
    }
    let early = |event: &LaneEvent| match is_young(event, compared.read_at, promise) {
        true => Share::Open,
        false => share(event),
    };
    let nearest = if *total < bracket.low { &bracket.low } else { &bracket.high };
    let difference = (total - nearest).magnitude();
    if Bracket::by(events, early).contains(total) {
        let why = format!("it counts {total}, and some event is too young to be in it for certain");
        return Some(unverifiable(difference, &why));
    }
    if *total > bracket.high && !compared.bounded {
        let why = format!("it counts {total}, and the ledger was rolled back: it may have told it");
        return Some(unverifiable(difference, &why));
    }
    let told = events.iter().any(|event| share(event) != Share::Nothing);
    let (kind, detail) = if *total < bracket.low {
        let least = &bracket.low;
        let detail = format!("the provider counts {total}, and was certainly told {least}");
        (DriftKind::Missing, detail)
    } else if told {
        let most = &bracket.high;
        let detail = format!("the provider counts {total}, and was told {most} at most");
        (DriftKind::Excess, detail)
    } else {
        let detail = format!("the provider counts {total}, and the ledger told it nothing");
        (DriftKind::UnknownRemote, detail)
    };
    Some(Found { kind, quantity: difference, detail, suspects: search.suspects(events) })
}

/// What was told of a period that an invoice bills.
#[derive(Clone, Copy, Debug)]
pub struct ToldOf<'a> {
    /// By this program.
    pub events: &'a [LaneEvent],
    /// By another program, before that.
    pub before: &'a Bracket,
    /// How it comes to what is billed.
    pub bills: Fold,
}

/// How an invoice's quantity differs from what its period holds, if it does: from the provider's
/// `total` of exactly that period, where there is one and it is what is billed; else from what the
/// events make possible, with what another program told of it.
#[must_use]
pub fn of_invoice(
    (billed, invoice): (&Quantity, &str),
    total: Option<&Quantity>,
    ToldOf { events, before, bills }: ToldOf<'_>,
    digits_max: u32,
) -> Option<Found> {
    let total = total.filter(|_| matches!(bills, Fold::Sum | Fold::Gauge));
    let bracket = match total {
        Some(total) => Bracket { low: total.clone(), high: total.clone() },
        None => Bracket::of_bill(events, bills).with(before),
    };
    let due = bracket.billable();
    if due.contains(billed) {
        return None;
    }
    let nearest = if *billed < due.low { &due.low } else { &due.high };
    let who = if total.is_some() { "the provider counts" } else { "the ledger told" };
    let detail = format!("the invoice {invoice} bills {billed}, and {who} {}", bracket.said());
    let suspects = match bills {
        Fold::Sum | Fold::Unique => Search::of(billed, &bracket, events, digits_max)
            .map(|search| search.suspects(events))
            .unwrap_or_default(),
        // What counts is one of them: no set of them makes a difference up.
        Fold::Last | Fold::Gauge | Fold::Max => Vec::new(),
    };
    let quantity = (billed - nearest).magnitude();
    Some(Found { kind: DriftKind::Unbilled, quantity, detail, suspects })
}

/// That a total could not be read, beside what may have been told.
#[must_use]
pub fn unread(why: &str, span: Window, events: &[LaneEvent]) -> Option<Found> {
    let nothing = ReadBack {
        lag_micros: 0,
        landing_micros: 0,
        grain_micros: MICROS_PER_MINUTE,
        digits_max: 0,
    };
    let read_at = span.end;
    of_total(&Compared { span, total: Err(why), events, read_at, bounded: true }, &nothing)
}

/// What the provider said yes to and does not count, as settlement proved.
#[must_use]
pub fn disproved(events: &[LaneEvent]) -> Option<Found> {
    let said = "held: the provider said yes, and its total did not contain it";
    held(events, &[], (DriftKind::Missing, said), |reason| reason == HoldReason::Disproved)
}

/// What came too late for its period, or belongs to none.
#[must_use]
pub fn late(events: &[LaneEvent], outstanding: &[Outstanding]) -> Option<Found> {
    let said = "held: too late for its period, or of none";
    held(events, outstanding, (DriftKind::Late, said), |reason| {
        matches!(reason, HoldReason::LateForPeriod | HoldReason::NoPeriod)
    })
}

fn held(
    events: &[LaneEvent],
    outstanding: &[Outstanding],
    (kind, said): (DriftKind, &str),
    is_meant: impl Fn(HoldReason) -> bool,
) -> Option<Found> {
    let standings = events.iter().flat_map(|event| {
        std::iter::once((&event.usage, event.quantity.clone()))
            .chain(event.cancel.as_ref().map(|cancel| (cancel, -&event.quantity)))
    });
    let standings = standings
        .filter(|(standing, _)| standing.hold.is_some_and(&is_meant))
        .map(|(standing, quantity)| named(standing, quantity, Role::Held, 1));
    let balances = outstanding
        .iter()
        .filter(|each| each.hold.as_ref().is_some_and(|(reason, _)| is_meant(*reason)))
        .map(|each| Suspect {
            item: ItemName { kind: ItemKind::Balance, number: each.balance.0 },
            role: Role::Held,
            set: 1,
            quantity: each.quantity.clone(),
            state: "held".to_owned(),
            records: Vec::new(),
            more_records: 0,
            attempts: Vec::new(),
        });
    let mut suspects: Vec<Suspect> = standings.chain(balances).collect();
    if suspects.is_empty() {
        return None;
    }
    let quantity = suspects.iter().map(|suspect| &suspect.quantity).sum();
    let items = suspects.len();
    suspects.truncate(SINGLES_MAX);
    Some(Found { kind, quantity, detail: format!("{items} {said}"), suspects })
}

fn unverifiable(quantity: Quantity, why: &str) -> Found {
    let detail = why.to_owned();
    Found { kind: DriftKind::Unverifiable, quantity, detail, suspects: Vec::new() }
}

fn named(standing: &Standing, quantity: Quantity, role: Role, set: u32) -> Suspect {
    Suspect {
        item: ItemName { kind: ItemKind::Event, number: standing.event.0 },
        role,
        set,
        quantity,
        state: standing.state.to_string(),
        records: Vec::new(),
        more_records: 0,
        attempts: Vec::new(),
    }
}

/// The question in whole numbers: which events, if they were not as they are taken to be, bring the
/// bracket to the total?
struct Search {
    /// What is missing to the near end of the bracket.
    exact: i128,
    /// What is missing to either end.
    wanted: RangeInclusive<i128>,
    decimals: u32,
}

impl Search {
    /// Nothing when digits of the total, or of a sum that it may stand for, cannot be trusted.
    fn of(
        total: &Quantity,
        bracket: &Bracket,
        events: &[LaneEvent],
        digits_max: u32,
    ) -> Option<Self> {
        let decimals =
            events.iter().map(|event| event.quantity.decimals()).fold(total.decimals(), u32::max);
        if total.digits() > digits_max {
            return None;
        }
        let bound = 10_i128.checked_pow(digits_max)?;
        let in_units = |quantity: &Quantity| {
            quantity.in_units_of(decimals).filter(|units| -bound < *units && *units < bound)
        };
        let (total, low, high) =
            (in_units(total)?, in_units(&bracket.low)?, in_units(&bracket.high)?);
        let exact = if total < low { total - low } else { total - high };
        Some(Self { exact, wanted: (total - high)..=(total - low), decimals })
    }

    /// The events that could make it up, single ones first; else all open ones.
    fn suspects(&self, events: &[LaneEvent]) -> Vec<Suspect> {
        // One reading of a gauge counts: no set of changes makes a difference up.
        let roles = if is_gauge(events) { &[] } else { Role::ALL };
        let candidates: Vec<(&LaneEvent, Role, i128)> =
            roles.iter().flat_map(|role| self.candidates(events, *role)).collect();
        let effects: Vec<i128> = candidates.iter().map(|(_, _, effect)| *effect).collect();
        let found = sets(&effects, self.exact, &self.wanted);
        let mut suspects = Vec::new();
        for (set, places) in (1..).zip(found) {
            for at in places {
                let (event, role, _) = candidates[at];
                suspects.push(named(&event.usage, event.quantity.clone(), role, set));
            }
        }
        if suspects.is_empty() {
            let open = events.iter().filter(|event| share(event) == Share::Open);
            let open = open.map(|event| named(&event.usage, event.quantity.clone(), Role::Open, 1));
            suspects.extend(open.take(SINGLES_MAX));
        }
        suspects
    }

    /// The events that may have `role`, with what that adds to the total.
    fn candidates<'e>(
        &self,
        events: &'e [LaneEvent],
        role: Role,
    ) -> Vec<(&'e LaneEvent, Role, i128)> {
        let sign = |event: &LaneEvent| match (role, share(event)) {
            (Role::Absent, Share::All) => -1,
            (Role::Present, Share::Nothing) if was_sent(event) => 1,
            (Role::Twice, Share::All | Share::Open) => 1,
            (Role::Absent | Role::Present | Role::Twice | Role::Open | Role::Held, _) => 0,
        };
        let each = |event: &'e LaneEvent| {
            let effect = sign(event) * event.quantity.in_units_of(self.decimals)?;
            // What works against the difference is only a way to explain anything at all.
            (effect != 0 && effect.signum() == self.exact.signum()).then_some((event, role, effect))
        };
        events.iter().filter_map(each).collect()
    }
}

/// Whether the provider may have seen it at all.
fn was_sent(event: &LaneEvent) -> bool {
    match event.usage.state {
        EventState::Pending | EventState::Void => event.usage.attempts > 0,
        EventState::InFlight
        | EventState::Unknown
        | EventState::Accepted
        | EventState::Settled
        | EventState::Held
        | EventState::Superseded
        | EventState::Dead => true,
    }
}

#[cfg(test)]
mod tests;

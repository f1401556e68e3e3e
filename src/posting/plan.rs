//! The plan: how to close the difference between what a provider should hold and what it was told.
//! PURE. Here: one total function over a balance, its events, what the provider can do, the period
//! and the policy. Never here: bytes, the ledger, a clock. Read next: [`before`], then
//! down the list, and [`super::poster`].
//!
//! The order of the moves is fixed, cheapest and safest first: leave what another program told
//! before; wait for a person where a balance comes to more than anybody expects; wait for the
//! balance's time; withdraw what was never leased, supersede what was definitely refused; wait for
//! what is unknown; cancel by identifier where one event's whole quantity is what must go;
//! overwrite, or take entries away, where the meter is told so; tell the rest; carry it into the
//! open period where the policy says so; hold what no means can tell.

use crate::domain::correction::CorrectionPolicy;
use crate::domain::event::{EventId, EventKind, Identifier};
use crate::domain::fold::Fold;
use crate::domain::period::{BillingStanding, LatePolicy};
use crate::domain::quantity::Quantity;
use crate::domain::state::HoldReason;
use crate::domain::time::{MICROS_PER_HOUR, MICROS_PER_MINUTE, Timestamp, Window};
use crate::domain::write_off::{Ground, PolicyWriteOff};
use crate::ledger::posting::{Carry, DueBalance, PostedEvent};
use crate::provider::{Capabilities, ToldAs};

mod before;
mod entry;
mod flush;
mod level;
mod lower;
mod spike;
mod total;

/// How long a balance waits, whose period ended and of which no draft was seen, before it is looked
/// at again, in microseconds: ten minutes. What is learned of the period rings sooner.
const UNSEEN_WAIT_MICROS: i64 = 10 * MICROS_PER_MINUTE;

/// The window of an open period that late usage is carried into, in microseconds: its first hour. A
/// longer one would have corrections wait for its end.
const CARRIED_WINDOW_MICROS: i64 = MICROS_PER_HOUR;

/// Most events that one value is told by where each says only so much. A value that needs more is
/// of another unit than was meant, and its events would hold up all others of its account.
const PARTS_MAX: usize = 100;

/// What the plan goes by, beside the balance.
#[derive(Clone, Debug)]
pub struct Rules<'a> {
    /// What the provider can do for the meter.
    pub capabilities: &'a Capabilities,
    /// How what was told is taken back.
    pub corrections: CorrectionPolicy,
    /// How the billing of the balance's newest usage stands.
    pub billing: BillingStanding,
    /// What becomes of usage of a closed period.
    pub late: LatePolicy,
    /// The period that late usage can be carried into, if one is open.
    pub next_period: Option<Window>,
    /// From when on its usage is told by this program, where another told it before.
    pub bill_from: Option<Timestamp>,
    /// A balance that comes to more than this waits for a person.
    pub hold_above: Option<&'a Quantity>,
    /// How many entries its account still takes, where that has a limit.
    pub entries_left: Option<usize>,
    /// When what is due is told first at or after it was due, where a schedule says.
    pub flush_at: Option<Timestamp>,
    /// The provider's time.
    pub provider_now: Timestamp,
    /// This host's, which only decides when to look again.
    pub now: Timestamp,
}

/// What is to be done for a balance, with no choices left in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Events to withdraw: pending, never leased.
    pub void: Vec<EventId>,
    /// Events to supersede: definitely refused.
    pub supersede: Vec<EventId>,
    /// Events to tell, oldest first.
    pub tell: Vec<Tell>,
    /// What remains and is carried, and into which window of an open period.
    pub carry: Option<Carry>,
    /// How much of what remains is written off, and why.
    pub drop: Option<PolicyWriteOff>,
    /// How much of what remains is finer than the provider takes, and waits for more.
    pub finer: Quantity,
    /// Why what remains cannot be told, and the particulars.
    pub hold: Option<(HoldReason, String)>,
    /// When to look again, though nothing changes.
    pub wait_until: Option<Timestamp>,
}

impl Plan {
    /// Nothing is done, and a person sees why.
    fn held(hold: (HoldReason, String)) -> Self {
        Self { hold: Some(hold), ..Self::default() }
    }

    /// What remains cannot be told. What was withdrawn stays withdrawn: it is known to be wrong,
    /// and the hold is of what remains without it.
    fn hold(&mut self, hold: (HoldReason, String)) {
        self.hold = Some(hold);
    }

    /// Leaves what remains to whoever decides over usage that its period does not take, if that is
    /// so; whether it is.
    fn leave_to_period(&mut self, rest: &Quantity, rules: &Rules<'_>) -> bool {
        match rules.billing {
            BillingStanding::Open => return false,
            BillingStanding::Closed(at) => self.leave_to_policy(rest, at, rules),
            BillingStanding::Unseen(at) => {
                let why = format!(
                    "{rest} is outstanding; its period ended at {at}, and no draft of it was seen \
                     that still takes usage"
                );
                self.hold((HoldReason::LateForPeriod, why));
                self.wait_until = Some(rules.now.plus_micros(UNSEEN_WAIT_MICROS));
            }
            BillingStanding::Unlearned(at) => {
                let why = format!(
                    "{rest} is outstanding, and no period that holds it is known; the one beside \
                     it has its bound at {at}"
                );
                self.hold((HoldReason::NoPeriod, why));
                self.wait_until = Some(rules.now.plus_micros(UNSEEN_WAIT_MICROS));
            }
            BillingStanding::NotYet(at) => {
                let why = format!("{rest} is outstanding, and no subscription bills before {at}");
                self.hold((HoldReason::NoPeriod, why));
            }
            BillingStanding::NoLonger(at) => {
                let why = format!("{rest} is outstanding, and no subscription bills since {at}");
                self.hold((HoldReason::NoPeriod, why));
            }
            BillingStanding::Idle(at) => {
                let why = format!(
                    "{rest} is outstanding, and nothing that was used since {at} is billed: its \
                     subscription paused or ended then"
                );
                self.hold((HoldReason::NoPeriod, why));
            }
        }
        true
    }

    /// What remains is of a period that was closed at `at`.
    fn leave_to_policy(&mut self, rest: &Quantity, at: Timestamp, rules: &Rules<'_>) {
        match (rules.late, rules.next_period) {
            // What was billed too much is never forgotten.
            (LatePolicy::Drop, _) if !rest.is_negative() => {
                self.drop = Some(PolicyWriteOff { amount: rest.clone(), ground: Ground::Late });
            }
            (LatePolicy::NextPeriod, Some(next)) => {
                let end = next.end.min(next.start.plus_micros(CARRIED_WINDOW_MICROS));
                let into = Window { start: next.start, end };
                self.carry = Some(Carry { amount: rest.clone(), into });
            }
            (LatePolicy::Drop | LatePolicy::NextPeriod | LatePolicy::Hold, _) => {
                let why = format!("{rest} is outstanding, and its period was closed at {at}");
                self.hold((HoldReason::LateForPeriod, why));
            }
        }
    }
}

/// One event to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tell {
    /// How much it changes what was told.
    pub quantity: Quantity,
    /// When it says the usage was.
    pub occurred_at: Timestamp,
    /// By which means.
    pub by: Means,
}

/// The means by which a provider is told a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Means {
    /// An event that adds its quantity.
    Add,
    /// The cancellation of one event.
    Cancel(EventId, Identifier),
    /// An event that says the new total.
    Total(Quantity),
}

/// Makes the plan for a balance that is due.
#[must_use]
pub fn plan(due: &DueBalance, rules: &Rules<'_>) -> Plan {
    if let Some(plan) = before::told_before(due, rules) {
        return plan;
    }
    if let Some(plan) = spike::unconfirmed(due, rules) {
        return plan;
    }
    if is_of_another_kind(due, rules) {
        return Plan::held(of_another_kind(due));
    }
    let plan = match rules.capabilities.told_as {
        ToldAs::Delta => by_change(due, rules, lower::by_cancel_or_negative),
        ToldAs::EachRecord => by_record(due, rules),
        ToldAs::Entry => entry::by_entry(due, rules),
        ToldAs::Level => level::by_level(due, rules),
        ToldAs::Total => total::by_total(due, rules, total::Time::OfTheWindow),
        ToldAs::Last => total::by_total(due, rules, total::Time::AfterTheLast),
    };
    match flush::waits_until(due, &plan, rules) {
        // Nothing is withdrawn either: what it says is told until then.
        Some(at) => Plan { wait_until: Some(at), ..Plan::default() },
        None => plan,
    }
}

/// Whether something is outstanding in a window that was begun while its meter billed in another
/// way: it is neither a level nor a part of a sum.
fn is_of_another_kind(due: &DueBalance, rules: &Rules<'_>) -> bool {
    let adds_up = due.balance.fold.adds_up();
    let fits = match rules.capabilities.told_as {
        ToldAs::Entry => adds_up,
        ToldAs::Level => !adds_up,
        ToldAs::Last => due.balance.fold == Fold::Gauge,
        // A gauge's reading is no part of what such a meter adds up.
        ToldAs::Delta | ToldAs::EachRecord | ToldAs::Total => due.balance.fold != Fold::Gauge,
    };
    !fits && !due.balance.outstanding().is_zero()
}

/// A person says what such a window comes to.
fn of_another_kind(due: &DueBalance) -> (HoldReason, String) {
    let (fold, outstanding) = (due.balance.fold, due.balance.outstanding());
    let why = format!(
        "{outstanding} is outstanding, and its window was begun as a \"{fold}\" of its records, \
         which is not what the meter bills now"
    );
    (HoldReason::MeterMismatch, why)
}

/// How what is too much told is taken back, once nothing can be withdrawn any more.
type Lower = fn(&DueBalance, &Quantity, &Rules<'_>, &mut Plan);

/// A sum that each event changes.
fn by_change(due: &DueBalance, rules: &Rules<'_>, lower: Lower) -> Plan {
    let mut plan = Plan::default();
    let rest = withdraw(due, &mut plan, |_, _| true);
    if rest.is_zero() {
        return plan;
    }
    if plan.leave_to_period(&rest, rules) {
        return plan;
    }
    if rest.is_negative() {
        lower(due, &rest, rules, &mut plan);
    } else {
        raise(due, &rest, rules, &mut plan);
    }
    plan
}

/// Tells what is not told yet.
fn raise(due: &DueBalance, rest: &Quantity, rules: &Rules<'_>, plan: &mut Plan) {
    let occurred_at = due.balance.newest_at;
    match when(occurred_at, rules) {
        When::Now => {
            // What is finer than the provider's decimals stays outstanding: it is not rounded away.
            let told = rest.cut_to_decimals(rules.capabilities.decimals_max);
            let Some(parts) = parts(&told, rules.capabilities) else {
                return plan.hold(too_large(&told, rules.capabilities));
            };
            plan.finer = rest - &told;
            plan.tell = parts.into_iter().map(|part| add(part, occurred_at)).collect();
        }
        When::Later(at) => plan.wait_until = Some(at),
        When::TooLate => plan.hold(too_late(rest, occurred_at)),
    }
}

/// A value as events can say it; nothing where that takes too many of them.
fn parts(told: &Quantity, capabilities: &Capabilities) -> Option<Vec<Quantity>> {
    let parts = told.split_to_digits(capabilities.digits_max);
    let Some(most) = capabilities.value_max.map(Quantity::from) else { return Some(parts) };
    let mut within = Vec::new();
    for mut part in parts {
        while part > most {
            if within.len() >= PARTS_MAX {
                return None;
            }
            part = &part - &most;
            within.push(most.clone());
        }
        within.push(part);
    }
    Some(within)
}

fn too_large(told: &Quantity, capabilities: &Capabilities) -> (HoldReason, String) {
    let most = capabilities.value_max.unwrap_or_default();
    let why = format!(
        "{told} is outstanding, and an event says {most} at the most: it would take more than \
         {PARTS_MAX} of them"
    );
    (HoldReason::MeterMismatch, why)
}

/// A number of events, one for each record: a record folds to one or to nothing, and is never
/// netted with another, nor split.
fn by_record(due: &DueBalance, rules: &Rules<'_>) -> Plan {
    let outstanding = due.balance.outstanding();
    let one = Quantity::one();
    let whole = outstanding.is_zero() || outstanding == one || -&outstanding == one;
    if due.balance.key.record.is_none() || !whole {
        let why = format!("the meter counts records one by one, and {outstanding} is outstanding");
        return Plan::held((HoldReason::MeterMismatch, why));
    }
    by_change(due, rules, lower::by_cancel)
}

/// Takes back what the provider never took: events that were never leased and say the contrary of
/// what is outstanding, and events that were definitely refused. Of those that were never leased,
/// only what is `worth` it beside what remains. Answers what remains.
fn withdraw(
    due: &DueBalance,
    plan: &mut Plan,
    worth: impl Fn(&PostedEvent, &Quantity) -> bool,
) -> Quantity {
    let mut rest = due.balance.outstanding();
    // A cancel that was refused counts as told, and is to be gone about in another way.
    for event in due.events.iter().filter(|event| event.is_refused()) {
        if event.kind == EventKind::Cancel {
            rest = &rest + &event.quantity;
            plan.supersede.push(event.id);
        }
    }
    // Newest first: what was posted last is the most likely not to have left yet.
    for event in due.events.iter().rev() {
        let contrary = !rest.is_zero() && rest.is_negative() != event.quantity.is_negative();
        if !contrary || plan.supersede.contains(&event.id) {
            continue;
        }
        if event.was_never_sent() && worth(event, &rest) {
            plan.void.push(event.id);
        } else if event.is_refused() {
            plan.supersede.push(event.id);
        } else {
            continue;
        }
        rest = &rest + &event.quantity;
    }
    rest
}

fn add(quantity: Quantity, occurred_at: Timestamp) -> Tell {
    Tell { quantity, occurred_at, by: Means::Add }
}

/// Whether the provider takes an event's time.
enum When {
    Now,
    Later(Timestamp),
    TooLate,
}

fn when(occurred_at: Timestamp, rules: &Rules<'_>) -> When {
    let capabilities = rules.capabilities;
    let ahead = occurred_at.micros_since(rules.provider_now) - capabilities.accepts_ahead_micros;
    if ahead > 0 {
        return When::Later(rules.now.plus_micros(ahead));
    }
    if deadline(occurred_at, capabilities) <= rules.provider_now {
        When::TooLate
    } else {
        When::Now
    }
}

/// The last instant, on the provider's clock, at which an event of this time is sent: the
/// provider's own limit less the margin.
#[must_use]
pub fn deadline(occurred_at: Timestamp, capabilities: &Capabilities) -> Timestamp {
    occurred_at
        .plus_micros(capabilities.accepts_past_micros - capabilities.accepts_past_margin_micros)
}

/// The last instant, on the provider's clock, at which `event` is cancelled. Its receipt may be as
/// early as its first attempt. Nothing where the provider cancels nothing, or it was never sent.
#[must_use]
pub fn cancel_deadline(event: &PostedEvent, capabilities: &Capabilities) -> Option<Timestamp> {
    Some(event.first_attempt_at?.plus_micros(capabilities.cancels_for_micros?))
}

fn too_late(outstanding: &Quantity, occurred_at: Timestamp) -> (HoldReason, String) {
    let why = format!("{outstanding} of {occurred_at} is older than the provider takes");
    (HoldReason::DeadlinePassed, why)
}

#[cfg(test)]
mod tests;

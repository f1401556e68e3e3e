//! Both books agree. Here: conservation, the bracket, what each event claims against what the
//! provider did, and the end. Never here: why something is held. Read next: [`super::holds`].

use std::collections::BTreeMap;

use super::{Auditor, Violation, violated};
use crate::amount::Amount;
use crate::faults::Class;
use crate::rows::{Event, Rows};
use crate::server::{Keeps, MINUTE};

/// The moves of an event's life, as the design draws them.
const MOVES: [(&str, &str); 31] = [
    ("", "pending"),
    ("", "held"),
    ("pending", "in_flight"),
    ("pending", "void"),
    ("pending", "held"),
    ("in_flight", "accepted"),
    ("in_flight", "pending"),
    ("in_flight", "unknown"),
    ("in_flight", "held"),
    ("unknown", "in_flight"),
    ("unknown", "held"),
    ("unknown", "settled"),
    ("accepted", "settled"),
    ("accepted", "held"),
    ("accepted", "superseded"),
    ("settled", "held"),
    ("held", "pending"),
    ("held", "settled"),
    ("held", "superseded"),
    ("held", "dead"),
    ("superseded", "settled"),
    ("dead", "settled"),
    ("pending", "pending"),
    ("in_flight", "in_flight"),
    ("unknown", "unknown"),
    ("accepted", "accepted"),
    ("settled", "settled"),
    ("held", "held"),
    ("void", "void"),
    ("superseded", "superseded"),
    ("dead", "dead"),
];

/// Whether what an event in this state says counts as told.
pub(super) fn is_told(state: &str) -> bool {
    !matches!(state, "void" | "superseded" | "dead")
}

/// By meter and account.
type Sums = BTreeMap<(String, String), Amount>;

fn add(sums: &mut Sums, place: (String, String), amount: Amount) {
    let sum = sums.entry(place).or_default();
    *sum = *sum + amount;
}

fn place(event: &Event) -> (String, String) {
    (event.meter.clone(), event.account.clone())
}

/// An event that says usage, and those that cancel it.
type Unit<'e> = (&'e Event, Vec<&'e Event>);

/// The events by balance, each with those that cancel it.
fn units(events: &[Event]) -> BTreeMap<i64, Vec<Unit<'_>>> {
    let mut cancels: BTreeMap<i64, Vec<&Event>> = BTreeMap::new();
    for event in events {
        if let Some((target, _)) = &event.target {
            cancels.entry(*target).or_default().push(event);
        }
    }
    let mut units: BTreeMap<i64, Vec<Unit<'_>>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.target.is_none()) {
        let cancels = cancels.remove(&event.id).unwrap_or_default();
        units.entry(event.balance).or_default().push((event, cancels));
    }
    units
}

/// The least and the most that the provider may hold of an event. What one that only counts said
/// yes to is there for good.
fn bracket(usage: &Event, cancels: &[&Event], keeps: Keeps) -> (Amount, Amount) {
    let said = usage.quantity;
    if keeps.only_counts() && usage.state == "accepted" {
        return (said, said);
    }
    if usage.is_absent() || cancels.iter().any(|cancel| cancel.is_certain()) {
        return (Amount::ZERO, Amount::ZERO);
    }
    let may_be_cancelled = cancels.iter().any(|cancel| !cancel.is_absent());
    if usage.is_certain() && !may_be_cancelled {
        return (said, said);
    }
    (least(said), most(said))
}

fn least(amount: Amount) -> Amount {
    amount.min(Amount::ZERO)
}

fn most(amount: Amount) -> Amount {
    amount.max(Amount::ZERO)
}

impl Auditor {
    /// What a balance accrued is the sum of its lines; what it told is the sum of its events.
    pub(super) fn balances_are_conserved(&self, read: &Rows) -> Result<(), Violation> {
        let mut told: BTreeMap<i64, Amount> = BTreeMap::new();
        for event in read.events.iter().filter(|event| is_told(&event.state)) {
            let sum = told.entry(event.balance).or_default();
            *sum = *sum + event.quantity;
        }
        for balance in &read.balances {
            let id = balance.id;
            let lines = self.balances.get(&id).map_or(Amount::ZERO, |(.., sum)| *sum);
            if balance.accrued != lines {
                let what = format!("balance {id} accrued {} of {lines}", balance.accrued);
                return violated("conservation", what);
            }
            let events = told.get(&id).copied().unwrap_or_default() + self.said(balance, read)?;
            if balance.told != events {
                let what = format!("balance {id} told {} of {events}", balance.told);
                return violated("conservation", what);
            }
        }
        Ok(())
    }

    /// Every new move is one that the design draws.
    pub(super) fn moves_are_legal(&mut self, read: &Rows) -> Result<(), Violation> {
        for step in &read.moves {
            self.seen.step = step.id;
            if (step.from.as_str(), step.to.as_str()) == ("held", "pending") {
                // It is known not to be there: its clocks begin anew.
                let event = read.events.iter().find(|event| event.id == step.event);
                let mut scene = self.stage.scene();
                let witness = event.and_then(|event| scene.witnesses.get_mut(&event.identifier));
                if let Some(witness) = witness {
                    witness.attempts.clear();
                }
            }
            if !MOVES.contains(&(step.from.as_str(), step.to.as_str())) {
                let what = format!("event {}: {} to {}", step.event, step.from, step.to);
                return violated("legal-moves", what);
            }
            let from = if step.from.is_empty() { "new" } else { &step.from };
            self.stage.scene().reach(format!("move {from} -> {}", step.to));
        }
        Ok(())
    }

    /// No event claims what the provider contradicts.
    pub(super) fn events_are_truthful(&self, read: &Rows) -> Result<(), Violation> {
        let scene = self.stage.scene();
        for event in &read.events {
            let identifier = &event.identifier;
            let said_yes = match &event.target {
                None => scene.server.took(identifier),
                Some((_, target)) => scene.server.said_cancelled(target),
            };
            if event.state == "accepted" && !said_yes {
                let what = format!("{identifier} is accepted and never arrived");
                return violated("no-false-yes", what);
            }
            let wire = scene.witnesses.get(identifier).map(|seen| seen.attempts.as_slice());
            if let Some([first, .., last] | [first @ last]) = wire {
                let begins = event.first_attempt_at.is_some_and(|at| at <= *first);
                // A step of this host's clock that is smaller than a reading's age goes unnoticed.
                let ends = event.last_attempt_at.is_some_and(|at| at + 11 * MINUTE >= *last);
                if event.attempts > 0 && !(begins && ends) {
                    let what = format!("{identifier}: sent from {first} to {last}: {event:?}");
                    return violated("two-clocks", what);
                }
            }
        }
        Ok(())
    }

    /// The provider holds no less and no more than the ledger says it may: of each balance, and of
    /// all that a meter counts for an account.
    pub(super) fn truth_is_in_the_bracket(&self, read: &Rows) -> Result<(), Violation> {
        let scene = self.stage.scene();
        let mut places: BTreeMap<(String, String), (Amount, Amount)> = BTreeMap::new();
        for (balance, unit) in units(&read.events) {
            if self.gauge(balance).is_some() {
                continue;
            }
            let window = self.window_of_totals(balance, read);
            let (mut low, mut high) = (Amount::ZERO, Amount::ZERO);
            let mut holds = Amount::ZERO;
            for (usage, cancels) in unit.iter().filter(|_| window.is_none()) {
                let (from, to) = bracket(usage, cancels, scene.server.keeps);
                (low, high) = (low + from, high + to);
                holds = holds + scene.server.counted(&usage.identifier);
            }
            if let Some(window) = window {
                let told: Vec<&Event> = unit.iter().map(|(usage, _)| *usage).collect();
                let may_stand = Self::totals_that_may_stand(&told);
                holds = scene.server.window((&told[0].meter, &told[0].account), window);
                if !scene.rolled_back && !may_stand.contains(&holds) {
                    let what = format!("balance {balance}: {holds} is none of {may_stand:?}");
                    return violated("bracket", what);
                }
                low = may_stand.iter().copied().min().unwrap_or_default();
                high = may_stand.iter().copied().max().unwrap_or_default();
            }
            // What the lost ledger told stands under names of its own.
            if !scene.rolled_back && !(low..=high).contains(&holds) {
                let what = format!("balance {balance}: {holds} is not in {low} to {high}");
                return violated("bracket", what);
            }
            if let Some((usage, _)) = unit.first() {
                let sums = places.entry(place(usage)).or_default();
                *sums = (sums.0 + low, sums.1 + high);
            }
        }
        for (place, holds) in scene.server.truth() {
            if self.is_gauge(&place.0) {
                continue;
            }
            let (low, high) = places.get(&place).copied().unwrap_or_default();
            if scene.rolled_back {
                // While its sources have not sent everything again, and it was not booked, the
                // ledger cannot know what was used.
                let all = self.journal.keys().next_back().copied().unwrap_or_default();
                if !scene.lacks && read.watermark == all && read.parked.is_empty() {
                    self.not_more_than_was_used(&place, holds)?;
                }
            } else if !(low..=high).contains(&holds) {
                let what = format!("{place:?}: {holds} is not in {low} to {high}");
                return violated("bracket", what);
            }
        }
        Ok(())
    }

    /// Whatever a lost ledger told: nothing is billed twice.
    fn not_more_than_was_used(
        &self,
        place: &(String, String),
        holds: Amount,
    ) -> Result<(), Violation> {
        // What is to be taken back may be there still, beside what was told instead.
        let booked = self.booked.values().map(|line| self.at_most(line));
        let here = booked.chain(self.once_booked.iter().cloned());
        let here = here.filter(|(meter, account, ..)| (meter, account) == (&place.0, &place.1));
        let most: Amount = here.map(|(.., most)| most).sum();
        if holds > most {
            return violated("billed-once", format!("{place:?}: {holds} of {most} is billed"));
        }
        Ok(())
    }

    /// What a total comes to is known, unless it was one of long ago.
    pub(super) fn totals_have_explanations(&mut self, read: &Rows) -> Result<(), Violation> {
        for found in &read.findings {
            self.seen.finding = found.id;
            let mut scene = self.stage.scene();
            scene.reach(format!("finding {}", found.finding));
            let excused = scene.rolled_back || scene.faults.struck.contains_key(&Class::StaleTotal);
            match found.finding.as_str() {
                "unexplained" if !excused => {
                    let what = format!("{} of {}: {}", found.meter, found.account, found.detail);
                    return violated("explained-totals", what);
                }
                "unexplained" | "ambiguous" | "incomparable" => {
                    self.doubted.insert((found.meter.clone(), found.account.clone()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// At the end: nothing waits, and the provider holds what the records come to, less what is
    /// held and what is finer than it takes.
    pub(super) fn everything_was_told(&self, read: &Rows) -> Result<(), Violation> {
        for event in &read.events {
            if matches!(event.state.as_str(), "pending" | "in_flight" | "unknown") {
                let what = format!("{} is still {}", event.identifier, event.state);
                return violated("liveness", what);
            }
        }
        let mut scene = self.stage.scene();
        let decimals = scene.server.keeps.decimals();
        let (mut due, mut held) = (Sums::new(), BTreeMap::new());
        for balance in &read.balances {
            let Some((meter, account, accrued)) = self.balances.get(&balance.id) else { continue };
            let place = (meter.clone(), account.clone());
            let rest = *accrued - balance.told;
            // The next total waits for what becomes of one that may be there.
            let waits = |event: &Event| {
                let may_exist = event.state == "held" && event.ambiguous;
                event.balance == balance.id && event.total.is_some() && may_exist
            };
            if balance.hold.is_some() || read.events.iter().any(waits) {
                held.insert(place.clone(), balance.id);
            } else if rest != rest.finer_than(decimals) {
                let what = format!("balance {}: {rest} is untold, and not held", balance.id);
                return violated("liveness", what);
            }
            // Of a gauge's periods one is not added to another.
            if !self.is_gauge(&place.0) {
                add(&mut due, place, *accrued - rest.finer_than(decimals));
            }
        }
        for event in &read.events {
            scene.reach(format!("end {}", event.state));
            match event.state.as_str() {
                "held" => {
                    held.insert(place(event), event.id);
                }
                "superseded" | "dead" if event.ambiguous => {
                    held.insert(place(event), event.id);
                }
                // Nothing can be read back of it.
                "accepted" if scene.server.keeps.only_counts() => {}
                "accepted" => {
                    let Event { meter, account, occurred_at, .. } = event;
                    let of_others = scene.server.foreign.is_before(meter, account, *occurred_at);
                    let doubted = scene.rolled_back || self.doubted.contains(&place(event));
                    if !doubted && !of_others {
                        let what = format!("{} was never proven", event.identifier);
                        return violated("liveness", what);
                    }
                    held.insert(place(event), event.id);
                }
                _ => {}
            }
        }
        if scene.rolled_back {
            return Ok(());
        }
        let truth = scene.server.truth();
        for (place, due) in due {
            let holds = truth.get(&place).copied().unwrap_or_default();
            if !held.contains_key(&place) && holds != due {
                let what = format!("{place:?}: holds {holds}, and {due} was used");
                return violated("both-books", what);
            }
        }
        Ok(())
    }
}

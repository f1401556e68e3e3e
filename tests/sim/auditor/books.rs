//! Both books agree. Here: conservation, the bracket, what each event claims against what the
//! provider did, and the end. Never here: why something is held. Read next: [`super::holds`].

use std::collections::BTreeMap;

use super::{Auditor, Violation, violated};
use crate::amount::Amount;
use crate::rows::{Event, Rows};
use crate::server::MINUTE;

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
fn is_told(state: &str) -> bool {
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
            let events = told.get(&id).copied().unwrap_or_default();
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
            self.last_move = step.id;
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
            let yes = matches!(event.state.as_str(), "accepted" | "settled");
            if yes && !scene.server.took(identifier) {
                let what = format!("{identifier} is {} and never arrived", event.state);
                return violated("no-false-yes", what);
            }
            if event.is_absent() && scene.server.stands(identifier) {
                let what = format!("{identifier} is {} and counts", event.state);
                return violated("monotone-uncertainty", what);
            }
            if event.state == "settled" && !scene.server.stands(identifier) {
                return violated("settled-is-there", format!("{identifier} does not count"));
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

    /// The provider holds no less and no more than the ledger says it may.
    pub(super) fn truth_is_in_the_bracket(&self, read: &Rows) -> Result<(), Violation> {
        let (mut low, mut high) = (Sums::new(), Sums::new());
        for event in &read.events {
            let (from, to) = if event.is_certain() {
                (event.quantity, event.quantity)
            } else if event.is_absent() {
                (Amount::ZERO, Amount::ZERO)
            } else {
                (least(event.quantity), most(event.quantity))
            };
            add(&mut low, place(event), from);
            add(&mut high, place(event), to);
        }
        for (place, holds) in self.stage.scene().server.truth() {
            let low = low.get(&place).copied().unwrap_or_default();
            let high = high.get(&place).copied().unwrap_or_default();
            if !(low..=high).contains(&holds) {
                let what = format!("{place:?}: {holds} is not in {low} to {high}");
                return violated("bracket", what);
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
        let scene = self.stage.scene();
        let (mut due, mut held) = (Sums::new(), BTreeMap::new());
        for balance in &read.balances {
            let Some((meter, account, accrued)) = self.balances.get(&balance.id) else { continue };
            let place = (meter.clone(), account.clone());
            let rest = *accrued - balance.told;
            if balance.hold.is_some() {
                held.insert(place.clone(), balance.id);
            } else if rest != rest.finer_than(12) {
                let what = format!("balance {}: {rest} is untold, and not held", balance.id);
                return violated("liveness", what);
            }
            add(&mut due, place, *accrued - rest.finer_than(12));
        }
        for event in &read.events {
            match event.state.as_str() {
                "held" | "dead" => drop(held.insert(place(event), event.id)),
                // Rejected later: a total would tell, and nothing reads one.
                "accepted" if !scene.server.stands(&event.identifier) => {
                    add(&mut due, place(event), -event.quantity);
                }
                _ => {}
            }
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

//! Nothing is held without a cause. Here: for each reason, the witness that a run must have of it.
//! Never here: how a hold ends. Read next: [`crate::faults`].

use std::collections::BTreeSet;

use super::{Auditor, Violation, violated};
use crate::faults::Class;
use crate::rows::{Event, Rows};
use crate::scene::Scene;
use crate::server::{DAY, HOUR, MINUTE};

/// How far an estimate of the provider's clock may be off: a reading's age, and a step that nobody
/// noticed within it.
const CLOCK_ERROR: i64 = 25 * MINUTE;
/// New events that went out while an unknown could have: past this it was passed over.
const PASSED_OVER_MAX: usize = 12;

impl Auditor {
    /// Each event that is newly held has a witness for its reason.
    pub(super) fn holds_are_justified(&self, read: &Rows) -> Result<(), Violation> {
        let moved: BTreeSet<i64> =
            read.moves.iter().filter(|step| step.to == "held").map(|step| step.event).collect();
        for event in read.events.iter().filter(|event| moved.contains(&event.id)) {
            let Some(reason) = &event.hold else { continue };
            let mut scene = self.stage.scene();
            scene.reach(format!("held {reason}"));
            if let Err(why) = witnessed(&scene, event, reason) {
                let what = format!("{} is held for {reason}: {why}", event.identifier);
                return violated("no-unjustified-hold", what);
            }
        }
        for balance in &read.balances {
            let Some(reason) = &balance.hold else { continue };
            let (.., accrued) = &self.balances[&balance.id];
            if *accrued == balance.told {
                let what = format!("balance {} is held for {reason}, all told", balance.id);
                return violated("no-unjustified-hold", what);
            }
        }
        Ok(())
    }
}

/// Faults after which nobody knows whether a request was processed.
const UNCERTAIN: [Class; 6] = [
    Class::LostAnswer,
    Class::Swallowed,
    Class::Zombie,
    Class::ServerError,
    Class::ProxyPage,
    Class::CrashSending,
];

fn is_uncertain(scene: &Scene, event: &Event) -> bool {
    let struck = |class: &Class| scene.faults.struck.get(class).is_some_and(|count| *count > 0);
    let crashes =
        [Class::CrashBefore, Class::CrashAfter, Class::CrashSending, Class::CommitUnknown];
    let by_fault = scene
        .witnesses
        .get(&event.identifier)
        .is_some_and(|witness| UNCERTAIN.iter().any(|class| witness.faults.contains_key(class)));
    by_fault
        || crashes.iter().any(struck)
        || struck(&Class::DiskFull)
        || struck(&Class::Outage)
        || struck(&Class::LongOutage)
}

fn witnessed(scene: &Scene, event: &Event, reason: &str) -> Result<(), &'static str> {
    let now = scene.server.now;
    let by = |class: Class| {
        let witness = scene.witnesses.get(&event.identifier);
        witness.is_some_and(|witness| witness.faults.contains_key(&class))
    };
    let hold = |right: bool, why: &'static str| if right { Ok(()) } else { Err(why) };
    let old = now >= event.occurred_at + 35 * DAY - HOUR - CLOCK_ERROR;
    match reason {
        "window_passed" => {
            hold(is_uncertain(scene, event), "every attempt had a definite answer")?;
            let first = event.first_attempt_at.unwrap_or(now);
            hold(old || now >= first + 23 * HOUR - CLOCK_ERROR, "its window is not over")?;
            hold(old || !was_passed_over(scene, event, first), "it was passed over")
        }
        "deadline_passed" => hold(old, "it is not too old"),
        "refused" => hold(by(Class::Refused), "nothing was refused"),
        "may_exist" => {
            hold(by(Class::Refused) || old, "nothing was refused")?;
            hold(is_uncertain(scene, event), "every attempt had a definite answer")
        }
        "identifier_conflict" => hold(by(Class::FalseDuplicate), "no stranger used its name"),
        _ => Err("no fault of this run leads there"),
    }
}

/// Whether new events went out while this one could have gone again.
fn was_passed_over(scene: &Scene, event: &Event, first: i64) -> bool {
    let clock = [Class::ClockStep, Class::ClockDrift];
    if clock.iter().any(|class| scene.faults.struck.contains_key(class)) {
        // A clock that was ahead may have put it off.
        return false;
    }
    let tried = scene.witnesses.get(&event.identifier).and_then(|seen| seen.attempts.last());
    let from = tried.copied().unwrap_or(first) + 15 * MINUTE;
    let to = first + 22 * HOUR;
    let news = scene.server.first_seen.values().filter(|at| (from..to).contains(*at)).count();
    news > PASSED_OVER_MAX
}

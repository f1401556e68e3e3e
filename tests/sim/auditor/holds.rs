//! Nothing is held without a cause. Here: for each reason, the witness that a run must have of it.
//! Never here: how a hold ends. Read next: [`crate::faults`].

use std::collections::BTreeSet;

use super::periods::{is_idle, is_late, takes};
use super::{Auditor, Violation, violated};
use crate::amount::Amount;
use crate::faults::Class;
use crate::rows::{Balance, Event, Rows};
use crate::scene::Scene;
use crate::server::{DAY, HOUR, Keeps, MINUTE};

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
            let doubted = reason == "may_exist"
                && self.doubted.contains(&(event.meter.clone(), event.account.clone()));
            if doubted {
                continue;
            }
            let target = event.target.as_ref().map(|(id, _)| *id);
            let target = read.events.iter().find(|event| Some(event.id) == target);
            // Whoever cancels goes by when the target may have landed first.
            let until = target.and_then(|target| target.first_attempt_at).map(|at| at + 23 * HOUR);
            let Event { meter, account, occurred_at, .. } = event;
            let taken =
                takes(read, meter, account, *occurred_at) && !is_idle(read, account, *occurred_at);
            if reason == "no_period" && !taken {
                continue;
            }
            if let Err(why) = witnessed(&scene, event, until, reason) {
                let what = format!("{} is held for {reason}: {why}", event.identifier);
                return violated("no-unjustified-hold", what);
            }
        }
        let looked_at = read.balances.iter().filter(|balance| !balance.due);
        for balance in looked_at {
            // One that is looked at anew may be held for what was true before.
            self.balance_hold_is_justified(balance, read)?;
        }
        Ok(())
    }

    /// Whether usage of a balance was given away, or taken away by a remap.
    fn was_changed(&self, balance: i64) -> bool {
        self.parted.contains(&balance)
            || self.once_booked.iter().any(|(_, _, id, _)| *id == balance)
    }

    fn balance_hold_is_justified(&self, balance: &Balance, read: &Rows) -> Result<(), Violation> {
        let Some(reason) = &balance.hold else { return Ok(()) };
        let (meter, _, accrued) = &self.balances[&balance.id];
        let mut scene = self.stage.scene();
        scene.reach(format!("balance held {reason}"));
        let level = self.is_level(balance.id);
        let (keeps, entries_max) = (scene.server.keeps, scene.server.entries_max);
        // A cancel that was refused counts as told, and is to be gone about in another way.
        let refused = |event: &&Event| {
            event.balance == balance.id && event.target.is_some() && event.state == "held"
        };
        let doubted =
            |event: &&Event| matches!(event.hold.as_deref(), Some("may_exist" | "restored"));
        let held = || read.events.iter().filter(refused);
        let doubted: Amount = held().filter(doubted).map(|event| event.quantity).sum();
        let refused: Amount = held().map(|event| event.quantity).sum();
        let rest = *accrued - balance.told + refused;
        let why = match reason.as_str() {
            // What differs by nothing may have to be said, or be said no longer. Of a cancel that
            // nobody heard of, either may be so.
            _ if rest == Amount::ZERO && doubted == Amount::ZERO && !level => "all is told",
            // It waits for another one, whose entries still say some of it.
            "cannot_lower" if rest > Amount::ZERO && self.was_given_some(balance) => return Ok(()),
            // An entry is replaced by one that says more, too.
            "below_zero" | "correction_policy" | "cannot_lower"
                if rest > Amount::ZERO && !level =>
            {
                "nothing is to be taken back"
            }
            "below_zero" | "correction_policy" | "cannot_lower"
                if self.corrections.is_empty() && !level && !self.was_changed(balance.id) =>
            {
                "nothing was corrected"
            }
            "cannot_lower" if meter != "counted" && keeps == Keeps::Events => {
                "the meter takes less than nothing"
            }
            "correction_policy" if !self.leaves_to_people => {
                "no route leaves corrections to people"
            }
            "below_zero" | "correction_policy" | "cannot_lower" => return Ok(()),
            "entries_used_up" if self.entries_of(balance, read) + 2 < entries_max => {
                "its account takes more entries"
            }
            "entries_used_up" => return Ok(()),
            "bill_from" if !scene.server.foreign.came_late => "it was known from the start",
            "bill_from" => return Ok(()),
            "deadline_passed" if scene.server.now < self.told_for(balance, read) + 34 * DAY => {
                "it is not too old"
            }
            "deadline_passed" => return Ok(()),
            "no_period"
                if *accrued < balance.told
                    && keeps == Keeps::Entries
                    && !(level && self.level_of(balance.id).is_some())
                    && !self.is_closed(balance, read) =>
            {
                "what was told too much can be taken away"
            }
            "late_for_period" | "no_period" | "meter_mismatch" => {
                drop(scene);
                let Some(why) = self.why_not(reason, balance, read) else { return Ok(()) };
                why
            }
            _ => "no fault of this run leads there",
        };
        let what = format!("balance {} is held for {reason}: {why}", balance.id);
        violated("no-unjustified-hold", what)
    }
}

impl Auditor {
    /// Why a balance is not held for its period, or for its window, if it is not.
    fn why_not(&self, reason: &str, balance: &Balance, read: &Rows) -> Option<&'static str> {
        match reason {
            "meter_mismatch" if self.stage.scene().server.keeps.only_counts() => {
                let (_, _, accrued) = &self.balances[&balance.id];
                // What a number of 32 bits cannot say, unless by many of them.
                let is_too_large = *accrued - balance.told > Amount::of(100 * 2_147_483_647, 0);
                (!is_too_large).then_some("a few events could say it")
            }
            "meter_mismatch" => self.why_tellable(balance, read),
            _ => self.why_not_late(balance, read),
        }
    }

    /// Whether the ledger knows that a period of a balance's newest usage is closed, or beside it
    /// may be one that it never learned.
    fn is_closed(&self, balance: &Balance, read: &Rows) -> bool {
        let (meter, account, _) = &self.balances[&balance.id];
        let at = balance.newest_at;
        let mut here = read.periods.iter().filter(|period| {
            (&period.meter, &period.account) == (meter, account)
                && (period.start..period.end).contains(&at)
        });
        here.any(|period| period.closed_at.is_some()) || !is_idle(read, account, at)
    }

    /// Whether usage may have come to a balance from another one of its place.
    fn was_given_some(&self, balance: &Balance) -> bool {
        let (meter, account, _) = &self.balances[&balance.id];
        let mut givers = self.parted.iter().filter(|giver| **giver != balance.id);
        givers.any(|giver| {
            let (of, to, _) = &self.balances[giver];
            (of, to) == (meter, account)
        })
    }

    /// Entries that the account of a balance was told, whatever became of them.
    fn entries_of(&self, balance: &Balance, read: &Rows) -> usize {
        let (_, account, _) = &self.balances[&balance.id];
        entries(read, account)
    }

    /// The accounts whose windows may be months, as they were told so many entries.
    pub(super) fn accounts_with_few_entries(&self, read: &Rows) -> BTreeSet<String> {
        let Some(least) = self.widened_from else { return BTreeSet::new() };
        let accounts: BTreeSet<&String> = read.events.iter().map(|event| &event.account).collect();
        let few = accounts.into_iter().filter(|account| entries(read, account) >= least);
        few.cloned().collect()
    }
}

fn entries(read: &Rows, account: &str) -> usize {
    let of = |event: &&Event| event.account == account && event.target.is_none();
    read.events.iter().filter(of).count()
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
    let by_fault = scene.witnesses.get(&event.identifier).is_some_and(|witness| {
        witness.was_one_of_many_refused
            || UNCERTAIN.iter().any(|class| witness.faults.contains_key(class))
    });
    by_fault
        || crashes.iter().any(struck)
        || struck(&Class::DiskFull)
        || struck(&Class::Outage)
        || struck(&Class::LongOutage)
}

fn is_of_an_invoiced_entry(scene: &Scene, event: &Event) -> bool {
    let target = event.target.as_ref();
    scene.server.keeps == Keeps::Entries
        && target.is_some_and(|(_, identifier)| scene.server.has_invoiced(identifier))
}

/// Of a cancel, `until` says until when its target can be cancelled.
fn witnessed(
    scene: &Scene,
    event: &Event,
    until: Option<i64>,
    reason: &str,
) -> Result<(), &'static str> {
    let now = scene.server.now;
    let by = |class: Class| {
        let witness = scene.witnesses.get(&event.identifier);
        witness.is_some_and(|witness| witness.faults.contains_key(&class))
    };
    let hold = |right: bool, why: &'static str| if right { Ok(()) } else { Err(why) };
    let old = now >= event.occurred_at + 35 * DAY - HOUR - CLOCK_ERROR;
    let cancel_is_late = until.is_some_and(|until| now >= until - CLOCK_ERROR);
    match reason {
        // What another ledger of this name told, this one cannot know.
        "identifier_conflict" | "refused" | "may_exist" if scene.rolled_back => Ok(()),
        "window_passed" => {
            hold(is_uncertain(scene, event), "every attempt had a definite answer")?;
            // What recognises nothing has no window.
            if scene.server.keeps.only_counts() {
                return Ok(());
            }
            let first = event.first_attempt_at.unwrap_or(now);
            // A cancel can go for as long as its target can be cancelled.
            let over = now >= first + 23 * HOUR - CLOCK_ERROR || cancel_is_late;
            hold(old || over, "its window is not over")?;
            let last = until.map_or(first + 23 * HOUR, |until| until.min(first + 23 * HOUR));
            hold(old || !was_passed_over(scene, event, last - HOUR), "it was passed over")
        }
        "deadline_passed" if event.target.is_some() => {
            // A bill that closes later than was promised takes it for longer than it knew.
            let of_a_bill = scene.server.keeps == Keeps::Entries
                && scene
                    .server
                    .billing
                    .invoice_of(&event.account, &event.meter, event.occurred_at)
                    .is_some();
            hold(cancel_is_late || of_a_bill, "its target can still be cancelled")
        }
        "deadline_passed" => hold(old, "it is not too old"),
        // An entry may be invoiced just before it is taken away.
        "refused" if is_of_an_invoiced_entry(scene, event) => Ok(()),
        "refused" => hold(by(Class::Refused), "nothing was refused"),
        "may_exist" => {
            let refused = by(Class::Refused) || is_of_an_invoiced_entry(scene, event);
            hold(refused || old, "nothing was refused")?;
            hold(is_uncertain(scene, event), "every attempt had a definite answer")
        }
        "disproved" => hold(
            scene.server.rejected_in(&event.meter, &event.account)
                || by(Class::RejectedLater)
                || scene.rolled_back,
            "the provider rejected nothing of its lane",
        ),
        "late_for_period" => hold(
            is_late(scene, &event.account, &event.meter, event.occurred_at),
            "its period takes it",
        ),
        "bill_from" => hold(scene.server.foreign.came_late, "it was known from the start"),
        "restored" => hold(scene.rolled_back, "no older ledger took this one's place"),
        // What was rejected after a yes keeps its name for as long as the provider remembers it.
        "identifier_conflict" if by(Class::RejectedLater) => Ok(()),
        "identifier_conflict" => hold(by(Class::FalseDuplicate), "no stranger used its name"),
        _ => Err("no fault of this run leads there"),
    }
}

/// Whether new events went out while this one could have gone again, which was until `to`.
fn was_passed_over(scene: &Scene, event: &Event, to: i64) -> bool {
    let clock = [Class::ClockStep, Class::ClockDrift];
    if clock.iter().any(|class| scene.faults.struck.contains_key(class)) {
        // A clock that was ahead may have put it off.
        return false;
    }
    let tried = scene.witnesses.get(&event.identifier).and_then(|seen| seen.attempts.last());
    let Some(from) = tried.copied().or(event.first_attempt_at) else { return false };
    let from = from + 15 * MINUTE;
    let news = scene.server.first_seen.values().filter(|at| (from..to).contains(*at)).count();
    news > PASSED_OVER_MAX
}

//! What people do. Here: decisions over what is held, by what the provider's own page shows; copies
//! of the ledger, and putting one back. Never here: whether that was justified (see
//! [`crate::auditor`]). Read next: [`crate::scenario`].

use tallyd::domain::record::Position;
use tallyd::domain::resolution::{ItemName, Verdict};
use tallyd::ledger::corrections::RecordFilter;
use tallyd::ledger::holds::{CaughtUp, Decision, HoldsLedger as _, Resolution};
use tallyd::ledger::operator::{HeldItem, OperatorLedger as _};
use tallyd::ledger::remap::{RemapLedger as _, RemapWish};
use tallyd::service::StepError;
use tallyd::store::sqlite::backup;

use crate::auditor::PERSON;
use crate::faults::Class;
use crate::plants::Plant;
use crate::rows::Event;
use crate::server::{DAY, Server};
use crate::world::{Ended, World};

/// Held things that are looked at in one go.
const LOOKED_AT: u32 = 200;
/// How long a person waits before a request that nobody heard of counts as lost.
const PATIENCE: i64 = 2 * DAY;

impl World {
    /// A person goes through what is held.
    pub(crate) async fn decide(&mut self) {
        let Some(process) = &self.process else { return };
        let ledger = process.ports.inner.clone();
        let held = ledger.held(LOOKED_AT).await.expect("the ledger can be read");
        let questions = ledger.questions(LOOKED_AT).await.expect("the ledger can be read");
        let mut verdicts = Vec::new();
        for item in held {
            let verdict = self.verdict(&item);
            verdicts.extend(verdict.map(|verdict| (item.name, item.token, verdict)));
        }
        for conflict in questions.conflicts {
            let first = self.chance.one_in(2);
            let verdict = if first { Verdict::First } else { Verdict::Second };
            if !first {
                self.auditor.second_may_be_right(&conflict.record);
            }
            verdicts.push((conflict.name.to_string(), conflict.token, verdict));
        }
        for (name, expect, verdict) in verdicts {
            let item = ItemName::parse(&name).expect("the ledger names its items");
            let (why, who) = ("as the provider's page shows".to_owned(), PERSON.to_owned());
            let resolution = Resolution { item, verdict, expect, why, who, dry_run: false };
            let Some(process) = &self.process else { return };
            let now = self.stage.now();
            let resolving =
                async { process.ports.resolve(&resolution, now).await.map_err(StepError::from) };
            match self.guarded(resolving).await {
                Ended::Well(Decision::Done(_)) => {
                    self.note(format!("{name}: {verdict}"));
                    self.stage.scene().reach(format!("verdict {verdict}"));
                }
                Ended::Well(Decision::Refused(why)) => {
                    self.note(format!("{name}: {verdict} was refused: {why}"));
                    self.stage.scene().reach("verdict refused");
                }
                Ended::Later => {}
                Ended::Gone => self.kill(),
            }
        }
    }

    /// What a person says of something held, if it can be said yet.
    fn verdict(&mut self, item: &HeldItem) -> Option<Verdict> {
        let number: i64 = item.name.split_once(':')?.1.parse().ok()?;
        if item.name.starts_with("balance") {
            // Nothing ends these by itself before long; others wait for what they name.
            let stays = matches!(
                item.reason.as_str(),
                "deadline_passed"
                    | "cannot_lower"
                    | "correction_policy"
                    | "below_zero"
                    | "entries_used_up"
                    | "meter_mismatch"
                    | "bill_from"
            );
            let since = self.stage.now().micros_since(item.since);
            let of_others = item.reason == "bill_from";
            let said = if of_others { Verdict::ToldBefore } else { Verdict::WriteOff };
            return (stays && since > PATIENCE && self.chance.one_in(2)).then_some(said);
        }
        let event = self.auditor.event(number)?.clone();
        let scene = self.stage.scene();
        let named = event.target.as_ref().map_or(&event.identifier, |(_, target)| target);
        if scene.server.may_still_change(named) {
            return None;
        }
        let (there, now) = (is_there(&scene.server, &event), scene.server.now);
        drop(scene);
        if there {
            return Some(Verdict::Billed);
        }
        if item.reason == "restored" {
            // The lost ledger may have told it in other portions: only a total shows that.
            return None;
        }
        let touched = event.last_attempt_at.unwrap_or(event.occurred_at);
        let patient = now > touched + PATIENCE;
        let verdict = if self.chance.one_in(3) { Verdict::WriteOff } else { Verdict::NotBilled };
        (patient || !event.ambiguous).then_some(verdict)
    }

    /// A person has all history booked as the routes lead by now.
    pub(crate) async fn remap(&mut self) {
        let Some(process) = &self.process else { return };
        let (ledger, now) = (process.ports.inner.clone(), self.stage.now());
        let filter = RecordFilter::default();
        let seen = ledger.remappable(&filter, Position(0), 1).await;
        let mapping = seen.expect("the ledger can be read").mapping;
        let (why, who) = ("the routes were wrong".to_owned(), PERSON.to_owned());
        let wish = RemapWish { filter, mapping, to: Position(i64::MAX), why, who };
        let begun = ledger.begin_remap(&wish, now).await.expect("the ledger takes a wish");
        self.note(format!("remap: {begun:?}"));
        self.stage.scene().reach("remap asked for");
    }

    /// Whether there is a copy of the ledger.
    pub(crate) fn has_copy(&self) -> bool {
        self.folder.path().join("copy").exists()
    }

    /// Makes a copy of the ledger, in place of an earlier one.
    pub(crate) async fn back_up(&mut self) {
        let (ledger, copy) = (self.path(), self.folder.path().join("copy"));
        drop(std::fs::remove_file(&copy));
        backup::copy(&ledger, &copy).await.expect("the ledger can be copied");
        let fence = ledger.with_added_extension("fence");
        drop(std::fs::copy(fence, copy.with_added_extension("fence")));
        self.note("backed up".to_owned());
        self.stage.scene().reach("ledger backed up");
    }

    /// Puts the copy in the ledger's place; the sources then send everything again.
    pub(crate) async fn roll_back(&mut self) {
        self.kill();
        let (ledger, copy) = (self.path(), self.folder.path().join("copy"));
        self.stage.scene().faults.count(Class::OlderLedger);
        let now = self.stage.now();
        let aside = backup::replace(&ledger, &copy, "simulation", now).await;
        let aside = aside.expect("the copy can be put back");
        if let Some(aside) = aside {
            drop(std::fs::remove_file(aside));
        }
        if self.plant == Some(Plant::NoTaint) {
            let fence = copy.with_added_extension("fence");
            drop(std::fs::copy(fence, ledger.with_added_extension("fence")));
        }
        self.note("rolled back".to_owned());
        self.auditor.rolled_back();
        self.sources.send_all_again();
        let mut scene = self.stage.scene();
        (scene.rolled_back, scene.lacks) = (true, true);
        scene.server.answers_are_forgotten();
        // What it tried since is not in it.
        for witness in scene.witnesses.values_mut() {
            witness.attempts.clear();
        }
    }

    /// Once everything was sent again, a person says so.
    pub(crate) async fn catch_up(&mut self) {
        if !self.stage.scene().lacks || !self.sources.sent_all() {
            return;
        }
        let Some(process) = &self.process else { return };
        let now = self.stage.now();
        let saying = async { process.ports.say_caught_up(now).await.map_err(StepError::from) };
        match self.guarded(saying).await {
            Ended::Well(CaughtUp::Noted) => {
                self.stage.scene().reach("caught up");
                self.stage.scene().lacks = false;
            }
            // An answer that was lost on the way; or nothing was told since the copy was made.
            Ended::Well(CaughtUp::Refused(why)) => {
                self.note(why);
                self.stage.scene().lacks = false;
            }
            Ended::Later => {}
            Ended::Gone => self.kill(),
        }
    }
}

/// Whether the provider did what the event says.
fn is_there(server: &Server, event: &Event) -> bool {
    match &event.target {
        None => server.stands(&event.identifier),
        Some((_, target)) => server.is_cancelled(target),
    }
}

//! What customers do about their subscriptions, and the webhooks that say so. Here: who subscribes
//! and who leaves, and which announcements come, late, twice, in which order, or never. Never here:
//! what is billed (see [`crate::server`]). Read next: [`crate::scenario`].

use tallyd::accrual::route::Route;
use tallyd::domain::notice::CameBy;
use tallyd::domain::period::LatePolicy;
use tallyd::domain::time::{Timestamp, Window};
use tallyd::ledger::notices::{Arrival, NoticesLedger as _};
use tallyd::ledger::report::Question;
use tallyd::reconcile::keeper::InLedger;
use tallyd::reconcile::reporter::Reporter;
use tallyd::service::StepError;

use crate::auditor::Violation;
use crate::billing::notice;
use crate::faults::Class;
use crate::process::{Part, reading};
use crate::server::{DAY, HOUR, Keeps, MINUTE};
use crate::workload::{self, CUSTOMERS, account_of, provider_name};
use crate::world::{Ended, START, World};

/// Announcements on their way.
#[derive(Debug, Default)]
pub(crate) struct Webhooks {
    /// How many announcements were sent off.
    sent: usize,
    /// When each of those arrives that has not arrived yet.
    waiting: Vec<(i64, usize)>,
}

impl World {
    /// The parts that are stepped.
    pub(crate) const fn parts(&self) -> &'static [Part] {
        if self.months { Part::ALL } else { Part::OF_USAGE }
    }

    /// What becomes of late usage is each route's own choice, where anything is billed.
    pub(crate) fn with_late(&mut self, mut routes: Vec<Route>) -> Vec<Route> {
        if self.months {
            for route in &mut routes {
                let policies = [LatePolicy::Hold, LatePolicy::NextPeriod, LatePolicy::Drop];
                let late = *self.turns.pick(&policies);
                // A level of one period is never that of another.
                let stays = late == LatePolicy::NextPeriod && workload::is_level(route);
                route.policies.late = if stays { LatePolicy::Hold } else { late };
            }
        }
        routes
    }

    /// Customers subscribe, and leave, as chance has it.
    pub(crate) fn turn_over(&mut self) {
        for customer in 0..CUSTOMERS {
            let account = account_of(&format!("c{customer}"));
            let live = {
                let scene = self.stage.scene();
                let mut all = scene.server.billing.subscriptions.iter();
                all.position(|each| each.account == account && each.ended_at.is_none())
            };
            let now = self.stage.scene().server.now;
            match live {
                None if self.turns.one_in(3) => self.subscribe(&account),
                None => {}
                Some(place) if self.keeps() == Keeps::Entries && self.turns.one_in(12) => {
                    self.stage.scene().server.pause_or_resume(place);
                }
                Some(place) => match self.turns.below(60) {
                    0 => self.stage.scene().server.end_now(place, true),
                    1 => self.stage.scene().server.end_now(place, false),
                    2..=4 => {
                        let at = now + self.turns.between(HOUR, 20 * HOUR);
                        self.stage.scene().server.end_later(place, at);
                    }
                    _ => {}
                },
            }
        }
    }

    /// The program reports on everything, and the auditor reads it.
    pub(crate) async fn report(&mut self) -> Result<(), Violation> {
        let (Some(process), false) = (&self.process, self.stage.scene().rolled_back) else {
            return Ok(());
        };
        let ledger = process.ports.inner.clone();
        let (clock, provider) = (self.stage.clock.clone(), process.wire.clone());
        let reporter = Reporter::new(reading(), ledger.clone(), provider, clock.clone());
        let now = self.stage.now();
        let start = Timestamp::from_micros(START - 60 * DAY);
        let range = Window { start, end: now.plus_micros(DAY) };
        let (account, meter) = (None, None);
        let question = Question { provider: provider_name(), account, meter, range };
        let report = reporter.report(&question, &InLedger { ledger, clock }).await;
        self.auditor.reported(&report.expect("nothing is in the way").rows)
    }

    fn subscribe(&mut self, account: &str) {
        // A term of a site lasts for a day at the least.
        let lasts = match self.keeps() {
            Keeps::Events | Keeps::Counts(_) => (8 * HOUR, 36 * HOUR),
            Keeps::Entries => (DAY, 60 * HOUR),
        };
        let length = self.turns.between(lasts.0, lasts.1);
        let known = {
            let scene = self.stage.scene();
            let mut all = scene.server.billing.subscriptions.iter();
            all.position(|each| each.account == account)
        };
        if let (Keeps::Entries, Some(place)) = (self.keeps(), known) {
            self.stage.scene().server.reactivate(place, length);
            return;
        }
        let mut meters: Vec<&str> =
            self.scenario.meters().iter().map(|(meter, _)| *meter).collect();
        if self.turns.one_in(4) {
            let last = u64::try_from(meters.len()).expect("there are few");
            meters.remove(usize::try_from(self.turns.below(last)).expect("there are few"));
        }
        self.stage.scene().server.subscribe(account, &meters, length);
    }

    /// Announcements arrive, if somebody is there.
    pub(crate) async fn carry_webhooks(&mut self) {
        let arrived = self.arriving();
        if arrived.is_empty() {
            return;
        }
        let arrivals: Vec<Arrival> = {
            let scene = self.stage.scene();
            let known = &scene.server.billing.announcements;
            let one = |place: &usize| Arrival {
                provider: provider_name(),
                notice: notice(&known[*place]),
                came_by: CameBy::Webhook,
            };
            arrived.iter().map(one).collect()
        };
        let again = self.stage.scene().server.now + 10 * MINUTE;
        let retry = arrived.into_iter().map(|place| (again, place));
        let Some(process) = &self.process else {
            self.webhooks.waiting.extend(retry);
            return;
        };
        let now = self.stage.now();
        let archiving =
            async { process.ports.archive_notices(&arrivals, now).await.map_err(StepError::from) };
        match self.guarded(archiving).await {
            Ended::Well(_) => {}
            Ended::Later => self.webhooks.waiting.extend(retry),
            Ended::Gone => {
                self.kill();
                self.webhooks.waiting.extend(retry);
            }
        }
    }

    /// Sends off what was announced since, and answers what arrives now.
    fn arriving(&mut self) -> Vec<usize> {
        let mut scene = self.stage.scene();
        let now = scene.server.now;
        let announced = scene.server.billing.announcements.len();
        for place in self.webhooks.sent..announced {
            let at = scene.server.billing.announcements[place].at;
            if scene.faults.strikes(Class::NoticeLost, 3) {
                continue;
            }
            let mut arrives = at;
            if scene.faults.strikes(Class::NoticeLate, 3) {
                arrives += scene.faults.stream(Class::NoticeLate).between(MINUTE, 30 * HOUR);
            }
            self.webhooks.waiting.push((arrives, place));
            if scene.faults.strikes(Class::NoticeTwice, 3) {
                let later = scene.faults.stream(Class::NoticeTwice).between(0, 6 * HOUR);
                self.webhooks.waiting.push((arrives + later, place));
            }
        }
        self.webhooks.sent = announced;
        let waiting = std::mem::take(&mut self.webhooks.waiting);
        let (mut here, later): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(at, _)| *at <= now);
        self.webhooks.waiting = later;
        here.sort();
        if here.len() > 1 && scene.faults.strikes(Class::NoticesDisordered, 2) {
            here.reverse();
        }
        here.into_iter().map(|(_, place)| place).collect()
    }
}

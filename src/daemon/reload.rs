//! Following a config that was read again. Here: whether a running daemon can, and in which order
//! its parts take it. Never here: reading it (`cli::run`), what differs
//! ([`crate::config::change`]). Read next: [`super::assemble`].
//!
//! A reload comes to the same as a restart with the new config, but that nothing ends: connections
//! stay, what is in flight is answered, what was learned stays. It is taken whole or not at all.
//! All that can be refused is refused first; then the routes are adopted in the ledger, by one
//! transaction between two steps of accrual, which is the one thing that can still fail; then
//! everything else is put in its place, which cannot, and only then accrual goes on: what it books
//! by the new routes is told by those who know of them. Each part takes what is new between two of
//! its steps, so none sees half of it, and they meet only in the ledger, so it does not matter that
//! one is a step behind another. Its loop stays, and with it its bell and its pulse.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use tokio::sync::{Mutex, watch};

use super::assemble::told::Told;
use super::cutover::{self, NoBillFrom};
use super::housekeeping::{Maintainer, Watcher};
use super::providers::{BuildError, Instance, instances, kept_whole, widening};
use super::silence::SilenceAlarm;
use crate::accrual::accruer::{Accruer, Adopted};
use crate::clock::Clock;
use crate::config::{Change, Config};
use crate::domain::record::Position;
use crate::intake::gate::Gate;
use crate::ledger::{Ledger, LedgerError};
use crate::service::changing::{Changing, Replaceable};
use crate::service::{Bell, FatalBell};
use crate::telemetry::logs::{LogError, LogFilter};
use crate::telemetry::metrics::Metrics;
use crate::usage::desk::Desk;
use crate::web::server::Door;
use crate::web::webhooks::Readers;

/// Why a config is not followed. What ran before runs on, unchanged.
#[derive(Debug, thiserror::Error)]
pub enum NotFollowed {
    /// It changes what stays as it is while the daemon runs.
    #[error("restart needed: {} cannot change while the daemon runs", listed(.0))]
    Fixed(BTreeSet<String>),
    /// A provider could not be made.
    #[error("cannot make ready to tell a provider")]
    Provider(#[from] BuildError),
    /// The log's filter makes no sense.
    #[error("cannot log by the filter")]
    Log(#[from] LogError),
    /// Something would be told that another program may have told.
    #[error("cannot tell by these routes")]
    NoBillFrom(#[source] NoBillFrom),
    /// The daemon has ended.
    #[error("the daemon has ended")]
    Ended,
    /// The ledger did not take the routes.
    #[error("the ledger did not take the routes")]
    Ledger(#[source] LedgerError),
}

/// What was followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// What changed, by its names in the file; nothing where all is as it was.
    pub changed: BTreeSet<String>,
    /// From which place in the journal on the routes are the new ones, where they changed.
    pub from: Option<Position>,
}

/// The names, as one reads them.
#[must_use]
pub fn listed(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// What a daemon has running that can follow another config.
pub(super) struct Running {
    pub(super) accruer: Arc<Accruer>,
    pub(super) accrual_bell: Bell,
    pub(super) told: Vec<Arc<Told>>,
    pub(super) gate: Arc<Gate>,
    pub(super) door: Door,
    pub(super) desk: Arc<Desk>,
    pub(super) readers: Arc<Changing<Readers>>,
    pub(super) maintainer: Arc<Replaceable>,
    pub(super) watcher: Arc<Replaceable>,
    pub(super) silence: Arc<Replaceable>,
    pub(super) notice: watch::Sender<Option<String>>,
    pub(super) says: watch::Sender<String>,
    pub(super) metrics: Metrics,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) fatal: FatalBell,
}

/// Has a running daemon follow other configs, for as long as it runs: it keeps nothing of it alive.
#[derive(Clone)]
pub struct Reloader {
    running: Weak<Running>,
    /// What is followed at present. Held for all of a reload, so that one ends before the next.
    present: Arc<Mutex<Config>>,
}

impl Reloader {
    pub(super) fn new(running: &Arc<Running>, present: Config) -> Self {
        Self { running: Arc::downgrade(running), present: Arc::new(Mutex::new(present)) }
    }

    /// Follows `config` from here on, or nothing of it. What is logged goes by `log`, where that is
    /// to follow too.
    ///
    /// # Errors
    /// When it cannot be followed; then all is as it was.
    pub async fn follow(
        &self,
        config: Config,
        log: Option<&LogFilter>,
    ) -> Result<Followed, NotFollowed> {
        let mut present = self.present.lock().await;
        let change = Change::between(&present, &config);
        if !change.fixed.is_empty() {
            return Err(NotFollowed::Fixed(change.fixed));
        }
        if change.is_nothing() {
            return Ok(Followed { changed: change.follows, from: None });
        }
        let running = self.running.upgrade().ok_or(NotFollowed::Ended)?;
        let mut made = Vec::new();
        for instance in instances(&config)? {
            running.may_tell(&present, &config, &instance).await?;
            let its = running.told.iter().find(|told| told.name == *instance.name());
            if let Some(told) = its.filter(|told| change.providers.contains(&told.name)) {
                let parts = told.remake(instance, &config.routes).await;
                made.push((told, parts.map_err(|why| running.refuse(why))?));
            }
        }
        if let Some(log) = log {
            log.set(&config.telemetry.filter)?;
        }
        let adopted = running.adopt(&present, &config).await.map_err(|why| {
            // The filter is of the config that is not followed.
            drop(log.map(|log| log.set(&present.telemetry.filter)));
            running.refuse(why)
        })?;
        for (told, parts) in made {
            told.replace(parts);
        }
        running.take(&present, &config);
        let from = adopted.map(|adopted| adopted.from);
        *present = config;
        Ok(Followed { changed: change.follows, from })
    }
}

impl Running {
    /// Adopts the routes, where they or the windows that they fill are others. Accrual goes on once
    /// the answer is dropped.
    async fn adopt(&self, old: &Config, new: &Config) -> Result<Option<Adopted<'_>>, LedgerError> {
        let (after, whole) = (widening(new), kept_whole(new));
        if old.routes == new.routes && widening(old) == after && kept_whole(old) == whole {
            return Ok(None);
        }
        let now = self.clock.now();
        Ok(Some(self.accruer.readopt(new.routes.clone(), after, whole, now).await?))
    }

    /// Asks, where the routes are others, whether what they lead to may be told by `instance`.
    async fn may_tell(
        &self,
        old: &Config,
        new: &Config,
        instance: &Instance,
    ) -> Result<(), NotFollowed> {
        if old.routes == new.routes {
            return Ok(());
        }
        let (name, now) = (instance.name(), self.clock.now());
        let adopted = cutover::adopt(new, &*self.ledger, name, &instance.telling, now).await;
        match adopted.map_err(|why| self.refuse(why))? {
            Some(why) => Err(NotFollowed::NoBillFrom(why)),
            None => Ok(()),
        }
    }

    /// Puts all in its place that cannot be refused.
    fn take(&self, old: &Config, new: &Config) {
        for told in &self.told {
            told.follow(&new.routes);
        }
        self.gate.follow(new.intake.clone());
        self.door.admit(&new.web.tokens);
        self.desk.follow(new.routes.clone());
        self.readers.replace(Arc::new(self.told.iter().filter_map(|told| told.reader()).collect()));
        // What was parked is looked at once whom it is told to is in its place.
        self.accrual_bell.ring();
        // One whose settings are as they were stays: it knows when it is due.
        if old.maintenance != new.maintenance || old.ballast_bytes != new.ballast_bytes {
            let (ledger, schedule) = (self.ledger.clone(), new.maintenance.clone());
            let maintainer = Maintainer::new(ledger, schedule, new.ballast_bytes);
            self.maintainer.replace(Arc::new(maintainer));
        }
        if old.held_alarm_basis_points != new.held_alarm_basis_points {
            let (ledger, metrics) = (self.ledger.clone(), self.metrics.clone());
            let (notice, says) = (self.notice.clone(), self.says.clone());
            let alarm = new.held_alarm_basis_points;
            self.watcher.replace(Arc::new(Watcher::new(ledger, metrics, alarm, notice, says)));
        }
        if old.silence != new.silence {
            let (ledger, metrics) = (self.ledger.clone(), self.metrics.clone());
            self.silence.replace(Arc::new(SilenceAlarm::new(ledger, metrics, new.silence.clone())));
        }
    }

    /// What a ledger's error means here. One that ends the process is told to the supervisor.
    fn refuse(&self, why: LedgerError) -> NotFollowed {
        if why.is_fatal() {
            self.fatal.ring(why.repeated());
        }
        NotFollowed::Ledger(why)
    }
}

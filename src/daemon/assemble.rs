//! The composition root. Here: what is made of the settings, in which order, and which bell rings
//! whom. Never here: what a room does. Read next: [`told`], then [`super::supervisor`].
//!
//! Everything that can be refused is refused before anything runs: the ledger is opened and locked,
//! the sockets are bound, the providers are made. Only then does usage flow.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::told::{Around, Told};
use super::cutover::{NoBillFrom, adopt};
use super::following::{Follower, Time};
use super::housekeeping::{Maintainer, Watcher};
use super::notify::ServiceHost;
use super::providers::{BuildError, account_prefixes, instances, placing};
use super::reload::{Reloader, Running};
use super::silence::SilenceAlarm;
use super::supervisor::{Ended, Supervisor};
use super::watchdog::keep_informed;
use crate::accrual::accruer::Accruer;
use crate::clock::Clock;
use crate::config::{Config, SecretPolicy};
use crate::domain::names::SpoolName;
use crate::intake::gate::{Gate, Verdicts};
use crate::intake::spool;
use crate::intake::spool::spooler::Spooler;
use crate::ledger::delivery::DeliveryLedger;
use crate::ledger::operator::OperatorLedger;
use crate::ledger::silence::SilenceLedger as _;
use crate::ledger::{Ledger, LedgerError};
use crate::service::changing::{Changing, Replaceable};
use crate::service::pulse::Pulses;
use crate::service::{Bell, FatalBell, Service};
use crate::store::OpenError;
use crate::store::sqlite::SqliteLedger;
use crate::telemetry::metrics::Metrics;
use crate::usage::counter::Counter;
use crate::usage::desk::Desk;
use crate::web::PlanshipApi;
use crate::web::app::{Readiness, Rooms};
use crate::web::holds::Holds;
use crate::web::planship::Planship;
use crate::web::server::{BindError, Server};
use crate::web::usage;
use crate::web::webhooks::{Readers, Webhooks};

pub(super) mod told;

/// Why a daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The config was read without its secrets.
    #[error("the config was read to be checked, without its secrets")]
    NoSecrets,
    /// The ledger could not be opened.
    #[error("cannot open the ledger")]
    Open(#[from] OpenError),
    /// The ledger failed.
    #[error("cannot read the ledger")]
    Ledger(#[from] LedgerError),
    /// A listener could not be bound.
    #[error("cannot listen")]
    Bind(#[from] BindError),
    /// Two spools would read the same files.
    #[error("spool.{0} and spool.{1} read the same directory: each line would be booked twice")]
    SharedSpool(SpoolName, SpoolName),
    /// Something would be told that another program may have told.
    #[error("cannot go live")]
    NoBillFrom(#[from] NoBillFrom),
    /// A provider could not be made.
    #[error("cannot make ready to tell a provider")]
    Provider(#[from] BuildError),
}

/// A daemon that is ready to run.
pub struct Daemon {
    ledger: Arc<SqliteLedger>,
    server: Server,
    rooms: Rooms,
    ready: watch::Sender<Readiness>,
    running: Arc<Running>,
    spoolers: Vec<Spooler>,
    counter: Counter,
    /// What the watcher says of the ledger, for the service manager.
    standing: watch::Receiver<String>,
    follower: Option<Follower>,
    supervisor: Supervisor,
    reloader: Reloader,
}

impl Daemon {
    /// Makes a daemon of its settings: opens and locks the ledger, recovers what an earlier run
    /// left in flight, adopts the routes, binds the sockets.
    ///
    /// # Errors
    /// When any of that is refused; then nothing runs.
    pub async fn assemble(config: Config, time: Time) -> Result<Self, StartError> {
        match config.secrets {
            SecretPolicy::Resolve => {}
            SecretPolicy::CheckPresence | SecretPolicy::Unneeded => {
                return Err(StartError::NoSecrets);
            }
        }
        if let Some((first, second)) = spool::disk::shared(&config.spools) {
            return Err(StartError::SharedSpool(first.clone(), second.clone()));
        }
        let Time { clock, follower } = time;
        let ledger = open(&config, clock.as_ref()).await?;
        let (metrics, (fatal, failed)) = (Metrics::new(), FatalBell::new());
        let supervisor = Supervisor::new(failed);
        let stop = supervisor.stop.clone();
        let around =
            Around { ledger: ledger.clone(), clock: clock.clone(), metrics: metrics.clone(), stop };
        let told = providers(&config, &around).await?;
        let accruer = Arc::new(accruer(&config, &ledger, clock.as_ref()).await?);
        let counter = Counter::adopt(ledger.clone(), &config.levers).await?;
        let accrual_bell = Bell::default();
        let server = Server::bind(&config.web).await?;
        let (door, intake) = (ledger.clone(), Arc::new(config.intake.clone()));
        let gate = Gate::new(door, intake, clock.clone(), accrual_bell.clone(), fatal.clone());
        let readers: Readers = told.iter().filter_map(|told| told.reader()).collect();
        let (notice, noticed) = watch::channel(None);
        let (says, standing) = watch::channel(String::new());
        let shared: Arc<dyn Ledger> = ledger.clone();
        let schedule = config.maintenance.clone();
        let maintainer = Maintainer::new(shared.clone(), schedule, config.ballast_bytes);
        let alarm = config.held_alarm_basis_points;
        let watcher =
            Watcher::new(shared.clone(), metrics.clone(), alarm, notice.clone(), says.clone());
        let silence = SilenceAlarm::new(shared.clone(), metrics.clone(), config.silence.clone());
        let running = Arc::new(Running {
            accruer,
            accrual_bell,
            told,
            gate: Arc::new(gate),
            door: server.door(),
            desk: desk(&config, &ledger),
            readers: Arc::new(Changing::new(readers)),
            maintainer: Arc::new(Replaceable::new(Arc::new(maintainer))),
            watcher: Arc::new(Replaceable::new(Arc::new(watcher))),
            silence: Arc::new(Replaceable::new(Arc::new(silence))),
            notice,
            says,
            metrics,
            ledger: shared,
            clock,
            fatal,
        });
        let (ready, readiness) = watch::channel(Readiness::NotReady("starting".to_owned()));
        let rooms = rooms(&running, &ledger, config.planship_api.clone(), (readiness, noticed));
        let spoolers = spoolers(&config.spools, &running.gate, &ledger, &running.metrics);
        let reloader = Reloader::new(&running, config);
        Ok(Self {
            ledger,
            server,
            rooms,
            ready,
            running,
            spoolers,
            counter,
            standing,
            follower,
            supervisor,
            reloader,
        })
    }

    /// Where HTTP is served.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What has it follow another config while it runs.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Which of its parts move.
    #[must_use]
    pub fn pulses(&self) -> Pulses {
        self.supervisor.pulses.clone()
    }

    /// Runs until `stop`, then stops in order; `now` ends it at once. The service manager at `host`
    /// is kept informed.
    ///
    /// # Errors
    /// Why it ended, when nobody asked it to.
    pub async fn run(
        self,
        stop: CancellationToken,
        now: CancellationToken,
        host: &ServiceHost,
    ) -> Result<(), Ended> {
        let Self { ledger, server, rooms, ready, running, follower, mut supervisor, .. } = self;
        let clock = running.clock.clone();
        let asked = supervisor.stop.clone();
        let closing = asked.clone();
        supervisor.start("the listeners", |pulse| async move {
            pulse.serving(server.run(rooms, closing)).await;
            Ok(())
        });
        let mut bells = vec![running.accrual_bell.clone()];
        let posters: Vec<Bell> = running.told.iter().map(|told| told.poster_bell.clone()).collect();
        let bell = running.accrual_bell.clone();
        let usage_bell = Bell::default();
        bells.push(usage_bell.clone());
        // What accrual found in the journal is to be counted as well.
        let rung = posters.into_iter().chain([usage_bell.clone()]).collect();
        supervisor.step("accrual", running.accruer.clone(), &clock, bell, rung);
        supervisor.step("usage", Arc::new(self.counter), &clock, usage_bell, Vec::new());
        for told in &running.told {
            bells.extend(told.start(&mut supervisor));
        }
        let mut asides: Vec<Arc<dyn Service>> =
            vec![running.maintainer.clone(), running.watcher.clone(), running.silence.clone()];
        for spooler in self.spoolers {
            asides.push(Arc::new(spooler));
        }
        for aside in asides {
            let (name, bell) = (aside.name().to_owned(), Bell::default());
            bells.push(bell.clone());
            supervisor.step(name, aside, &clock, bell, Vec::new());
        }
        if let Some(follower) = follower {
            // What sleeps until a time may have slept past it: all are rung after a move.
            let follower: Arc<dyn Service> = Arc::new(follower);
            let (name, bell) = (follower.name().to_owned(), Bell::default());
            supervisor.step(name, follower, &clock, bell, bells);
        }
        ready.send_replace(Readiness::Ready);
        host.ready();
        let relay = async {
            stop.cancelled().await;
            host.stopping();
            host.status("stopping; what is in flight may finish");
            ready.send_replace(Readiness::NotReady("stopping".to_owned()));
            asked.cancel();
            std::future::pending::<()>().await;
        };
        let pulses = supervisor.pulses.clone();
        let ended = tokio::select! {
            ended = supervisor.run(now) => ended,
            () = relay => Ok(()),
            () = keep_informed(host, &pulses, self.standing) => Ok(()),
        };
        // Nobody reloads any more, and nothing else holds the ledger.
        drop(running);
        if let (Ok(()), Some(ledger)) = (&ended, Arc::into_inner(ledger)) {
            ledger.close().await;
        }
        ended
    }
}

/// Who reads each directory.
fn spoolers(
    spools: &[spool::Settings],
    gate: &Arc<Gate>,
    ledger: &Arc<SqliteLedger>,
    metrics: &Metrics,
) -> Vec<Spooler> {
    let spooler = |settings: &spool::Settings| {
        let metrics = metrics.clone();
        let count = move |verdicts: &Verdicts| usage::count(&metrics, verdicts);
        Spooler::new(settings.clone(), gate.clone(), ledger.clone(), Arc::new(count))
    };
    spools.iter().map(spooler).collect()
}

/// Opens and locks the ledger, and recovers what an earlier run left in flight.
async fn open(config: &Config, clock: &dyn Clock) -> Result<Arc<SqliteLedger>, StartError> {
    let now = clock.now();
    let who = format!("tallyd run (pid {}, since {now})", std::process::id());
    let ledger = SqliteLedger::open_fenced(&config.store, &config.fencing, &who, now).await?;
    ledger.keep_ballast(config.ballast_bytes).await;
    // Before anything is heard: how long nobody listened is no gap of whoever comes first.
    ledger.listen(now).await?;
    let recovered = ledger.recover_in_flight(now).await?;
    if recovered > 0 {
        tracing::warn!(count = recovered, "an earlier run ended in mid-send; these go first");
    }
    Ok(Arc::new(ledger))
}

/// Makes each provider instance with its parts.
async fn providers(config: &Config, around: &Around) -> Result<Vec<Arc<Told>>, StartError> {
    let mut told = Vec::new();
    let Around { ledger, clock, .. } = around;
    for instance in instances(config)? {
        let name = instance.name();
        let now = clock.now();
        if let Some(why) = adopt(config, &**ledger, name, &instance.telling, now).await? {
            return Err(why.into());
        }
        told.push(Arc::new(Told::new(instance, &config.routes, around.clone()).await?));
    }
    Ok(told)
}

/// Adopts the routes.
async fn accruer(
    config: &Config,
    ledger: &Arc<SqliteLedger>,
    clock: &dyn Clock,
) -> Result<Accruer, StartError> {
    let (routes, prefixes) = (config.routes.clone(), account_prefixes(config));
    let accruer = Accruer::adopt(ledger.clone(), routes, prefixes, clock.now()).await?;
    Ok(placing(accruer, config))
}

/// Who answers for the levers.
pub(crate) fn desk(config: &Config, ledger: &Arc<SqliteLedger>) -> Arc<Desk> {
    let (levers, routes) = (config.levers.clone(), config.routes.clone());
    Arc::new(Desk::new(ledger.clone(), levers, routes, account_prefixes(config)))
}

/// What stands behind the listeners.
fn rooms(
    running: &Running,
    ledger: &Arc<SqliteLedger>,
    planship: Option<PlanshipApi>,
    (readiness, notice): (watch::Receiver<Readiness>, watch::Receiver<Option<String>>),
) -> Rooms {
    let Running { accrual_bell, told, gate, desk, readers, metrics, .. } = running;
    let bells = told.iter().flat_map(|told| [&told.poster_bell, &told.courier_bell]);
    let bells = bells.chain([accrual_bell]).cloned().collect();
    Rooms {
        gate: gate.clone(),
        corrections: ledger.clone(),
        rejected: ledger.clone(),
        remaps: ledger.clone(),
        exports: ledger.clone(),
        ledger: ledger.clone(),
        usage: desk.clone(),
        planship: planship.map(|api| Planship::new(api, ledger.name_of_run())),
        metrics: metrics.clone(),
        readiness,
        providers: told.iter().map(|told| told.name.clone()).collect(),
        accrual: accrual_bell.clone(),
        holds: Holds { ledger: ledger.clone(), bells, notice },
        reports: ledger.clone(),
        webhooks: Webhooks { readers: readers.clone(), ledger: ledger.clone() },
    }
}

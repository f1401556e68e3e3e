//! The composition root. Here: what is made of the settings, in which order, and which bell rings
//! whom. Never here: what a room does. Read next: [`super::supervisor`].
//!
//! Everything that can be refused is refused before anything runs: the ledger is opened and locked,
//! the sockets are bound, the providers are made. Only then does usage flow.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::following::{Follower, Time};
use super::housekeeping::{Maintainer, Watcher};
use super::notify::ServiceHost;
use super::providers::{BuildError, Instance, instances};
use super::reporting::{self, Reporting};
use super::supervisor::{DRAIN_SECONDS_MAX, Ended, Supervisor};
use super::watchdog::keep_informed;
use crate::accrual::accruer::Accruer;
use crate::accrual::route::policies_by_meter;
use crate::accrual::widen::Widening;
use crate::clock::Clock;
use crate::config::{Config, Reports, SecretPolicy, Stripe};
use crate::delivery::courier::Courier;
use crate::domain::names::{ProviderMeter, ProviderName, SpoolName};
use crate::domain::policies::Policies;
use crate::intake::gate::{Gate, Verdicts};
use crate::intake::spool;
use crate::intake::spool::spooler::Spooler;
use crate::ledger::delivery::DeliveryLedger;
use crate::ledger::operator::OperatorLedger;
use crate::ledger::{Ledger, LedgerError};
use crate::posting::poster::Poster;
use crate::provider::{NoticeReader, Provider};
use crate::reconcile::listener::Listener;
use crate::reconcile::reporter::Reporter;
use crate::reconcile::settler::Settler;
use crate::service::{self, Bell, FatalBell};
use crate::store::OpenError;
use crate::store::sqlite::SqliteLedger;
use crate::telemetry::metrics::Metrics;
use crate::web::app::{Readiness, Rooms};
use crate::web::holds::Holds;
use crate::web::server::{BindError, Server};
use crate::web::usage;
use crate::web::webhooks::Webhooks;

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
    /// A provider could not be made.
    #[error("cannot make ready to tell a provider")]
    Provider(#[from] BuildError),
}

/// From how many entries of an account on its windows are widened, at the providers where they are.
fn widened(told: &[Told]) -> Widening {
    told.iter().filter_map(|told| Some((told.name.clone(), told.widened_from?))).collect()
}

/// The meters that keep one total a window.
fn kept_whole(accounts: &[Stripe]) -> BTreeSet<(ProviderName, ProviderMeter)> {
    let pins = accounts.iter().flat_map(|account| {
        account.provider.meters.iter().map(|pin| (&account.provider.name, pin))
    });
    let whole = pins.filter(|(_, pin)| pin.span.is_some());
    whole.map(|(name, pin)| (name.clone(), pin.meter.clone())).collect()
}

/// A provider instance and the bells of its parts.
struct Told {
    name: ProviderName,
    provider: Arc<dyn Provider>,
    courier: Arc<Courier>,
    /// Makes reports: where a schedule says when, and on invoices that differ.
    reporter: Reporter,
    reports: Option<Reports>,
    invoices: reporting::Observer,
    settler: Arc<Settler>,
    /// Follows how it bills, where that can be read.
    listener: Option<Arc<Listener>>,
    poster_bell: Bell,
    courier_bell: Bell,
    policies: HashMap<ProviderMeter, Policies>,
    /// From how many entries of an account on its windows are widened; nothing where they stay.
    widened_from: Option<u32>,
}

impl Told {
    /// Starts its parts; answers with the bells of all of them.
    fn start(
        self,
        supervisor: &mut Supervisor,
        ledger: &Arc<SqliteLedger>,
        clock: &Arc<dyn Clock>,
    ) -> Vec<Bell> {
        let reports_bell = Bell::default();
        let mut bells = vec![self.poster_bell.clone(), self.courier_bell.clone()];
        bells.push(reports_bell.clone());
        let asked = supervisor.stop.clone();
        let poster = Poster::new(self.name.clone(), ledger.clone(), self.provider.clone())
            .following(self.policies);
        // What is proven absent is sent again, and what is disproved may be told anew; what is
        // learned of a period has balances looked at, events sent first, and what is billed
        // compared.
        let next = bells.clone();
        let mut asides: Vec<Arc<dyn service::Service>> = vec![self.settler];
        if let Some(listener) = self.listener {
            asides.push(listener);
        }
        for aside in asides {
            let next = next.clone();
            let (name, bell) = (aside.name().to_owned(), Bell::default());
            bells.push(bell.clone());
            supervisor.step(name, aside, clock, bell, next);
        }
        let (stop, shared) = (asked.clone(), ledger.clone());
        let name = self.name.clone();
        let reporting =
            Reporting::new(name, self.reporter, shared, clock.clone(), self.reports, stop)
                .observed(self.invoices);
        let reporting: Arc<dyn service::Service> = Arc::new(reporting);
        let name = reporting.name().to_owned();
        supervisor.step(name, reporting, clock, reports_bell, Vec::new());
        let (bell, next) = (self.poster_bell, vec![self.courier_bell.clone()]);
        let name = format!("posting to {}", self.name);
        supervisor.step(name, Arc::new(poster), clock, bell, next);
        let (courier, bell) = (self.courier, self.courier_bell);
        let drain = Duration::from_secs(DRAIN_SECONDS_MAX);
        supervisor.start(format!("delivery to {}", self.name), |pulse| async move {
            courier.run(bell, asked, drain, pulse).await
        });
        bells
    }
}

/// A daemon that is ready to run.
pub struct Daemon {
    clock: Arc<dyn Clock>,
    ledger: Arc<SqliteLedger>,
    server: Server,
    rooms: Rooms,
    ready: watch::Sender<Readiness>,
    accruer: Arc<Accruer>,
    accrual_bell: Bell,
    spoolers: Vec<Spooler>,
    told: Vec<Told>,
    maintainer: Maintainer,
    watcher: Watcher,
    /// What the watcher says of the ledger, for the service manager.
    standing: watch::Receiver<String>,
    follower: Option<Follower>,
    supervisor: Supervisor,
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
        let now = clock.now();
        let who = format!("tallyd run (pid {}, since {now})", std::process::id());
        let ledger =
            Arc::new(SqliteLedger::open_fenced(&config.store, &config.fencing, &who, now).await?);
        ledger.keep_ballast(config.ballast_bytes).await;
        let recovered = ledger.recover_in_flight(now).await?;
        if recovered > 0 {
            tracing::warn!(count = recovered, "an earlier run ended in mid-send; these go first");
        }
        let metrics = Metrics::new();
        let (fatal, failed) = FatalBell::new();
        let told = providers(&config, &ledger, &clock, &metrics).await?;
        let prefixes: HashMap<ProviderName, &'static str> =
            told.iter().map(|told| (told.name.clone(), told.provider.account_prefix())).collect();
        let accruer = Accruer::adopt(ledger.clone(), config.routes, prefixes, now).await?;
        let accruer = accruer.widening(widened(&told)).keeping_whole(kept_whole(&config.stripe));
        let accrual_bell = Bell::default();
        let server = Server::bind(&config.web).await?;
        let (intake, bell) = (Arc::new(config.intake), accrual_bell.clone());
        let gate = Arc::new(Gate::new(ledger.clone(), intake, clock.clone(), bell, fatal));
        let (notice, noticed) = watch::channel(None);
        let (says, standing) = watch::channel(String::new());
        let bells = told.iter().flat_map(|told| [&told.poster_bell, &told.courier_bell]);
        let bells = bells.chain([&accrual_bell]).cloned().collect();
        let starting = Readiness::NotReady("starting".to_owned());
        let (ready, readiness) = watch::channel(starting);
        let spoolers = spoolers(config.spools, &gate, &ledger, &metrics);
        let rooms = Rooms {
            gate,
            corrections: ledger.clone(),
            rejected: ledger.clone(),
            ledger: ledger.clone(),
            metrics: metrics.clone(),
            readiness,
            providers: told.iter().map(|told| told.name.clone()).collect(),
            accrual: accrual_bell.clone(),
            holds: Holds { ledger: ledger.clone(), bells, notice: noticed },
            reports: ledger.clone(),
            webhooks: Webhooks { readers: notice_readers(&told), ledger: ledger.clone() },
        };
        let shared: Arc<dyn Ledger> = ledger.clone();
        Ok(Self {
            clock,
            ledger,
            server,
            rooms,
            ready,
            accruer: Arc::new(accruer),
            accrual_bell,
            spoolers,
            told,
            maintainer: Maintainer::new(shared.clone(), config.maintenance, config.ballast_bytes),
            watcher: Watcher::new(shared, metrics, config.held_alarm_basis_points, notice, says),
            standing,
            follower,
            supervisor: Supervisor::new(failed),
        })
    }

    /// Where HTTP is served.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.server.address()
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
        let Self { clock, ledger, server, rooms, ready, told, mut supervisor, .. } = self;
        let asked = supervisor.stop.clone();
        let closing = asked.clone();
        supervisor.start("the listeners", |pulse| async move {
            pulse.serving(server.run(rooms, closing)).await;
            Ok(())
        });
        let mut bells = vec![self.accrual_bell.clone()];
        let posters: Vec<Bell> = told.iter().map(|told| told.poster_bell.clone()).collect();
        supervisor.step("accrual", self.accruer, &clock, self.accrual_bell, posters);
        for told in told {
            bells.extend(told.start(&mut supervisor, &ledger, &clock));
        }
        let mut asides: Vec<Arc<dyn service::Service>> =
            vec![Arc::new(self.maintainer), Arc::new(self.watcher)];
        for spooler in self.spoolers {
            asides.push(Arc::new(spooler));
        }
        for aside in asides {
            let (name, bell) = (aside.name().to_owned(), Bell::default());
            bells.push(bell.clone());
            supervisor.step(name, aside, &clock, bell, Vec::new());
        }
        if let Some(follower) = self.follower {
            // What sleeps until a time may have slept past it: all are rung after a move.
            let follower: Arc<dyn service::Service> = Arc::new(follower);
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
        if let (Ok(()), Some(ledger)) = (&ended, Arc::into_inner(ledger)) {
            ledger.close().await;
        }
        ended
    }
}

/// Who reads each directory.
fn spoolers(
    spools: Vec<spool::Settings>,
    gate: &Arc<Gate>,
    ledger: &Arc<SqliteLedger>,
    metrics: &Metrics,
) -> Vec<Spooler> {
    let spooler = |settings| {
        let metrics = metrics.clone();
        let count = move |verdicts: &Verdicts| usage::count(&metrics, verdicts);
        Spooler::new(settings, gate.clone(), ledger.clone(), Arc::new(count))
    };
    spools.into_iter().map(spooler).collect()
}

/// Who reads the webhooks of the providers that take any.
fn notice_readers(told: &[Told]) -> Vec<(ProviderName, Arc<dyn NoticeReader>)> {
    let reader = |told: &Told| Some((told.name.clone(), told.provider.notice_reader()?));
    told.iter().filter_map(reader).collect()
}

/// Makes each provider instance with its courier; it starts with what the ledger knows of its
/// meters.
async fn providers(
    config: &Config,
    ledger: &Arc<SqliteLedger>,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> Result<Vec<Told>, StartError> {
    let mut told = Vec::new();
    for instance in instances(config)? {
        let name = instance.name().clone();
        let Instance {
            provider,
            billing,
            documents: _,
            delivery,
            reconcile,
            reports,
            widened_from,
        } = instance;
        provider.adopt_meters(ledger.provider_facts(&name).await?.meters);
        let observed = (metrics.clone(), name.clone());
        let courier = Courier::new(
            delivery,
            ledger.clone(),
            provider.clone(),
            clock.clone(),
            Arc::new(move |outcome| observed.0.answer(&observed.1, outcome)),
        );
        let observed = (metrics.clone(), name.clone());
        let settler = Settler::new(
            reconcile.clone(),
            ledger.clone(),
            provider.clone(),
            Arc::new(move |finding| observed.0.finding(&observed.1, finding)),
        );
        let listener = billing.map(|reader| {
            let (ledger, provider) = (ledger.clone(), provider.clone());
            Arc::new(Listener::new(reconcile.clone(), ledger, provider, reader))
        });
        let reporter = Reporter::new(reconcile, ledger.clone(), provider.clone(), clock.clone());
        let observed = (metrics.clone(), name.clone());
        let invoices: reporting::Observer =
            Arc::new(move |agreement| observed.0.invoice(&observed.1, agreement));
        let poster_bell = Bell::default();
        let policies = policies_by_meter(&config.routes, &name);
        told.push(Told {
            name,
            provider,
            courier: Arc::new(courier.ringing(poster_bell.clone())),
            reporter,
            reports,
            invoices,
            settler: Arc::new(settler),
            listener,
            poster_bell,
            courier_bell: Bell::default(),
            policies,
            widened_from,
        });
    }
    Ok(told)
}

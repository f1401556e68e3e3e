//! A server to measure. Here: the daemon's own listener and intake on a runtime of their own, over
//! a ledger on the disk or over none. Never here: a measurement.

use std::collections::HashMap;
use std::future::pending;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use tallyd::clock::{Clock, SystemClock};
use tallyd::domain::names::SourceName;
use tallyd::domain::record::Position;
use tallyd::domain::time::Timestamp;
use tallyd::intake;
use tallyd::intake::gate::Gate;
use tallyd::ledger::LedgerError;
use tallyd::ledger::intake::{Admission, Admitted, IntakeLedger, Rejected};
use tallyd::service::changing::Changing;
use tallyd::service::{Bell, FatalBell};
use tallyd::store::sqlite::SqliteLedger;
use tallyd::store::{self, CACHE_KIB};
use tallyd::telemetry::metrics::Metrics;
use tallyd::usage::desk::Desk;
use tallyd::web;
use tallyd::web::app::{Readiness, Rooms};
use tallyd::web::holds::Holds;
use tallyd::web::server::Server;
use tallyd::web::webhooks::Webhooks;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::records::{SOURCE, TOKEN};

/// A folder on the disk that the build is on: the temporary one may be memory.
pub(crate) fn folder() -> anyhow::Result<TempDir> {
    Ok(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?)
}

/// Opens the ledger in `folder`, as the daemon does.
pub(crate) async fn open(folder: &Path) -> anyhow::Result<SqliteLedger> {
    let settings = store::Settings { path: folder.join("ledger"), cache_kib: CACHE_KIB };
    Ok(SqliteLedger::open(&settings, "a benchmark", SystemClock.now()).await?)
}

/// What is behind the server's intake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// The ledger.
    Store,
    /// Nothing: every record is accepted at once.
    Nothing,
}

/// A running server.
pub(crate) struct Stand {
    runtime: Runtime,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    ledger: Arc<SqliteLedger>,
    _folder: TempDir,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Stand {
    /// Starts a server over a fresh ledger.
    pub(crate) fn start(behind: Behind) -> anyhow::Result<Self> {
        let folder = folder()?;
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (ledger, address) = runtime.block_on(async {
            let ledger = Arc::new(open(folder.path()).await?);
            let journal: Arc<dyn IntakeLedger> = match behind {
                Behind::Store => ledger.clone(),
                Behind::Nothing => Arc::new(Nothing::default()),
            };
            let (fatal, mut failed) = FatalBell::new();
            let settings = Arc::new(intake::Settings::default());
            let clock = Arc::new(SystemClock);
            let gate = Gate::new(journal, settings, clock, Bell::default(), fatal);
            let (ready, readiness) = watch::channel(Readiness::Ready);
            let rooms = Rooms {
                gate: Arc::new(gate),
                corrections: ledger.clone(),
                rejected: ledger.clone(),
                remaps: ledger.clone(),
                exports: ledger.clone(),
                ledger: ledger.clone(),
                usage: Arc::new(Desk::new(ledger.clone(), vec![], vec![], HashMap::new())),
                planship: None,
                metrics: Metrics::new(),
                readiness,
                providers: Vec::new(),
                accrual: Bell::default(),
                holds: Holds {
                    ledger: ledger.clone(),
                    bells: Vec::new(),
                    notice: watch::channel(None).1,
                },
                reports: ledger.clone(),
                webhooks: Webhooks {
                    readers: Arc::new(Changing::new(Vec::new())),
                    ledger: ledger.clone(),
                },
            };
            let server = Server::bind(&web_settings(folder.path())?).await?;
            let address = server.address();
            tasks.spawn(server.run(rooms, stop.clone()));
            tasks.spawn(async move {
                // The server must find someone who listens, as in the daemon.
                let _ready = ready;
                failed.recv().await;
                pending::<()>().await;
            });
            anyhow::Ok((ledger, address))
        })?;
        Ok(Self { runtime, stop, tasks, ledger, _folder: folder, address })
    }

    /// Stops it, and answers how many records its ledger holds.
    pub(crate) fn end(self) -> anyhow::Result<usize> {
        let Self { runtime, stop, mut tasks, ledger, .. } = self;
        runtime.block_on(async {
            use tallyd::ledger::operator::OperatorLedger;
            let records = ledger.status().await?.records;
            stop.cancel();
            tasks.join_next().await;
            tasks.shutdown().await;
            if let Some(ledger) = Arc::into_inner(ledger) {
                ledger.close().await;
            }
            Ok(usize::try_from(records)?)
        })
    }
}

fn web_settings(folder: &Path) -> anyhow::Result<web::Settings> {
    let sources = vec![SourceName::new(SOURCE)?];
    Ok(web::Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        operator_socket: folder.join("socket"),
        tokens: vec![web::Token { secret: TOKEN.into(), sources }],
        head_millis_max: web::HEAD_SECONDS_MAX * 1_000,
        request_millis_max: web::REQUEST_SECONDS_MAX * 1_000,
        idle_millis_max: web::IDLE_SECONDS_MAX * 1_000,
        connections_max: web::CONNECTIONS_MAX,
    })
}

/// A journal that forgets.
#[derive(Debug, Default)]
struct Nothing(AtomicI64);

#[async_trait]
impl IntakeLedger for Nothing {
    async fn accept(
        &self,
        records: Vec<Admitted>,
        _rejected: Vec<Rejected>,
        _now: Timestamp,
    ) -> Result<Vec<Admission>, LedgerError> {
        let position = |_| Position(self.0.fetch_add(1, Ordering::Relaxed));
        Ok(records.iter().map(position).map(Admission::Accepted).collect())
    }

    fn free_bytes(&self) -> Result<u64, LedgerError> {
        Ok(u64::MAX)
    }
}

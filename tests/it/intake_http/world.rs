//! A running server on loopback, over a small honest model of a ledger.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tallyd::clock::ManualClock;
use tallyd::domain::correction::{Correction, CorrectionId, Effect, Standing, apply, fold};
use tallyd::domain::digest::Digest;
use tallyd::domain::entries::EntriesTold;
use tallyd::domain::names::{AccountName, CustomerName, ProviderName, RecordId, SourceName};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::record::{Position, identity};
use tallyd::domain::time::Timestamp;
use tallyd::intake;
use tallyd::intake::gate::Gate;
use tallyd::ledger::LedgerError;
use tallyd::ledger::intake::{
    Admission, Admitted, CorrectionAdmission, CorrectionLedger, IntakeLedger, Rejected,
};
use tallyd::ledger::notices::Arrival;
use tallyd::ledger::operator::{
    BookFilter, BookLine, HeldItem, OperatorLedger, ParkedGroup, Status, Trace, TraceCorrection,
    TraceEvent, TraceRecord,
};
use tallyd::ledger::reconcile::{Comparison, Concluded};
use tallyd::ledger::report::Run;
use tallyd::service::changing::Changing;
use tallyd::service::{Bell, FatalBell};
use tallyd::telemetry::metrics::Metrics;
use tallyd::web;
use tallyd::web::app::{Readiness, Rooms};
use tallyd::web::holds::Holds;
use tallyd::web::reconcile::Reports;
use tallyd::web::server::Server;
use tallyd::web::webhooks::Webhooks;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The instant it is in every test.
pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_770_000_000);

/// What the next calls to the ledger meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    Fair,
    /// Calls wait until it is fair again.
    Slow,
    Full,
    Busy,
    Broken,
}

/// A ledger in memory: what is booked is booked once, by identity.
pub(super) struct Model {
    pub(super) booked: Mutex<HashMap<Digest, (Digest, Position)>>,
    pub(super) rejected: Mutex<Vec<Rejected>>,
    /// What each record was booked with.
    quantities: Mutex<HashMap<Digest, Quantity>>,
    pub(super) corrections: Mutex<Vec<Correction>>,
    pub(super) notices: Mutex<Vec<Arrival>>,
    pub(super) accounts: Mutex<Vec<(ProviderName, CustomerName, AccountName)>>,
    pub(super) free: AtomicU64,
    pub(super) weather: watch::Sender<Weather>,
    /// Counts the calls that arrived.
    pub(super) calls: watch::Sender<u64>,
}

impl Model {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            booked: Mutex::default(),
            rejected: Mutex::default(),
            quantities: Mutex::default(),
            corrections: Mutex::default(),
            notices: Mutex::default(),
            accounts: Mutex::default(),
            free: AtomicU64::new(u64::MAX),
            weather: watch::Sender::new(Weather::Fair),
            calls: watch::Sender::new(0),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.booked.lock().unwrap().len()
    }

    pub(super) fn book(&self, record: &Admitted) -> Admission {
        let mut booked = self.booked.lock().unwrap();
        let next = Position(i64::try_from(booked.len()).unwrap() + 1);
        let (content, position) = *booked.entry(record.identity).or_insert((record.content, next));
        if position == next {
            let quantity = record.record.quantity.clone();
            self.quantities.lock().unwrap().insert(record.identity, quantity);
            Admission::Accepted(position)
        } else if content == record.content {
            Admission::Duplicate(position)
        } else {
            Admission::Conflict(position)
        }
    }
}

impl Model {
    /// What a record counts with, if it has come, and its corrections with what each came to.
    fn life(&self, wanted: &Digest) -> (Option<Standing>, Vec<(Correction, Option<Effect>)>) {
        let corrections = self.corrections.lock().unwrap();
        let own: Vec<&Correction> =
            corrections.iter().filter(|each| each.identity() == *wanted).collect();
        let quantities = self.quantities.lock().unwrap();
        let Some(quantity) = quantities.get(wanted) else {
            return (None, own.into_iter().map(|each| (each.clone(), None)).collect());
        };
        let (effects, standing) = fold(quantity, own.iter().map(|each| &each.change));
        let effects = effects.into_iter().map(Some);
        (Some(standing), own.into_iter().cloned().zip(effects).collect())
    }

    fn judge(&self, correction: Correction) -> CorrectionAdmission {
        let (standing, own) = self.life(&correction.identity());
        if let Some((known, _)) = own.iter().find(|(each, _)| each.name == correction.name) {
            return match known.change == correction.change {
                true => CorrectionAdmission::Duplicate(standing),
                false => CorrectionAdmission::Conflict(standing),
            };
        }
        let standing = match standing.as_ref().map(|present| apply(present, &correction.change)) {
            Some((Effect::Stale(present), _)) => return CorrectionAdmission::Stale(present),
            Some((Effect::Idle, _)) => return CorrectionAdmission::Duplicate(standing),
            Some((Effect::Applied(..), next)) => Some(next),
            None => None,
        };
        let mut corrections = self.corrections.lock().unwrap();
        corrections.push(correction);
        let id = CorrectionId(i64::try_from(corrections.len()).unwrap());
        CorrectionAdmission::Accepted { id, standing }
    }
}

#[async_trait]
impl CorrectionLedger for Model {
    async fn correct(
        &self,
        corrections: Vec<Correction>,
        _now: Timestamp,
    ) -> Result<Vec<CorrectionAdmission>, LedgerError> {
        self.calls.send_modify(|calls| *calls += 1);
        let weather = *self.weather.borrow();
        match weather {
            Weather::Full => return Err(LedgerError::Full("disk full".into())),
            Weather::Busy => return Err(LedgerError::Busy("locked".into())),
            Weather::Broken => return Err(LedgerError::Broken("input/output error".into())),
            Weather::Fair | Weather::Slow => {}
        }
        Ok(corrections.into_iter().map(|correction| self.judge(correction)).collect())
    }
}

impl Model {
    /// Counts the call, and fails as the weather has it; where that is slow, once it is not.
    pub(super) async fn meet_weather(&self) -> Result<(), LedgerError> {
        self.calls.send_modify(|calls| *calls += 1);
        let mut weather = self.weather.subscribe();
        let weather = *weather.wait_for(|weather| *weather != Weather::Slow).await.unwrap();
        match weather {
            Weather::Full => Err(LedgerError::Full("disk full".into())),
            Weather::Busy => Err(LedgerError::Busy("locked".into())),
            Weather::Broken => Err(LedgerError::Broken("input/output error".into())),
            Weather::Fair | Weather::Slow => Ok(()),
        }
    }
}

#[async_trait]
impl IntakeLedger for Model {
    async fn accept(
        &self,
        records: Vec<Admitted>,
        rejected: Vec<Rejected>,
        _now: Timestamp,
    ) -> Result<Vec<Admission>, LedgerError> {
        self.meet_weather().await?;
        self.rejected.lock().unwrap().extend(rejected);
        Ok(records.iter().map(|record| self.book(record)).collect())
    }

    fn free_bytes(&self) -> Result<u64, LedgerError> {
        Ok(self.free.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl Reports for Model {
    async fn count(&self, _: &ProviderName, _: u32, _: Timestamp) -> Result<(), LedgerError> {
        Ok(())
    }
    async fn keep(&self, _: &Run) -> Result<i64, LedgerError> {
        Ok(1)
    }
    async fn conclude(&self, _: Comparison, _: Timestamp) -> Result<Concluded, LedgerError> {
        Ok(Concluded::default())
    }
}

#[async_trait]
impl OperatorLedger for Model {
    async fn status(&self) -> Result<Status, LedgerError> {
        let records = i64::try_from(self.len()).unwrap();
        Ok(Status { ledger_id: "model".to_owned(), records, ..Status::default() })
    }
    async fn entries_told(
        &self,
        _: &ProviderName,
        _: Timestamp,
    ) -> Result<Vec<EntriesTold>, LedgerError> {
        Ok(Vec::new())
    }
    async fn books(&self, _: &BookFilter) -> Result<Vec<BookLine>, LedgerError> {
        Ok(Vec::new())
    }
    async fn trace(
        &self,
        source: &SourceName,
        id: &RecordId,
    ) -> Result<Option<Trace>, LedgerError> {
        let (standing, own) = self.life(&identity(source, id));
        let corrections = (1..).zip(own).map(|(number, (each, effect))| TraceCorrection {
            id: number,
            name: each.name.to_string(),
            change: each.change,
            effect,
            reason: each.reason,
            who: each.who,
            recorded_at: NOW,
        });
        let trace = Trace {
            source: source.clone(),
            id: id.clone(),
            archived: None,
            record: standing.is_some().then(|| TraceRecord {
                position: 1,
                fields: vec![("id", id.to_string()), ("properties", "{\"a\":1}".to_owned())],
                recorded_at: NOW,
            }),
            standing,
            corrections: corrections.collect(),
            conflicts: Vec::new(),
            parked: Vec::new(),
            bookings: Vec::new(),
        };
        Ok(Some(trace).filter(|trace| trace.record.is_some() || !trace.corrections.is_empty()))
    }
    async fn held(&self, _: u32) -> Result<Vec<HeldItem>, LedgerError> {
        Ok(Vec::new())
    }
    async fn event(&self, _: i64) -> Result<Option<TraceEvent>, LedgerError> {
        let weather = *self.weather.borrow();
        match weather {
            Weather::Busy => Err(LedgerError::Busy("locked".into())),
            Weather::Fair | Weather::Slow | Weather::Full | Weather::Broken => Ok(None),
        }
    }
    async fn keep_ballast(&self, _: u64) {}
    async fn parked(&self) -> Result<Vec<ParkedGroup>, LedgerError> {
        Ok(Vec::new())
    }
    async fn import_accounts(
        &self,
        provider: &ProviderName,
        accounts: &[(CustomerName, AccountName)],
        _now: Timestamp,
    ) -> Result<u64, LedgerError> {
        let rows = accounts
            .iter()
            .map(|(customer, account)| (provider.clone(), customer.clone(), account.clone()));
        self.accounts.lock().unwrap().extend(rows);
        Ok(u64::try_from(accounts.len()).unwrap())
    }
    async fn verify(&self) -> Result<tallyd::ledger::verification::Verification, LedgerError> {
        Ok(Default::default())
    }
    async fn maintain(&self) -> Result<(), LedgerError> {
        Ok(())
    }
}

/// A server, what is behind it, and the task it runs in.
pub(super) struct World {
    pub(super) ledger: Arc<Model>,
    pub(super) accrual: Bell,
    pub(super) readiness: watch::Sender<Readiness>,
    pub(super) notice: watch::Sender<Option<String>>,
    pub(super) fatal: mpsc::Receiver<LedgerError>,
    pub(super) address: std::net::SocketAddr,
    pub(super) socket: std::path::PathBuf,
    pub(super) stop: CancellationToken,
    pub(super) tasks: JoinSet<()>,
    _directory: tempfile::TempDir,
}

/// Settings that no test but one about time or bounds runs into.
pub(super) fn usual() -> (intake::Settings, web::Settings) {
    let token = |secret: &str, names: &[&str]| web::Token {
        secret: secret.into(),
        sources: names.iter().map(|name| SourceName::new(name).unwrap()).collect(),
    };
    let web = web::Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        operator_socket: std::path::PathBuf::new(),
        tokens: vec![token("one", &["api"]), token("two", &["api", "batch"])],
        head_millis_max: 60_000,
        request_millis_max: 60_000,
        idle_millis_max: 60_000,
        connections_max: 16,
    };
    (intake::Settings::default(), web)
}

impl World {
    pub(super) async fn new() -> Self {
        let (intake, web) = usual();
        Self::with(intake, web).await
    }

    pub(super) async fn with(intake: intake::Settings, mut web: web::Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("operator.sock");
        web.operator_socket.clone_from(&socket);
        let ledger = Model::new();
        let accrual = Bell::default();
        let (fatal_bell, fatal) = FatalBell::new();
        let clock = Arc::new(ManualClock::new(NOW));
        let gate = Gate::new(ledger.clone(), Arc::new(intake), clock, accrual.clone(), fatal_bell);
        let (readiness, ready) = watch::channel(Readiness::Ready);
        let (notice, noticed) = watch::channel(None);
        let readers = Arc::new(Changing::new(super::webhooks::readers()));
        let rooms = Rooms {
            gate: Arc::new(gate),
            corrections: ledger.clone(),
            rejected: ledger.clone(),
            remaps: ledger.clone(),
            exports: ledger.clone(),
            ledger: ledger.clone(),
            usage: super::levers::desk(&ledger),
            planship: None,
            metrics: Metrics::new(),
            readiness: ready,
            providers: vec![ProviderName::new("stripe.main").unwrap()],
            accrual: accrual.clone(),
            holds: Holds { ledger: ledger.clone(), bells: Vec::new(), notice: noticed },
            reports: ledger.clone(),
            webhooks: Webhooks { readers, ledger: ledger.clone() },
        };
        let server = Server::bind(&web).await.unwrap();
        let (address, stop) = (server.address(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(server.run(rooms, stop.clone()));
        Self {
            ledger,
            accrual,
            readiness,
            notice,
            fatal,
            address,
            socket,
            stop,
            tasks,
            _directory: directory,
        }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends usage with the first token.
    pub(super) async fn post(&self, body: &str) -> Answer {
        let head = post_head("one", body.len());
        exchange(&mut self.connect().await, &[head.as_bytes(), body.as_bytes()].concat()).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        exchange(&mut self.connect().await, get(path).as_bytes()).await
    }

    /// Waits until a call has reached the ledger.
    pub(super) async fn called(&self) {
        self.ledger.calls.subscribe().wait_for(|calls| *calls == 1).await.unwrap();
    }

    /// Stops the server and waits until it has.
    pub(super) async fn end(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

pub(super) fn post_head(token: &str, length: usize) -> String {
    format!(
        "POST /v1/usage HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {length}\r\n\r\n"
    )
}

pub(super) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n")
}

/// A good record with this id, of this quantity.
pub(super) fn record(id: impl std::fmt::Display, quantity: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"customer\":\"acme\",\"meter\":\"requests\",\"quantity\":{quantity},\
         \"time\":\"2026-01-31T23:59:59Z\"}}"
    )
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Status and error code.
    pub(super) fn error(&self) -> (u16, String) {
        (self.status, self.json()["error"]["code"].as_str().unwrap().to_owned())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

pub(super) async fn exchange<S>(stream: &mut S, request: &[u8]) -> Answer
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(request).await.unwrap();
    answer(stream).await
}

/// What has to happen soon: a test that waits for nothing fails instead of hanging.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    let patience = std::time::Duration::from_secs(30);
    tokio::time::timeout(patience, future).await.expect("this never happens")
}

/// Reads one answer.
pub(super) async fn answer<S: AsyncRead + Unpin>(stream: &mut S) -> Answer {
    soon(read_answer(stream)).await
}

async fn read_answer<S: AsyncRead + Unpin>(stream: &mut S) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut answer = Answer { status, head, body: String::new() };
    let length: usize = answer.header("content-length").unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    answer.body = String::from_utf8(body).unwrap();
    answer
}

/// Waits until the server closes the connection; what it said before.
pub(super) async fn closing<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut said = Vec::new();
    // A reset is an end, too.
    let _ended = soon(stream.read_to_end(&mut said)).await;
    String::from_utf8(said).unwrap()
}

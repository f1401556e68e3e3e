//! The watchdog at its edge: real loops, a real socket, and parts that are stuck on purpose.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use tallyd::clock::SystemClock;
use tallyd::daemon::notify::ServiceHost;
use tallyd::daemon::watchdog::{Watchdog, keep_informed};
use tallyd::domain::time::Timestamp;
use tallyd::service::pulse::Pulses;
use tallyd::service::{self, Bell, Service, Step, StepError};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::daemon::until;
use crate::support::service_host::Listening;

/// How long a part here may wait for one thing.
const BOUND: Duration = Duration::from_millis(50);
/// A bound that no part here comes near.
const FAR: Duration = Duration::from_secs(600);

/// How a part is stuck.
enum Stuck {
    /// It waits for what does not come.
    Waiting(Arc<Notify>),
    /// It holds its thread.
    Blocking(Mutex<mpsc::Receiver<()>>),
}

/// A service whose second step is stuck until it is let go, and that steps on without a rest else.
struct Part {
    steps: AtomicU64,
    stuck: Stuck,
}

#[async_trait]
impl Service for Part {
    fn name(&self) -> &str {
        "stuck"
    }

    async fn run_once(&self, _now: Timestamp) -> Result<Step, StepError> {
        if self.steps.fetch_add(1, Ordering::SeqCst) == 1 {
            match &self.stuck {
                Stuck::Waiting(until) => until.notified().await,
                Stuck::Blocking(until) => until.lock().unwrap().recv().unwrap(),
            }
        }
        Ok(Step { more: true, ..Step::default() })
    }
}

/// A service that has nothing to do.
struct Idle;

#[async_trait]
impl Service for Idle {
    fn name(&self) -> &str {
        "idle"
    }

    async fn run_once(&self, _now: Timestamp) -> Result<Step, StepError> {
        Ok(Step::default())
    }
}

/// What a service manager at `socket` says, with more.
fn host(socket: &str, more: &[(&str, &str)]) -> Result<ServiceHost, String> {
    let said: HashMap<&str, &str> =
        more.iter().copied().chain([("NOTIFY_SOCKET", socket)]).collect();
    let environment = |name: &str| said.get(name).map(OsString::from);
    ServiceHost::of(&environment, 7).map_err(|error| error.to_string())
}

/// Runs both services; looks until the watchdog holds its ping, and that it holds it until
/// `let_go` was called.
async fn held_while_stuck(stuck: Stuck, let_go: impl FnOnce()) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let mut systemd = Listening::at(&path);
    let host = host(path.to_str().unwrap(), &[]).unwrap();
    let (pulses, stop, mut tasks) = (Pulses::default(), CancellationToken::new(), JoinSet::new());
    let part = Arc::new(Part { steps: AtomicU64::new(0), stuck });
    let parts: [(Arc<dyn Service>, Duration); 2] = [(part.clone(), BOUND), (Arc::new(Idle), FAR)];
    for (part, bound) in parts {
        let pulse = pulses.of(part.name(), bound, Instant::now());
        let (clock, bell) = (Arc::new(SystemClock), Bell::default());
        tasks.spawn(service::run(part, clock, bell, Vec::new(), stop.clone(), pulse));
    }
    let mut watchdog = Watchdog::default();
    until("holding the ping", async || {
        let steps = part.steps.load(Ordering::SeqCst);
        let pinged = watchdog.look(&host, &pulses, Instant::now());
        if steps == 2 && !pinged { Ok(()) } else { Err(format!("{steps} steps, {pinged}")) }
    })
    .await;
    let late: Vec<String> = pulses.late(Instant::now()).into_iter().map(|late| late.part).collect();
    assert_eq!(late, ["stuck"]);
    let pings = systemd.pings();
    for seconds in 1..100 {
        assert!(!watchdog.look(&host, &pulses, Instant::now() + Duration::from_secs(seconds)));
    }
    assert_eq!(systemd.pings(), pings, "a stuck part was pinged for");

    let_go();
    until("pinging again", async || {
        let late = pulses.late(Instant::now());
        if watchdog.look(&host, &pulses, Instant::now()) {
            Ok(())
        } else {
            Err(format!("{late:?}"))
        }
    })
    .await;
    assert_eq!(systemd.pings(), pings + 1);
    // Its end is none to be late for.
    stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_part_that_waits_for_what_does_not_come_stops_the_pings() {
    let until = Arc::new(Notify::new());
    held_while_stuck(Stuck::Waiting(until.clone()), move || until.notify_one()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_part_that_holds_its_thread_stops_the_pings() {
    let (let_go, until) = mpsc::channel();
    held_while_stuck(Stuck::Blocking(Mutex::new(until)), move || let_go.send(()).unwrap()).await;
}

#[tokio::test]
async fn a_part_that_serves_callers_beats_while_nobody_calls_and_not_once_it_has_ended() {
    let pulses = Pulses::default();
    let start = Instant::now();
    let pulse = pulses.of("listeners", BOUND, start);
    let calls = Notify::new();
    let serving = pulse.serving(calls.notified());
    tokio::pin!(serving);
    assert!(futures_util::poll!(serving.as_mut()).is_pending());
    assert_eq!(pulses.late(start + BOUND), []);
    calls.notify_one();
    serving.await;
    assert_eq!(pulses.late(Instant::now() + FAR).len(), 1);
    pulse.end();
    assert_eq!(pulses.late(Instant::now() + FAR), []);
}

#[tokio::test]
async fn the_standing_is_told_in_one_line_and_pings_come_twice_in_their_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let mut systemd = Listening::at(&path);
    let host = host(path.to_str().unwrap(), &[("WATCHDOG_USEC", "20000")]).unwrap();
    assert_eq!(host.ping_within(), Some(Duration::from_millis(20)));
    let (says, standing) = watch::channel(String::new());
    let pulses = Pulses::default();
    let hearing = async {
        says.send_replace("one\nREADY=1\u{0}".to_owned());
        systemd.hears("the standing", |word| word == "STATUS=one READY=1 ").await;
        until("three pings", async || {
            let pings = systemd.pings();
            if pings >= 3 { Ok(()) } else { Err(pings.to_string()) }
        })
        .await;
        // Nothing more is said of it once nobody watches the ledger: the pings go on.
        drop(says);
        let before = systemd.pings();
        until("further pings", async || {
            let pings = systemd.pings();
            if pings > before { Ok(()) } else { Err(pings.to_string()) }
        })
        .await;
    };
    tokio::select! {
        () = keep_informed(&host, &pulses, standing) => panic!("it ended"),
        () = hearing => {}
    }
}

#[test]
fn what_systemd_asks_for_is_read_or_refused_by_its_name() {
    let nobody = ServiceHost::of(&|_| None, 7).unwrap();
    assert_eq!(nobody.ping_within(), None);
    // Without a socket there is nobody to ping.
    let deaf = |name: &str| (name == "WATCHDOG_USEC").then(|| OsString::from("5"));
    assert_eq!(ServiceHost::of(&deaf, 7).unwrap().ping_within(), None);
    let within = |more: &[(&str, &str)]| host("/run/x", more).unwrap().ping_within();
    let second = Some(Duration::from_secs(1));
    assert_eq!(within(&[]), None);
    assert_eq!(within(&[("WATCHDOG_USEC", "1000000")]), second);
    assert_eq!(within(&[("WATCHDOG_USEC", "1000000"), ("WATCHDOG_PID", "7")]), second);
    assert_eq!(within(&[("WATCHDOG_USEC", "1000000"), ("WATCHDOG_PID", "8")]), None);
    for address in ["run/notify", "vsock:2:1", "@"] {
        let why = host(address, &[]).unwrap_err();
        assert!(why.contains("NOTIFY_SOCKET") && why.contains(address), "{why}");
    }
    let long = format!("/{}", "x".repeat(200));
    assert!(host(&long, &[]).is_err());
    for value in ["soon", "0", "-1", "1.5"] {
        let why = host("/run/x", &[("WATCHDOG_USEC", value)]).unwrap_err();
        assert!(why.contains("WATCHDOG_USEC") && why.contains(value), "{why}");
    }
}

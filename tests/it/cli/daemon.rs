//! Commands beside a daemon: they find it by the ledger's lock, and ask it over its socket.

use std::collections::HashMap;
use std::sync::Arc;

use tallyd::clock::SystemClock;
use tallyd::intake;
use tallyd::intake::gate::Gate;
use tallyd::service::changing::Changing;
use tallyd::service::{Bell, FatalBell};
use tallyd::store::sqlite::SqliteLedger;
use tallyd::telemetry::metrics::Metrics;
use tallyd::usage::desk::Desk;
use tallyd::web;
use tallyd::web::app::{Readiness, Rooms};
use tallyd::web::holds::Holds;
use tallyd::web::server::Server;
use tallyd::web::webhooks::Webhooks;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{CONFIG, Place, Ran};
use crate::support::journey::provider_name;

/// The listeners of a daemon over the place's ledger.
pub(super) struct Daemon {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Daemon {
    pub(super) async fn start(place: &Place, intake: intake::Settings) -> Self {
        let path = place.path("tallyd.ledger");
        let store = tallyd::store::Settings { path: path.clone(), cache_kib: 2_048 };
        let now = tallyd::domain::time::Timestamp::from_seconds(1_577_836_800);
        let ledger = SqliteLedger::open(&store, "tallyd run (pid 7)", now).await.unwrap();
        let ledger = Arc::new(ledger);
        // The test ends when the ledger fails, as its answers are awaited.
        let (fatal, _) = FatalBell::new();
        let accrual = Bell::default();
        let clock = Arc::new(SystemClock);
        let gate = Gate::new(ledger.clone(), Arc::new(intake), clock, accrual.clone(), fatal);
        let settings = web::Settings {
            listen: "127.0.0.1:0".parse().unwrap(),
            operator_socket: path.with_added_extension("sock"),
            tokens: Vec::new(),
            head_millis_max: 60_000,
            request_millis_max: 60_000,
            idle_millis_max: 60_000,
            connections_max: 16,
        };
        let server = Server::bind(&settings).await.unwrap();
        let (_, readiness) = watch::channel(Readiness::Ready);
        let rooms = Rooms {
            gate: Arc::new(gate),
            corrections: ledger.clone(),
            rejected: ledger.clone(),
            remaps: ledger.clone(),
            exports: ledger.clone(),
            ledger: ledger.clone(),
            usage: Arc::new(Desk::new(ledger.clone(), Vec::new(), Vec::new(), HashMap::new())),
            planship: None,
            metrics: Metrics::new(),
            readiness,
            providers: vec![provider_name()],
            accrual,
            holds: Holds {
                ledger: ledger.clone(),
                bells: Vec::new(),
                notice: watch::channel(None).1,
            },
            reports: ledger.clone(),
            webhooks: Webhooks { readers: Arc::new(Changing::new(Vec::new())), ledger },
        };
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(server.run(rooms, stop.clone()));
        Self { stop, tasks }
    }

    pub(super) async fn end(mut self) {
        self.stop.cancel();
        while let Some(done) = self.tasks.join_next().await {
            done.unwrap();
        }
    }
}

/// Runs `tallyd LINE` while the daemon answers.
async fn run(place: &Place, line: &str) -> Ran {
    Ran::of(tokio::process::Command::from(place.command(line)).output().await.unwrap())
}

/// `count` records and a line that is none, in the middle.
fn lines(count: usize) -> String {
    let line = |id: usize| {
        format!(
            "{{\"id\":\"r{id}\",\"customer\":\"cus_1\",\"meter\":\"requests\",\"quantity\":\"1\",\
             \"time\":\"2020-01-01T00:00:00Z\"}}\n"
        )
    };
    let (first, second): (Vec<usize>, Vec<usize>) = (0..count).partition(|id| id * 2 < count);
    let text = |ids: Vec<usize>| ids.into_iter().map(line).collect::<String>();
    format!("{}\nno record\n{}", text(first), text(second))
}

#[tokio::test]
async fn an_import_beside_a_daemon_goes_through_it() {
    let place = Place::new();
    // So small that a batch takes several requests.
    place.put(
        "tallyd.toml",
        &format!(
            "{CONFIG}\n[intake]\nbody_bytes_max = 2000\n\
        record_bytes_max = 1000\n"
        ),
    );
    let settings = intake::Settings { body_bytes_max: 2_000, ..intake::Settings::default() };
    let daemon = Daemon::start(&place, settings).await;
    place.put("a.ndjson", &lines(50));
    let ran = run(&place, "import a.ndjson --source web").await;
    insta::assert_snapshot!(ran.whole(), @r"
    exit 1
    accepted    50
    duplicates   0
    conflicts    0
    rejected     1

    a.ndjson:27 record is not a JSON object
    ");
    place.put(
        "b.ndjson",
        &lines(50).replace(
            "\"id\":\"r30\",\"customer\":\"cus_1\"",
            "\"id\":\"r30\",\"customer\":\"cus_2\"",
        ),
    );
    let ran = run(&place, "import b.ndjson --source web").await;
    insta::assert_snapshot!(ran.whole(), @r"
    exit 1
    accepted     0
    duplicates  49
    conflicts    1
    rejected     1

    b.ndjson:27 record is not a JSON object
    b.ndjson:33 id was booked before with other content, which stays booked; this copy is kept beside it for a person
    ");

    place.put("c.csv", "customer,account\nacme,cus_1\n");
    let ran = run(&place, "customers import c.csv --provider stripe.main").await;
    insta::assert_snapshot!(ran.whole(), @r"
    exit 0
    1 account at stripe.main: 1 changed.
    ");
    let status = run(&place, "status --json").await.json();
    assert_eq!(
        (&status["held_by"], &status["records"]),
        (&"tallyd run (pid 7)".into(), &50.into())
    );
    assert!(run(&place, "status").await.out.contains("in use by tallyd run (pid 7)"));
    assert_eq!(run(&place, "ledger verify").await.code, 0);
    daemon.end().await;
}

#[tokio::test]
async fn corrections_beside_a_daemon_go_through_it() {
    let place = Place::new();
    let settings = intake::Settings { body_bytes_max: 2_000, ..intake::Settings::default() };
    let limits = "\n[intake]\nbody_bytes_max = 2000\nrecord_bytes_max = 1000\n";
    place.put("tallyd.toml", &format!("{CONFIG}{limits}"));
    let daemon = Daemon::start(&place, settings).await;
    place.put("a.ndjson", &lines(50));
    run(&place, "import a.ndjson --source web").await;
    let ran = run(&place, "cancel --meter requests --reason test --yes").await;
    assert_eq!((ran.code, ran.out.ends_with("\naccepted  50\n")), (0, true), "{ran:?}");
    let one = run(&place, "cancel other/x --reason test --id f").await;
    assert_eq!(one.out, "other/x has not come; the correction f waits for it.\n", "{one:?}");

    let line = |record: &str| {
        format!("{{\"record\":\"{record}\",\"id\":\"f\",\"kind\":\"cancel\",\"reason\":\"x\"}}\n")
    };
    let text = format!("{}no correction\n{}", line("x").repeat(30), line("y"));
    place.put("f.ndjson", &text);
    let ran = run(&place, "import --corrections --source other f.ndjson").await;
    insta::assert_snapshot!(ran.whole(), @r"
    exit 1
    accepted    1
    waiting    31
    duplicate  30
    conflict    0
    stale       0
    rejected    1

    f.ndjson:31 correction is not a JSON object
    ");
    let life = run(&place, "trace other/y --json").await.json();
    assert_eq!(life["corrections"][0]["who"], "file:f.ndjson");
    assert_eq!(run(&place, "status --json").await.json()["rejected"], 2);
    assert_eq!(run(&place, "ledger verify").await.code, 0);
    daemon.end().await;
}

#[tokio::test]
async fn a_daemon_that_will_not_take_it_is_quoted() {
    let place = Place::new();
    let settings = intake::Settings { body_bytes_max: 100, ..intake::Settings::default() };
    let daemon = Daemon::start(&place, settings).await;
    place.put("a.ndjson", &lines(3));
    let ran = run(&place, "import a.ndjson --source web").await;
    insta::assert_snapshot!(ran.whole(), @r"
    exit 1
    accepted    0
    duplicates  0
    conflicts   0
    rejected    0
    --- stderr
    tallyd: the import stopped; import again, as what is booked already is recognised: the daemon answered 413 Payload Too Large: the body is longer than 100 bytes, which is the most that is taken
    ");
    daemon.end().await;
}

#[tokio::test]
async fn a_ledger_in_use_by_one_who_does_not_answer_may_be_free_later() {
    let place = Place::new();
    let path = place.path("tallyd.ledger");
    let _holder = tallyd::store::Holder::take(&path, "tallyd import (pid 7)").unwrap();
    place.put("a.ndjson", &lines(3));
    let ran = run(&place, "import a.ndjson --source web").await;
    assert_eq!(ran.code, 75, "{ran:?}");
    assert!(ran.err.contains("the ledger is in use by tallyd import (pid 7), and nobody answers"));
}

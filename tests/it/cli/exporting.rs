//! `tallyd export`: files of usage, uploaded to the sandbox or lost, beside a daemon and without.

use std::path::PathBuf;
use std::sync::Arc;

use tallyd::clock::Clock as _;
use tallyd::domain::provider_facts::ClockReading;
use tallyd::domain::time::Timestamp;
use tallyd::ledger::delivery::DeliveryLedger as _;
use tallyd::ledger::operator::OperatorLedger as _;
use tallyd::sandbox::stripe::{Formula, NewMeter};
use tallyd::service::Service as _;

use super::daemon::Daemon;
use super::{CONFIG, Place, Ran};
use crate::support::journey::{Setting, World, provider_books, provider_name, record, route};
use crate::support::stripe::{NOON, Running, start_with};

/// After the lag of totals, in seconds from the noon at which all begins.
const PRESENT: i64 = 8 * 3_600;
/// A second look, in seconds behind the first.
const AGAIN: i64 = 601;

/// A place where usage waits to be told, and the sandbox that nothing of it was told to.
struct Stand {
    place: Place,
    sandbox: Running,
}

impl Stand {
    /// Usage of two customers waits, 5 and 7.
    async fn new() -> Self {
        Self::of(&[("a", "cus_1", "5"), ("b", "cus_2", "7")]).await
    }

    async fn of(usage: &[(&str, &str, &str)]) -> Self {
        let meters = vec![NewMeter::new("requests", Formula::Sum)];
        let sandbox = start_with(|stripe| stripe.meters = meters).await;
        let place = Place::new();
        let config =
            CONFIG.replace("[stripe.main]", &format!("[stripe.main]\napi = \"{}\"", sandbox.url));
        let clock = format!("[clock]\nfollow = \"{}\"\n", sandbox.url);
        let store = "[ledger]\npath = \"ledger\"\n";
        place.put("tallyd.toml", &format!("{config}\n{clock}\n{store}"));
        let stand = Self { place, sandbox };
        let world = stand.world().await;
        // First contact pins the account and its meters.
        world.step().await;
        let at = Timestamp::from_seconds(NOON - 7_200);
        let usage = usage.iter();
        let usage =
            usage.map(|(id, customer, quantity)| record(id, customer, "requests", quantity, at));
        world.accept(usage.collect()).await;
        world.accruer_and_poster().await;
        close(world).await;
        stand
    }

    async fn world(&self) -> World {
        let (folder, clock) = (self.place.path(""), self.sandbox.clock.clone());
        let routes = vec![route("requests")];
        World::open(&folder, &self.sandbox, &clock, routes, Setting::default()).await
    }

    /// Runs `tallyd LINE`.
    async fn run(&self, line: &str) -> Ran {
        let mut command = self.place.command(line);
        command.env("STRIPE_KEY", "sk_test_exporting").env("USER", "ada");
        Ran::of(tokio::process::Command::from(command).output().await.unwrap())
    }

    async fn export(&self, form: &str) -> Ran {
        self.run(&format!("export {form} --provider stripe.main --out files")).await
    }

    /// The files that were written, in the order of their names.
    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.place.path("files")).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// Gives the files to the sandbox, as a person does.
    fn upload(&self) {
        for file in self.files() {
            let report = self.sandbox.handle.take_file(&std::fs::read(file).unwrap()).unwrap();
            assert_eq!(report.refused, []);
        }
    }

    /// How the events stand, once everything is told that requests tell.
    async fn states(&self) -> Vec<(String, i64)> {
        let world = self.world().await;
        world.run_until(self.sandbox.clock.now().plus_seconds(120)).await;
        world.verify().await;
        let events = world.ledger.status().await.unwrap().events;
        close(world).await;
        events.into_iter().map(|(_, state, count)| (state, count)).collect()
    }

    /// Compares totals twice, so long after the beginning that each would show what was uploaded.
    async fn look_twice(&self) {
        let world = self.world().await;
        // The meters are learned by contact.
        world.step().await;
        for at in [PRESENT, PRESENT + AGAIN] {
            self.sandbox.clock.set(Timestamp::from_seconds(NOON + at));
            world.settler.run_once(self.sandbox.clock.now()).await.unwrap();
        }
        world.verify().await;
        close(world).await;
    }

    async fn books_agree(&self) {
        let world = self.world().await;
        assert_eq!(world.accrued().await, provider_books(self.sandbox.handle.books()));
        close(world).await;
    }
}

async fn close(world: World) {
    let World { ledger, accruer, poster, courier, settler, listener, .. } = world;
    drop((accruer, poster, courier, settler, listener));
    Arc::into_inner(ledger).unwrap().close().await;
}

fn is(state: &str, count: i64) -> Vec<(String, i64)> {
    vec![(state.to_owned(), count)]
}

/// Without what differs from ledger to ledger and from run to run: the ledger's name, and a
/// fraction of a second.
fn settled(text: &str) -> String {
    let mut text = text.to_owned();
    for (before, end, name) in [("files/tallyd-", "-export", "LEDGER"), ("Until ", ",", "TIME")] {
        let Some(from) = text.find(before).map(|at| at + before.len()) else { continue };
        let to = from + text[from..].find(end).unwrap();
        // As wide as it was, so that the table's columns stay where they are.
        let name = if name == "LEDGER" { format!("{name:-<16}") } else { name.to_owned() };
        text.replace_range(from..to, &name);
    }
    text
}

#[tokio::test]
async fn an_uploaded_table_is_settled_by_totals_and_no_request_tells_it_again() {
    let stand = Stand::new().await;
    let made = stand.export("stripe-csv").await;
    insta::assert_snapshot!(settled(&made.whole()), @r"
    exit 0
    Export 1 of stripe.main, for acct_1TallydSandbox (test):
      file                                            events  bytes  sha256
      files/tallyd-LEDGER-----------export-1-001.csv       2    118  b13c6d502bd5f4146dbed8bc8adad228e02067b0825bb73879cc3c73f3f2f720

      meter     events  sum
      requests       2   12

    Until TIME, upload each file once, in the dashboard: Billing, Meters, the meter, Add usage; then say so: tallyd export confirm 1
    No request tells what is in these files. If they are never uploaded: tallyd export abandon 1 --why TEXT
    ");
    let files = stand.files();
    let text = std::fs::read_to_string(&files[0]).unwrap();
    let heading = "timestamp,event_name,payload_stripe_customer_id,payload_value\n";
    let at = NOON - 7_200;
    assert_eq!(text, format!("{heading}{at},requests,cus_1,5\n{at},requests,cus_2,7\n"));
    assert_eq!(stand.states().await, is("held", 2));
    stand.upload();
    let confirmed = stand.run("export confirm 1").await;
    assert_eq!(confirmed.code, 0, "{confirmed:?}");
    stand.look_twice().await;
    assert_eq!(stand.states().await, is("settled", 2));
    stand.books_agree().await;
    let list = stand.run("export list --json").await.json();
    let export = &list["exports"][0];
    let counts = ["events", "held", "present"].map(|name| export[name].as_i64().unwrap());
    assert_eq!((counts, export["state"].as_str()), ([2, 0, 2], Some("confirmed")));
}

#[tokio::test]
async fn an_uploaded_file_of_lines_is_settled_without_anybodys_word() {
    let stand = Stand::new().await;
    let made = stand.export("stripe-s3-jsonl").await;
    assert_eq!(made.code, 0, "{made:?}");
    let text = std::fs::read_to_string(&stand.files()[0]).unwrap();
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first["payload"]["value"], "5");
    assert_eq!(first["identifier"].as_str().map(str::len), Some(56));
    stand.upload();
    stand.look_twice().await;
    assert_eq!(stand.states().await, is("settled", 2));
    stand.books_agree().await;
    // What was seen to be there was uploaded, whatever a person says now.
    let refused = stand.run("export abandon 1 --why mistaken").await;
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("2 of the events of export 1 are at the provider"), "{refused:?}");
}

#[tokio::test]
async fn what_was_lost_before_it_was_uploaded_is_told_by_requests_once() {
    let stand = Stand::new().await;
    assert_eq!(stand.export("stripe-csv").await.code, 0);
    assert_eq!(stand.states().await, is("held", 2));
    let abandoned = stand.run("export abandon 1 --why lost").await;
    insta::assert_snapshot!(abandoned.whole(), @r"
    exit 0
    Export 1 is abandoned: requests tell what its 2 events said.
    Delete its files: to upload one now would bill its usage twice.
    ");
    let said = [("accepted", 2), ("superseded", 2)];
    assert_eq!(stand.states().await, said.map(|(state, count)| (state.to_owned(), count)).to_vec());
    stand.books_agree().await;
    assert_eq!(stand.sandbox.handle.statistics().meter_events_accepted, 2);
    for line in ["export again 1 --out files", "export confirm 1"] {
        let refused = stand.run(line).await;
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains("export 1 was abandoned"), "{refused:?}");
    }
    // Nothing is left, and what was told is never exported.
    let nothing = stand.export("stripe-csv").await;
    assert_eq!(nothing.out, "Nothing is exported: no event waits that a file can tell.\n");
}

#[tokio::test]
async fn the_files_of_an_export_come_out_the_same_again_until_they_were_uploaded() {
    let stand = Stand::new().await;
    stand.export("stripe-csv").await;
    let first = std::fs::read(&stand.files()[0]).unwrap();
    std::fs::remove_dir_all(stand.place.path("files")).unwrap();
    // Over nothing, and over themselves.
    for _ in 0..2 {
        let again = stand.run("export again 1 --out files").await;
        assert_eq!(again.code, 0, "{again:?}");
        assert_eq!(std::fs::read(&stand.files()[0]).unwrap(), first);
        assert_eq!(stand.files().len(), 1);
    }
    std::fs::write(&stand.files()[0], "other").unwrap();
    let other = stand.run("export again 1 --out files").await;
    assert!(other.err.contains("is there already, and holds something else"), "{other:?}");
    assert_eq!(stand.run("export confirm 1").await.code, 0);
    let uploaded = stand.run("export again 1 --out more").await;
    assert!(uploaded.err.contains("export 1 was uploaded already"), "{uploaded:?}");
    assert_eq!(stand.run("export again 2 --out more").await.code, 1);
}

#[tokio::test]
async fn files_are_not_written_again_once_they_may_be_too_late_to_be_billed() {
    let stand = Stand::new().await;
    stand.export("stripe-csv").await;
    std::fs::remove_dir_all(stand.place.path("files")).unwrap();
    stand.sandbox.clock.set(Timestamp::from_seconds(NOON + 25 * 3_600));
    let late = stand.run("export again 1 --out files").await;
    assert_eq!(late.code, 1, "{late:?}");
    for said in ["were to be uploaded until", "tallyd export abandon 1", "tallyd export confirm 1"]
    {
        assert!(late.err.contains(said), "{late:?}");
    }
    assert!(stand.files().is_empty());
}

#[tokio::test]
async fn a_clock_that_was_read_long_ago_is_read_anew_before_anything_is_judged_by_it() {
    let stand = Stand::new().await;
    // It was read while this host's clock was a month ahead, and says nothing any longer.
    let at = Timestamp::from_seconds(NOON + 34 * 86_400);
    let reading = ClockReading { provider_at: at, local_at: at };
    let world = stand.world().await;
    world.ledger.read_clock(&provider_name(), reading).await.unwrap();
    close(world).await;
    let made = stand.export("stripe-csv").await;
    assert_eq!(made.code, 0, "{made:?}");
    assert_eq!(stand.states().await, is("held", 2), "{made:?}");
}

#[tokio::test]
async fn an_export_beside_a_daemon_goes_through_it() {
    let stand = Stand::new().await;
    let place = &stand.place;
    for (from, to) in [("ledger", "tallyd.ledger"), ("ledger.fence", "tallyd.ledger.fence")] {
        std::fs::rename(place.path(from), place.path(to)).unwrap();
    }
    let config = std::fs::read_to_string(place.path("tallyd.toml")).unwrap();
    place.put("tallyd.toml", &config.replace("path = \"ledger\"", ""));
    let daemon = Daemon::start(place, tallyd::intake::Settings::default()).await;
    let made = stand.run("export stripe-csv --provider stripe.main --out files --json").await;
    assert_eq!(made.json()["events"], 2, "{made:?}");
    assert_eq!(made.json()["written"][0]["meters"][0]["sum"], "12");
    let held = stand.run("held list --json").await;
    assert!(held.out.contains("tallyd export confirm ID"), "{held:?}");
    let event = "held resolve event:1 --as not-billed --why mistaken";
    let refused = stand.run(event).await;
    assert!(refused.err.contains("tallyd export abandon 1"), "{refused:?}");
    assert_eq!(stand.run("export abandon 1 --why lost --json").await.json()["released"], 2);
    assert_eq!(stand.run("ledger verify").await.code, 0);
    daemon.end().await;
}

#[tokio::test]
async fn what_a_file_cannot_tell_is_left_to_requests_and_counted() {
    let stand = Stand::of(&[("a", "cus_1", "5"), ("b", "cus_2", "7")]).await;
    // 34 days later nothing of it has a day left.
    stand.sandbox.clock.set(Timestamp::from_seconds(NOON + 34 * 86_400));
    let old = stand.export("stripe-csv").await;
    insta::assert_snapshot!(old.whole(), @r"
    exit 0
    Nothing is exported: no event waits that a file can tell.
    Left to requests: 2 events, it is too old for the provider within a day.
    ");
    let json = stand
        .run("export stripe-csv --provider stripe.main --out files --meter other --json")
        .await
        .json();
    assert_eq!(json, serde_json::json!({ "export": null, "left_out": {} }));
    for (line, why) in [
        ("--provider stripe.other", "is no configured Stripe account"),
        ("--provider stripe.main --before soon", "--before"),
    ] {
        let refused = stand.run(&format!("export stripe-csv --out files {line}")).await;
        assert_eq!((refused.code, refused.err.contains(why)), (1, true), "{refused:?}");
    }
    assert_eq!(stand.run("export list").await.out, "There are no exports.\n");
}

//! A rehearsal on the real binary: an old job tells a stand-in up to a moment, tallyd runs beside
//! it in shadow, and takes over there. Never here: what each step does (`super`). Read next:
//! `crate::lifecycle`.

use hyper::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tallyd::domain::time::{MICROS_PER_MINUTE, Timestamp};

use crate::support::billing::ask;
use crate::support::daemon::{Billing, Home, Lines, TestDaemon, now};

/// A row of the source, as the old job had it: whose, how much, when.
struct Row {
    id: String,
    customer: &'static str,
    quantity: i64,
    at: Timestamp,
}

/// The source, and the moment up to which its old job marked its rows as sent.
struct Source {
    rows: Vec<Row>,
    moment: Timestamp,
}

impl Source {
    /// Rows of five hours, the last of which is over, three customers in turn. The moment may lie
    /// within an hour.
    fn new() -> Self {
        let moment = now().plus_seconds(-6 * 3_600).floor_to(MICROS_PER_MINUTE);
        let row = |number: i64| Row {
            id: format!("row-{number}"),
            customer: ["cus_1", "cus_2", "cus_3"][usize::try_from(number % 3).unwrap()],
            quantity: number % 7 + 1,
            at: moment.plus_seconds((number - 40) * 240),
        };
        Self { rows: (0..80).map(row).collect(), moment }
    }

    fn old(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.at < self.moment)
    }

    /// What is to be on the bills, by customer.
    fn totals(&self) -> Vec<i64> {
        let of = |customer: &str| {
            let its = self.rows.iter().filter(|row| row.customer == customer);
            its.map(|row| row.quantity).sum()
        };
        ["cus_1", "cus_2", "cus_3"].map(of).to_vec()
    }
}

fn record(id: &str, customer: &str, quantity: i64, at: Timestamp) -> Value {
    json!({"id": id, "customer": customer, "meter": "calls", "quantity": quantity,
           "time": at.to_rfc3339()})
}

/// The old job: one event a row, its id as the identifier.
async fn old_job(billing: &Billing, source: &Source) {
    for row in source.old() {
        let (quantity, at) = (row.quantity.to_string(), row.at.seconds().to_string());
        let form = [
            ("event_name", "calls"),
            ("identifier", row.id.as_str()),
            ("payload[stripe_customer_id]", row.customer),
            ("payload[value]", quantity.as_str()),
            ("timestamp", at.as_str()),
        ];
        ask(billing, Method::POST, "/v1/billing/meter_events", &form).await;
    }
}

/// What the stand-in holds, by customer.
fn held(billing: &Billing) -> Vec<i64> {
    let books = billing.books();
    let of = |customer: &str| {
        let total = books.get(&("calls".to_owned(), customer.to_owned()));
        total.map_or(0, |total| total.parse().unwrap())
    };
    ["cus_1", "cus_2", "cus_3"].map(of).to_vec()
}

/// Waits until all is booked, and all that is to be told was.
async fn all_told(daemon: &TestDaemon, records: usize, corrections: usize) {
    daemon
        .level("telling all", |status| {
            let events = status["events"].as_array().unwrap();
            status["records"] == records
                && status["accrued_to"] == status["records"]
                && status["corrections"] == corrections
                && status["corrected_to"] == status["corrections"]
                && status["balances_open"] == 0
                && events.iter().all(|event| event["state"] == "accepted")
        })
        .await;
}

async fn cancel(home: &Home, record: &str) {
    let line = ["cancel", record, "--reason", "a test", "--config", "tallyd.toml"];
    let ran = home.run(&line).await;
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[tokio::test]
async fn the_totals_are_the_sources_once_after_a_shadow_and_a_cutover() {
    let billing = Billing::start().await;
    let source = Source::new();
    let in_shadow = Lines { stripe: "shadow = true", ..Lines::default() };
    let home = Home::with(&billing.url, in_shadow);
    let daemon = home.start().await;
    old_job(&billing, &source).await;
    let (sent, told) = (billing.handle.events().len(), held(&billing));
    let all: Vec<Value> =
        source.rows.iter().map(|row| record(&row.id, row.customer, row.quantity, row.at)).collect();
    daemon.accept(&all).await;
    // Beside the old job all is booked, and not one event is made.
    daemon.level("booking all", |status| status["accrued_to"] == 80).await;
    daemon.level("making contact", |status| status["providers"][0]["in_shadow"] == true).await;
    let status = daemon.status().await;
    assert_eq!((&status["events"], &status["held"]), (&json!([]), &json!([])));
    daemon.kill().await;
    assert_eq!((billing.handle.events().len(), held(&billing)), (sent, told.clone()));

    // Nobody goes live from there without saying from when on.
    home.configure(&billing.url, Lines::default());
    let refused = home.run(&["run", "--config", "tallyd.toml"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(78), "{said}");
    assert!(said.contains("was in shadow since") && said.contains("bill_from = "), "{said}");

    let bill_from = format!("bill_from = \"{}\"", source.moment);
    home.configure(&billing.url, Lines { stripe: &bill_from, ..Lines::default() });
    let daemon = home.start().await;
    all_told(&daemon, 80, 0).await;
    assert_eq!(held(&billing), source.totals());
    let status = daemon.status().await;
    assert_ne!(status["providers"][0]["balances_told_before"], json!(0));

    // What comes late, or is cancelled, of before the moment changes nothing; of after it, it does.
    let late = [
        record("late-before", "cus_1", 1_000, source.moment.plus_seconds(-600)),
        record("late-after", "cus_1", 100, source.moment.plus_seconds(600)),
    ];
    daemon.accept(&late).await;
    cancel(&home, "web/row-0").await;
    cancel(&home, "web/row-39").await;
    all_told(&daemon, 82, 2).await;
    let mut expected = source.totals();
    expected[0] += 100;
    assert_eq!(held(&billing), expected);
    cancel(&home, "web/late-after").await;
    all_told(&daemon, 82, 3).await;
    assert_eq!(held(&billing), source.totals());
    daemon.stop().await;
    home.verify().await;

    let books = home.run(&["books", "--config", "tallyd.toml"]).await;
    let books = String::from_utf8(books.stdout).unwrap();
    assert!(books.contains("told before tallyd"), "{books}");
    let life = home.run(&["trace", "web/row-1", "--config", "tallyd.toml"]).await;
    let life = String::from_utf8(life.stdout).unwrap();
    assert!(life.contains("resolved told_before") && life.contains("told before tallyd"), "{life}");
    // The line stays: without it late usage of before would be told.
    home.configure(&billing.url, Lines::default());
    let refused = home.run(&["run", "--config", "tallyd.toml"]).await;
    assert_eq!(refused.status.code(), Some(78));
}

#[tokio::test]
async fn a_route_that_a_reload_brings_needs_its_instant_after_a_shadow_as_at_a_start() {
    let billing = Billing::start().await;
    let in_shadow = Lines { stripe: "shadow = true", ..Lines::default() };
    let home = Home::with(&billing.url, in_shadow);
    let daemon = home.start().await;
    // No route takes it yet: it waits, and the old job told it.
    let pages = json!({"id": "a", "customer": "cus_1", "meter": "pages", "quantity": 5,
                       "time": now().plus_seconds(-7_200).to_rfc3339()});
    daemon.accept(&[pages]).await;
    daemon.level("parking it", |status| status["accrued_to"] == 1).await;
    daemon.stop().await;

    let route = format!("bill_from = \"{}\"", now().floor_to(MICROS_PER_MINUTE));
    let live = Lines { route: &route, ..Lines::default() };
    home.configure(&billing.url, live);
    let daemon = home.start().await;
    let more = "[route.pages]\nmeter = \"pages\"\nto = \"stripe.main\"\nsettle = \"1s\"\n";
    home.configure(&billing.url, Lines { route: &route, more, ..Lines::default() });
    daemon.signal(Signal::HUP);
    home.says("the config is not followed; what ran before runs on").await;
    // The log writes a quote within quotes with a backslash.
    let said = home.said().replace('\\', "");
    assert!(said.contains("\"pages\" has no `bill_from`"), "{said}");
    let status = daemon.status().await;
    assert_eq!((&status["events"], &status["parked"][0]["count"]), (&json!([]), &json!(1)));
    daemon.stop().await;
    let refused = home.run(&["run", "--config", "tallyd.toml"]).await;
    assert_eq!(refused.status.code(), Some(78), "a start says the same");
}

//! The world of the month: the sandbox in this process, the real daemon beside it, and the relay
//! that webhooks reach it by. Here: one step of time, and when it is over. Never here: what the
//! month comes to ([`super`]).

use std::collections::{BTreeMap, BTreeSet};

use hyper::Method;
use serde_json::{Value, json};
use tallyd::domain::time::Timestamp;
use tallyd::ledger::operator::{BookFilter, BookLine, OperatorLedger as _};
use tallyd::sandbox::faults::{FaultKind, Faults};
use tallyd::sandbox::stripe::{Carrier, Payload, WebhookEndpoint, WebhookFaults, WebhookSettings};
use tallyd::store::sqlite::SqliteLedger;

use super::customers::{BEGIN, Customer, MINUTE, Sent, Turn};
use crate::support::billing::{SUBSCRIPTIONS, ask, price, text};
use crate::support::daemon::{Billing, Home, Lines, TestDaemon, until};
use crate::support::relay::Relay;
use crate::support::webhooks::{NEW, OLD};

const SEED: u64 = 20_270_307;
/// What a daemon says when it has seen that time was moved.
const MOVED: &str = "time was moved with the sandbox's clock";
/// How long before a draft is final nothing more is told for it, in seconds, and a little more.
const CLOSING: i64 = 5 * MINUTE + 10;
/// How long after its end a window is told, in seconds: its `settle`, and a second's rounding.
const SETTLE: i64 = 2;

/// A span of a customer's that a draft still takes usage for.
type Draft = (String, i64, i64);

/// The world.
pub(super) struct World {
    pub(super) sandbox: Billing,
    home: Home,
    relay: Relay,
    daemon: TestDaemon,
    ledger: SqliteLedger,
    prices: [String; 2],
    pub(super) customers: Vec<Customer>,
    sent: Vec<Sent>,
    /// What was acknowledged, by customer.
    pub(super) acknowledged: BTreeMap<String, i64>,
}

impl World {
    /// The world on 16 January, with all subscriptions, and a daemon that knows of them.
    pub(super) async fn begin(mut customers: Vec<Customer>) -> Self {
        let sandbox = Billing::start().await;
        sandbox.handle.advance_to(Timestamp::from_seconds(BEGIN)).unwrap();
        let relay = Relay::start().await.unwrap();
        misbehave(&sandbox, &relay);
        let prices = [price(&sandbox, "2.5").await, price(&sandbox, "1").await];
        for customer in &mut customers {
            let [first, second] = customer.ends;
            let (first, second) = (first.to_string(), second.to_string());
            let mut form = vec![
                ("customer", customer.name.as_str()),
                ("items[0][price]", prices[0].as_str()),
                ("billing_cycle_anchor", first.as_str()),
            ];
            if let Turn::EndsAt(_) = customer.turn {
                form.push(("cancel_at", second.as_str()));
            }
            customer.subscription = ask(&sandbox, Method::POST, SUBSCRIPTIONS, &form).await;
        }
        let stripe = "reads_per_month = 20000\n\
            webhook_secrets = [{ file = \"first.secret\" }, { file = \"second.secret\" }]";
        let more = format!("[clock]\nfollow = \"{}\"", sandbox.url);
        let lines = Lines { stripe, more: &more, ..Lines::default() };
        let home = Home::with(&sandbox.url, lines);
        for (file, secret) in [("first.secret", OLD), ("second.secret", NEW)] {
            std::fs::write(home.path().join(file), secret).unwrap();
        }
        let daemon = home.start().await;
        relay.lead_to(Some(daemon.url.trim_start_matches("http://").parse().unwrap()));
        let ledger = SqliteLedger::open_to_read(&home.ledger).await.unwrap();
        let sent = customers.iter().flat_map(Customer::usage).collect();
        let acknowledged = BTreeMap::new();
        Self { sandbox, home, relay, daemon, ledger, prices, customers, sent, acknowledged }
    }

    pub(super) fn now(&self) -> i64 {
        self.sandbox.handle.now().seconds()
    }

    /// When periods end.
    pub(super) fn ends(&self) -> BTreeSet<i64> {
        self.customers.iter().flat_map(|customer| customer.ends).collect()
    }

    /// When the first periods of each group do.
    pub(super) fn first_ends(&self) -> BTreeSet<i64> {
        let first = self.customers.iter().filter(|customer| customer.is_first());
        first.flat_map(|customer| customer.ends).collect()
    }

    /// Moves the clock to `next`, sends what is due, and waits until the daemon has nothing more to
    /// do. Where it is killed, that is while it has everything to do.
    pub(super) async fn step(&mut self, next: i64, kill: bool) {
        let from = self.home.said().len();
        let moved = self.sandbox.handle.advance_to(Timestamp::from_seconds(next)).is_ok();
        self.turn_over().await;
        self.send().await;
        if kill {
            self.restart().await;
        } else if moved {
            until("seeing that time was moved", async || {
                let said = self.home.said();
                if said[from..].contains(MOVED) { Ok(()) } else { Err(said[from..].to_owned()) }
            })
            .await;
        }
        self.rests().await;
    }

    async fn restart(&mut self) {
        self.relay.lead_to(None);
        self.daemon.kill_in_place().await;
        self.daemon = self.home.start().await;
        self.relay.lead_to(Some(self.daemon.url.trim_start_matches("http://").parse().unwrap()));
    }

    /// Subscriptions change and end, as their time has come.
    async fn turn_over(&mut self) {
        let now = self.now();
        for customer in &mut self.customers {
            let subscription = &customer.subscription;
            let path = format!("{SUBSCRIPTIONS}/{}", text(subscription, "id"));
            match customer.turn {
                _ if customer.is_turned => continue,
                Turn::ChangesPlan(at) if at <= now => {
                    let item = text(&subscription["items"]["data"][0], "id");
                    let form = [("items[0][id]", item), ("items[0][price]", &self.prices[1])];
                    ask(&self.sandbox, Method::POST, &path, &form).await;
                }
                Turn::IsCancelled { at, invoiced } if at <= now => {
                    let flag = if invoiced { "true" } else { "false" };
                    ask(&self.sandbox, Method::DELETE, &path, &[("invoice_now", flag)]).await;
                }
                Turn::Stays | Turn::EndsAt(_) | Turn::ChangesPlan(_) | Turn::IsCancelled { .. } => {
                    continue;
                }
            }
            customer.is_turned = true;
        }
    }

    /// Sends what is due.
    async fn send(&mut self) {
        let now = self.now();
        let (due, later): (Vec<Sent>, Vec<Sent>) =
            std::mem::take(&mut self.sent).into_iter().partition(|sent| sent.send_at <= now);
        self.sent = later;
        if due.is_empty() {
            return;
        }
        let record = |sent: &Sent| {
            json!({"id": sent.id, "customer": sent.customer, "meter": "calls",
                   "quantity": sent.quantity, "time": sent.used_at})
        };
        self.daemon.accept(&due.iter().map(record).collect::<Vec<Value>>()).await;
        for sent in due {
            *self.acknowledged.entry(sent.customer).or_default() += sent.quantity;
        }
    }

    /// Waits until all that was sent is booked, all that can be told is told, what drafts still
    /// take before all, and the daemon asks for nothing more.
    async fn rests(&mut self) {
        let drafts = self.drafts().await;
        let filter = BookFilter { by_window: true, ..BookFilter::default() };
        let mut last = String::new();
        until("a rest", async || {
            let status = self.daemon.status().await;
            let seen = format!("{:?} {status}", self.sandbox.handle.statistics().requests);
            if seen != last {
                last = seen;
                return Err(format!("it still moves: {status}"));
            }
            if status["records"] != status["accrued_to"] {
                return Err(status.to_string());
            }
            let now = self.now();
            let lines = self.ledger.books(&filter).await.unwrap();
            let waiting = lines.iter().find(|line| waits(line, &drafts, now));
            waiting.map_or(Ok(()), |line| Err(format!("{line:?}")))
        })
        .await;
    }

    /// What drafts still take usage for.
    async fn drafts(&self) -> Vec<Draft> {
        let now = self.now();
        let mut drafts = Vec::new();
        for invoice in self.invoices().await {
            let closes = invoice["automatically_finalizes_at"].as_i64();
            if invoice["status"] != "draft" || closes.is_none_or(|at| at - CLOSING <= now) {
                continue;
            }
            for line in invoice["lines"]["data"].as_array().unwrap() {
                let at = |field: &str| line["period"][field].as_i64().unwrap();
                drafts.push((text(&invoice, "customer").to_owned(), at("start"), at("end")));
            }
        }
        drafts
    }

    /// All invoices of the sandbox's.
    pub(super) async fn invoices(&self) -> Vec<Value> {
        let page = ask(&self.sandbox, Method::GET, "/v1/invoices", &[("limit", "100")]).await;
        assert_eq!(page["has_more"], false, "all are on one page");
        page["data"].as_array().unwrap().clone()
    }

    /// Webhooks came, and went wrong in every way.
    pub(super) fn check_webhooks(&self) {
        let counts = self.sandbox.handle.webhook_counts();
        assert!(counts.delivered > 20 && counts.lost > 5 && counts.refused > 0, "{counts:?}");
    }

    /// What the commands say of it all, beside the daemon, which then stops in order.
    pub(super) async fn conclude(self) -> (Value, Value) {
        let run = async |line: &[&str], code: i32| -> Value {
            let ran = self.home.run(&[line, &["--config", "tallyd.toml", "--json"]].concat()).await;
            assert_eq!(ran.status.code(), Some(code), "{ran:?}");
            serde_json::from_slice(&ran.stdout).unwrap()
        };
        // What is held makes it a difference.
        let report = run(&["reconcile", "--since", "2027-01-01T00:00:00Z"], 2).await;
        let held = run(&["held", "list", "--limit", "100000"], 0).await;
        self.ledger.close().await;
        self.daemon.stop().await;
        self.home.verify().await;
        (report["reports"][0].clone(), held)
    }
}

/// Whether something of a window is still to be told, or to be answered.
fn waits(line: &BookLine, drafts: &[Draft], now: i64) -> bool {
    if !line.pending.is_zero() || !line.uncertain.is_zero() {
        return true;
    }
    let is_told = line.accrued == line.told;
    let (start, end) = (line.start.seconds(), line.end.seconds());
    let is_drafted = drafts.iter().any(|(customer, from, until)| {
        *customer == line.account && *from <= start && end <= *until
    });
    !is_told && end + SETTLE <= now && (is_drafted || line.at_risk.is_zero())
}

/// Webhooks that are lost, doubled, late and out of order, and answers that are lost.
fn misbehave(sandbox: &Billing, relay: &Relay) {
    let endpoint = |payload, secret: &str| WebhookEndpoint {
        url: format!("http://{}/webhooks/stripe.main", relay.address),
        secrets: vec![secret.to_owned()],
        payload,
        types: BTreeSet::new(),
        carrier: Carrier::Socket,
    };
    let faults =
        WebhookFaults { seed: SEED, lost: 3_000, doubled: 3_000, disordered: 3_000, late: 2_000 };
    let endpoints = vec![endpoint(Payload::Snapshot, OLD), endpoint(Payload::Thin, NEW)];
    sandbox.handle.set_webhooks(WebhookSettings { endpoints, faults }).unwrap();
    let basis_points = [(FaultKind::AnswerLost, 500), (FaultKind::ErrorAfter, 200)].into();
    let faults = Faults { seed: SEED, basis_points, ..Faults::default() };
    sandbox.handle.set_faults(faults).unwrap();
}

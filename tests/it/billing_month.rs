//! A billing month and more, stepped: a thousand customers with periods that end at instants of
//! their own, plans that change, subscriptions that end, and webhooks that are lost, late, doubled
//! and out of order. Here: what every invoice bills, against what the records say. Never here: a
//! single rule of periods ([`crate::periods`]). Read next: [`crate::periods`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use tallyd::accrual::route::Route;
use tallyd::clock::{Clock as _, ManualClock};
use tallyd::domain::notice::CameBy;
use tallyd::domain::quantity::Quantity;
use tallyd::domain::record::UsageRecord;
use tallyd::domain::time::{Timestamp, Window};
use tallyd::ledger::notices::{Arrival, NoticesLedger as _};
use tallyd::ledger::operator::{BookFilter, BookLine, OperatorLedger as _};
use tallyd::ledger::reconcile::ReconcileLedger as _;
use tallyd::ledger::report::Question;
use tallyd::provider::Posted;
use tallyd::reconcile::Settings;
use tallyd::reconcile::keeper::InLedger;
use tallyd::reconcile::line::Row;
use tallyd::reconcile::reporter::Reporter;
use tallyd::sandbox::stripe::{
    Carrier, Formula, NewMeter, Payload, WebhookEndpoint, WebhookFaults, WebhookSettings,
};
use tallyd::service::Service as _;

use crate::support::billing::{SUBSCRIPTIONS, text};
use crate::support::journey::{Setting, World, provider_name, record, route};
use crate::support::stripe::{NOON, Running, start_with};
use crate::support::webhooks::{NEW, OLD};

const CUSTOMERS: u64 = 1_000;
const RECORDS_EACH: u64 = 6;
const DAY: i64 = 86_400;
const HOUR: i64 = 3_600;
/// How long the world takes between two looks, in seconds: less than a draft's shortest grace.
const STEP: i64 = 2_700;
/// 16 January 2027, noon: what begins with a period on the 29th to 31st ends one on 28 February.
const BEGIN: i64 = NOON + 117 * DAY;
/// 2 March, past those invoices.
const END: i64 = BEGIN + 45 * DAY;

/// A stream of numbers that a seed and a name make.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn of(seed: u64, name: &str) -> Self {
        let mixed = name.bytes().fold(seed ^ 0x9e37_79b9_7f4a_7c15, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(mixed | 1)
    }

    pub(crate) fn below(&mut self, bound: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        i64::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }
}

/// What becomes of a subscription.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Stays,
    ChangesPlan(i64),
    EndsAt(i64),
    IsCancelled { at: i64, invoiced: bool },
}

struct Customer {
    name: String,
    begins: i64,
    turn: Turn,
    subscription: Option<Value>,
}

/// A record, and when its source sends it.
struct Sent {
    at: i64,
    record: UsageRecord,
    quantity: i64,
}

struct Month {
    world: World,
    sandbox: Running,
    clock: Arc<ManualClock>,
    _folder: tempfile::TempDir,
    prices: [String; 2],
    customers: Vec<Customer>,
    sent: Vec<Sent>,
    /// What was acknowledged, by customer.
    acknowledged: BTreeMap<String, i64>,
    /// Customers whose subscription changed or ended at once, and was billed at once.
    abrupt: BTreeSet<String>,
}

impl Month {
    async fn begin(seed: u64) -> Self {
        let sandbox = start_with(|stripe| {
            stripe.meters = vec![NewMeter::new("calls", Formula::Sum)];
        })
        .await;
        let endpoint = |payload, secret: &str| WebhookEndpoint {
            url: "http://tallyd/webhooks/stripe.main".to_owned(),
            secrets: vec![secret.to_owned()],
            payload,
            types: BTreeSet::new(),
            carrier: Carrier::Hand,
        };
        sandbox
            .handle
            .set_webhooks(WebhookSettings {
                endpoints: vec![endpoint(Payload::Snapshot, OLD), endpoint(Payload::Thin, NEW)],
                faults: WebhookFaults {
                    seed,
                    lost: 3_000,
                    doubled: 3_000,
                    disordered: 3_000,
                    late: 2_000,
                },
            })
            .unwrap();
        let clock = sandbox.clock.clone();
        clock.set(Timestamp::from_seconds(BEGIN));
        let folder = tempfile::tempdir().unwrap();
        // Stripe gives 500 reads for each payment, and here are a thousand customers.
        let (webhook_secrets, reads_per_month) = (vec![OLD, NEW], 20_000);
        let setting = Setting { webhook_secrets, reads_per_month, ..Setting::default() };
        let routes = vec![Route { settle_micros: 60_000_000, ..route("calls") }];
        let world = World::open(folder.path(), &sandbox, &clock, routes, setting).await;
        let prices = [sandbox.price("calls", "2.5").await, sandbox.price("calls", "1").await];
        let mut customers: Vec<Customer> =
            (0..CUSTOMERS).map(|number| customer(seed, number)).collect();
        customers.sort_by_key(|customer| customer.begins);
        Self {
            world,
            sandbox,
            clock,
            _folder: folder,
            prices,
            customers,
            sent: Vec::new(),
            acknowledged: BTreeMap::new(),
            abrupt: BTreeSet::new(),
        }
    }

    fn now(&self) -> i64 {
        self.clock.now().seconds()
    }

    /// Subscriptions begin, change and end, as their time has come.
    async fn turn_over(&mut self, seed: u64) {
        let now = self.now();
        for place in 0..self.customers.len() {
            let Customer { name, begins, turn, subscription } = &self.customers[place];
            let (name, turn) = (name.clone(), *turn);
            match (subscription, turn) {
                (None, _) if *begins <= now => {
                    let created = self.subscribe(seed, &name, turn).await;
                    self.customers[place].subscription = Some(created);
                }
                (Some(subscription), Turn::ChangesPlan(at)) if at <= now => {
                    let item = text(&subscription["items"]["data"][0], "id");
                    let form = [("items[0][id]", item), ("items[0][price]", &self.prices[1])];
                    let path = format!("{SUBSCRIPTIONS}/{}", text(subscription, "id"));
                    self.sandbox.post_for("subscription", &path, &form).await;
                    self.customers[place].turn = Turn::Stays;
                    self.abrupt.insert(name);
                }
                (Some(subscription), Turn::IsCancelled { at, invoiced }) if at <= now => {
                    let path = format!("{SUBSCRIPTIONS}/{}", text(subscription, "id"));
                    let flag = if invoiced { "true" } else { "false" };
                    let reply = self.sandbox.delete(&path, &[("invoice_now", flag)]).await;
                    assert_eq!(reply.status, 200, "{}", reply.text);
                    self.customers[place].turn = Turn::Stays;
                    self.abrupt.insert(name);
                }
                (None | Some(_), _) => {}
            }
        }
    }

    async fn subscribe(&mut self, seed: u64, name: &str, turn: Turn) -> Value {
        let mut chance = Chance::of(seed, name);
        let begins = self.now();
        // A third have a period that begins on the 29th to 31st.
        let last_days = (BEGIN + 12 * DAY + HOUR * 12) - begins;
        let anchor = match chance.below(3) {
            0 if last_days > 0 => begins + last_days + chance.below(3 * DAY),
            _ => begins + 1 + chance.below(29 * DAY),
        };
        let anchor = anchor.to_string();
        let mut form = vec![
            ("customer", name),
            ("items[0][price]", self.prices[0].as_str()),
            ("billing_cycle_anchor", anchor.as_str()),
        ];
        let ends = match turn {
            Turn::EndsAt(at) => at.to_string(),
            Turn::Stays | Turn::ChangesPlan(_) | Turn::IsCancelled { .. } => String::new(),
        };
        if !ends.is_empty() {
            form.push(("cancel_at", &ends));
        }
        let created = self.sandbox.post_for("subscription", SUBSCRIPTIONS, &form).await;
        let anchor: i64 = anchor.parse().unwrap();
        for number in 0..RECORDS_EACH {
            let at = match number {
                // On both sides of the first boundary, to the second.
                0 => anchor - 1,
                1 => anchor,
                _ => begins + 1 + chance.below(END - 2 * DAY - begins),
            };
            let late = match chance.below(10) {
                0 => chance.below(12 * DAY),
                1 => chance.below(6 * HOUR),
                _ => chance.below(900),
            };
            let quantity = 1 + chance.below(1_000);
            let id = format!("{name}-{number}");
            let occurred_at = Timestamp::from_seconds(at);
            let record = record(&id, name, "calls", &quantity.to_string(), occurred_at);
            self.sent.push(Sent { at: at + late, record, quantity });
        }
        created
    }

    /// Carries webhooks to where they are taken.
    async fn carry_webhooks(&self) {
        let reader = self.world.notices.as_ref().expect("it has secrets");
        let mut arrivals = Vec::new();
        for delivery in self.sandbox.handle.take_deliveries() {
            let headers: Vec<(String, Vec<u8>)> = delivery
                .headers
                .iter()
                .map(|(name, value)| (name.to_lowercase(), value.clone().into_bytes()))
                .collect();
            let headers: Vec<(&str, &[u8])> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
            let posted = Posted { headers: &headers, body: &delivery.body };
            let notice = reader.read(posted, self.clock.now()).unwrap();
            let (provider, came_by) = (provider_name(), CameBy::Webhook);
            arrivals.push(Arrival { provider, notice, came_by });
            self.sandbox.handle.settle_delivery(delivery.number, Some(200));
        }
        self.world.ledger.archive_notices(&arrivals, self.clock.now()).await.unwrap();
    }

    async fn pass(&mut self) {
        let now = self.now();
        let (due, later): (Vec<Sent>, Vec<Sent>) =
            std::mem::take(&mut self.sent).into_iter().partition(|sent| sent.at <= now);
        self.sent = later;
        for Sent { record, quantity, .. } in &due {
            let customer = record.customer.as_str().to_owned();
            *self.acknowledged.entry(customer).or_default() += quantity;
        }
        if !due.is_empty() {
            self.world.accept(due.into_iter().map(|sent| sent.record).collect()).await;
        }
        self.carry_webhooks().await;
        // The budget of requests fills with time: one that stood still would send nothing more.
        while self.work().await {
            self.clock.advance_micros(1_000_000);
        }
    }

    /// Works until nothing is left to do at this instant; whether there was anything.
    async fn work(&self) -> bool {
        let mut worked = false;
        loop {
            let listened = self.world.listener.run_once(self.clock.now()).await.unwrap();
            let steps = self.world.step().await;
            let mut steps = steps.iter().chain([&listened]);
            if !steps.any(|step| step.more || step.did_something()) {
                return worked;
            }
            worked = true;
        }
    }
}

fn customer(seed: u64, number: u64) -> Customer {
    let name = format!("cus_{number}");
    let mut chance = Chance::of(seed, &format!("turn of {name}"));
    let begins = BEGIN + chance.below(14 * DAY);
    let at = begins + DAY + chance.below(20 * DAY);
    let turn = match chance.below(20) {
        0 => Turn::ChangesPlan(at),
        1 => Turn::EndsAt(at),
        2 => Turn::IsCancelled { at, invoiced: true },
        3 => Turn::IsCancelled { at, invoiced: false },
        _ => Turn::Stays,
    };
    Customer { name, begins, turn, subscription: None }
}

/// All invoices of the sandbox's.
async fn invoices(sandbox: &Running) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let last = all.last().map(|invoice| text(invoice, "id").to_owned());
        let mut query = vec![("limit", "100")];
        if let Some(last) = &last {
            query.push(("starting_after", last));
        }
        let page = sandbox.get("/v1/invoices", &query).await.body;
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        if page["has_more"] == false {
            return all;
        }
    }
}

/// What one place's lines of the books told within a span.
fn told_within(lines: &[BookLine], start: i64, end: i64) -> Quantity {
    let inside =
        |line: &&BookLine| start <= line.start.seconds() && line.end.micros() <= end * 1_000_000;
    let told = |line: &BookLine| [line.accepted.clone(), line.settled.clone()];
    let told: Vec<Quantity> = lines.iter().filter(inside).flat_map(told).collect();
    told.iter().sum()
}

/// What the program's own report makes of what was acknowledged, by name: what is billed, what was
/// told to periods that are not billed yet, and what is on no bill, and why.
#[derive(Default)]
struct Reported(BTreeMap<String, Quantity>);

impl Reported {
    fn name(&mut self, name: &str, quantity: &Quantity) {
        let sum = self.0.entry(name.to_owned()).or_insert_with(Quantity::zero);
        *sum = &*sum + quantity;
    }

    fn add(&mut self, row: &Row) {
        let is_told = |name: &str| matches!(name, "settled" | "accepted");
        let (told, rest): (Vec<_>, Vec<_>) = row.parts.iter().partition(|(name, _)| is_told(name));
        for (name, quantity) in rest {
            self.name(name, quantity);
        }
        let told: Quantity = told.iter().map(|(_, quantity)| quantity).sum();
        let bills: Vec<&Quantity> =
            row.invoices.iter().filter_map(|period| period.billed.as_ref()).collect();
        if bills.is_empty() {
            self.name("told to a period that is not billed", &told);
            return;
        }
        let billed: Quantity = bills.into_iter().sum();
        self.name("told, and not on the bill", &(&told - &billed));
        self.name("billed", &billed);
    }

    fn sum(&self) -> Quantity {
        self.0.values().sum()
    }
}

/// The program's own report of the whole month, by customer, and the requests that it took.
async fn reported(month: &Month) -> (BTreeMap<String, Reported>, u32) {
    let (ledger, clock) = (month.world.ledger.clone(), month.clock.clone());
    let settings = Settings { provider: provider_name(), reads_per_month: 20_000 };
    let provider = month.world.provider.clone();
    let reporter = Reporter::new(settings, ledger.clone(), provider, clock.clone());
    let start = Timestamp::from_seconds(BEGIN - DAY);
    let range = Window { start, end: Timestamp::from_seconds(END + DAY) };
    let question = Question { provider: provider_name(), account: None, meter: None, range };
    let report = reporter.report(&question, &InLedger { ledger, clock }).await.unwrap();
    let mut customers: BTreeMap<String, Reported> = BTreeMap::new();
    for row in &report.rows {
        let parts: Quantity = row.parts.iter().map(|(_, quantity)| quantity).sum();
        assert_eq!(parts, row.acknowledged, "{row:?}");
        customers.entry(row.comparand.account.as_str().to_owned()).or_default().add(row);
    }
    (customers, report.run.calls)
}

#[tokio::test]
async fn a_month_of_a_thousand_customers_bills_what_was_used_or_says_what_it_could_not() {
    let seed = 20_261_121;
    println!("seed {seed}");
    let mut month = Month::begin(seed).await;
    while month.now() < END {
        let next = Timestamp::from_seconds(month.now() + STEP);
        month.turn_over(seed).await;
        month.pass().await;
        month.clock.set(next);
    }
    month.pass().await;
    month.world.verify().await;
    let filter = BookFilter { by_window: true, ..BookFilter::default() };
    let mut books: BTreeMap<String, Vec<BookLine>> = BTreeMap::new();
    for line in month.world.ledger.books(&filter).await.unwrap() {
        books.entry(line.account.clone()).or_default().push(line);
    }
    // What is acknowledged is in the books, told or held with a reason.
    for (customer, used) in &month.acknowledged {
        let accrued: Quantity = books[customer].iter().map(|line| &line.accrued).sum();
        assert_eq!(accrued.to_string(), used.to_string(), "{customer}");
    }
    let (mut compared, mut unbilled) = (0, 0);
    for invoice in invoices(&month.sandbox).await {
        if invoice["status"] == "draft" {
            continue;
        }
        for line in invoice["lines"]["data"].as_array().unwrap() {
            let customer = text(&invoice, "customer");
            let (start, end) = (&line["period"]["start"], &line["period"]["end"]);
            let (start, end) = (start.as_i64().unwrap(), end.as_i64().unwrap());
            let told = told_within(&books[customer], start, end);
            let billed = text(line, "quantity_decimal");
            compared += 1;
            if told.to_string() == billed {
                continue;
            }
            // A bill that comes at once, without a grace, leaves out what was not told by then.
            unbilled += 1;
            println!("{customer} [{start}, {end}): told {told}, billed {billed}");
            assert!(month.abrupt.contains(customer), "{customer} was billed in its time");
            assert!(told > Quantity::parse(billed).unwrap(), "{customer} was billed too much");
        }
    }
    let reads = month.world.ledger.read_calls(&provider_name(), month.clock.now()).await.unwrap();
    println!("{compared} lines, {unbilled} not as told, {} reads in 30 days", reads.month);
    assert!(compared > 1_000 && unbilled * 50 < compared);
    let mut all = Reported::default();
    let (reported, calls) = reported(&month).await;
    println!("reported with {calls} requests for totals");
    for (customer, reported) in reported {
        let used = month.acknowledged.remove(&customer).unwrap_or_default();
        assert_eq!(reported.sum(), used.into(), "{customer}");
        for (name, quantity) in &reported.0 {
            all.name(name, quantity);
        }
    }
    assert!(month.acknowledged.is_empty(), "not reported: {:?}", month.acknowledged);
    all.0.retain(|_, quantity| !quantity.is_zero());
    println!("{:?}", all.0);
    let names: Vec<&str> = all.0.keys().map(String::as_str).collect();
    assert!(names.contains(&"not told: late_for_period"), "{names:?}");
    assert!(names.contains(&"not told: no_period"), "{names:?}");
}

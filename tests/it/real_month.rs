//! A short billing month on the real program, by the clock of the sandbox that it tells: usage over
//! HTTP, webhooks over HTTP, and a daemon that is killed in mid-work again and again. Here: what
//! every invoice bills, against what the ledger told and what was acknowledged. Never here: the
//! thousand customers of the stepped month ([`crate::billing_month`]). Read next: [`world`].

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tallyd::domain::quantity::Quantity;

use crate::support::billing::{seconds, text};

mod customers;
mod world;

use customers::{Customer, DAY, END, HOUR, MINUTE};
use world::World;

/// The time between two looks, in seconds, while no period ends.
const COARSE: i64 = 12 * HOUR;
/// The same for two hours after one ended: less than half of what a draft takes usage for.
const FINE: i64 = 25 * MINUTE;
/// How long after a period's end the first look comes, in seconds.
const AFTER_AN_END: i64 = MINUTE;
/// At one step in so many the daemon is killed, beside those at which a group's first period ends.
const KILLED_ONE_IN: usize = 50;

/// Where the clock goes from `now`.
fn next_step(now: i64, ends: &BTreeSet<i64>) -> i64 {
    let mut next = now + COARSE;
    for end in ends {
        if *end + AFTER_AN_END > now {
            next = next.min(*end + AFTER_AN_END);
        } else if now < *end + 2 * HOUR {
            next = next.min(now + FINE);
        }
    }
    next
}

/// A line of a final invoice.
struct Billed {
    customer: String,
    span: (i64, i64),
    quantity: Quantity,
}

/// What all final invoices bill.
fn billed(invoices: &[Value]) -> Vec<Billed> {
    let lines =
        invoices.iter().filter(|invoice| invoice["status"] != "draft").flat_map(|invoice| {
            let lines = invoice["lines"]["data"].as_array().unwrap();
            lines.iter().map(move |line| Billed {
                customer: text(invoice, "customer").to_owned(),
                span: (
                    line["period"]["start"].as_i64().unwrap(),
                    line["period"]["end"].as_i64().unwrap(),
                ),
                quantity: Quantity::parse(text(line, "quantity_decimal")).unwrap(),
            })
        });
    lines.collect()
}

/// A decimal at a field.
fn quantity(line: &Value, field: &str) -> Quantity {
    Quantity::parse(text(line, field)).unwrap()
}

/// The span of a line of a report.
fn span(row: &Value) -> (i64, i64) {
    (seconds(text(row, "start")), seconds(text(row, "end")))
}

/// What the month came to.
struct Concluded {
    customers: Vec<Customer>,
    /// What was acknowledged, by customer.
    acknowledged: BTreeMap<String, i64>,
    lines: Vec<Billed>,
    report: Value,
    held: Value,
}

impl Concluded {
    fn rows(&self) -> &[Value] {
        self.report["rows"].as_array().unwrap()
    }

    /// What every customer was billed.
    fn billed(&self) -> BTreeMap<String, Quantity> {
        let mut sums = BTreeMap::new();
        for line in &self.lines {
            add(&mut sums, &line.customer, &line.quantity);
        }
        sums
    }

    /// Every final line bills what the ledger told of its span, and the command's report agrees.
    fn check_lines(&self) {
        for Billed { customer, span: wanted, quantity: bills } in &self.lines {
            let is_of = |row: &&Value| text(row, "account") == customer && span(row) == *wanted;
            let row = self.rows().iter().find(is_of);
            let row = row.unwrap_or_else(|| panic!("{customer} {wanted:?}: {}", self.report));
            assert_eq!(quantity(row, "told"), *bills, "{row}");
            assert_eq!(quantity(&row["invoices"][0], "billed"), *bills, "{row}");
        }
        let billing = self.lines.iter().filter(|line| !line.quantity.is_zero()).count();
        assert!(self.lines.len() >= 2 * self.customers.len() - 2, "{} lines", self.lines.len());
        assert!(billing * 10 > self.lines.len() * 9, "{billing} lines bill anything");
    }

    /// What is not billed is held for a reason, or was told of a period that no invoice ever bills;
    /// all of it together is what was acknowledged. Answers how often which reason was given.
    fn check_sums(&self) -> BTreeMap<&str, u64> {
        let mut sums = self.billed();
        let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
        for item in self.held["held"].as_array().unwrap() {
            *reasons.entry(text(item, "reason")).or_default() += 1;
            add(&mut sums, text(item, "account"), &quantity(item, "quantity"));
        }
        for customer in self.customers.iter().filter(|customer| customer.ends_unbilled()) {
            let rows = self.rows().iter().filter(|row| text(row, "account") == customer.name);
            for row in rows.filter(|row| row["invoices"][0]["billed"].is_null()) {
                add(&mut sums, &customer.name, &quantity(row, "told"));
            }
        }
        let met: Vec<&str> = reasons.keys().copied().collect();
        assert_eq!(met, ["late_for_period", "no_period"]);
        for (customer, used) in &self.acknowledged {
            assert_eq!(sums[customer].to_string(), used.to_string(), "{customer}");
        }
        reasons
    }

    /// The command finds all that was acknowledged, nothing but what is held to differ, and goes by
    /// the sandbox's time.
    fn check_report(&self) {
        for drift in self.report["drifts"].as_array().unwrap() {
            assert_eq!(drift["kind"], "late", "{drift}");
        }
        let found: Vec<Quantity> =
            self.rows().iter().map(|row| quantity(row, "acknowledged")).collect();
        let found: Quantity = found.iter().sum();
        assert_eq!(found.to_string(), self.acknowledged.values().sum::<i64>().to_string());
        assert!(seconds(text(&self.report, "ended_at")) >= END, "{}", self.report);
    }
}

/// Adds to a customer's sum.
fn add(sums: &mut BTreeMap<String, Quantity>, customer: &str, quantity: &Quantity) {
    let sum = sums.entry(customer.to_owned()).or_insert_with(Quantity::zero);
    *sum = &*sum + quantity;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_of_the_real_program_bills_what_was_told_and_names_the_rest() {
    let mut world = World::begin(customers::all()).await;
    let (ends, first_ends) = (world.ends(), world.first_ends());
    let (mut steps, mut killed) = (0, 0);
    while world.now() < END {
        steps += 1;
        let next = next_step(world.now(), &ends);
        let kill = first_ends.contains(&(next - AFTER_AN_END)) || steps % KILLED_ONE_IN == 0;
        killed += usize::from(kill);
        world.step(next, kill).await;
    }
    // Settlement has the last word on what was told: some days without usage.
    for day in 1..=3 {
        world.step(END + day * DAY, false).await;
    }
    println!("{steps} steps, {killed} kills, {:?}", world.sandbox.handle.webhook_counts());
    assert!(killed >= 5, "{killed}");
    world.check_webhooks();
    let (customers, acknowledged) = (world.customers.clone(), world.acknowledged.clone());
    let lines = billed(&world.invoices().await);
    let (report, held) = world.conclude().await;
    let concluded = Concluded { customers, acknowledged, lines, report, held };
    concluded.check_lines();
    println!("{} lines; held: {:?}", concluded.lines.len(), concluded.check_sums());
    concluded.check_report();
}

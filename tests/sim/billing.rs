//! The way on which the program learns what is billed: what it reads of it, and the webhooks that
//! come, or do not. Never here: what is billed (see [`crate::server`]), what goes wrong with usage
//! on its way (see [`crate::wire`]). Read next: [`crate::months`].

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;
use tallyd::domain::answer::{Answer, Outcome};
use tallyd::domain::billing::{
    BilledItem, Invoice, InvoiceLine, InvoiceStatus, RejectedEvent, RejectionReport, Subscription,
    SubscriptionStatus,
};
use tallyd::domain::names::{
    AccountName, FeedName, InvoiceId, LineId, NoticeId, NoticeKind, ObjectId, ObjectKind, PriceId,
    ProviderMeter, SubscriptionId,
};
use tallyd::domain::notice::{Notice, Related};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::time::{Timestamp, Window};
use tallyd::provider::Request;
use tallyd::provider::billing::{Announced, Answered, BillingReader, Page};

use crate::amount::Amount;
use crate::faults::Class;
use crate::scene::Scene;
use crate::server::{self, Announcement, Keeps, SECOND};
use crate::wire::{Wire, unreachable_now};

mod site;

pub(crate) use site::CLOSES_AFTER_HOURS;

/// Objects on a page of a list.
const PAGE: usize = 20;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_seconds(micros / SECOND)
}

fn window((start, end): (i64, i64)) -> Window {
    Window { start: at(start), end: at(end) }
}

fn meter(name: &str) -> ProviderMeter {
    ProviderMeter::new(name).expect("it is a name")
}

fn quantity(amount: Amount) -> Quantity {
    Quantity::parse_unbounded(&amount.to_string()).expect("it is plain")
}

/// A subscription as the provider shows it at `now`.
fn subscription(scene: &Scene, of: &server::Subscription) -> Subscription {
    match scene.server.keeps {
        Keeps::Events | Keeps::Counts(_) => events_subscription(scene, of),
        Keeps::Entries => site::subscription(scene, of),
    }
}

fn events_subscription(scene: &Scene, of: &server::Subscription) -> Subscription {
    let status = match of.ended_at {
        Some(_) => SubscriptionStatus::Ended,
        None => SubscriptionStatus::Billing,
    };
    let latest = latest_invoice(scene, of);
    Subscription {
        id: SubscriptionId::new(&of.id).expect("it is a name"),
        account: AccountName::new(&of.account).expect("it is a name"),
        status,
        started_at: at(of.began_at),
        ended_at: of.ended_at.map(at),
        ends_at: of.ends_at.map(at),
        idle_since: None,
        changed_at: None,
        items: of
            .meters
            .iter()
            .map(|name| BilledItem { meter: meter(name), period: window(of.period) })
            .collect(),
        latest_invoice: latest,
    }
}

/// The newest invoice of a subscription.
fn latest_invoice(scene: &Scene, of: &server::Subscription) -> Option<InvoiceId> {
    let now = scene.server.now;
    let mut invoices = scene.server.billing.invoices.iter().rev();
    let latest = invoices.find(|each| each.subscription == of.id && each.created_at <= now);
    latest.map(|each| InvoiceId::new(&each.id).expect("it is a name"))
}

/// An invoice as the provider shows it.
fn invoice(scene: &Scene, of: &server::Invoice) -> Invoice {
    match scene.server.keeps {
        Keeps::Events | Keeps::Counts(_) => events_invoice(scene, of),
        Keeps::Entries => site::invoice(scene, of),
    }
}

fn events_invoice(scene: &Scene, of: &server::Invoice) -> Invoice {
    let is_final = of.billed.is_some();
    let line = |name: &String| {
        let billed = of.billed.as_ref().and_then(|billed| billed.get(name)).copied();
        let now = || scene.server.bills((name, &of.account), of.period);
        InvoiceLine {
            id: LineId::new(&format!("il_{}_{name}", of.id)).expect("it is a name"),
            subscription: SubscriptionId::new(&of.subscription).expect("it is a name"),
            account: AccountName::new(&of.account).expect("it is a name"),
            price: PriceId::new(&format!("price_{name}")).expect("it is a name"),
            meter: meter(name),
            period: window(of.period),
            quantity: quantity(billed.unwrap_or_else(now)),
        }
    };
    Invoice {
        id: InvoiceId::new(&of.id).expect("it is a name"),
        status: if is_final { InvoiceStatus::Final } else { InvoiceStatus::Draft },
        created_at: at(of.created_at),
        finalizes_at: (!is_final).then(|| at(of.finalizes_at)),
        finalized_at: is_final.then(|| at(of.finalizes_at)),
        lines: of.meters.iter().map(line).collect(),
        term: None,
    }
}

/// An announcement as it arrives.
pub(crate) fn notice(of: &Announcement) -> Notice {
    let related = of.about.as_ref().map(|(kind, id)| Related {
        kind: ObjectKind::new(kind).expect("it is a name"),
        id: ObjectId::new(id).expect("it is a name"),
    });
    Notice {
        id: NoticeId::new(&of.id).expect("it is a name"),
        snapshot: None,
        kind: NoticeKind::new(of.kind).expect("it is a name"),
        created_at: at(of.at),
        livemode: false,
        related,
        body: "{}".to_owned(),
    }
}

/// One page of a list, newest first, that goes on behind the object called `after`.
fn page<T>(all: Vec<(String, T)>, after: Option<&str>) -> Page<T> {
    let from = after.and_then(|after| all.iter().position(|(id, _)| id == after));
    let from = from.map_or(0, |place| place + 1);
    let more = all.len() > from + PAGE;
    let mut next = None;
    let mut items = Vec::new();
    for (id, item) in all.into_iter().skip(from).take(PAGE) {
        next = Some(id);
        items.push(item);
    }
    Page { items, next: next.filter(|_| more) }
}

/// What is read of `scene`, unless it cannot be read now.
fn read<T>(wire: &Wire, what: &str, read: impl FnOnce(&Scene) -> T) -> Result<Answered<T>, Answer> {
    let mut scene = wire.stage().scene();
    unreachable_now(&mut scene)?;
    if scene.faults.strikes(Class::BillingUnread, 5) {
        return Err(Answer::bare(Outcome::Failed, "An unknown error occurred."));
    }
    scene.reach(format!("read {what}"));
    let now = scene.server.now;
    Ok(Answered { value: read(&scene), provider_at: Some(at(now)), calls: 1 })
}

#[async_trait]
impl BillingReader for Wire {
    fn announced(&self, kind: &NoticeKind, related: Option<&Related>) -> Announced {
        self.billing().announced(kind, related)
    }

    fn feeds(&self) -> Vec<FeedName> {
        self.billing().feeds()
    }

    async fn feed_page(
        &self,
        feed: &FeedName,
        since: Timestamp,
        after: Option<&str>,
    ) -> Result<Answered<Page<Notice>>, Answer> {
        let thin = feed.as_str() == "core_events";
        read(self, "a feed", |scene| {
            let listed = scene.server.billing.announcements.iter().rev().filter(|each| {
                each.kind.starts_with("v1.") == thin
                    && each.listed_at <= scene.server.now
                    && each.at >= since.micros()
            });
            page(listed.map(|each| (each.id.clone(), notice(each))).collect(), after)
        })
    }

    async fn subscription(
        &self,
        id: &SubscriptionId,
    ) -> Result<Answered<Option<Subscription>>, Answer> {
        read(self, "a subscription", |scene| {
            let mut all = scene.server.billing.subscriptions.iter();
            all.find(|each| each.id == id.as_str()).map(|each| subscription(scene, each))
        })
    }

    async fn subscriptions(
        &self,
        account: Option<&AccountName>,
        after: Option<&str>,
    ) -> Result<Answered<Page<Subscription>>, Answer> {
        read(self, "subscriptions", |scene| {
            let all = scene.server.billing.subscriptions.iter().rev();
            let of = all.filter(|each| account.is_none_or(|name| name.as_str() == each.account));
            page(of.map(|each| (each.id.clone(), subscription(scene, each))).collect(), after)
        })
    }

    async fn invoice(&self, id: &InvoiceId) -> Result<Answered<Option<Invoice>>, Answer> {
        read(self, "an invoice", |scene| {
            let mut all = scene.server.billing.invoices.iter();
            let known = all.find(|each| each.id == id.as_str());
            known
                .filter(|each| each.created_at <= scene.server.now)
                .map(|each| invoice(scene, each))
        })
    }

    async fn invoices(
        &self,
        since: Timestamp,
        after: Option<&str>,
    ) -> Result<Answered<Page<Invoice>>, Answer> {
        read(self, "invoices", |scene| {
            let made = scene
                .server
                .billing
                .invoices
                .iter()
                .rev()
                .filter(|each| (since.micros()..=scene.server.now).contains(&each.created_at));
            page(made.map(|each| (each.id.clone(), invoice(scene, each))).collect(), after)
        })
    }

    async fn rejections(
        &self,
        notice: &NoticeId,
    ) -> Result<Answered<Option<RejectionReport>>, Answer> {
        read(self, "a report", |scene| {
            let mut all = scene.server.billing.rejections.iter();
            let report = all.find(|each| each.announcement == notice.as_str())?;
            let validated = Window { start: at(report.at), end: at(report.at + SECOND) };
            let sample = |name: &String| RejectedEvent {
                name: name.clone(),
                code: "meter_event_customer_not_found".to_owned(),
                message: "No such customer.".to_owned(),
            };
            Some(RejectionReport {
                meter: Some(meter(&report.meter)),
                validated,
                count: 1,
                samples: report.identifier.iter().map(sample).collect(),
            })
        })
    }
}

impl Wire {
    /// That usage is first told while its period takes it, as far as the program can know.
    pub(crate) async fn check_period(&self, request: &Request<'_>, ledger: &mut SqliteConnection) {
        let query = "SELECT b.account, d.meter, e.occurred_at, (SELECT count(*) \
              FROM billing_period AS p WHERE p.account = b.account AND p.meter = d.meter \
                AND p.start_at <= e.occurred_at AND p.end_at > e.occurred_at \
                AND p.closed_at IS NOT NULL) AS closed, \
            (SELECT max(p.end_at) \
              FROM billing_period AS p WHERE p.account = b.account AND p.meter = d.meter \
                AND p.start_at <= e.occurred_at AND p.end_at > e.occurred_at \
                AND p.closed_at IS NULL) AS open_until, \
            (SELECT count(*) FROM idle_time AS i WHERE i.account = b.account \
                AND i.start_at <= e.occurred_at \
                AND (i.end_at IS NULL OR i.end_at > e.occurred_at)) AS idle, \
            (SELECT count(*) FROM billing_period AS p WHERE p.account = b.account \
                AND p.meter = d.meter AND p.start_at <= e.occurred_at) AS heard_of, \
            (SELECT group_concat(s.name) FROM subscription AS s) AS known \
            FROM meter_event AS e JOIN balance AS b ON b.id = e.balance_id \
            JOIN destination AS d ON d.id = b.destination_id \
            WHERE e.identifier = ?1 AND e.kind = 'usage' AND e.attempts = 1";
        let row = sqlx::query(query).bind(request.identifier).fetch_optional(ledger).await;
        let Some(row) = row.expect("the ledger can be read beside the program") else { return };
        let (account, meter): (String, String) = (row.get("account"), row.get("meter"));
        let (at, known): (i64, Option<String>) = (row.get("occurred_at"), row.get("known"));
        let open_until: Option<i64> = row.get("open_until");
        let idle: i64 = row.get("idle");
        let mut scene = self.stage().scene();
        if idle > 0 {
            let what = format!("{} left for a time that is on no bill", request.identifier);
            scene.server.wrongs.push(("told-in-time", what));
        }
        // Of two subscriptions that hold it, the one that takes it counts.
        if row.get::<i64, _>("closed") > 0 && open_until.is_none() {
            let what = format!("{} left for a period known as closed", request.identifier);
            scene.server.wrongs.push(("told-in-time", what));
        }
        let Some(invoice) = scene.server.billing.invoice_of(&account, &meter, at) else { return };
        let known = known.unwrap_or_default();
        let known = known.split(',').any(|name| name == invoice.subscription);
        // Of the terms before the first one that was seen, nobody has heard.
        let known =
            known && (scene.server.keeps == Keeps::Events || row.get::<i64, _>("heard_of") > 0);
        let is_final = invoice.billed.is_some() && !invoice.abrupt;
        let struck = |class| scene.faults.struck.contains_key(&class);
        // Whoever does not know the provider's time may take a period for open that is not.
        let clock = struck(Class::ClockStep) || struck(Class::ClockDrift);
        // It ended before its time, and nobody has heard of that yet.
        let ended = open_until.is_some_and(|until| until > invoice.period.1);
        if is_final && known && !ended && !clock && !scene.rolled_back {
            let what = format!("{} left for a final invoice: {invoice:?}", request.identifier);
            scene.server.wrongs.push(("told-in-time", what));
        }
    }
}

/// The program's reader of what is billed.
pub(crate) fn reader(wire: &Arc<Wire>) -> Arc<dyn BillingReader> {
    wire.clone()
}

//! What a site shows of what it bills, in its own words, read as the program's room reads them.
//! Never here: what is billed (see [`crate::server`]). Read next: [`crate::months`].

use serde_json::{Value, json};
use tallyd::domain::billing::{Invoice, Subscription};
use tallyd::domain::names::ProviderMeter;
use tallyd::provider::chargebee::{invoices, subscriptions};

use super::{latest_invoice, meter};
use crate::amount::Amount;
use crate::scene::Scene;
use crate::server::{self, SECOND};

/// Hours after its date for which an invoice is said to take usage.
pub(crate) const CLOSES_AFTER_HOURS: u32 = 1;

fn item_prices(scene: &Scene) -> Vec<ProviderMeter> {
    scene.server.meters.keys().map(|name| meter(name)).collect()
}

fn seconds(at: i64) -> i64 {
    at / SECOND
}

/// A subscription as a site tells it.
pub(super) fn subscription(scene: &Scene, of: &server::Subscription) -> Subscription {
    let status = match (of.ended_at, of.paused_at, of.ends_at) {
        (Some(_), _, _) => "cancelled",
        (None, Some(_), _) => "paused",
        (None, None, Some(_)) => "non_renewing",
        (None, None, None) => "active",
    };
    let term_end = of.ended_at.map_or(of.period.1, |ended| ended.min(of.period.1));
    let items: Vec<Value> = of.meters.iter().map(|name| json!({ "item_price_id": name })).collect();
    let told = json!({ "subscription": {
        "id": of.id,
        "status": status,
        "created_at": seconds(of.began_at),
        "started_at": seconds(of.began_at),
        "activated_at": seconds(of.began_at),
        "current_term_start": seconds(of.period.0),
        "current_term_end": seconds(term_end),
        "pause_date": of.paused_at.map(seconds),
        "cancelled_at": of.ended_at.or(of.ends_at).map(seconds),
        "updated_at": seconds(of.changed_at),
        "subscription_items": items,
    } });
    let read = subscriptions::read(told.to_string().as_bytes())
        .and_then(|told| told.find(&item_prices(scene)))
        .expect("the room reads what a site tells");
    Subscription { latest_invoice: latest_invoice(scene, of), ..read }
}

/// An invoice as a site tells it. What was not used has no line.
pub(super) fn invoice(scene: &Scene, of: &server::Invoice) -> Invoice {
    let is_final = of.billed.is_some();
    let billed = |name: &String| {
        let billed = of.billed.as_ref().and_then(|billed| billed.get(name)).copied();
        billed.unwrap_or_else(|| scene.server.bills((name, &of.account), of.period))
    };
    let line = |name: &String| {
        json!({
            "id": format!("li_{}_{name}", of.formerly.as_ref().unwrap_or(&of.id)),
            "subscription_id": of.subscription,
            "date_from": seconds(of.period.0),
            "date_to": seconds(of.period.1),
            "quantity_in_decimal": billed(name).to_string(),
            "entity_type": "plan_item_price",
            "entity_id": name,
        })
    };
    let used = of.meters.iter().filter(|name| billed(name) != Amount::ZERO);
    let lines: Vec<Value> = used.map(line).collect();
    let told = json!({ "invoice": {
        "id": of.id,
        "status": if is_final { "paid" } else { "pending" },
        "subscription_id": of.subscription,
        "recurring": true,
        "date": seconds(of.period.1),
        "generated_at": is_final.then(|| seconds(of.finalizes_at)),
        "line_items": lines,
    } });
    invoices::read(told.to_string().as_bytes())
        .and_then(|told| told.find(&item_prices(scene), CLOSES_AFTER_HOURS))
        .expect("the room reads what a site tells")
}

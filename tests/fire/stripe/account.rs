//! The account at the stand-in. Here: its prices, its subscriptions, its webhook endpoints. Never
//! here: what goes wrong with it ([`crate::provider`]). Read next: [`super::billing`].
//!
//! The subscriptions begin four weeks before the run, by the sandbox's clock: it is moved there
//! before anything else starts, and everything lives by it. So all usage that the provider takes is
//! of a period of theirs. For a third of the customers that period ended hours before the run, in
//! the midst of their usage; for another third it ends within it. Drafts are kept open for the
//! whole run, as real ones are for hours; afterwards the clock moves past that.

use anyhow::Context;
use serde_json::{Value, json};

use super::{FACTS, WEBHOOK_SECRETS};
use crate::provider::{Provider, lines};
use crate::record::{Meter, Place};
use crate::relay::Relay;
use crate::wire::{Connection, FORM, bearer};

/// The key that the load's own requests show.
const OWN_KEY: &str = "sk_test_fireItself";
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// How long before the run subscriptions begin, in seconds: longer than the oldest usage that the
/// provider takes, and shorter than any month.
const BEGUN_BEFORE: i64 = 27 * DAY + 12 * HOUR;
/// How long before the run the earlier periods end, in seconds, and how long after its beginning
/// the later ones do.
const ENDED_BEFORE: i64 = 5 * HOUR;
const ENDS_AFTER: i64 = 60;
/// How long drafts take usage, in seconds: the longest that there is, as a run may take hours.
pub(super) const GRACE: i64 = 72 * HOUR;
/// Customers with a subscription: all but each third of those that the load has at most.
const CUSTOMERS: u64 = 400;

/// Where the first period of a customer's subscription ends, in seconds from the beginning of the
/// run; nothing where there is no subscription.
const fn first_end(customer: u64) -> Option<i64> {
    match customer % 3 {
        0 => Some(ENDS_AFTER),
        1 => Some(-ENDED_BEFORE),
        _ => None,
    }
}

/// Whether a customer's usage is billed by a subscription.
pub(super) const fn is_subscribed(place: Place) -> bool {
    first_end(place.customer).is_some()
}

/// The customers that have a subscription, each with where its first period ends, in a run that
/// begins at `base`.
fn subscribers(base: i64) -> impl Iterator<Item = (String, i64)> {
    let end = move |customer| Some((format!("cus_{customer}"), base + first_end(customer)?));
    (0..CUSTOMERS).filter_map(end)
}

/// Makes all of it.
pub(crate) async fn prepare(
    provider: &Provider,
    relay: &Relay,
) -> anyhow::Result<Vec<(String, Meter)>> {
    let grace = GRACE * 1_000_000;
    let settings = json!({ "limits": "none", "invoice_grace_micros": grace });
    provider.post("settings", &settings).await?;
    let prices = subscribe(provider).await?;
    announce(provider, relay).await?;
    Ok(prices)
}

/// Makes prices and subscriptions, and lets the four weeks pass.
async fn subscribe(provider: &Provider) -> anyhow::Result<Vec<(String, Meter)>> {
    let known = lines(provider.get("meters").await?, "meters")?;
    let mut prices = Vec::new();
    for meter in FACTS.meters {
        let named = known.iter().find(|it| it["event_name"] == meter.name());
        let id = named.and_then(|it| it["id"].as_str()).context("a meter has no id")?;
        let form = [
            ("currency", "eur"),
            ("product_data[name]", meter.name()),
            ("recurring[interval]", "month"),
            ("recurring[meter]", id),
            ("recurring[usage_type]", "metered"),
            ("unit_amount_decimal", "0.5"),
        ];
        let price = create(provider, "/v1/prices", &form).await?;
        let id = price["id"].as_str().context("a price has no id")?.to_owned();
        prices.push((id, *meter));
    }
    let base = provider.second().await? + BEGUN_BEFORE;
    let names: Vec<String> = (0..prices.len()).map(|at| format!("items[{at}][price]")).collect();
    for (customer, end) in subscribers(base) {
        let end = end.to_string();
        let mut form = vec![("customer", customer.as_str())];
        form.push(("billing_cycle_anchor", &end));
        let items = names.iter().zip(&prices);
        form.extend(items.map(|(name, (price, _))| (name.as_str(), price.as_str())));
        create(provider, "/v1/subscriptions", &form).await?;
    }
    provider.go_to(base).await?;
    Ok(prices)
}

/// Has what happens announced by webhooks, in both forms.
async fn announce(provider: &Provider, relay: &Relay) -> anyhow::Result<()> {
    let url = provider.webhook_url(relay);
    let forms = ["snapshot", "thin"].into_iter().zip(WEBHOOK_SECRETS);
    let endpoints: Vec<Value> = forms
        .map(|(payload, secret)| json!({ "url": url, "secrets": [secret], "payload": payload }))
        .collect();
    provider.announce(&endpoints).await
}

/// Asks for something to be made, by the provider's own wire.
async fn create(provider: &Provider, path: &str, form: &[(&str, &str)]) -> anyhow::Result<Value> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    ask(provider, ("POST", path), &body).await
}

/// Asks once, by the provider's own wire.
pub(super) async fn ask(
    provider: &Provider,
    what: (&str, &str),
    body: &str,
) -> anyhow::Result<Value> {
    Connection::ask_as(provider.address, &bearer(OWN_KEY), what, (FORM, body)).await
}

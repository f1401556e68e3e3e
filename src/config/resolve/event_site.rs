//! `[chargebee.NAME]` with `mode = "usage_events"`. Here: a Chargebee site that meters by usage
//! events, and the features that usage is told for. Never here: whether Chargebee agrees. Read
//! next: `event_route`.

use std::ops::Range;

use toml::Spanned;

use super::Given;
use super::pace::named;
use super::route::CHARGEBEE;
use super::site::{Mode, api, key, meter, pace, reads_per_month, site_name};
use crate::config::field::{Table, Whole, required};
use crate::config::finding::Findings;
use crate::config::problem::Problem;
use crate::config::{UsageEvents, raw};
use crate::delivery::{self, Rate};
use crate::domain::names::ProviderName;
use crate::provider::chargebee::settings as chargebee;
use crate::provider::chargebee::usage_events::settings::{self as events, Feature};
use crate::reconcile;

pub(super) fn sites(
    sites: &raw::Named<raw::Chargebee>,
    free_bytes_min: u64,
    given: &Given<'_>,
    found: &mut Findings,
) -> Vec<UsageEvents> {
    let mut all = Vec::new();
    for (key, raw) in sites.iter().filter(|(_, raw)| Mode::of(raw) == Mode::UsageEvents) {
        if let Some((table, own)) = named(CHARGEBEE, "the site's name", key, found) {
            nothing_of_usages(&table, raw, found);
            all.push(site(&table, own, raw, free_bytes_min, given, found));
        }
    }
    all
}

fn site(
    table: &Table,
    own: ProviderName,
    raw: &raw::Chargebee,
    free_bytes_min: u64,
    given: &Given<'_>,
    found: &mut Findings,
) -> UsageEvents {
    let site = site_name(table, raw, found);
    let api = api(table, raw, &site, found);
    // A stand-in takes events where it answers everything else.
    let is_own = api == chargebee::api_of(&site);
    let ingest = if is_own { events::ingest_of(&site) } else { api.clone() };
    let pace = pace(raw);
    let otherwise = "nothing would be told, or the host refuse most of it";
    let most = events::RATE_PER_MINUTE_MAX;
    let rate = Whole::new(table.key("rate_per_minute"), 1, most, otherwise).read(
        &raw.rate_per_minute,
        events::RATE_PER_MINUTE,
        found,
    );
    let paced = (own.clone(), Rate::per_minute(rate));
    let delivery = delivery::Settings {
        limited_pause_seconds: chargebee::LIMITED_PAUSE_SECONDS,
        ..pace.delivery(table, paced, free_bytes_min, found)
    };
    let (flush, reports) = pace.schedules(table, found);
    let features =
        raw.feature.iter().filter_map(|(key, raw)| feature(table, key, raw, found)).collect();
    let key = key(table, raw, &site, given, found);
    let reads_per_month = reads_per_month(table, raw, found);
    let timeout_millis = delivery.attempt_timeout_millis - delivery::ATTEMPT_MARGIN_MILLIS;
    let reconcile = reconcile::Settings { provider: own.clone(), reads_per_month };
    let provider = events::Settings {
        name: own,
        site,
        api,
        ingest,
        key,
        features,
        reads_per_minute: chargebee::RATE_PER_MINUTE,
        timeout_millis,
    };
    UsageEvents { provider, delivery, reconcile, reports, widened_from: None, flush }
}

/// Refuses what only a site that meters by usages has.
fn nothing_of_usages(table: &Table, raw: &raw::Chargebee, found: &mut Findings) {
    for key in raw.item_price.keys() {
        let path = table.key(&format!("item_price.{}", key.get_ref()));
        let title = format!("`{path}` is an item price, and `{}` meters by events", table.path);
        let label = "it would be told nothing";
        let help = "declare the feature that it charges for instead, or remove `mode` there";
        found.error(Problem::at(key.span(), title).label(label).help(help));
    }
    let place = |field: &raw::Key<i64>| field.as_ref().map(Spanned::span);
    let digits = "the digits of an event are its own, and no site's setting";
    let life = "a subscription takes events without an end";
    let bills = "the bills made of events are not followed: nothing would come of it";
    let user = raw.webhook_user.as_ref().map(Spanned::span);
    let password = raw.webhook_password.as_ref().map(Spanned::span);
    let near = raw.near_usages_max.as_ref().map(Spanned::span);
    let fields: [(&str, Option<Range<usize>>, &str); 6] = [
        ("decimals", place(&raw.decimals), digits),
        ("usages_max", place(&raw.usages_max), life),
        ("near_usages_max", near, life),
        ("invoices_close_after_hours", place(&raw.invoices_close_after_hours), bills),
        ("webhook_user", user, bills),
        ("webhook_password", password, bills),
    ];
    for (field, place, label) in fields {
        let Some(place) = place else { continue };
        let path = table.key(field);
        let title = format!("`{path}` has no meaning where a site meters by events");
        let help = "remove this line, or `mode`";
        found.error(Problem::at(place, title).label(label).help(help));
    }
}

fn feature(
    table: &Table,
    key: &Spanned<String>,
    raw: &raw::Feature,
    found: &mut Findings,
) -> Option<Feature> {
    let path = table.key(&format!("feature.{}", key.get_ref()));
    let inner = Table { path, span: key.span() };
    let id = meter("feature", key, events::FEATURE_CHARS_MAX, found);
    // No answer tells it, and a meter passes over an event without its property.
    let otherwise = "its meter would find nothing to add up, and bill nothing";
    let field = required(&inner, "property", &raw.property, otherwise, "\"calls\"", found)?;
    let property = field.get_ref();
    if !events::is_property(property) {
        let title = format!("`{}` is {property:?}, and no property's name", inner.key("property"));
        let most = events::PROPERTY_CHARS_MAX;
        let help = format!(
            "write the name that the feature's meter reads: a letter, then letters, digits and \
             underscores, {most} characters at the most"
        );
        found.error(Problem::at(field.span(), title).label(otherwise).help(help));
    }
    Some(Feature { id: id?, property: property.clone() })
}

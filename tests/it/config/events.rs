//! `[chargebee.NAME]` with `mode = "usage_events"`, and the routes that lead there.

use tallyd::accrual::route::WindowRule;
use tallyd::delivery::Rate;
use tallyd::domain::time::MICROS_PER_HOUR;

use super::{refused, sound};

/// A site with a feature, and a route to it.
const SITE: &str = r#"
[chargebee.main]
mode = "usage_events"
key = { env = "SITE" }
site = "acme-test"

[chargebee.main.feature."api-calls"]
property = "calls"

[route.calls]
meter = "calls"
to = "chargebee.main"
event = "api-calls"
"#;

/// [`SITE`] with lines put into its first table.
fn site_and(more: &str) -> String {
    SITE.replacen("\n[chargebee.main.feature", &format!("{more}\n[chargebee.main.feature"), 1)
}

#[test]
fn a_site_of_events_is_told_at_its_ingest_host_and_its_routes_by_the_hour() {
    let config = sound(SITE);
    assert!(config.chargebee.is_empty() && config.warnings.is_empty(), "{}", config.warnings);
    let site = &config.usage_events[0];
    assert_eq!(site.provider.api, "https://acme-test.chargebee.com/api/v2");
    assert_eq!(site.provider.ingest, "https://acme-test.ingest.chargebee.com/api/v2");
    assert_eq!(site.provider.features[0].property, "calls");
    assert_eq!(site.delivery.rate, Rate::per_minute(8_000));
    assert_eq!((site.delivery.limited_pause_seconds, site.delivery.concurrency), (60, 10));
    assert_eq!(config.routes[0].window, WindowRule::Hour);
    let here = sound(&site_and("api = \"http://127.0.0.1:1/api/v2\"\nrate_per_minute = 10000\n"));
    let site = &here.usage_events[0];
    assert_eq!(site.provider.ingest, "http://127.0.0.1:1/api/v2");
    assert_eq!(site.delivery.rate, Rate::per_minute(10_000));
}

#[test]
fn what_only_the_other_mode_has_is_refused() {
    let price = "[chargebee.main.item_price.calls-EUR]\naggregation = \"sum\"\n";
    let title = "`chargebee.main.item_price.calls-EUR` is an item price, and `chargebee.main` \
                 meters by events";
    refused(&format!("{SITE}{price}"), "calls-EUR", title);
    for (line, at) in [
        ("decimals = 2", "2"),
        ("usages_max = 5000", "5000"),
        ("near_usages_max = \"widen\"", "\"widen\""),
        ("invoices_close_after_hours = 1", "1"),
        ("webhook_password = { env = \"WEBHOOK\" }", "{ env = \"WEBHOOK\" }"),
        ("webhook_user = \"tallyd\"", "\"tallyd\""),
    ] {
        let (key, _) = line.split_once(' ').unwrap();
        let title = format!("`chargebee.main.{key}` has no meaning where a site meters by events");
        refused(&site_and(&format!("{line}\n")), at, &title);
    }
    let usages = r#"
[chargebee.main]
key = { env = "SITE" }
site = "acme-test"
[chargebee.main.feature.api-calls]
property = "calls"
[stripe.main]
key = { env = "TEST" }
"#;
    let title =
        "`chargebee.main.feature.api-calls` is a feature, and `chargebee.main` meters by usages";
    refused(usages, "api-calls", title);
    let title = "`chargebee.main.mode` does not know the word \"events\"";
    let unknown =
        usages.replace("key = { env = \"SITE\" }", "key = { env = \"SITE\" }\nmode = \"events\"");
    let unknown = unknown.replace("[chargebee.main.feature.api-calls]\nproperty = \"calls\"\n", "");
    refused(&unknown, "\"events\"", title);
}

#[test]
fn usage_is_told_long_before_it_is_too_old() {
    let title = "`route.calls.window` is \"1d\", and `chargebee.main` takes events";
    refused(&format!("{SITE}window = \"1d\"\n"), "\"1d\"", title);
    for window in ["record", "1m", "1h"] {
        sound(&format!("{SITE}window = \"{window}\"\n"));
    }
    let title = "`route.calls.settle` is \"6h\", and `chargebee.main` takes events";
    refused(&format!("{SITE}settle = \"6h\"\n"), "\"6h\"", title);
    let config = sound(&format!("{SITE}settle = \"5h\"\n"));
    assert_eq!(config.routes[0].settle_micros, 5 * MICROS_PER_HOUR);
}

#[test]
fn a_route_names_a_feature_of_its_site_and_has_no_policy_that_never_applies() {
    let title = "\"calls\" is no feature of `chargebee.main`";
    refused(&SITE.replace("event = \"api-calls\"\n", ""), "\"calls\"", title);
    let title = "`corrections` is \"negative\", and `chargebee.main` takes no such";
    refused(&format!("{SITE}corrections = \"negative\"\n"), "\"negative\"", title);
    sound(&format!("{SITE}corrections = \"hold\"\nlate = \"hold\"\n"));
    for late in ["next_period", "drop"] {
        let title =
            format!("`late` is \"{late}\", and the bills of `chargebee.main` are not followed");
        refused(&format!("{SITE}late = \"{late}\"\n"), &format!("\"{late}\""), &title);
    }
}

#[test]
fn a_feature_says_which_property_its_meter_adds_up() {
    let title = "`chargebee.main.feature.api-calls.property` is missing";
    let without = SITE.replace("property = \"calls\"\n", "");
    refused(&without, "\"api-calls\"", title);
    let title =
        "`chargebee.main.feature.api-calls.property` is \"api-calls\", and no property's name";
    refused(&SITE.replace("property = \"calls\"", "property = 'api-calls'"), "'api-calls'", title);
    let long = "x".repeat(101);
    let more = format!("[chargebee.main.feature.{long}]\nproperty = \"calls\"\n");
    let title = "the feature's id is longer than 100 characters";
    refused(&format!("{SITE}{more}"), &long, title);
}

#[test]
fn a_key_and_a_simulated_time_go_no_more_to_events_than_to_usages() {
    let live = SITE.replace("acme-test", "acme").replace("\"SITE\"", "\"SITE_TEST\"");
    let title = "`chargebee.main.key` is no key of a live site, and `site` is one";
    refused(&live, "{ env = \"SITE_TEST\" }", title);
    let title = "`clock.follow` is set, and `chargebee.main` is told at Chargebee itself";
    let follow = "\"http://127.0.0.1:1\"";
    refused(&format!("{SITE}[clock]\nfollow = {follow}\n"), follow, title);
    let title = "`chargebee.main.rate_per_minute` is 10001, outside 1 to 10000";
    refused(&site_and("rate_per_minute = 10001\n"), "10001", title);
    let second =
        "[route.more]\nmeter = \"calls\"\nto = \"chargebee.main\"\nevent = \"api-calls\"\n";
    let title = "routes `calls` and `more` can take the same record to the same meter";
    refused(&format!("{SITE}{second}"), "more", title);
}

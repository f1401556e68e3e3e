//! `[chargebee.NAME]`, and the routes that lead there.

use tallyd::accrual::route::WindowRule;
use tallyd::delivery::Rate;

use super::{refused, sound, warned};

/// A site with an item price, and a route to it.
const SITE: &str = r#"
[chargebee.main]
key = { env = "SITE" }
site = "acme-test"

[chargebee.main.item_price.calls-EUR]
aggregation = "sum"

[route.calls]
meter = "calls"
to = "chargebee.main"
event = "calls-EUR"
"#;

/// [`SITE`] with lines put into its first table.
fn site_and(more: &str) -> String {
    SITE.replacen("\n[chargebee.main.item", &format!("{more}\n[chargebee.main.item"), 1)
}

#[test]
fn a_site_is_told_by_the_minute_and_its_routes_by_the_day() {
    let config = sound(SITE);
    let site = &config.chargebee[0];
    assert_eq!(site.provider.api, "https://acme-test.chargebee.com/api/v2");
    assert_eq!((site.provider.decimals, site.provider.livemode()), (2, false));
    assert_eq!(site.delivery.rate, Rate::per_minute(100));
    assert_eq!((site.delivery.limited_pause_seconds, site.delivery.concurrency), (60, 10));
    assert_eq!(config.routes[0].window, WindowRule::Day);
    let set = sound(
        &site_and("rate_per_minute = 800\ndecimals = 18\nusages_max = 50000\n")
            .replace("event = ", "window = \"1h\"\nevent = "),
    );
    assert_eq!(set.chargebee[0].delivery.rate, Rate::per_minute(800));
    assert_eq!(set.chargebee[0].provider.decimals, 18);
    assert_eq!(set.routes[0].window, WindowRule::Hour);
}

#[test]
fn a_window_that_uses_up_what_a_subscription_takes_in_its_life_is_warned_of() {
    for (window, days) in [("1h", 208), ("1m", 3)] {
        let text = SITE.replace("event = ", &format!("window = \"{window}\"\nevent = "));
        let title = format!("`window` is \"{window}\", and a subscription takes 5000 usages");
        warned(&text, &format!("\"{window}\""), &title);
        let config = sound(&text);
        let label = &config.warnings.warnings[0].label;
        let expected = format!("one that uses this all day has none left after {days} days");
        assert_eq!(*label, expected);
    }
    let daily = sound(&SITE.replace("event = ", "window = \"1d\"\nevent = "));
    assert_eq!(daily.warnings.warnings.len(), 0);
}

#[test]
fn windows_are_widened_once_few_usages_are_left_where_the_site_says_so() {
    let from = |more: &str| sound(&site_and(more)).chargebee[0].widened_from;
    assert_eq!(from(""), None);
    assert_eq!(from("near_usages_max = \"hold\"\n"), None);
    assert_eq!(from("near_usages_max = \"widen\"\n"), Some(4_500));
    assert_eq!(from("usages_max = 50000\nnear_usages_max = \"widen\"\n"), Some(45_000));
    let title = "`chargebee.main.near_usages_max` does not know the word \"wide\"";
    refused(&site_and("near_usages_max = \"wide\"\n"), "\"wide\"", title);
    let title = "`chargebee.main.near_usages_max` is \"widen\", and invoices are closed at once";
    let closed = "invoices_close_after_hours = 0\nnear_usages_max = \"widen\"\n";
    refused(&site_and(closed), "\"widen\"", title);
}

#[test]
fn a_key_is_of_the_site_that_it_is_sent_to_and_goes_nowhere_else() {
    let live = SITE.replace("acme-test", "acme");
    let title = "`chargebee.main.key` is no key of a live site, and `site` is one";
    refused(&live.replace("\"SITE\"", "\"SITE_TEST\""), "{ env = \"SITE_TEST\" }", title);
    let title = "`chargebee.main.key` is no key of a test site, and `site` is one";
    refused(&SITE.replace("\"SITE\"", "\"SITE_LIVE\""), "{ env = \"SITE_LIVE\" }", title);
    let here = "\"http://127.0.0.1:1/api/v2\"";
    sound(&site_and(&format!("api = {here}\n")));
    let title = "`chargebee.main` is a live site, and its `api` is not its own";
    let elsewhere = site_and(&format!("api = {here}\n")).replace("acme-test", "acme");
    refused(&elsewhere, here, title);
    for api in ["\"https://other.chargebee.com/api/v2\"", "\"http://127.0.0.1:1\"", "\"ftp://a\""] {
        let title = "`chargebee.main.api` is neither the site's own address nor on this host";
        refused(&site_and(&format!("api = {api}\n")), api, title);
    }
    let title = "`chargebee.main.site` is \"acme.test\", and no site's name";
    refused(&SITE.replace("acme-test", "acme.test"), "\"acme.test\"", title);
}

#[test]
fn the_wait_of_pending_invoices_and_the_password_of_webhooks_are_the_sites_own() {
    let config = sound(SITE);
    let site = &config.chargebee[0].provider;
    assert_eq!((site.invoices_close_after_hours, site.webhooks.is_none()), (1, true));
    let password = "webhook_password = { env = \"WEBHOOK\" }\n";
    let config = sound(&site_and(&format!("invoices_close_after_hours = 48\n{password}")));
    let site = &config.chargebee[0].provider;
    let user = site.webhooks.as_ref().map(|webhooks| webhooks.user.as_str());
    assert_eq!((site.invoices_close_after_hours, user), (48, Some("tallyd")));
    let short = password.replace("WEBHOOK", "SHORT");
    let title = "`chargebee.main.webhook_password` has less than 16 bytes";
    refused(&site_and(&short), "{ env = \"SHORT\" }", title);
    let user = "webhook_user = \"a:b\"\n";
    let title = "`chargebee.main.webhook_user` has a colon";
    refused(&site_and(&format!("{user}{password}")), "\"a:b\"", title);
    let title = "`chargebee.main.webhook_user` has no password beside it";
    refused(&site_and("webhook_user = \"a\"\n"), "\"a\"", title);
    let title = "`chargebee.main.invoices_close_after_hours` is 1201, outside 0 to 1200";
    refused(&site_and("invoices_close_after_hours = 1201\n"), "1201", title);
}

#[test]
fn how_usages_come_to_the_bill_has_to_be_said_and_the_windows_of_a_route_to_come_to_it() {
    let title = "`chargebee.main.item_price.calls-EUR.aggregation` is missing";
    refused(&SITE.replace("aggregation = \"sum\"\n", ""), "calls-EUR", title);
    let of = |billed: &str, word: &str| {
        let site = SITE.replace("\"sum\"", &format!("\"{billed}\""));
        format!("{site}aggregate = \"{word}\"\n")
    };
    let fits = [("sum", "sum"), ("sum", "count"), ("most_recent", "last"), ("max", "max")];
    for billed in ["sum", "most_recent", "max"] {
        for word in ["sum", "count", "last", "max"] {
            if fits.contains(&(billed, word)) {
                sound(&of(billed, word));
                continue;
            }
            let title = format!(
                "`route.calls.aggregate` is \"{word}\", and what is billed of the price is \
                 \"{billed}\""
            );
            refused(&of(billed, word), &format!("\"{word}\""), &title);
        }
    }
    // A route says nothing of it, and means a sum.
    let title = "`route.calls.aggregate` is \"sum\", and what is billed of the price is \"max\"";
    refused(&SITE.replace("\"sum\"", "\"max\""), "calls", title);
}

#[test]
fn a_level_is_said_by_one_route() {
    let level = SITE.replace("\"sum\"", "\"max\"") + "aggregate = \"max\"\n";
    let second = "match = { region = \"us\" }\naggregate = \"max\"\n";
    let second = format!(
        "[route.more]\nmeter = \"calls\"\nto = \"chargebee.main\"\nevent = \"calls-EUR\"\n{second}"
    );
    let first = format!("{level}match = {{ region = \"eu\" }}\n");
    refused(&format!("{first}{second}"), "more", "routes `calls` and `more` say one level");
    // Sums may come from any number of routes.
    let sums = SITE.to_owned() + "match = { region = \"eu\" }\n" + &second;
    sound(&sums.replace("aggregate = \"max\"", "aggregate = \"sum\""));
}

#[test]
fn a_level_is_not_carried_and_not_told_where_everything_is_added_up() {
    let level = SITE.replace("\"sum\"", "\"most_recent\"");
    let title = "`route.calls.late` is \"next_period\", and `route.calls.aggregate` is \"last\"";
    let late = "aggregate = \"last\"\nlate = \"next_period\"\n";
    refused(&format!("{level}{late}"), "\"next_period\"", title);
    sound(&format!("{level}aggregate = \"last\"\nlate = \"drop\"\n"));
    let stripe = "[stripe.main]\nkey = { env = \"TEST\" }\n[route.calls]\nmeter = \"calls\"\n\
                  to = \"stripe.main\"\naggregate = \"max\"\n";
    let title = "`route.calls.aggregate` is \"max\", and Stripe adds up what it is told";
    refused(stripe, "\"max\"", title);
    // How long a window is was said: each day's level is meant.
    sound(&format!("{stripe}window = \"1d\"\n"));
    refused(&format!("{stripe}window = \"record\"\n"), "\"max\"", title);
    let title = "`route.calls.late` is \"next_period\", and `route.calls.aggregate` is \"max\"";
    let late = format!("{stripe}window = \"1d\"\nlate = \"next_period\"\n");
    refused(&late, "\"next_period\"", title);
}

#[test]
fn a_route_names_an_item_price_of_its_site_and_takes_nothing_back_below_zero() {
    let title = "\"calls-USD\" is no item price of `chargebee.main`";
    refused(
        &SITE.replace("event = \"calls-EUR\"", "event = \"calls-USD\""),
        "\"calls-USD\"",
        title,
    );
    let title = "`corrections` is \"negative\", and `chargebee.main` takes no such";
    refused(&format!("{SITE}corrections = \"negative\"\n"), "\"negative\"", title);
    sound(&format!("{SITE}corrections = \"hold\"\n"));
}

#[test]
fn a_window_of_one_record_has_no_second_for_an_entry() {
    let title = "`window` is \"record\", and `chargebee.main` keeps entries";
    refused(&format!("{SITE}window = \"record\"\n"), "\"record\"", title);
}

#[test]
fn no_simulated_time_comes_near_a_site() {
    let title = "`clock.follow` is set, and `chargebee.main` is told at Chargebee itself";
    let follow = "\"http://127.0.0.1:1\"";
    refused(&format!("{SITE}[clock]\nfollow = {follow}\n"), follow, title);
    let here = site_and("api = \"http://127.0.0.1:2/api/v2\"\n");
    sound(&format!("{here}[clock]\nfollow = {follow}\n"));
}

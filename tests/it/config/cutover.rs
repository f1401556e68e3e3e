//! From when on providers are told, and whether they are.

use tallyd::domain::cutover::Mode;
use tallyd::domain::names::{AccountName, ProviderMeter, ProviderName};
use tallyd::domain::time::Timestamp;

use super::{SOUND, refused, sound, sound_and};

const FEBRUARY: &str = "2026-02-01T00:00:00Z";

/// [`SOUND`] with lines put into its account.
fn account_and(more: &str) -> String {
    SOUND.replace("[route", &format!("{more}\n[route"))
}

fn at(text: &str) -> Option<Timestamp> {
    Some(Timestamp::parse_rfc3339(text).unwrap())
}

/// A Chargebee site of which the largest usage is billed, and a route of days to it.
fn levels(site: &str, route: &str) -> String {
    format!(
        "[chargebee.main]\nkey = {{ env = \"SITE_TEST\" }}\nsite = \"acme-test\"\n{site}\n\
         [chargebee.main.item_price.seats]\naggregation = \"max\"\n[route.seats]\n\
         meter = \"seats\"\nto = \"chargebee.main\"\naggregate = \"max\"\n{route}\n"
    )
}

#[test]
fn a_provider_is_told_all_of_what_is_booked_unless_it_is_said_otherwise() {
    let config = sound(SOUND);
    let telling = &config.tellings[&ProviderName::new("stripe.main").unwrap()];
    assert_eq!((telling.mode, telling.cutover.is_none()), (Mode::Live, true));
    let config = sound(&account_and("shadow = true"));
    assert_eq!(config.tellings[&ProviderName::new("stripe.main").unwrap()].mode, Mode::Shadow);
    let config = sound(&account_and("shadow = false"));
    assert_eq!(config.tellings[&ProviderName::new("stripe.main").unwrap()].mode, Mode::Live);
}

#[test]
fn the_instant_of_who_pays_counts_before_that_of_a_route_and_that_before_the_providers() {
    let text = account_and(
        "bill_from = \"2026-02-01T00:00:00Z\"\n\
         [stripe.main.customer.cus_1]\nbill_from = \"2026-02-03T12:30:00+01:00\"\n\
         [route.bytes]\nmeter = \"bytes\"\nto = \"stripe.main\"\n\
         bill_from = \"2026-02-02T00:00:00.000Z\"",
    );
    let config = sound(&text);
    let cutover = &config.tellings[&ProviderName::new("stripe.main").unwrap()].cutover;
    let of = |account: &str, meter: &str| {
        let (account, meter) = (AccountName::new(account), ProviderMeter::new(meter));
        cutover.bill_from(&account.unwrap(), &meter.unwrap())
    };
    assert_eq!(of("cus_2", "requests"), at(FEBRUARY));
    assert_eq!(of("cus_2", "bytes"), at("2026-02-02T00:00:00Z"));
    assert_eq!(of("cus_1", "requests"), at("2026-02-03T11:30:00Z"));
    assert_eq!(of("cus_1", "bytes"), at("2026-02-03T11:30:00Z"));
}

#[test]
fn a_site_has_instants_of_its_subscriptions() {
    let site = "shadow = true\nbill_from = \"2026-02-01T00:00:00Z\"\n\
                [chargebee.main.subscription.sub_1]\nbill_from = \"2026-02-02T00:00:00Z\"";
    let config = sound(&levels(site, ""));
    let telling = &config.tellings[&ProviderName::new("chargebee.main").unwrap()];
    assert_eq!((telling.mode, telling.cutover.all), (Mode::Shadow, at(FEBRUARY)));
    assert_eq!(telling.cutover.accounts.len(), 1);
}

#[test]
fn an_instant_without_a_zone_or_off_the_minute_is_refused() {
    for text in ["2026-02-01", "2026-02-01T00:00:00", "tomorrow", ""] {
        let title = format!("`stripe.main.bill_from` is {text:?}, and no instant with a zone");
        let field = format!("\"{text}\"");
        refused(&account_and(&format!("bill_from = {field}")), &field, &title);
    }
    for text in ["2026-02-01T00:00:01Z", "2026-02-01T00:00:00.5Z", "2026-02-01T00:00:00.0000001Z"] {
        let why = "which is on no whole minute";
        let field = format!("\"{text}\"");
        let title = format!("`stripe.main.bill_from` is {text:?}, {why}");
        refused(&account_and(&format!("bill_from = {field}")), &field, &title);
        let title = format!("`route.requests.bill_from` is {text:?}, {why}");
        refused(&sound_and(&format!("bill_from = {field}")), &field, &title);
        let title = format!("`stripe.main.customer.cus_1.bill_from` is {text:?}, {why}");
        let table = format!("[stripe.main.customer.cus_1]\nbill_from = {field}");
        refused(&account_and(&table), &field, &title);
    }
}

#[test]
fn who_pays_is_named_as_the_provider_names_them_and_with_an_instant() {
    let table = format!("[stripe.main.customer.acme]\nbill_from = \"{FEBRUARY}\"");
    let title = "`stripe.main.customer.acme` is no customer of Stripe";
    refused(&account_and(&table), "acme", title);
    let title = "`stripe.main.customer.cus_1.bill_from` is missing";
    refused(&account_and("[stripe.main.customer.cus_1]"), "cus_1", title);
}

#[test]
fn routes_to_one_meter_have_one_instant() {
    let two = |first: &str, second: &str, provider: &str| {
        account_and(provider)
            + &format!(
                "match = {{ region = \"eu\" }}\n{first}\n[route.us]\nmeter = \"requests\"\n\
                 match = {{ region = \"us\" }}\nto = \"stripe.main\"\n{second}\n"
            )
    };
    let line = |at: &str| format!("bill_from = \"{at}\"");
    let other = "2026-02-02T00:00:00Z";
    let title = "routes `requests` and `us` lead to one meter, and have different `bill_from`";
    refused(&two(&line(FEBRUARY), &line(other), ""), &format!("\"{other}\""), title);
    refused(&two("", &line(other), ""), &format!("\"{other}\""), title);
    refused(&two(&line(FEBRUARY), "", ""), "us", title);
    refused(&two("", &line(other), &line(FEBRUARY)), &format!("\"{other}\""), title);
    sound(&two(&line(FEBRUARY), &line(FEBRUARY), ""));
    sound(&two(&line(FEBRUARY), "", &line(FEBRUARY)));
}

#[test]
fn an_instant_inside_a_window_of_which_one_record_counts_is_refused() {
    let noon = "2026-02-01T12:00:00Z";
    let title = format!("{noon} lies in a window of the route `seats`, of which one record counts");
    let line = format!("bill_from = \"{noon}\"");
    let at = format!("\"{noon}\"");
    refused(&levels(&line, ""), &at, &title);
    refused(&levels("", &line), &at, &title);
    let table = format!("[chargebee.main.subscription.sub_1]\n{line}");
    refused(&levels(&table, ""), &at, &title);
    sound(&levels(&line, "window = \"1h\""));
    sound(&levels("bill_from = \"2026-02-01T00:00:00Z\"", ""));
}

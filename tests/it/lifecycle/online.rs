//! `tallyd check --online`: the real binary asks the sandbox whether it agrees with the config.

use std::collections::BTreeSet;

use tallyd::domain::names::ProviderName;
use tallyd::domain::provider_facts::AccountPin;
use tallyd::ledger::delivery::DeliveryLedger as _;
use tallyd::sandbox::chargebee::{Aggregation, NewItemPrice};
use tallyd::sandbox::stripe::{Formula, Keys, NewMeter, TimeWindow};
use tallyd::store::sqlite::SqliteLedger;

use crate::support::daemon::{Billing, Home, KEY, Lines, now};
use crate::support::stripe::client;

/// What `check --online` exits with and prints, with what differs from run to run replaced.
async fn checked(home: &Home, provider: &Billing) -> (Option<i32>, String) {
    let run = home.run(&["check", "--online", "--config", "tallyd.toml"]).await;
    let said = format!(
        "{}{}",
        String::from_utf8(run.stdout).unwrap(),
        String::from_utf8(run.stderr).unwrap()
    );
    assert!(!said.contains(KEY), "{said}");
    (run.status.code(), said.replace(&provider.url, "http://sandbox"))
}

/// The part of it about what providers said: behind the description of the config.
fn asked(said: &str) -> String {
    let lines = said.lines().skip_while(|line| !line.contains(": asked by "));
    lines.map(|line| format!("{line}\n")).collect()
}

/// What is drawn of problems: all behind the first empty line.
fn drawn(said: &str) -> &str {
    said.split_once("\n\n").expect("there is a summary").1
}

/// Asks the sandbox itself to deactivate the meter of this event name.
async fn deactivate(provider: &Billing, name: &str) {
    let meters = provider.handle.meters();
    let meter = meters.iter().find(|meter| meter.settings.event_name == name).unwrap();
    let url = format!("{}/v1/billing/meters/{}/deactivate", provider.url, meter.id);
    let answer = client().post(url).bearer_auth(KEY).send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
}

#[tokio::test]
async fn a_provider_that_agrees_is_told_line_by_line_and_was_only_read() {
    let provider = Billing::start().await;
    let home = Home::new(&provider.url);
    let (code, said) = checked(&home, &provider).await;
    assert_eq!(code, Some(0), "{said}");
    insta::assert_snapshot!(asked(&said), @r#"
    provider stripe.main: asked by 8 requests: account acct_1TallydSandbox in test mode; the key may read the account, meters, totals, subscriptions, invoices, prices, events, reports of rejected usage; no reading can try: meter events, their cancellations
    provider stripe.main meter "bytes": mtr_test_sandbox00000001, active: the sum of "value" by "stripe_customer_id"; told by the route bytes
    provider stripe.main meter "calls": mtr_test_sandbox00000000, active: the sum of "value" by "stripe_customer_id"; told by the route calls

    tallyd.toml: 0 errors, 0 warnings
    "#);
    let counted = provider.handle.statistics().requests;
    let written = counted.keys().any(|route| !route.starts_with("GET "));
    assert!(!written, "{counted:?}");
    assert!(!home.ledger.exists());
}

#[tokio::test]
async fn every_disagreement_on_meters_is_told_at_its_route_all_at_once() {
    let provider = Billing::with(|settings| {
        settings.meters.push(NewMeter::new("seats", Formula::Last));
        settings.meters.push(NewMeter::new("runs", Formula::Count));
        let daily = NewMeter::new("disks", Formula::Sum);
        settings.meters.push(daily.pre_aggregated(TimeWindow::Day));
        let other = NewMeter::new("pages", Formula::Sum);
        settings.meters.push(NewMeter { value_key: "pages".to_owned(), ..other });
    })
    .await;
    deactivate(&provider, "bytes").await;
    let routes: String = ["seats", "runs", "disks", "nothing"]
        .map(|name| format!("[route.{name}]\nmeter = \"{name}\"\nto = \"stripe.main\"\n"))
        .concat();
    let more = format!("{routes}[stripe.main.meter.pages]\nformula = \"count\"\n");
    let home = Home::with(&provider.url, Lines { more: &more, ..Lines::default() });
    let (code, said) = checked(&home, &provider).await;
    assert_eq!(code, Some(78), "{said}");
    insta::assert_snapshot!(drawn(&said), @r#"
    error: the meter "bytes" is deactivated and takes no events
      --> tallyd.toml:26:9
       |
    26 | meter = "bytes"
       |         ^^^^^^^ its usage would be held (no_meter)
       |
       = help: route this usage to a meter that can be told, or put this one right

    error: the meter "seats" bills the last value that it was told: declare it with `formula = "last"`
      --> tallyd.toml:34:9
       |
    34 | meter = "seats"
       |         ^^^^^^^ its usage would be held (meter_mismatch)
       |
       = help: route this usage to a meter that can be told, or put this one right

    error: the meter "runs" counts events, and `route.runs` sums records up before
      --> tallyd.toml:37:9
       |
    37 | meter = "runs"
       |         ^^^^^^ a whole window of records would count as one
       |
       = help: set `window = "record"`, or name a meter that adds values up

    error: the meter "disks" keeps one total per day instead of single events: declare it with `span = "day"`
      --> tallyd.toml:40:9
       |
    40 | meter = "disks"
       |         ^^^^^^^ its usage would be held (meter_mismatch)
       |
       = help: route this usage to a meter that can be told, or put this one right

    error: there is no meter "nothing" at Stripe, of this account in test mode
      --> tallyd.toml:43:9
       |
    43 | meter = "nothing"
       |         ^^^^^^^^^ its usage would be held until there is one
       |
       = help: set `event` to the event name of a meter, or make the meter at Stripe

    error: the meter "pages" is another at Stripe: `formula` is "count" here, and "sum"; `value_key` is "value" here, and "pages" there
      --> tallyd.toml:45:20
       |
    45 | [stripe.main.meter.pages]
       |                    ^^^^^ Stripe's word is followed, and the routes were judged by this one
       |
       = help: declare what Stripe has, or remove this table, as the key may list meters

    tallyd.toml: 6 errors, 0 warnings
    "#);
}

#[tokio::test]
async fn a_key_that_is_refused_and_a_provider_that_is_not_there_have_their_own_exits() {
    let provider = Billing::start().await;
    provider.handle.set_keys(Keys::Only(BTreeSet::from(["sk_test_another".to_owned()])));
    let home = Home::new(&provider.url);
    let (code, said) = checked(&home, &provider).await;
    assert_eq!(code, Some(78), "{said}");
    insta::assert_snapshot!(drawn(&said), @r#"
    error: the key is not accepted: Invalid API Key provided
      --> tallyd.toml:13:7
       |
    13 | key = { env = "TEST_KEY" }
       |       ^^^^^^^^^^^^^^^^^^^^ nothing would be sent, and nothing else could be asked
       |
       = help: use a key that is in force, of the account that is meant

    tallyd.toml: 1 error, 0 warnings
    "#);

    let nobody = Home::new("http://127.0.0.1:9");
    let (code, said) = checked(&nobody, &provider).await;
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains("stripe.main gave no answer: "), "{said}");
    assert!(said.contains("[stripe.main]"), "{said}");

    // What does not agree stays so, whoever else may answer later.
    let other = "[stripe.other]\nkey = { env = \"TEST_KEY\" }\napi = \"http://127.0.0.1:9\"\n";
    let both = Home::with(&provider.url, Lines { more: other, ..Lines::default() });
    let (code, said) = checked(&both, &provider).await;
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("stripe.other gave no answer: "), "{said}");
    assert!(said.contains("the key is not accepted: "), "{said}");
}

#[tokio::test]
async fn another_account_and_another_mode_than_the_pinned_ones_are_told_at_the_key() {
    let provider = Billing::start().await;
    let stripe = "account = \"acct_1Other\"";
    let home = Home::with(&provider.url, Lines { stripe, ..Lines::default() });
    let store = tallyd::store::Settings { path: home.ledger.clone(), cache_kib: 2_048 };
    let ledger = SqliteLedger::open(&store, "a test", now()).await.unwrap();
    let pin = AccountPin { account: Some("acct_1TallydSandbox".to_owned()), livemode: true };
    let name = ProviderName::new("stripe.main").unwrap();
    ledger.pin_account(&name, &pin, now()).await.unwrap();
    ledger.close().await;
    let (code, said) = checked(&home, &provider).await;
    assert_eq!(code, Some(78), "{said}");
    insta::assert_snapshot!(drawn(&said), @r#"
    error: the key belongs to acct_1TallydSandbox (test), and the ledger writes to acct_1TallydSandbox (live)
      --> tallyd.toml:13:7
       |
    13 | key = { env = "TEST_KEY" }
       |       ^^^^^^^^^^^^^^^^^^^^ nothing would be sent
       |
       = help: use a key of that account and mode, or give this one a ledger of its own

    error: the key belongs to the account acct_1TallydSandbox, and not to acct_1Other
      --> tallyd.toml:19:11
       |
    19 | account = "acct_1Other"
       |           ^^^^^^^^^^^^^ nothing would be sent
       |
       = help: use a key of that account, or correct `account`

    tallyd.toml: 2 errors, 0 warnings
    "#);
}

/// The table of an item price.
fn price(id: &str, aggregation: &str) -> String {
    format!("[chargebee.main.item_price.{id}]\naggregation = \"{aggregation}\"\n")
}

/// What comes of asking a site that has three item prices, with `prices` in the config.
async fn checked_site(prices: &str) -> (Option<i32>, String) {
    let provider = Billing::start().await;
    let site = provider.handle.chargebee();
    site.create_item_price(NewItemPrice::metered("calls")).unwrap();
    site.create_item_price(NewItemPrice::metered("peak").by(Aggregation::Max)).unwrap();
    site.create_item_price(NewItemPrice::plan("basic")).unwrap();
    let more = format!(
        "[chargebee.main]\nkey = {{ file = \"site.key\" }}\nsite = \"tallyd-test\"\n\
         api = \"{}/api/v2\"\n{prices}",
        provider.chargebee_url
    );
    let home = Home::with(&provider.url, Lines { more: &more, ..Lines::default() });
    std::fs::write(home.path().join("site.key"), "test_canary_of_a_site").unwrap();
    let (code, said) = checked(&home, &provider).await;
    (code, said.replace(&provider.chargebee_url, "http://site"))
}

#[tokio::test]
async fn item_prices_that_are_there_metered_and_billed_as_the_config_says_agree() {
    let (code, said) = checked_site(&(price("calls", "sum") + &price("peak", "max"))).await;
    assert_eq!(code, Some(0), "{said}");
    insta::assert_snapshot!(asked(&said), @r#"
    provider stripe.main: asked by 8 requests: account acct_1TallydSandbox in test mode; the key may read the account, meters, totals, subscriptions, invoices, prices, events, reports of rejected usage; no reading can try: meter events, their cancellations
    provider stripe.main meter "bytes": mtr_test_sandbox00000001, active: the sum of "value" by "stripe_customer_id"; told by the route bytes
    provider stripe.main meter "calls": mtr_test_sandbox00000000, active: the sum of "value" by "stripe_customer_id"; told by the route calls
    provider chargebee.main: asked by 8 requests: account tallyd-test in test mode; the key may read usages, subscriptions, invoices, events, item prices, items; no reading can try: usages, their deletion
    provider chargebee.main meter "calls": metered: sum_of_usages; told by no route
    provider chargebee.main meter "peak": metered: max_usage; told by no route

    warning: the secret in site.key can be read by everybody on this host
      --> tallyd.toml:34:7
       |
    34 | key = { file = "site.key" }
       |       ^^^^^^^^^^^^^^^^^^^^^ any program here could act in your name
       |
       = help: chmod 600 site.key

    tallyd.toml: 0 errors, 1 warning
    "#);
}

#[tokio::test]
async fn item_prices_that_are_not_or_are_billed_otherwise_are_told_where_they_are_declared() {
    let wrong = ["calls", "peak", "basic", "nothing"].map(|id| price(id, "most_recent")).concat();
    let (code, said) = checked_site(&wrong).await;
    assert_eq!(code, Some(78), "{said}");
    insta::assert_snapshot!(drawn(&said), @r#"
    error: what is billed of the item price "calls" is its "sum_of_usages"
      --> tallyd.toml:37:28
       |
    37 | [chargebee.main.item_price.calls]
       |                            ^^^^^ what is told would be billed as something else
       |
       = help: set `aggregation` to what the item says: "sum", "most_recent" or "max"

    error: what is billed of the item price "peak" is its "max_usage"
      --> tallyd.toml:39:28
       |
    39 | [chargebee.main.item_price.peak]
       |                            ^^^^ what is told would be billed as something else
       |
       = help: set `aggregation` to what the item says: "sum", "most_recent" or "max"

    error: the item of the item price "basic" is not metered
      --> tallyd.toml:41:28
       |
    41 | [chargebee.main.item_price.basic]
       |                            ^^^^^ every usage of it would be refused
       |
       = help: route this usage to an item price of a metered item

    error: there is no item price "nothing" at the site tallyd-test
      --> tallyd.toml:43:28
       |
    43 | [chargebee.main.item_price.nothing]
       |                            ^^^^^^^ every usage of it would be refused
       |
       = help: use the id of an item price that is there, or make it at Chargebee

    warning: the secret in site.key can be read by everybody on this host
      --> tallyd.toml:34:7
       |
    34 | key = { file = "site.key" }
       |       ^^^^^^^^^^^^^^^^^^^^^ any program here could act in your name
       |
       = help: chmod 600 site.key

    tallyd.toml: 4 errors, 1 warning
    "#);
}

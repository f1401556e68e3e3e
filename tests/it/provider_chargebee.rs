//! Chargebee's room against the stand-in for Chargebee, over real HTTP. Here: what answers mean.
//! Never here: a rule of the stand-in's (`sandbox_chargebee`). Read next: [`rooms`].

use std::sync::Arc;

use tallyd::domain::answer::{Answer, Outcome};
use tallyd::domain::event::{EventIntent, Identifier, Says};
use tallyd::domain::fold::Fold;
use tallyd::domain::names::{AccountName, ProviderMeter, ProviderName};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::reading::Grouping;
use tallyd::domain::state::HoldReason;
use tallyd::domain::time::{Timestamp, Window};
use tallyd::provider::chargebee::Chargebee;
use tallyd::provider::chargebee::settings::{ItemPrice, Password, Settings};
use tallyd::provider::{Provider, Request};
use tallyd::sandbox::chargebee::Limits;
use tallyd::sandbox::faults::FaultKind;

use crate::support::chargebee::{DAY, MINUTE, Running, START, start, start_with};

mod billing;
mod documents;
mod events;
mod levels;
mod rooms;
mod terms;
mod windows;

const HOUR: i64 = 60 * MINUTE;

fn provider_name() -> ProviderName {
    ProviderName::new("chargebee.main").unwrap()
}

fn meter(name: &str) -> ProviderMeter {
    ProviderMeter::new(name).unwrap()
}

fn account(name: &str) -> AccountName {
    AccountName::new(name).unwrap()
}

/// Readings a minute in tests, which do not wait.
const QUICK: u32 = 1_000_000;
/// Usages that a subscription takes in tests.
const USAGES_MAX: u32 = 50;
/// The password of the webhooks of the stand-in.
const WEBHOOK_PASSWORD: &str = "a password of a test";

fn chargebee(sandbox: &Running) -> Arc<Chargebee> {
    chargebee_at(&sandbox.url)
}

fn chargebee_at(host: &str) -> Arc<Chargebee> {
    chargebee_of(host, [("calls", Fold::Sum), ("bytes", Fold::Sum)])
}

/// One with these item prices, each with how a term's usages come to what is billed of it.
fn chargebee_of(host: &str, prices: [(&str, Fold); 2]) -> Arc<Chargebee> {
    let settings = Settings {
        name: provider_name(),
        site: "tallyd-test".to_owned(),
        api: format!("{host}/api/v2"),
        key: "test_key_of_a_test".to_owned().into(),
        item_prices: prices
            .map(|(id, aggregation)| ItemPrice { id: meter(id), aggregation })
            .to_vec(),
        decimals: 2,
        usages_max: USAGES_MAX,
        invoices_close_after_hours: 48,
        webhooks: Some(Password {
            user: "tallyd".to_owned(),
            password: WEBHOOK_PASSWORD.to_owned().into(),
        }),
        rate_per_minute: QUICK,
        timeout_millis: 2_000,
    };
    Arc::new(Chargebee::new(settings).unwrap())
}

/// The stored bytes of a usage, or of a deletion.
fn body(chargebee: &Chargebee, name: &str, quantity: &str, second: i64, says: &Says) -> Vec<u8> {
    let intent = EventIntent {
        balance: tallyd::domain::balance::BalanceId(1),
        ordinal: 1,
        identifier: Identifier::stored(name),
        says: says.clone(),
        quantity: Quantity::parse(quantity).unwrap(),
        total: None,
        occurred_at: Timestamp::from_seconds(second),
    };
    chargebee.encode(&meter("calls"), &account("sub"), &intent).unwrap().body
}

async fn send(chargebee: &Chargebee, says: &Says, body: &[u8], name: &str, key: &str) -> Answer {
    let account = account("sub");
    let meter = &meter("calls");
    let (idempotency_key, identifier) = (key, name);
    let request = Request { says, meter, account: &account, body, idempotency_key, identifier };
    chargebee.send(request).await
}

async fn enter(chargebee: &Chargebee, name: &str, quantity: &str, second: i64) -> Answer {
    let body = body(chargebee, name, quantity, second, &Says::Usage);
    send(chargebee, &Says::Usage, &body, name, name).await
}

async fn delete(chargebee: &Chargebee, name: &str, key: &str) -> Answer {
    let says = Says::Cancel(Identifier::stored(name));
    let body = body(chargebee, "a cancel", "1", START, &says);
    send(chargebee, &says, &body, "a cancel", key).await
}

#[tokio::test]
async fn a_usage_is_entered_once_however_often_it_is_sent_and_under_whichever_key() {
    let sandbox = start().await;
    let chargebee = chargebee(&sandbox);
    let first = enter(&chargebee, "tallyd-1", "2.5", START).await;
    assert_eq!(first.outcome, Outcome::Accepted, "{first:?}");
    assert_eq!(first.provider_at, Some(Timestamp::from_seconds(START)));
    // The same key replays the answer; another one meets the id.
    assert_eq!(enter(&chargebee, "tallyd-1", "2.5", START).await.outcome, Outcome::Accepted);
    let body = body(&chargebee, "tallyd-1", "2.5", START, &Says::Usage);
    let again = send(&chargebee, &Says::Usage, &body, "tallyd-1", "tallyd-1-2").await;
    assert_eq!(again.outcome, Outcome::Duplicate, "{again:?}");
    // The key is forgotten after half an hour, the id never.
    sandbox.advance(31 * MINUTE);
    assert_eq!(enter(&chargebee, "tallyd-1", "2.5", START).await.outcome, Outcome::Duplicate);
    assert_eq!(sandbox.books(), ["sub calls 2.5 1"]);
}

#[tokio::test]
async fn an_id_of_another_usage_and_a_second_that_is_taken_are_told_apart() {
    let sandbox = start().await;
    let chargebee = chargebee(&sandbox);
    enter(&chargebee, "tallyd-1", "2.5", START).await;
    let other = enter(&chargebee, "tallyd-1", "3", START + 1).await;
    assert_eq!(other.outcome, Outcome::Refused(HoldReason::IdentifierConflict), "{other:?}");
    sandbox.advance(31 * MINUTE);
    let conflict = enter(&chargebee, "tallyd-1", "3", START + 1).await;
    assert_eq!(conflict.outcome, Outcome::Refused(HoldReason::IdentifierConflict), "{conflict:?}");
    let taken = enter(&chargebee, "tallyd-2", "3", START).await;
    assert_eq!(taken.outcome, Outcome::Refused(HoldReason::Refused), "{taken:?}");
    assert_eq!(sandbox.books(), ["sub calls 2.5 1"]);
}

#[tokio::test]
async fn a_deletion_is_done_when_its_target_is_gone_and_refused_once_that_is_invoiced() {
    let sandbox = start().await;
    let chargebee = chargebee(&sandbox);
    enter(&chargebee, "tallyd-1", "2.5", START).await;
    enter(&chargebee, "tallyd-2", "4", START + 1).await;
    assert_eq!(delete(&chargebee, "tallyd-1", "d1").await.outcome, Outcome::Accepted);
    assert_eq!(delete(&chargebee, "tallyd-1", "d1-2").await.outcome, Outcome::Duplicate);
    assert_eq!(delete(&chargebee, "tallyd-9", "d9").await.outcome, Outcome::Duplicate);
    sandbox.advance(40 * DAY);
    let invoiced = delete(&chargebee, "tallyd-2", "d2").await;
    assert_eq!(invoiced.outcome, Outcome::Refused(HoldReason::Refused), "{invoiced:?}");
}

#[tokio::test]
async fn what_happens_on_the_way_is_classified_and_never_guessed() {
    let sandbox = start().await;
    let chargebee = chargebee(&sandbox);
    let cases = [
        (FaultKind::ClosedBefore, Outcome::Unknown),
        (FaultKind::AnswerLost, Outcome::Unknown),
        (FaultKind::AnswerCut, Outcome::Unknown),
        (FaultKind::ErrorBefore, Outcome::Failed),
        (FaultKind::ErrorAfter, Outcome::Failed),
        (FaultKind::UnavailableHtml, Outcome::Failed),
        (FaultKind::RateLimited, Outcome::RateLimited),
        (FaultKind::LockTimeout, Outcome::Busy),
    ];
    for (number, (fault, expected)) in (0..).zip(cases) {
        sandbox.script(&[fault]);
        let name = format!("tallyd-{number}");
        let answer = enter(&chargebee, &name, "1", START + number).await;
        assert_eq!(answer.outcome, expected, "{fault:?} {answer:?}");
    }
}

#[tokio::test]
async fn a_limit_is_obeyed_as_it_is_told_and_a_site_that_takes_no_usages_says_so() {
    let sandbox =
        start_with(|site| site.limits = Limits { per_minute: Some(2), concurrent: None }).await;
    let chargebee = chargebee(&sandbox);
    for number in 0..2 {
        let answer = enter(&chargebee, &format!("tallyd-{number}"), "1", START + number).await;
        assert_eq!(answer.outcome, Outcome::Accepted, "{answer:?}");
    }
    let limited = enter(&chargebee, "tallyd-2", "1", START + 2).await;
    assert_eq!(limited.outcome, Outcome::RateLimited);
    assert!(limited.retry_after_seconds.is_some_and(|wait| (1..=60).contains(&wait)));
    sandbox.advance(MINUTE);
    sandbox.handle.set_usages_enabled(false);
    let off = enter(&chargebee, "tallyd-2", "1", START + 2).await;
    assert_eq!(off.outcome, Outcome::Unauthorized, "{off:?}");
    assert_eq!(chargebee.contact().await.unwrap_err().outcome, Outcome::Unauthorized);
}

#[tokio::test]
async fn totals_are_listed_and_added_up_by_whatever_parts_are_asked_for() {
    let sandbox = start().await;
    let chargebee = chargebee(&sandbox);
    let midnight = START + 12 * HOUR;
    for number in 0..130 {
        let (name, at) = (format!("tallyd-{number}"), midnight + number * 20 * MINUTE);
        assert_eq!(enter(&chargebee, &name, "0.1", at).await.outcome, Outcome::Accepted);
    }
    let span = Window {
        start: Timestamp::from_seconds(midnight),
        end: Timestamp::from_seconds(midnight + 2 * DAY),
    };
    let read = async |grouping| {
        let read = chargebee.read_totals(&meter("calls"), &account("sub"), span, grouping).await;
        let totals = read.unwrap();
        let said: Vec<String> = totals.parts.iter().map(|part| part.quantity.to_string()).collect();
        (said, totals.calls)
    };
    assert_eq!(read(Grouping::Whole).await, (vec!["13".to_owned()], 2));
    assert_eq!(read(Grouping::Day).await, (vec!["7.2".to_owned(), "5.8".to_owned()], 2));
    let (hours, _) = read(Grouping::Hour).await;
    assert_eq!((hours.len(), hours[0].as_str(), hours[43].as_str()), (48, "0.3", "0.1"));
}

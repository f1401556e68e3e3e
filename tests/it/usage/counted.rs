//! Levers against a count by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use proptest::prelude::*;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};
use tallyd::accrual::route::Route;
use tallyd::domain::billing::{BilledItem, Subscription, SubscriptionStatus};
use tallyd::domain::correction::Change;
use tallyd::domain::names::{AccountName, ProviderMeter, SubscriptionId};
use tallyd::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, Timestamp, Window};
use tallyd::ledger::billing::{BillingLedger as _, Learned};
use tallyd::ledger::operator::OperatorLedger as _;
use tallyd::ledger::usage::BEHIND_MAX;
use tallyd::service::Service as _;
use tallyd::store::ARCHIVE_AGE_DAYS;
use tallyd::store::sqlite::archive::{Archiving, Wanted};
use tallyd::usage::counter::Counter;
use tallyd::usage::desk::Unknown;
use tallyd::usage::lever::{Formula, Lever, Period};

use super::{
    accept, amount, ask, buckets, correct, correction, count, customer, desk, lever, total, used,
    verify,
};
use crate::archive::{day, lived};
use crate::support::journey::{provider_name, record, route};
use crate::support::stand_in::ledger;
use crate::support::stripe::NOON;

const START: Timestamp = Timestamp::from_seconds(NOON);

#[derive(Clone, Debug)]
enum Move {
    Use { micros: i64, bucket: usize, subscription: usize, tenths: i64, customer: usize },
    Cancel(usize),
    Adjust(usize, i64),
    Step,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    // Times that lie on the bounds of slices are met often.
    let micros =
        prop_oneof![0..5 * MICROS_PER_DAY, (0_i64..120).prop_map(|hour| hour * MICROS_PER_HOUR),];
    let usage = (micros, 0_usize..3, 0_usize..3, 0_i64..50, 0_usize..2).prop_map(
        |(micros, bucket, subscription, tenths, customer)| Move::Use {
            micros,
            bucket,
            subscription,
            tenths,
            customer,
        },
    );
    let step = prop_oneof![
        6 => usage,
        1 => (0_usize..40).prop_map(Move::Cancel),
        2 => (0_usize..40, 0_i64..50).prop_map(|(record, to)| Move::Adjust(record, to)),
        2 => Just(Move::Step),
    ];
    prop::collection::vec(step, 1..40)
}

struct Line {
    customer: String,
    at: Timestamp,
    bucket: &'static str,
    subscription: &'static str,
    /// In tenths; nothing once it is cancelled.
    tenths: Option<i64>,
}

fn in_text(tenths: i64) -> String {
    amount(&format!("{}.{}", tenths / 10, tenths % 10)).to_string()
}

/// What a lever has to say, by hand: the total, buckets, and the same by subscription.
fn by_hand(lever: &Lever, lines: &[&Line], now: Timestamp) -> (String, Vec<(String, String)>) {
    let inside = |line: &&&Line| match lever.period {
        Period::AllTime | Period::Subscription => true,
        Period::Rolling(micros) => {
            lever.period.span(Period::rolling(micros, now)).contains(line.at)
        }
    };
    let counts = lines.iter().filter(inside).filter_map(|line| Some((line, line.tenths?)));
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for (line, tenths) in counts {
        let bucket = if lever.formula == Formula::Total { "" } else { line.bucket };
        *sums.entry(bucket).or_default() += tenths;
    }
    let name = |bucket: &str| if bucket.is_empty() { "-".to_owned() } else { bucket.to_owned() };
    match lever.formula {
        Formula::Total | Formula::PerBucket => {
            if lever.formula == Formula::Total {
                sums.entry("").or_default();
            }
            let total = in_text(sums.values().sum());
            (total, sums.iter().map(|(bucket, sum)| (name(bucket), in_text(*sum))).collect())
        }
        Formula::UniqueBuckets => {
            let named: BTreeSet<&str> =
                sums.keys().copied().filter(|bucket| !bucket.is_empty()).collect();
            let each = named.iter().map(|bucket| (name(bucket), "1".to_owned())).collect();
            (named.len().to_string(), each)
        }
    }
}

fn levers() -> Vec<Lever> {
    let mut levers = Vec::new();
    for formula in Formula::ALL {
        for (number, period) in [
            Period::AllTime,
            Period::Rolling(MICROS_PER_HOUR * 30 + 7),
            Period::Rolling(MICROS_PER_DAY * 2),
        ]
        .into_iter()
        .enumerate()
        {
            levers.push(lever(&format!("{formula} {number}"), *formula, period));
        }
    }
    levers
}

async fn follow(moves: Vec<Move>) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    let (levers, now) = (levers(), START.plus_micros(4 * MICROS_PER_DAY));
    let counter = Counter::adopt(ledger.clone(), &levers).await.unwrap();
    let mut lines: Vec<Line> = Vec::new();
    for (number, each) in moves.into_iter().enumerate() {
        match each {
            Move::Use { micros, bucket, subscription, tenths, customer } => {
                let line = Line {
                    customer: format!("cus_{customer}"),
                    at: START.plus_micros(micros),
                    bucket: ["", "a", "b"][bucket],
                    subscription: ["", "s", "t"][subscription],
                    tenths: Some(tenths),
                };
                let id = format!("r{}", lines.len());
                let mut record =
                    used(&id, &in_text(tenths), line.at, line.bucket, line.subscription);
                record.customer = super::customer(&line.customer);
                let mut other = record.clone();
                other.meter = tallyd::domain::names::MeterName::new("bytes").unwrap();
                other.id = tallyd::domain::names::RecordId::new(&format!("o{id}")).unwrap();
                accept(&ledger, &[record, other], now).await;
                lines.push(line);
            }
            Move::Cancel(record) => {
                if let Some(line) = lines.get_mut(record) {
                    line.tenths = None;
                    let named = correction(&format!("r{record}"), "cancel", Change::Cancel);
                    correct(&ledger, named, now).await;
                }
            }
            Move::Adjust(record, to) => {
                if let Some(Line { tenths: Some(tenths), .. }) = lines.get_mut(record) {
                    let (quantity, replaces) = (amount(&in_text(to)), amount(&in_text(*tenths)));
                    *tenths = to;
                    let change = Change::Adjust { quantity, replaces };
                    let named = correction(&format!("r{record}"), &format!("a{number}"), change);
                    correct(&ledger, named, now).await;
                }
            }
            Move::Step => drop(counter.run_once(now).await.unwrap()),
        }
        for of in ["cus_0", "cus_1"] {
            let own: Vec<&Line> = lines.iter().filter(|line| line.customer == of).collect();
            for lever in &levers {
                let told = ask(&ledger, lever, of, now).await.unwrap();
                let found = (told.total.to_string(), buckets(&told.by_bucket));
                assert_eq!(found, by_hand(lever, &own, now), "{} of {of}", lever.name);
                for named in ["s", "t"] {
                    let own: Vec<&Line> =
                        own.iter().copied().filter(|line| line.subscription == named).collect();
                    let told = told.by_subscription.get(named).map(buckets).unwrap_or_default();
                    let mut wanted = by_hand(lever, &own, now).1;
                    // Of a subscription without usage nothing is said.
                    if told.is_empty() {
                        wanted.retain(|(_, sum)| sum != "0");
                    }
                    assert_eq!(told, wanted, "{} of {of}, {named}", lever.name);
                }
            }
        }
    }
    verify(&ledger).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn an_answer_is_the_count_by_hand_whatever_is_counted_so_far(moves in moves()) {
        tokio::runtime::Runtime::new().unwrap().block_on(follow(moves));
    }
}

#[tokio::test]
async fn a_lever_that_comes_later_counts_what_is_there_and_one_that_goes_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    let old = lever("old", Formula::Total, Period::AllTime);
    let new = Lever {
        bucket_property: "region".to_owned(),
        ..lever("new", Formula::PerBucket, Period::Rolling(MICROS_PER_DAY))
    };
    let mut eu = used("r1", "2", START, "a", "");
    eu.properties.insert("region".to_owned(), tallyd::domain::record::Property::Flag(true));
    accept(&ledger, &[eu, used("r2", "0.5", START, "b", "")], START).await;
    assert_eq!(ask(&ledger, &old, "cus_1", START).await, Err(Unknown::NotCounted));
    count(&ledger, std::slice::from_ref(&old), START).await;
    assert_eq!(total(&ledger, &old, "cus_1", START).await, "2.5");
    count(&ledger, &[old.clone(), new.clone()], START).await;
    let told = ask(&ledger, &new, "cus_1", START).await.unwrap();
    let pair = |name: &str, sum: &str| (name.to_owned(), sum.to_owned());
    assert_eq!(buckets(&told.by_bucket), [pair("-", "0.5"), pair("true", "2")]);
    count(&ledger, std::slice::from_ref(&new), START).await;
    assert_eq!(ask(&ledger, &old, "cus_1", START).await, Err(Unknown::NotCounted));
    assert_eq!(total(&ledger, &new, "cus_1", START).await, "2.5");
    verify(&ledger).await;
    let options = SqliteConnectOptions::new().filename(folder.path().join("ledger"));
    let mut connection = options.connect().await.unwrap();
    let views: i64 = sqlx::query_scalar("SELECT count(*) FROM usage_view")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(views, 1);
}

#[tokio::test]
async fn a_view_that_is_far_behind_says_so_instead_of_making_an_answer_slow() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    let lever = lever("calls", Formula::Total, Period::AllTime);
    let counter = Counter::adopt(ledger.clone(), std::slice::from_ref(&lever)).await.unwrap();
    let records: Vec<_> = (0..=BEHIND_MAX)
        .map(|each| record(&format!("r{each}"), "cus_1", "calls", "1", START))
        .collect();
    accept(&ledger, &records, START).await;
    assert_eq!(ask(&ledger, &lever, "cus_1", START).await, Err(Unknown::Behind(BEHIND_MAX + 1)));
    counter.run_once(START).await.unwrap();
    assert_eq!(total(&ledger, &lever, "cus_1", START).await, (BEHIND_MAX + 1).to_string());
}

#[tokio::test]
async fn archiving_takes_nothing_from_a_lever_and_a_later_one_says_what_it_cannot_know() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = lived(folder.path(), 0..3, 6).await;
    let now = day(i64::from(ARCHIVE_AGE_DAYS) + 5);
    let all = lever("all", Formula::Total, Period::AllTime);
    let timed = lever("timed", Formula::Total, Period::Rolling(400 * MICROS_PER_DAY));
    let levers = [all.clone(), timed.clone()];
    let wanted = |name: &str| Wanted {
        file: folder.path().join(name),
        before: day(2),
        age_days: ARCHIVE_AGE_DAYS,
    };
    // Nothing goes that a lever has not counted.
    let counter = Counter::adopt(ledger.clone(), &levers).await.unwrap();
    let archived =
        ledger.archive(&wanted("early"), now, &mut |_| ControlFlow::Continue(())).await.unwrap();
    assert_eq!(archived, Archiving::Nothing);
    while counter.run_once(now).await.unwrap().more {}
    let archived =
        ledger.archive(&wanted("old"), now, &mut |_| ControlFlow::Continue(())).await.unwrap();
    assert!(matches!(archived, Archiving::Made(_)), "{archived:?}");
    for lever in &levers {
        // Three days of two records of 1.5 each.
        assert_eq!(total(&ledger, lever, "cus_1", now).await, "9");
    }
    verify(&ledger).await;
    let later = lever("later", Formula::PerBucket, Period::AllTime);
    let recent = lever("recent", Formula::PerBucket, Period::Rolling(now.micros_since(day(2))));
    let longer = lever("longer", Formula::PerBucket, Period::Rolling(now.micros_since(day(1))));
    let levers = [all.clone(), timed, later.clone(), recent.clone(), longer.clone()];
    count(&ledger, &levers, now).await;
    assert_eq!(ask(&ledger, &later, "cus_1", now).await, Err(Unknown::Archived(day(2))));
    assert_eq!(ask(&ledger, &longer, "cus_1", now).await, Err(Unknown::Archived(day(2))));
    assert_eq!(total(&ledger, &recent, "cus_1", now).await, "3");
    assert_eq!(total(&ledger, &all, "cus_1", now).await, "9");
    verify(&ledger).await;
}

fn subscribed(name: &str, account: &str, span: Window) -> Subscription {
    let meter = ProviderMeter::new("calls").unwrap();
    Subscription {
        id: SubscriptionId::new(name).unwrap(),
        account: AccountName::new(account).unwrap(),
        status: SubscriptionStatus::Billing,
        started_at: span.start,
        ended_at: None,
        ends_at: None,
        idle_since: None,
        changed_at: None,
        items: vec![BilledItem { meter, period: span }],
        latest_invoice: None,
    }
}

#[tokio::test]
async fn the_period_of_a_subscription_is_the_one_that_the_account_is_billed_for_now() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    let lever = lever("calls", Formula::Total, Period::Subscription);
    count(&ledger, std::slice::from_ref(&lever), START).await;
    let span =
        Window { start: START.plus_seconds(90), end: START.plus_micros(30 * MICROS_PER_DAY) };
    let used_at = |id: &str, seconds| used(id, "2", START.plus_seconds(seconds), "", "");
    accept(&ledger, &[used_at("r1", 89), used_at("r2", 90), used_at("r3", 9_000)], START).await;
    let desk = desk(&ledger, std::slice::from_ref(&lever), vec![route("calls")]);
    let at = async |of: &str, now: Timestamp| desk.ask(&customer(of), &lever, now).await.unwrap();
    let now = START.plus_seconds(10_000);
    assert_eq!(at("cus_1", now).await, Err(Unknown::NoPeriod(customer("cus_1"))));
    let nothing = Learned::nothing(now);
    let learned = Learned { subscriptions: vec![subscribed("sub_1", "cus_1", span)], ..nothing };
    ledger.learn(&provider_name(), &learned, now).await.unwrap();
    let figures = at("cus_1", now).await.unwrap();
    assert_eq!((figures.window, figures.usage.total.to_string()), (Some(span), "4".to_owned()));
    assert_eq!(at("cus_1", span.end).await, Err(Unknown::NoPeriod(customer("cus_1"))));
    assert_eq!(at("cus_2", now).await, Err(Unknown::NoPeriod(customer("cus_2"))));
    // Routes that lead elsewhere are followed by the next answer.
    desk.follow(vec![Route {
        provider_meter: ProviderMeter::new("bytes").unwrap(),
        ..route("calls")
    }]);
    assert_eq!(at("cus_1", now).await, Err(Unknown::NoPeriod(customer("cus_1"))));
    desk.follow(vec![route("calls")]);
    let other = Window { end: span.end.plus_seconds(1), ..span };
    let learned = Learned {
        subscriptions: vec![subscribed("sub_2", "cus_1", other)],
        ..Learned::nothing(now)
    };
    ledger.learn(&provider_name(), &learned, now).await.unwrap();
    let told = at("cus_1", now).await;
    assert!(matches!(told, Err(Unknown::PeriodsDiffer(..))), "{told:?}");
}

#[tokio::test]
async fn a_sum_that_is_not_of_its_records_is_found() {
    for change in [
        "UPDATE usage_sum SET quantity = '7' WHERE grain = 'all'",
        "UPDATE usage_sum SET records = records + 1 WHERE grain = 'hour'",
        "UPDATE usage_sum SET start_at = start_at + 1 WHERE grain = 'instant'",
        "UPDATE usage_sum SET bucket = 'b' WHERE grain = 'day'",
        "DELETE FROM usage_sum",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(folder.path(), START).await;
        let levers = [
            lever("all", Formula::PerBucket, Period::AllTime),
            lever("day", Formula::PerBucket, Period::Rolling(MICROS_PER_DAY)),
        ];
        accept(&ledger, &[used("r1", "2", START, "a", "")], START).await;
        count(&ledger, &levers, START).await;
        verify(&ledger).await;
        let options = SqliteConnectOptions::new().filename(folder.path().join("ledger"));
        let mut connection = options.connect().await.unwrap();
        connection.execute(change).await.unwrap();
        let findings = ledger.verify().await.unwrap().findings;
        assert!(findings.iter().all(|each| each.starts_with("usage view ")), "{findings:?}");
        assert!(!findings.is_empty(), "{change}");
    }
}

//! What Stripe bills and announces: subscriptions, invoices, prices, lists of events, reports.
//! Here: whatever is read stays within its bounds and names no meter that is not known. Never here:
//! single events (`notice`). Read next: `summaries`.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use tallyd::domain::answer::MESSAGE_BYTES_MAX;
use tallyd::domain::names::{NoticeId, PriceId, ProviderMeter};
use tallyd::domain::time::{TIMESTAMP_MAX, TIMESTAMP_MIN, Timestamp, Window};
use tallyd::provider::stripe::feeds::Feed;
use tallyd::provider::stripe::objects::NoObject;
use tallyd::provider::stripe::prices::{self, Bills, KnownMeters};
use tallyd::provider::stripe::{feeds, invoices, rejections, subscriptions};

fn has_time(window: Window) -> bool {
    TIMESTAMP_MIN <= window.start && window.start < window.end && window.end < TIMESTAMP_MAX
}

/// A subscription, and a page of its items behind a zero byte.
fn read_subscription(data: &[u8], known: &KnownMeters) -> Result<(), NoObject> {
    let mut parts = data.split(|byte| *byte == 0);
    let mut told = subscriptions::read(parts.next().unwrap_or_default(), false)?;
    for page in parts.take(subscriptions::ITEM_PAGES_MAX) {
        let Some(path) = told.more_items() else { break };
        told.take_items(page)?;
        assert_ne!(told.more_items(), Some(path), "the next page is another");
    }
    let found = told.find(known)?;
    assert!(found.subscription.items.len() + found.strangers.len() <= told.prices().count());
    for item in found.subscription.items {
        assert!(item.meter.as_str() == "tokens" && has_time(item.period));
    }
    Ok(())
}

/// An invoice, and a page of its lines behind a zero byte.
fn read_invoice(data: &[u8], known: &KnownMeters) -> Result<(), NoObject> {
    let mut parts = data.split(|byte| *byte == 0);
    let mut told = invoices::read(parts.next().unwrap_or_default(), false)?;
    for page in parts.take(invoices::LINE_PAGES_MAX) {
        let Some(path) = told.more_lines() else { break };
        told.take_lines(page)?;
        assert_ne!(told.more_lines(), Some(path), "the next page is another");
    }
    let meter = |price: PriceId| (price, Bills::Meter("mtr_1".to_owned()));
    let bills: BTreeMap<PriceId, Bills> = told.prices()?.into_iter().map(meter).collect();
    let Some(invoice) = told.find(&bills, known)?.invoice else { return Ok(()) };
    for line in invoice.lines {
        assert!(line.meter.as_str() == "tokens" && has_time(line.period));
        assert!(bills.contains_key(&line.price));
    }
    Ok(())
}

/// A page of a list, and what its notices mean.
fn read_feed(feed: Feed, data: &[u8]) -> Result<(), NoObject> {
    let taken = feed.take(data, None, false)?;
    for notice in &taken.page.items {
        drop(feeds::announced(&notice.kind, notice.related.as_ref()));
    }
    if let Some(next) = &taken.page.next {
        assert!(feed.can_ask_with(next));
        let since = Timestamp::from_seconds(1_790_000_000);
        let path = feed.path(since, Some(next));
        assert!(path.bytes().all(|byte| byte.is_ascii_graphic()) && !path.contains('#'));
        assert!(path.starts_with("/v1/events?") || path.starts_with("/v2/core/events?"));
        assert!(feed.take(data, Some(next), false).is_err(), "no page goes on to itself");
    }
    Ok(())
}

fn read_report(data: &[u8], known: &KnownMeters) -> Result<(), NoObject> {
    let id = NoticeId::new("evt_test_1").expect("a name");
    let found = rejections::read(data, &id, known, false)?;
    for sample in found.report.samples {
        assert!(sample.message.len() <= MESSAGE_BYTES_MAX && sample.code.len() <= 100);
        assert!(!sample.name.is_empty() && sample.name.len() <= 255);
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else { return };
    let tokens = ProviderMeter::new("tokens").expect("a name");
    let known = KnownMeters([("mtr_1".to_owned(), tokens)].into());
    let read = match choice {
        b's' => read_subscription(data, &known),
        b'i' => read_invoice(data, &known),
        b'e' => read_feed(Feed::Events, data),
        b'c' => read_feed(Feed::CoreEvents, data),
        b'r' => read_report(data, &known),
        _ => {
            let price = PriceId::new("price_1").expect("a name");
            prices::read(data, &price, false).map(drop)
        }
    };
    if let Err(why) = read {
        assert!(why.to_string().len() <= 1_000);
    }
});

//! What a Chargebee site answers and announces: usages, subscriptions, invoices, events, webhooks.
//! Here: whatever is read stays within its bounds and names no item price that is not known. Never
//! here: Stripe's (`billing`, `notice`). Read next: `summaries`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tallyd::domain::names::{AccountName, ProviderMeter};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::reading::Grouping;
use tallyd::domain::time::{MICROS_PER_DAY, TIMESTAMP_MAX, TIMESTAMP_MIN, Timestamp, Window};
use tallyd::provider::chargebee::encode::Usage;
use tallyd::provider::chargebee::settings::Password;
use tallyd::provider::chargebee::usages::Listing;
use tallyd::provider::chargebee::webhooks::ProtectedNotices;
use tallyd::provider::chargebee::{classify, encode, events, invoices, subscriptions};
use tallyd::provider::wire::Received;
use tallyd::provider::{NoticeReader as _, Posted};

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

fn has_time(window: Window) -> bool {
    TIMESTAMP_MIN <= window.start && window.start < window.end && window.end < TIMESTAMP_MAX
}

fn read_subscription(data: &[u8], known: &[ProviderMeter]) -> Result<(), String> {
    let found = subscriptions::read(data)?.find(known)?;
    assert!(found.items.len() <= known.len());
    assert!(found.items.iter().all(|item| known.contains(&item.meter) && has_time(item.period)));
    assert_eq!(found.id.as_str(), found.account.as_str());
    Ok(())
}

/// An invoice, and pages of its lines behind zero bytes.
fn read_invoice(data: &[u8], known: &[ProviderMeter]) -> Result<(), String> {
    let mut parts = data.split(|byte| *byte == 0);
    let mut told = invoices::read(parts.next().unwrap_or_default())?;
    for page in parts.take(invoices::LINE_PAGES_MAX) {
        let Some(before) = told.more_lines().map(str::to_owned) else { break };
        told.take_lines(page)?;
        assert_ne!(told.more_lines(), Some(before.as_str()), "the next page is another");
    }
    let invoice = told.find(known, 48)?;
    assert!(invoice.lines.iter().all(|line| known.contains(&line.meter) && has_time(line.period)));
    assert!(invoice.finalizes_at.is_none_or(|at| at > invoice.created_at));
    Ok(())
}

/// A page of events, and what they mean.
fn read_events(data: &[u8]) -> Result<(), String> {
    let taken = events::take(data, None, false)?;
    for notice in &taken.page.items {
        drop(events::announced(&notice.kind, notice.related.as_ref()));
    }
    if let Some(next) = &taken.page.next {
        let path = events::path(NOW, Some(next));
        assert!(path.bytes().all(|byte| byte.is_ascii_graphic()) && !path.contains('#'));
        assert!(events::take(data, Some(next), false).is_err(), "no page goes on to itself");
    }
    Ok(())
}

/// A header before the first line's end, and a body behind it.
fn read_webhook(data: &[u8]) -> Result<(), String> {
    let cut = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (header, body) = (&data[..cut], &data[cut..]);
    let password = "that no input was sent with".to_owned().into();
    let reader = ProtectedNotices::new(&Password { user: "tallyd".to_owned(), password }, false);
    let posted = Posted { headers: &[("authorization", header)], body };
    assert!(reader.read(posted, NOW).is_err());
    let notice = events::read_posted(body, false).map_err(|fault| fault.to_string())?;
    assert_eq!(notice.body.as_bytes(), body);
    Ok(())
}

/// The answers to a usage that was sent, with a status in the first two bytes.
fn read_answer(data: &[u8]) -> Result<(), String> {
    let Some((status, body)) = data.split_first_chunk() else { return Ok(()) };
    let status = 100 + u16::from_be_bytes(*status) % 500;
    let received = Received { status, body: body.to_vec(), ..Received::default() };
    let (item_price, quantity) = ("calls".to_owned(), Quantity::one());
    let sent = Usage { id: "tallyd-1".to_owned(), item_price, quantity, second: NOW.seconds() };
    drop(classify::created(&received, &sent, "sub_1"));
    drop(classify::deleted(&received, "tallyd-1", "sub_1"));
    let refusal = classify::reading(&received);
    assert!(refusal.message.as_ref().is_none_or(|message| message.len() <= 2_000));
    drop(classify::created_after_asking(refusal, &received, &sent, "sub_1"));
    Ok(())
}

fn read_usages(data: &[u8], known: &[ProviderMeter]) -> Result<(), String> {
    let account = AccountName::new("sub_1").expect("a name");
    let day = NOW.floor_to(MICROS_PER_DAY);
    let span = Window { start: day, end: day.plus_micros(MICROS_PER_DAY) };
    let mut listing = Listing::of(&known[0], &account, span, Grouping::Hour)?;
    listing.take(data)?;
    assert_eq!(listing.totals().len(), 24);
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else { return };
    let known = ["calls", "bytes"].map(|name| ProviderMeter::new(name).expect("a name"));
    let read = match choice {
        b's' => read_subscription(data, &known),
        b'i' => read_invoice(data, &known),
        b'e' => read_events(data),
        b'w' => read_webhook(data),
        b'a' => read_answer(data),
        b'u' => read_usages(data, &known),
        _ => {
            drop(encode::read(data));
            Ok(())
        }
    };
    if let Err(why) = read {
        assert!(why.len() <= data.len() + 1_000);
    }
});

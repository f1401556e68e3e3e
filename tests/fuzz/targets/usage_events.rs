//! What a Chargebee site answers about usage events. Here: every event of a request has one answer,
//! none is believed without a yes or refused without its name, and summaries stay within what was
//! asked. Never here: usages, terms, invoices (`chargebee`). Read next: `chargebee`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tallyd::domain::answer::Outcome;
use tallyd::domain::names::{AccountName, ProviderMeter};
use tallyd::domain::reading::Grouping;
use tallyd::domain::time::{MICROS_PER_DAY, Timestamp, Window};
use tallyd::provider::chargebee::usage_events::encode::{self, Identity};
use tallyd::provider::chargebee::usage_events::{classify, summaries::Summaries};
use tallyd::provider::wire::Received;

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

fn identity(number: u8) -> Identity {
    Identity {
        deduplication_id: format!("tallyd-{number}"),
        subscription_id: "sub_1".to_owned(),
        usage_timestamp: NOW.seconds() * 1_000,
    }
}

/// The answers to one event and to three, with a status in the first two bytes.
fn read_answer(data: &[u8]) {
    let Some((status, body)) = data.split_first_chunk() else { return };
    let status = 100 + u16::from_be_bytes(*status) % 500;
    let received = Received { status, body: body.to_vec(), ..Received::default() };
    let is_yes = (200..300).contains(&status);
    let events = [identity(1), identity(2), identity(3)];
    let answers = classify::all_told(&received, &events);
    assert_eq!(answers.len(), events.len());
    let read: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let named = read.is_some_and(|body| body.get("failed_events").is_some());
    for (event, answer) in events.iter().zip(&answers) {
        match answer.outcome {
            Outcome::Accepted => assert!(is_yes && named),
            // Nothing that was said of the whole request is taken for an event's own refusal.
            Outcome::Refused(_) | Outcome::Duplicate => assert!(named, "{event:?}"),
            Outcome::Busy
            | Outcome::RateLimited
            | Outcome::Unauthorized
            | Outcome::NotSent
            | Outcome::Failed
            | Outcome::Unknown
            | Outcome::WrongAccount => {}
        }
        assert!(answer.message.as_ref().is_none_or(|message| message.len() <= 2_000));
    }
    let answer = classify::told(&received, &events[0]);
    assert!(answer.outcome != Outcome::Accepted || is_yes);
}

fn read_summaries(data: &[u8]) {
    let (account, feature) = (AccountName::new("sub_1"), ProviderMeter::new("calls"));
    let (account, feature) = (account.expect("a name"), feature.expect("a name"));
    let day = NOW.floor_to(MICROS_PER_DAY);
    let span = Window { start: day, end: day.plus_micros(MICROS_PER_DAY) };
    let made = Summaries::of(&feature, &account, span, Grouping::Hour);
    let mut summaries = made.expect("a day has its hours");
    // Pages behind zero bytes, as long as one names another.
    for page in data.split(|byte| *byte == 0) {
        match summaries.take(page) {
            Ok(true) => {}
            Ok(false) => break,
            Err(why) => {
                assert!(why.len() <= data.len() + 1_000);
                return;
            }
        }
        let query = summaries.query();
        assert!(query.bytes().all(|byte| byte.is_ascii_graphic()) && !query.contains('#'));
    }
    assert_eq!(summaries.totals().len(), 24);
}

/// An event that was stored is sent in a list as it is.
fn read_stored(data: &[u8]) {
    if encode::read(data).is_some() {
        let batch = encode::batch(&[data, data]);
        assert!(serde_json::from_slice::<serde_json::Value>(&batch).is_ok());
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else { return };
    match choice {
        b'a' => read_answer(data),
        b's' => read_summaries(data),
        _ => read_stored(data),
    }
});

//! Stripe's answers to a meter event. Here: only a whole answer of Stripe's own is believed, and no
//! key is kept. Never here: reading requests. Read next: `stripe_reading`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tallyd::domain::answer::Outcome;
use tallyd::provider::stripe::classify::{Expected, Received, meter_event, provider_at, reading};

const IDENTIFIER: &str = "tallyd_0123456789abcdef";

fn header(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned())
}

/// The statuses that matter, so that the fuzzer need not guess three digits.
const STATUSES: [u16; 16] =
    [200, 201, 302, 400, 401, 402, 403, 404, 409, 413, 424, 429, 500, 502, 503, 599];

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    // Headers are lines in front of the body, in a fixed order.
    let mut parts = rest.splitn(6, |byte| *byte == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let received = Received {
        status: STATUSES[usize::from(choice & 15)],
        request_id: header(next()),
        should_retry: header(next()),
        rate_limited_reason: header(next()),
        retry_after: header(next()),
        date: header(next()),
        body: next().to_vec(),
        broken: (choice & 16 != 0).then(|| "the connection broke".to_owned()),
    };
    let expected = Expected { identifier: IDENTIFIER, livemode: choice & 32 != 0 };
    let answer = meter_event(&received, expected);
    // A field that nobody reads is not looked at, and may be no text.
    let text = String::from_utf8_lossy(&received.body);
    let body: Option<Value> = serde_json::from_str(&text).ok();
    match answer.outcome {
        Outcome::Accepted => {
            let body = body.expect("an accepted event has a body");
            assert_eq!(body["identifier"], IDENTIFIER);
            assert_eq!(body["livemode"], expected.livemode);
            assert!(received.status == 200 && received.broken.is_none());
        }
        Outcome::Duplicate | Outcome::Refused(_) | Outcome::Busy | Outcome::Unauthorized => {
            assert!(received.broken.is_none(), "half an answer was believed");
            // What no reader of whole values takes may still hold the fields that are read.
            let own = body.is_none_or(|body| body["error"].is_object());
            assert!(own, "not Stripe's own words");
            assert!((400..500).contains(&received.status));
        }
        Outcome::RateLimited => assert!((400..500).contains(&received.status)),
        Outcome::WrongAccount => assert_eq!(received.status, 200),
        Outcome::Failed | Outcome::Unknown => {}
        Outcome::NotSent => panic!("an answer came, so it was sent"),
    }
    assert!(!matches!(reading(&received).outcome, Outcome::Duplicate));
    let _at = provider_at(&received);
});

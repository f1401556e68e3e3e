//! How a Stripe account's meter events go. Here: the channel, the stream's address and its rate.
//! Never here: everything else of an account (see `account`). Read next: `http`.

use super::account::address;
use crate::config::field::{Table, Whole, word};
use crate::config::finding::Findings;
use crate::config::problem::Problem;
use crate::config::raw;
use crate::delivery::Rate;
use crate::provider::stripe::settings::{self as stripe, Channel};

/// How events go, in the words of the file.
const CHANNELS: [(&str, Channel); 3] =
    [("v1", Channel::V1), ("v2", Channel::V2), ("stream", Channel::Stream)];

/// Most events a second by the stream: what Stripe grants by way of its sales at most.
const STREAM_RATE_MAX: i64 = 200_000;

/// The channel. What of it may not be meant is said, where it is known here already.
pub(super) fn read(
    table: &Table,
    raw: &raw::Stripe,
    is_test_key: bool,
    found: &mut Findings,
) -> Channel {
    let path = table.key("channel");
    let channel = word(&path, &raw.channel, &CHANNELS, Channel::default(), found);
    let Some(field) = &raw.channel else { return channel };
    if channel == Channel::Stream && is_test_key && raw.api.is_none() {
        let title = format!("`{path}` is \"stream\", and the key is a test key");
        let label = "Stripe's documentation says of the stream that it takes live events only";
        let help = "what it refuses waits and is told by no other way; \"v2\" takes test events";
        found.warning(Problem::at(field.span(), title).label(label).help(help));
    }
    for (key, meter) in &raw.meter {
        let Some(span) = &meter.span else { continue };
        if channel == Channel::V1 {
            continue;
        }
        let meter = table.key(&format!("meter.{}", key.get_ref()));
        let title = format!("`{meter}` keeps totals, which go by \"v1\" whatever `{path}` says");
        let label = "in which order version 2 looks at totals is not known";
        let help = "leave it so; the account's other meters go as `channel` says";
        found.warning(Problem::at(span.span(), title).label(label).help(help));
    }
    channel
}

/// The stream's address: Stripe's own, or wherever a stand-in answers everything else.
pub(super) fn stream_api(
    table: &Table,
    raw: &raw::Stripe,
    api: &str,
    is_live_key: bool,
    found: &mut Findings,
) -> String {
    let otherwise = if api == stripe::API { stripe::STREAM_API } else { api };
    let path = table.key("stream_api");
    let stream_api = address(&path, &raw.stream_api, otherwise, found);
    if let (true, Some(field)) = (is_live_key, &raw.stream_api)
        && stream_api != stripe::STREAM_API
    {
        let title =
            format!("`{}` has a live key, and its `stream_api` is not Stripe's", table.path);
        let label = "usage that is billed, and what lets others send it, would go there";
        let help = "remove `stream_api`, or use a test key";
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
    stream_api
}

/// How many events a second go by the stream; nothing where the channel is another. What was made
/// for it before that was chosen then counts among the rest.
pub(super) fn rate(
    table: &Table,
    raw: &raw::Stripe,
    channel: Channel,
    is_live_key: bool,
    found: &mut Findings,
) -> Option<Rate> {
    let (path, field) = (table.key("stream_events_per_second"), &raw.stream_events_per_second);
    let otherwise = if is_live_key {
        stripe::STREAM_EVENTS_PER_SECOND_LIVE
    } else {
        stripe::RATE_PER_SECOND_TEST
    };
    let bound =
        Whole::new(path, 1, STREAM_RATE_MAX, "nothing would be sent, or most of it refused");
    let rate = Rate::per_second(bound.read(field, otherwise, found));
    match channel {
        Channel::V1 | Channel::V2 => None,
        Channel::Stream => Some(rate),
    }
}

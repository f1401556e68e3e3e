//! What the program makes of an answer, by its own room's reading. Never here: how an answer came
//! about (see [`super::way`]). Read next: [`crate::server`].

use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use tallyd::domain::answer::Answer;
use tallyd::domain::event::Says;
use tallyd::provider::Request;
use tallyd::provider::chargebee::classify::{self as entries, Verdict};
use tallyd::provider::chargebee::encode;
use tallyd::provider::cryptolens::classify as records;
use tallyd::provider::planship::{self, classify as reports};
use tallyd::provider::stripe::classify::{self as events, adjustment, stream};
use tallyd::provider::wire;

use super::unreachable_now;
use crate::plants::Plant;
use crate::scene::Scene;
use crate::server::{Counter, Keeps, Reply, SECOND};

/// What the program makes of a reply to a request, for each of its events.
pub(super) fn of(scene: &mut Scene, requests: &[Request<'_>], reply: &Reply) -> Vec<Answer> {
    if scene.server.keeps.streams(requests[0].body) {
        let believed = scene.has(Plant::RefusalOfMany);
        let events = if believed { 1 } else { requests.len() };
        return vec![stream::told(&event_answer(scene, reply), events); requests.len()];
    }
    let keeps = scene.server.keeps;
    let mut one = |request: &Request<'_>| match keeps {
        Keeps::Events => of_event(scene, request, reply),
        Keeps::Entries => of_entry(scene, request, reply),
        Keeps::Counts(Counter::Cryptolens) => records::recorded(&entry_answer(scene, reply)),
        Keeps::Counts(Counter::Planship) => {
            let usage = planship::encode::usage(request.body);
            let sent = reports::Sent { metering_id: request.meter.as_str(), usage };
            reports::reported(&entry_answer(scene, reply), sent)
        }
    };
    requests.iter().map(&mut one).collect()
}

fn of_event(scene: &Scene, request: &Request<'_>, reply: &Reply) -> Answer {
    let (received, livemode) = (event_answer(scene, reply), false);
    match request.says {
        Says::Usage => {
            let identifier = request.identifier;
            events::meter_event(&received, events::Expected { identifier, livemode })
        }
        Says::Cancel(target) => {
            let expected = adjustment::Expected { target: target.as_str(), livemode };
            adjustment::adjustment(&received, expected)
        }
    }
}

/// What is refused is asked for, as the room's client does, and that may not be answered either.
fn of_entry(scene: &mut Scene, request: &Request<'_>, reply: &Reply) -> Answer {
    let (got, account) = (entry_answer(scene, reply), request.account.as_str());
    let sent = encode::read(request.body);
    let (verdict, id) = match (request.says, &sent) {
        (Says::Usage, Some(sent)) => (entries::created(&got, sent, account), sent.id.clone()),
        (Says::Usage, None) => panic!("{} is no usage", request.identifier),
        (Says::Cancel(target), _) => {
            (entries::deleted(&got, target.as_str(), account), target.as_str().to_owned())
        }
    };
    let refusal = match verdict {
        Verdict::Known(answer) => return *answer,
        Verdict::Ask(refusal) => *refusal,
    };
    scene.reach("asked what is there");
    if unreachable_now(scene).is_err() {
        return entries::undecided(refusal, "it could not be asked what is there");
    }
    let there = scene.server.found(&id);
    watch(scene, request, reply, &there);
    let there = entry_answer(scene, &there);
    match &sent {
        Some(sent) => entries::created_after_asking(refusal, &there, sent, account),
        None => entries::deleted_after_asking(refusal, &there, &id),
    }
}

/// That the program keeps to what an account takes: no second twice, and not too many entries.
fn watch(scene: &mut Scene, request: &Request<'_>, reply: &Reply, there: &Reply) {
    let known = ["duplicate_entry", "limit_exceeded"];
    let broken = known.into_iter().find(|code| reply.body.contains(code));
    if let Some(code) = broken
        && there.status == 404
        && !scene.rolled_back
    {
        let what = format!("{} was refused: {code}", request.identifier);
        scene.server.wrongs.push(("entries-fit", what));
    }
}

fn date(scene: &Scene) -> String {
    let date = chrono::DateTime::from_timestamp(scene.server.now / SECOND, 0)
        .expect("the provider's clock shows a time");
    date.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn entry_answer(scene: &Scene, reply: &Reply) -> wire::Received {
    let mut headers = HeaderMap::new();
    let value = |text: String| HeaderValue::from_str(&text).expect("it is plain text");
    headers.insert(DATE, value(date(scene)));
    if let Some(seconds) = reply.retry_after {
        headers.insert(RETRY_AFTER, value(seconds.to_string()));
    }
    let (status, body) = (reply.status, reply.body.clone().into_bytes());
    wire::Received { status, headers, body, broken: None }
}

fn event_answer(scene: &Scene, reply: &Reply) -> events::Received {
    events::Received {
        status: reply.status,
        request_id: Some("req_1".to_owned()),
        should_retry: reply.should_retry.map(str::to_owned),
        rate_limited_reason: reply.limited.map(str::to_owned),
        retry_after: reply.retry_after.map(|seconds| seconds.to_string()),
        date: Some(date(scene)),
        body: reply.body.clone().into_bytes(),
        broken: None,
    }
}

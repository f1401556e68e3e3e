//! Webhooks at the door: what is kept, what is answered, and who waits for whom.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use serde_json::{Value, json};
use tallyd::domain::names::ProviderName;
use tallyd::domain::time::Timestamp;
use tallyd::intake;
use tallyd::ledger::LedgerError;
use tallyd::ledger::notices::{
    Archived, Arrival, Cleared, Conclusion, NoticeNumber, NoticesLedger, WaitingNotice,
};
use tallyd::provider::stripe::Stripe;
use tallyd::provider::stripe::settings::{Channel, Settings};
use tallyd::provider::{NoticeReader, Provider as _};
use tokio::io::AsyncWriteExt;

use super::world::{Answer, Model, NOW, Weather, World, answer, exchange, soon, usual};
use crate::support::webhooks::{
    NEW, OLD, OTHER, request, signature_line, signed, snapshot, with_signature,
};

/// Where `stripe.main` takes webhooks.
pub(super) const MAIN: &str = "/webhooks/stripe.main";
/// The most that a body may have, in bytes.
const BODY_BYTES_MAX: usize = 256 * 1024;

#[async_trait]
impl NoticesLedger for Model {
    async fn archive_notices(
        &self,
        arrivals: &[Arrival],
        _now: Timestamp,
    ) -> Result<Vec<Archived>, LedgerError> {
        self.meet_weather().await?;
        let mut kept = self.notices.lock().unwrap();
        let archive = |arrival: &Arrival| match kept.iter().position(|each| each == arrival) {
            Some(at) => Archived::Duplicate(NoticeNumber(i64::try_from(at).unwrap())),
            None => {
                kept.push(arrival.clone());
                Archived::New(NoticeNumber(i64::try_from(kept.len()).unwrap()))
            }
        };
        Ok(arrivals.iter().map(archive).collect())
    }
    async fn waiting_notices(
        &self,
        _: &ProviderName,
        _: u32,
    ) -> Result<Vec<WaitingNotice>, LedgerError> {
        Ok(Vec::new())
    }
    async fn conclude_notice(
        &self,
        _: NoticeNumber,
        _: &Conclusion,
        _: Timestamp,
    ) -> Result<bool, LedgerError> {
        Ok(false)
    }
    async fn clear_notices(&self, _: Timestamp) -> Result<Cleared, LedgerError> {
        Ok(Cleared::default())
    }
}

/// Two accounts: one whose secret is being rolled, and another.
pub(super) fn readers() -> Vec<(ProviderName, Arc<dyn NoticeReader>)> {
    let reader = |name: &str, secrets: &[&str]| {
        let name = ProviderName::new(name).unwrap();
        let stripe = Stripe::new(&Settings {
            name: name.clone(),
            api: "http://127.0.0.1:9".to_owned(),
            stream_api: "http://127.0.0.1:9".to_owned(),
            channel: Channel::V1,
            key: "sk_test_webhooks".to_owned().into(),
            account: None,
            meters: Vec::new(),
            webhook_secrets: secrets.iter().map(|secret| (*secret).into()).collect(),
            timeout_millis: 1_000,
        });
        Some((name, stripe.unwrap().notice_reader()?))
    };
    let readers = [
        reader("stripe.main", &[OLD, NEW]),
        reader("stripe.eu", &[OTHER]),
        reader("stripe.deaf", &[]),
    ];
    readers.into_iter().flatten().collect()
}

/// Sends a request on a connection of its own.
pub(super) async fn send(world: &World, request: &[u8]) -> Answer {
    exchange(&mut world.connect().await, request).await
}

/// Sends an event that is signed now with the old secret.
async fn announce(world: &World, event: &Value) -> Answer {
    let body = event.to_string();
    let signature = signed(&[OLD], NOW.seconds(), body.as_bytes());
    send(world, &with_signature(MAIN, signature, body.as_bytes())).await
}

fn kept(world: &World) -> Vec<String> {
    let notices = world.ledger.notices.lock().unwrap();
    notices.iter().map(|each| format!("{} {}", each.provider, each.notice.id)).collect()
}

#[tokio::test]
async fn a_webhook_is_kept_byte_for_byte_before_it_is_answered_and_needs_no_token() {
    let world = World::new().await;
    let body = format!(" {:#}\n", snapshot("evt_1", NOW.seconds()));
    let signature = signed(&[OLD], NOW.seconds(), body.as_bytes());
    let message = with_signature(MAIN, signature, body.as_bytes());
    for _ in 0..2 {
        let answer = send(&world, &message).await;
        assert_eq!((answer.status, answer.json()), (200, json!({})));
    }
    assert_eq!(kept(&world), ["stripe.main evt_1"]);
    assert_eq!(world.ledger.notices.lock().unwrap()[0].notice.body, body);
    let page = world.get("/metrics").await.body;
    for outcome in ["archived", "duplicate"] {
        let line =
            format!("tallyd_webhooks_total{{provider=\"stripe.main\",outcome=\"{outcome}\"}} 1");
        assert!(page.lines().any(|each| each == line), "{line}\n{page}");
    }
    world.end().await;
}

#[tokio::test]
async fn while_a_secret_is_rolled_webhooks_under_either_are_taken() {
    let world = World::new().await;
    for (number, secrets) in
        [&[OLD][..], &[NEW], &[OLD, NEW], &[NEW, OLD], &[OTHER, NEW]].iter().enumerate()
    {
        let body = snapshot(&format!("evt_{number}"), NOW.seconds()).to_string();
        let signature = signed(secrets, NOW.seconds(), body.as_bytes());
        let answer = send(&world, &with_signature(MAIN, signature, body.as_bytes())).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(kept(&world).len(), 5);
    world.end().await;
}

#[tokio::test]
async fn a_ledger_that_cannot_keep_a_webhook_has_it_sent_again() {
    let mut world = World::new().await;
    let event = snapshot("evt_1", NOW.seconds());
    for (weather, code) in [(Weather::Full, "ledger_full"), (Weather::Busy, "ledger_busy")] {
        world.ledger.weather.send_replace(weather);
        let refused = announce(&world, &event).await;
        assert_eq!(refused.error(), (503, code.to_owned()));
        assert!(refused.header("retry-after").is_some(), "{refused:?}");
    }
    world.ledger.weather.send_replace(Weather::Fair);
    world.ledger.free.store(1_000, Ordering::SeqCst);
    assert_eq!(announce(&world, &event).await.error(), (503, "low_disk".to_owned()));
    world.ledger.free.store(u64::MAX, Ordering::SeqCst);
    assert_eq!(kept(&world), [""; 0]);
    assert_eq!(announce(&world, &event).await.status, 200);
    world.ledger.weather.send_replace(Weather::Broken);
    assert_eq!(announce(&world, &event).await.error(), (503, "ledger_failed".to_owned()));
    assert!(soon(world.fatal.recv()).await.unwrap().is_fatal());
    world.end().await;
}

#[tokio::test]
async fn the_longest_body_is_taken_and_one_byte_more_is_refused() {
    let world = World::new().await;
    let event = snapshot("evt_1", NOW.seconds()).to_string();
    let longest = event.clone() + &" ".repeat(BODY_BYTES_MAX - event.len());
    let over = longest.clone() + " ";
    for (body, status) in [(over, 413), (longest, 200)] {
        let signature = signed(&[OLD], NOW.seconds(), body.as_bytes());
        let answer = send(&world, &with_signature(MAIN, signature, body.as_bytes())).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    assert_eq!(kept(&world), ["stripe.main evt_1"]);
    let chunk = format!("{:x}\r\n{}\r\n", 200_000, " ".repeat(200_000));
    let head = format!("POST {MAIN} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    let endless = send(&world, format!("{head}{chunk}{chunk}").as_bytes()).await;
    assert_eq!(endless.error(), (413, "body_too_large".to_owned()));
    world.end().await;
}

#[tokio::test]
async fn a_webhook_that_breaks_off_or_comes_too_slowly_keeps_nothing() {
    let (intake, mut web) = usual();
    web.request_millis_max = 50;
    let world = World::with(intake, web).await;
    let body = snapshot("evt_1", NOW.seconds()).to_string();
    let signature = signed(&[OLD], NOW.seconds(), body.as_bytes());
    let whole = with_signature(MAIN, signature, body.as_bytes());
    let part = &whole[..whole.len() - 1];
    let mut slow = world.connect().await;
    slow.write_all(part).await.unwrap();
    assert_eq!(answer(&mut slow).await.error(), (408, "timeout".to_owned()));
    let mut gone = world.connect().await;
    gone.write_all(part).await.unwrap();
    drop(gone);
    let ledger = world.ledger.clone();
    world.end().await;
    assert_eq!(ledger.notices.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_does_not_take_its_webhook_back() {
    let world = World::new().await;
    world.ledger.weather.send_replace(Weather::Slow);
    let body = snapshot("evt_1", NOW.seconds()).to_string();
    let signature = signed(&[OLD], NOW.seconds(), body.as_bytes());
    let mut leaving = world.connect().await;
    leaving.write_all(&with_signature(MAIN, signature, body.as_bytes())).await.unwrap();
    soon(world.called()).await;
    drop(leaving);
    assert_eq!(world.get("/healthz").await.status, 200);
    world.ledger.weather.send_replace(Weather::Fair);
    let ledger = world.ledger.clone();
    world.end().await;
    assert_eq!(ledger.notices.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn silent_and_slow_clients_do_not_delay_a_webhook() {
    let world = World::new().await;
    let mut others = Vec::new();
    let begun = request(MAIN, &signature_line("t=1"), &[b' '; 1_000]);
    for number in 0..15 {
        let mut other = world.connect().await;
        // Nothing, half a head, or half a body.
        let said = [0, 40, begun.len() - 500][number % 3];
        other.write_all(&begun[..said]).await.unwrap();
        others.push(other);
    }
    let mut honest = world.connect().await;
    for number in 0..20 {
        let body = snapshot(&format!("evt_{number}"), NOW.seconds()).to_string();
        let signature = signed(&[OLD], NOW.seconds(), body.as_bytes());
        let message = with_signature(MAIN, signature, body.as_bytes());
        assert_eq!(exchange(&mut honest, &message).await.status, 200);
    }
    assert_eq!(kept(&world).len(), 20);
    drop((others, honest));
    world.end().await;
}

#[tokio::test]
async fn more_webhooks_than_may_be_in_work_are_pushed_back() {
    let (intake, web) = usual();
    let world = World::with(intake::Settings { inflight_bytes_max: 10, ..intake }, web).await;
    let refused = announce(&world, &snapshot("evt_1", NOW.seconds())).await;
    assert_eq!(refused.error(), (429, "overloaded".to_owned()));
    assert_eq!(kept(&world), [""; 0]);
    world.end().await;
}

//! Faults on purpose.

use std::collections::BTreeMap;

use tallyd::sandbox::faults::{FaultKind, Faults, Reach, Span};

use crate::support::chargebee::{Running, START, code, start, usage, usages_of};

/// Kinds that have a meaning here.
fn kinds() -> impl Iterator<Item = FaultKind> {
    let without = [FaultKind::Conflict, FaultKind::RejectedLater, FaultKind::NoMeterLater];
    FaultKind::ALL.into_iter().filter(move |kind| !without.contains(kind))
}

fn always(kind: FaultKind) -> Faults {
    Faults { basis_points: BTreeMap::from([(kind, 10_000)]), ..Faults::default() }
}

/// Sends one usage under one fault; gives the status, if there was an answer.
async fn send_under(kind: FaultKind) -> (Running, Option<u16>) {
    let site = start().await;
    site.handle.set_faults(always(kind)).expect("sound faults");
    let headers = [("chargebee-idempotency-key", "k")];
    let path = usages_of("sub");
    let reply = site.ask(reqwest::Method::POST, &path, &usage("a", "1", START), &headers).await;
    let counted = site.handle.statistics().faults.get(kind.name()).copied();
    assert_eq!(counted, Some(1), "{}", kind.name());
    site.handle.set_faults(Faults::default()).expect("sound faults");
    (site, reply.ok().map(|reply| reply.status))
}

#[tokio::test]
async fn each_fault_answers_and_stores_as_it_says() {
    for kind in kinds() {
        let (status, stored) = match kind {
            FaultKind::ClosedBefore => (None, 0),
            FaultKind::AnswerLost | FaultKind::AnswerCut => (None, 1),
            FaultKind::SlowBefore | FaultKind::SlowAfter => (Some(200), 1),
            FaultKind::ErrorBefore | FaultKind::PinnedErrorBefore => (Some(500), 0),
            FaultKind::ErrorAfter | FaultKind::PinnedErrorAfter => (Some(500), 1),
            FaultKind::RateLimited | FaultKind::LockTimeout => (Some(429), 0),
            FaultKind::UnavailableHtml => (Some(503), 0),
            FaultKind::Conflict | FaultKind::RejectedLater | FaultKind::NoMeterLater => {
                unreachable!("these are left out")
            }
        };
        let (site, seen) = send_under(kind).await;
        assert_eq!((seen, site.handle.usages().len()), (status, stored), "{}", kind.name());
    }
}

#[tokio::test]
async fn after_a_lost_answer_the_key_replays_and_the_id_is_taken() {
    for kind in [FaultKind::AnswerLost, FaultKind::AnswerCut] {
        let (site, _) = send_under(kind).await;
        let path = usages_of("sub");
        let again = site.post_with_key(&path, &usage("a", "1", START), "k").await;
        assert_eq!(again.header("chargebee-idempotency-replayed"), Some("true"));
        assert_eq!(code(&site.refuse(&usage("a", "1", START), 400).await), "duplicate_entry");
        assert_eq!(site.books(), ["sub calls 1 1"]);
    }
}

#[tokio::test]
async fn a_pinned_500_is_replayed_and_another_is_not() {
    let path = usages_of("sub");
    for kind in [FaultKind::PinnedErrorBefore, FaultKind::PinnedErrorAfter] {
        let (site, _) = send_under(kind).await;
        let again = site.post_with_key(&path, &usage("a", "1", START), "k").await;
        assert_eq!((again.status, code(&again)), (500, "internal_error"));
        assert_eq!(again.header("chargebee-idempotency-replayed"), Some("true"));
    }
    let (site, _) = send_under(FaultKind::ErrorBefore).await;
    assert_eq!(site.post_with_key(&path, &usage("a", "1", START), "k").await.status, 200);
    let (site, _) = send_under(FaultKind::ErrorAfter).await;
    let again = site.post_with_key(&path, &usage("a", "1", START), "k").await;
    assert_eq!(code(&again), "duplicate_entry");
}

#[tokio::test]
async fn injected_answers_look_like_the_real_ones() {
    let site = start().await;
    site.script(&[FaultKind::RateLimited, FaultKind::LockTimeout, FaultKind::UnavailableHtml]);
    let limited = site.refuse(&usage("a", "1", START), 429).await;
    assert_eq!(code(&limited), "api_request_limit_exceeded");
    assert_eq!(limited.header("retry-after"), Some("1"));
    let locked = site.refuse(&usage("a", "1", START), 429).await;
    assert_eq!((code(&locked), locked.header("retry-after")), ("lock_timeout", None));
    let page = site.refuse(&usage("a", "1", START), 503).await;
    assert_eq!(page.header("content-type"), Some("text/html"));
    site.accept(&usage("a", "1", START)).await;
}

#[tokio::test]
async fn faults_are_drawn_by_the_id_of_the_usage_and_not_by_its_turn() {
    let mut outcomes = Vec::new();
    for reversed in [false, true] {
        let site = start().await;
        let faults = Faults {
            seed: 7,
            basis_points: BTreeMap::from([(FaultKind::ErrorBefore, 5_000)]),
            ..Faults::default()
        };
        site.handle.set_faults(faults).expect("sound faults");
        let mut order: Vec<i64> = (0..20).collect();
        if reversed {
            order.reverse();
        }
        let mut seen = BTreeMap::new();
        for place in order {
            let sent = usage(&format!("u{place}"), "1", START + place);
            seen.insert(place, site.post(&usages_of("sub"), &sent).await.status);
        }
        outcomes.push(seen);
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert!(outcomes[0].values().any(|status| *status == 200));
    assert!(outcomes[0].values().any(|status| *status == 500));
}

#[tokio::test]
async fn faults_reach_only_what_bills_unless_they_are_to_reach_more() {
    let site = start().await;
    site.accept(&usage("a", "1", START)).await;
    site.handle.set_faults(always(FaultKind::ErrorBefore)).expect("sound faults");
    assert_eq!(site.try_get("/usages", &[]).await.status, 200);
    assert_eq!(site.delete("a").await.status, 200);
    let everywhere = Faults { reach: Reach::Everything, ..always(FaultKind::ErrorBefore) };
    site.handle.set_faults(everywhere).expect("sound faults");
    assert_eq!(site.try_get("/usages", &[]).await.status, 500);
    for odd in [FaultKind::Conflict, FaultKind::RejectedLater, FaultKind::NoMeterLater] {
        site.handle.set_faults(always(odd)).expect_err("it has no meaning here");
    }
}

#[tokio::test]
async fn in_an_outage_nothing_is_answered_and_in_a_storm_nothing_is_let_in() {
    let site = start().await;
    let faults = Faults {
        outage_until: Some(START + 10),
        storm: Some(Span { from: START + 10, until: START + 20 }),
        ..Faults::default()
    };
    site.handle.set_faults(faults).expect("sound faults");
    let path = usages_of("sub");
    let sent = usage("a", "1", START);
    site.ask(reqwest::Method::POST, &path, &sent, &[]).await.expect_err("no answer");
    site.advance(10);
    assert_eq!(site.post(&path, &sent).await.status, 429);
    site.advance(10);
    site.accept(&sent).await;
    assert_eq!(site.handle.statistics().asked_while_limited, 1);
}

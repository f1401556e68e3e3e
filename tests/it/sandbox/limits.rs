//! Rate limits.

use tallyd::sandbox::stripe::Limits;

use crate::support::stripe::{EVENTS, METERS, event, start_with};

#[tokio::test]
async fn a_sandbox_account_takes_25_requests_a_second_of_any_kind() {
    let sandbox = start_with(|settings| settings.limits = Limits::SANDBOX).await;
    for place in 0..24 {
        sandbox.accept(&event(&place.to_string(), "1")).await;
    }
    assert_eq!(sandbox.get(METERS, &[]).await.status, 200);
    let refused = sandbox.post(EVENTS, &event("late", "1")).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("stripe-rate-limited-reason"), Some("global-rate"));
    assert_eq!(refused.body["error"]["code"], "rate_limit");
    assert_eq!(sandbox.handle.statistics().rate_limited, 1);
}

#[tokio::test]
async fn a_live_account_takes_1000_meter_events_beside_100_others() {
    let sandbox = start_with(|settings| settings.limits = Limits::LIVE).await;
    for _ in 0..100 {
        assert_eq!(sandbox.get(METERS, &[]).await.status, 200);
    }
    let refused = sandbox.get(METERS, &[]).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("stripe-rate-limited-reason"), Some("global-rate"));
    for place in 0..1_000 {
        sandbox.accept(&event(&place.to_string(), "1")).await;
    }
    let refused = sandbox.post(EVENTS, &event("late", "1")).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("stripe-rate-limited-reason"), Some("endpoint-rate"));
    assert_eq!(sandbox.handle.statistics().busiest_second, 1_000);
}

#[tokio::test]
async fn no_sliding_second_holds_more_than_the_limit() {
    let limits = Limits { meter_events: Some(10), ..Limits::NONE };
    let sandbox = start_with(|settings| settings.limits = limits).await;
    let mut accepted: Vec<i64> = Vec::new();
    // Uneven steps over ten seconds, far more often than the limit.
    for place in 0..300_i64 {
        sandbox.clock.advance_micros(7_919 * (place % 9));
        let reply = sandbox.post(EVENTS, &event(&place.to_string(), "1")).await;
        if reply.status == 200 {
            accepted.push(sandbox.handle.now().micros());
        }
    }
    for (place, at) in accepted.iter().enumerate() {
        let inside = accepted[place..].iter().filter(|other| **other - at < 1_000_000).count();
        assert!(inside <= 10, "{inside} within a second from {at}");
    }
    assert!(accepted.len() > 90, "only {} were accepted", accepted.len());
    assert_eq!(sandbox.handle.statistics().busiest_second, 10);
}

#[tokio::test]
async fn a_refused_request_does_not_use_up_the_limit() {
    let limits = Limits { meter_events: Some(1), ..Limits::NONE };
    let sandbox = start_with(|settings| settings.limits = limits).await;
    sandbox.accept(&event("a", "1")).await;
    for _ in 0..5 {
        sandbox.clock.advance_micros(199_000);
        assert_eq!(sandbox.post(EVENTS, &event("b", "1")).await.status, 429);
    }
    sandbox.clock.advance_micros(5_000);
    sandbox.accept(&event("b", "1")).await;
}

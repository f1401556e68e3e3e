//! The door: keys, limits, and what becomes of a client that does not heed them.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use tallyd::sandbox::chargebee::{Keys, Limits};

use crate::support::chargebee::{START, code, start, start_with, usage, usages_of};
use crate::support::stripe::{client, pairs};

/// `key:` in Base64.
fn basic(key: &str) -> &'static str {
    match key {
        "test_key:" => "Basic dGVzdF9rZXk6",
        "test_other:" => "Basic dGVzdF9vdGhlcjo=",
        "live_key:" => "Basic bGl2ZV9rZXk6",
        "sk_test_1:" => "Basic c2tfdGVzdF8xOg==",
        other => panic!("{other} is not in the table"),
    }
}

#[tokio::test]
async fn only_a_test_key_as_the_user_of_basic_authentication_is_let_in() {
    let site = start().await;
    let none = pairs(&[]);
    for wrong in ["Bearer test_key", "Basic test_key", "", basic("sk_test_1:"), basic("live_key:")]
    {
        let headers = [("authorization", wrong)];
        let reply = site.ask(Method::GET, "/usages", &none, &headers).await.expect("an answer");
        assert_eq!((reply.status, code(&reply)), (401, "api_authentication_failed"), "{wrong}");
        assert!(!reply.text.contains("live_key"), "{}", reply.text);
    }
    let only = BTreeSet::from(["test_other".to_owned()]);
    site.handle.set_keys(Keys::Only(only));
    assert_eq!(site.try_get("/usages", &[]).await.status, 401);
    let headers = [("authorization", basic("test_other:"))];
    let reply = site.ask(Method::GET, "/usages", &none, &headers).await.expect("an answer");
    assert_eq!(reply.status, 200);
    let headers = [("authorization", basic("test_key:"))];
    let reply = site.ask(Method::GET, "/usages", &none, &headers).await.expect("an answer");
    assert_eq!(reply.status, 401);
}

#[tokio::test]
async fn errors_are_written_in_the_new_form_and_in_the_old() {
    let site = start().await;
    site.accept(&usage("a", "1", START)).await;
    let refused = site.refuse(&usage("a", "1", START + 1), 400).await.body;
    assert_eq!(refused["type"], "invalid_request");
    assert_eq!(refused["http_status_code"], 400);
    for (new, old) in
        [("api_error_code", "error_code"), ("message", "error_msg"), ("param", "error_param")]
    {
        assert!(refused[new].is_string());
        assert_eq!(refused[new], refused[old]);
    }
}

#[tokio::test]
async fn what_is_not_served_is_told_apart_from_what_is_not_there() {
    let site = start().await;
    for (method, path, status, expected) in [
        (Method::GET, "/gremlins", 404, "resource_not_found"),
        (Method::POST, "/invoices/a/explode", 404, "resource_not_found"),
        (Method::GET, "/subscriptions/nobody", 404, "resource_not_found"),
        (Method::DELETE, "/usages", 405, "http_method_not_supported"),
        (Method::POST, "/events", 405, "http_method_not_supported"),
        (Method::GET, "/subscriptions/sub/delete_usage", 405, "http_method_not_supported"),
    ] {
        let reply = site.ask(method.clone(), path, &pairs(&[]), &[]).await.expect("an answer");
        assert_eq!((reply.status, code(&reply)), (status, expected), "{method} {path}");
    }
    let json = [("content-type", "application/json")];
    let body = usage("a", "1", START);
    let reply = site.ask(Method::POST, &usages_of("sub"), &body, &json).await.expect("an answer");
    assert_eq!((reply.status, code(&reply)), (400, "invalid_request"));
}

#[tokio::test]
async fn each_stand_in_answers_at_its_own_door_and_both_by_one_clock() {
    let site = start().await;
    site.advance(3);
    let ours = site.try_get("/usages", &[]).await;
    assert_eq!(ours.header("date"), Some("Thu, 01 Oct 2026 12:00:03 GMT"));
    let elsewhere = client().get(format!("{}/api/v2/usages", site.stripe_url)).send().await;
    assert_eq!(elsewhere.expect("an answer").status().as_u16(), 401);
    for url in [&site.url, &site.stripe_url] {
        let clock = client().get(format!("{url}/_sandbox/clock")).send().await;
        let text = clock.expect("an answer").text().await.expect("a body");
        assert!(text.contains("2026-10-01T12:00:03"), "{text}");
    }
}

#[tokio::test]
async fn no_sliding_minute_holds_more_than_the_limit_and_the_answer_says_when_to_come_back() {
    let limits = Limits { per_minute: Some(10), concurrent: None };
    let site = start_with(|settings| settings.limits = limits).await;
    for second in 0..10 {
        site.accept(&usage(&second.to_string(), "1", START + second)).await;
        site.advance(1);
    }
    let refused = site.try_get("/usages", &[]).await;
    assert_eq!((refused.status, code(&refused)), (429, "api_request_limit_exceeded"));
    // The first was ten seconds ago.
    assert_eq!(refused.header("retry-after"), Some("50"));
    site.advance(49);
    assert_eq!(site.try_get("/usages", &[]).await.status, 429);
    site.advance(1);
    assert_eq!(site.try_get("/usages", &[]).await.status, 200);
    assert_eq!(site.try_get("/usages", &[]).await.status, 429);
    let seen = site.handle.statistics();
    assert_eq!((seen.busiest_minute, seen.rate_limited, seen.asked_while_limited), (10, 3, 3));
}

#[tokio::test]
async fn a_site_that_goes_on_asking_while_it_is_limited_is_blocked_until_somebody_lifts_it() {
    let limits = Limits { per_minute: Some(1), concurrent: None };
    let site = start_with(|settings| settings.limits = limits).await;
    assert_eq!(site.try_get("/usages", &[]).await.status, 200);
    for _ in 0..50 {
        assert_eq!(site.try_get("/usages", &[]).await.status, 429);
    }
    let blocked = site.try_get("/usages", &[]).await;
    assert_eq!((blocked.status, code(&blocked)), (403, "request_blocked"));
    site.advance(86_400);
    assert_eq!(site.try_get("/usages", &[]).await.status, 403);
    assert!(site.handle.statistics().blocked);
    site.handle.unblock();
    assert_eq!(site.try_get("/usages", &[]).await.status, 200);
}

#[tokio::test]
async fn one_write_of_a_subscription_goes_on_at_a_time() {
    let site = start().await;
    site.subscribe("other", &["calls"]);
    site.sandbox.hold_answers();
    let (first, meanwhile) = (usage("a", "1", START), async {
        site.sandbox.wait_for_in_flight(1).await;
        let second = site.post(&usages_of("sub"), &usage("b", "1", START + 1)).await;
        assert_eq!((second.status, code(&second)), (429, "lock_timeout"));
        // Reads are not locked out, and see what was written.
        assert_eq!(site.usage("a").await.status, 200);
        let elsewhere = usage("c", "1", START);
        let path = usages_of("other");
        let release = async {
            site.sandbox.wait_for_in_flight(2).await;
            site.sandbox.release_answers();
        };
        let (other, ()) = tokio::join!(site.post(&path, &elsewhere), release);
        assert_eq!(other.status, 200);
    });
    tokio::join!(site.accept(&first), meanwhile);
    site.accept(&usage("b", "1", START + 1)).await;
}

#[tokio::test]
async fn so_many_requests_are_answered_at_once_and_no_more() {
    let limits = Limits { per_minute: None, concurrent: Some(1) };
    let site = start_with(|settings| settings.limits = limits).await;
    site.handle.set_latency(Duration::from_millis(1));
    site.sandbox.hold_answers();
    let first = usage("a", "1", START);
    let meanwhile = async {
        site.sandbox.wait_for_in_flight(1).await;
        let second = site.try_get("/usages", &[]).await;
        assert_eq!((second.status, code(&second)), (429, "api_request_limit_exceeded"));
        assert_eq!(second.header("retry-after"), None);
        site.sandbox.release_answers();
    };
    tokio::join!(site.accept(&first), meanwhile);
    assert_eq!(site.try_get("/usages", &[]).await.status, 200);
}

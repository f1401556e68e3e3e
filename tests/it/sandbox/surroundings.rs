//! Keys, headers and paths: what surrounds every call.

use reqwest::Method;
use tallyd::sandbox::stripe::Keys;

use crate::support::stripe::{EVENTS, METERS, Pairs, event, start, start_with};

#[tokio::test]
async fn every_answer_carries_the_sandbox_clock_and_a_request_id() {
    let sandbox = start().await;
    let first = sandbox.accept(&event("a", "1")).await;
    assert_eq!(first.header("date"), Some("Mon, 21 Sep 2026 12:00:00 GMT"));
    assert!(first.header("request-id").is_some_and(|id| id.starts_with("req_")));
    assert_eq!(first.header("stripe-version"), Some("2026-10-28.endive"));
    sandbox.clock.advance_micros(1_000_000);
    let headers = [("stripe-version", "2026-09-30.endive")];
    let second = sandbox.ask(Method::GET, METERS, &Pairs::new(), &headers).await;
    let second = second.expect("an answer");
    assert_eq!(second.header("date"), Some("Mon, 21 Sep 2026 12:00:01 GMT"));
    assert_eq!(second.header("stripe-version"), Some("2026-09-30.endive"));
    assert_ne!(first.header("request-id"), second.header("request-id"));
}

#[tokio::test]
async fn test_keys_pass_as_bearer_and_as_basic_and_nothing_else_does() {
    let sandbox = start().await;
    for (authorization, status) in [
        ("Bearer sk_test_abc", 200),
        ("bearer rk_test_abc", 200),
        // `sk_test_abc:` in Base64.
        ("Basic c2tfdGVzdF9hYmM6", 200),
        // `pk_test_abc:`: a publishable key is not for servers.
        ("Basic cGtfdGVzdF9hYmM6", 401),
        ("Basic ????", 401),
        ("Bearer sk_live_abc", 401),
        ("Bearer rk_live_abc", 401),
        ("Bearer nonsense", 401),
        ("Bearer ", 401),
        ("", 401),
    ] {
        let headers = [("authorization", authorization)];
        let reply = sandbox.ask(Method::GET, METERS, &Pairs::new(), &headers).await;
        let reply = reply.expect("an answer");
        assert_eq!(reply.status, status, "{authorization}");
        let secret = authorization.split_once(' ').map_or("-", |(_, secret)| secret);
        assert!(secret.is_empty() || !reply.text.contains(secret), "a key is never repeated");
        if authorization.contains("_live_") {
            assert!(reply.message().starts_with("A live API key"), "{}", reply.text);
        }
    }
}

#[tokio::test]
async fn the_accepted_keys_can_be_listed() {
    let keys = Keys::Only(["sk_test_good".to_owned()].into());
    let sandbox = start_with(|settings| settings.keys = keys).await;
    for (key, status) in [("Bearer sk_test_good", 200), ("Bearer sk_test_bad", 401)] {
        let headers = [("authorization", key)];
        let reply = sandbox.ask(Method::GET, METERS, &Pairs::new(), &headers).await;
        assert_eq!(reply.expect("an answer").status, status);
    }
}

#[tokio::test]
async fn the_account_names_itself_and_no_other_is_reachable() {
    let sandbox = start().await;
    let account = sandbox.get("/v1/account", &[]).await;
    assert_eq!(account.body["object"], "account");
    let id = account.body["id"].as_str().expect("an id");
    assert!(id.starts_with("acct_"));
    for (account, status) in [(id, 200), ("acct_other", 403)] {
        let headers = [("stripe-account", account)];
        let reply = sandbox.ask(Method::POST, EVENTS, &event("a", "1"), &headers).await;
        assert_eq!(reply.expect("an answer").status, status);
    }
}

#[tokio::test]
async fn a_path_that_is_not_served_is_not_found() {
    let sandbox = start().await;
    for (method, path) in [
        (Method::GET, "/v1/charges"),
        (Method::GET, EVENTS),
        (Method::DELETE, METERS),
        (Method::POST, "/v2/billing/meter_event_batch"),
        (Method::GET, "/"),
    ] {
        let reply = sandbox.ask(method, path, &Pairs::new(), &[]).await.expect("an answer");
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!(reply.body["error"]["type"], "invalid_request_error");
    }
}

#[tokio::test]
async fn a_body_beyond_a_mebibyte_is_refused() {
    let sandbox = start().await;
    let reply = sandbox.post(EVENTS, &event("a", &"9".repeat(1_100_000))).await;
    assert_eq!(reply.status, 413);
}

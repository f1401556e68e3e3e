//! Idempotency keys.

use crate::support::chargebee::{MINUTE, START, code, start, usage, usages_of};
use crate::support::stripe::pairs;

const REPLAYED: &str = "chargebee-idempotency-replayed";

#[tokio::test]
async fn a_key_replays_its_answer_for_30_minutes_and_no_longer() {
    let site = start().await;
    let path = usages_of("sub");
    let first = site.post_with_key(&path, &usage("a", "1", START), "k").await;
    assert_eq!((first.status, first.header(REPLAYED)), (200, None));
    site.advance(30 * MINUTE - 1);
    let again = site.post_with_key(&path, &usage("a", "1", START), "k").await;
    assert_eq!((again.status, again.header(REPLAYED)), (200, Some("true")));
    assert_eq!(again.body, first.body);
    site.advance(1);
    // Only the usage's own id protects from here on.
    let late = site.post_with_key(&path, &usage("a", "1", START), "k").await;
    assert_eq!((late.status, code(&late)), (400, "duplicate_entry"));
    assert_eq!(site.books(), ["sub calls 1 1"]);
    assert_eq!(site.handle.statistics().replays, 1);
}

#[tokio::test]
async fn a_key_with_another_payload_is_refused() {
    let site = start().await;
    let path = usages_of("sub");
    site.post_with_key(&path, &usage("a", "1", START), "k").await;
    let other = site.post_with_key(&path, &usage("b", "1", START + 1), "k").await;
    assert_eq!((other.status, code(&other)), (422, "unable_to_process_request"));
    let delete = "/subscriptions/sub/delete_usage";
    let elsewhere = site.post_with_key(delete, &pairs(&[("id", "a")]), "k").await;
    assert_eq!(elsewhere.status, 422);
}

#[tokio::test]
async fn a_key_replays_a_usage_that_is_gone() {
    let site = start().await;
    let path = usages_of("sub");
    site.post_with_key(&path, &usage("a", "1", START), "k").await;
    site.delete("a").await;
    let again = site.post_with_key(&path, &usage("a", "1", START), "k").await;
    assert_eq!((again.status, again.header(REPLAYED)), (200, Some("true")));
    assert!(site.books().is_empty(), "nothing was created anew");
}

#[tokio::test]
async fn a_refusal_that_looked_at_the_site_is_replayed_as_well() {
    let site = start().await;
    let path = usages_of("sub");
    site.accept(&usage("a", "1", START)).await;
    let refused = site.post_with_key(&path, &usage("b", "1", START), "k").await;
    assert_eq!(refused.status, 400);
    site.delete("a").await;
    let again = site.post_with_key(&path, &usage("b", "1", START), "k").await;
    assert_eq!((again.status, again.header(REPLAYED)), (400, Some("true")));
}

#[tokio::test]
async fn a_key_has_at_most_a_hundred_characters() {
    let site = start().await;
    let path = usages_of("sub");
    let long = site.post_with_key(&path, &usage("a", "1", START), &"k".repeat(101)).await;
    assert_eq!(long.status, 400);
    let fits = site.post_with_key(&path, &usage("a", "1", START), &"k".repeat(100)).await;
    assert_eq!(fits.status, 200);
}

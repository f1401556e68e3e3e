//! Usages: what is stored, and what is refused.

use tallyd::sandbox::chargebee::{Change, NewItemPrice};

use crate::support::chargebee::{DAY, MONTH, START, code, start, start_with, usage, usages_of};
use crate::support::stripe::{Pairs, pairs};

fn with(usage: &Pairs, name: &str, value: &str) -> Pairs {
    let mut changed = without(usage, name);
    changed.push((name.to_owned(), value.to_owned()));
    changed
}

fn without(usage: &Pairs, name: &str) -> Pairs {
    usage.iter().filter(|(other, _)| other != name).cloned().collect()
}

#[tokio::test]
async fn a_usage_is_answered_as_it_was_sent_and_found_by_its_id() {
    let site = start().await;
    let made = site.accept(&with(&usage("a", "0.1", START + 5), "note", "batch 7")).await;
    assert_eq!(made["id"], "a");
    assert_eq!(made["quantity"], "0.1");
    assert_eq!(made["usage_date"], START + 5);
    assert_eq!(made["subscription_id"], "sub");
    assert_eq!(made["item_price_id"], "calls");
    assert_eq!(made["note"], "batch 7");
    assert_eq!(made["source"], "api");
    assert_eq!(made["created_at"], START);
    assert_eq!(made.get("invoice_id"), None);
    assert!(made["resource_version"].as_i64() >= Some(START * 1_000));
    assert_eq!(site.usage("a").await.body["usage"], made);
    site.accept(&usage("b", "0.2", START + 6)).await;
    assert_eq!(site.books(), ["sub calls 0.3 2"]);
}

#[tokio::test]
async fn a_usage_without_an_id_gets_one() {
    let site = start().await;
    let made = site.accept(&without(&usage("", "1", START), "id")).await;
    let id = made["id"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("usage_"), "{id}");
    assert_eq!(site.usage(&id).await.status, 200);
}

#[tokio::test]
async fn there_is_one_usage_a_second_and_item_price() {
    let site = start().await;
    site.handle.create_item_price(NewItemPrice::metered("bytes")).expect("a new price");
    site.handle.change("sub", &Change::AddItemPrice("bytes".to_owned())).expect("it is added");
    site.accept(&usage("a", "1", START)).await;
    let refused = site.refuse(&usage("b", "1", START), 400).await;
    assert_eq!((code(&refused), &refused.body["param"]), ("duplicate_entry", &"usage_date".into()));
    site.accept(&usage("c", "1", START + 1)).await;
    site.accept(&with(&usage("d", "1", START), "item_price_id", "bytes")).await;
    // What was deleted frees its second, which is how a usage is corrected.
    assert_eq!(site.delete("a").await.status, 200);
    site.accept(&usage("e", "2", START)).await;
    assert_eq!(site.handle.statistics().duplicates_refused, 1);
}

#[tokio::test]
async fn an_id_is_used_once_on_the_site_even_if_its_usage_is_deleted() {
    let site = start().await;
    site.subscribe("other", &["calls"]);
    site.accept(&usage("a", "1", START)).await;
    let again = site.refuse(&usage("a", "1", START + 1), 400).await;
    assert_eq!((code(&again), &again.body["param"]), ("duplicate_entry", &"id".into()));
    let elsewhere = site.post(&usages_of("other"), &usage("a", "1", START)).await;
    assert_eq!(code(&elsewhere), "duplicate_entry");
    site.delete("a").await;
    assert_eq!(site.usage("a").await.status, 404);
    assert_eq!(code(&site.refuse(&usage("a", "1", START), 400).await), "duplicate_entry");
}

#[tokio::test]
async fn the_item_price_is_metered_and_was_part_of_the_subscription() {
    let site = start().await;
    site.handle.create_item_price(NewItemPrice::metered("bytes")).expect("a new price");
    let of =
        |price: &str, second: i64| with(&usage(price, "1", START + second), "item_price_id", price);
    assert_eq!(code(&site.refuse(&of("nothing", 0), 404).await), "resource_not_found");
    for price in ["basic", "bytes"] {
        let refused = site.refuse(&of(price, 0), 400).await;
        assert_eq!(
            (code(&refused), &refused.body["param"]),
            ("invalid_request", &"item_price_id".into())
        );
    }
    site.handle.change("sub", &Change::AddItemPrice("bytes".to_owned())).expect("it is added");
    site.advance(DAY);
    site.handle.change("sub", &Change::RemoveItemPrice("bytes".to_owned())).expect("it goes");
    site.accept(&of("bytes", 5)).await;
    let late = with(&of("bytes", DAY + 5), "id", "late");
    site.accept(&late).await;
    assert_eq!(site.fates(), ["bytes Counts", "late Unbilled(PriceAbsent)"]);
}

#[tokio::test]
async fn a_quantity_is_an_exact_decimal_that_is_not_negative() {
    let site = start().await;
    for (second, quantity) in
        (0..).zip(["0", "5", "0.00000000000000000001", "123456789012345678901"])
    {
        let made = site.accept(&usage(quantity, quantity, START + second)).await;
        assert_eq!(made["quantity"], quantity);
    }
    assert_eq!(site.books(), ["sub calls 123456789012345678906.00000000000000000001 4"]);
    let made = site.accept(&usage("zeros", "1.500", START + 9)).await;
    assert_eq!(made["quantity"], "1.5", "a number comes back, and not the text that was sent");
    for wrong in ["-1", "many", "1e3", "1,5", ".5"] {
        let refused = site.refuse(&usage("wrong", wrong, START + 10), 400).await;
        assert_eq!(
            (code(&refused), &refused.body["param"]),
            ("param_wrong_value", &"quantity".into())
        );
    }
}

#[tokio::test]
async fn without_multi_decimal_support_more_than_two_decimals_are_refused() {
    let site = start_with(|settings| settings.multi_decimal = false).await;
    site.accept(&usage("a", "0.25", START)).await;
    assert_eq!(code(&site.refuse(&usage("b", "0.125", START + 1), 400).await), "param_wrong_value");
}

#[tokio::test]
async fn a_request_that_lacks_something_or_has_too_much_is_refused() {
    let site = start().await;
    let good = usage("a", "1", START);
    for wrong in [
        without(&good, "item_price_id"),
        without(&good, "quantity"),
        without(&good, "usage_date"),
        with(&good, "usage_date", "noon"),
        with(&good, "usage_date", "-1"),
        with(&good, "id", &"x".repeat(101)),
        with(&good, "note", &"x".repeat(501)),
        with(&good, "quantity", &"1".repeat(41)),
        with(&good, "dedupe_option", "skip"),
    ] {
        site.refuse(&wrong, 400).await;
    }
    assert_eq!(site.post(&usages_of("nobody"), &good).await.status, 404);
    assert_eq!(site.handle.usages().len(), 0);
}

#[tokio::test]
async fn a_subscription_has_so_many_usages_in_its_life_deleted_ones_among_them() {
    let site = start_with(|settings| settings.usages_max = 3).await;
    for second in 0..3 {
        site.accept(&usage(&second.to_string(), "1", START + second)).await;
    }
    site.delete("0").await;
    let refused = site.refuse(&usage("3", "1", START + 3), 400).await;
    assert_eq!(code(&refused), "resource_limit_exhausted");
    site.handle.set_usages_max(4);
    site.accept(&usage("3", "1", START + 3)).await;
}

#[tokio::test]
async fn any_usage_date_is_stored_and_counts_only_in_active_time() {
    let site = start().await;
    site.accept(&usage("before", "1", START - 1)).await;
    site.accept(&usage("first", "1", START)).await;
    site.advance(DAY);
    site.handle.pause("sub").expect("it is paused");
    site.accept(&usage("active", "1", START + DAY - 1)).await;
    site.accept(&usage("paused", "1", START + DAY)).await;
    site.advance(DAY);
    site.handle.resume("sub").expect("it goes on");
    site.accept(&usage("resumed", "1", START + 2 * DAY)).await;
    site.accept(&usage("ahead", "1", START + 2 * MONTH)).await;
    assert_eq!(
        site.fates(),
        [
            "before Unbilled(Inactive)",
            "first Counts",
            "active Counts",
            "paused Unbilled(Inactive)",
            "resumed Counts",
            "ahead Counts",
        ]
    );
}

#[tokio::test]
async fn a_deleted_usage_is_gone_for_everybody_but_the_books() {
    let site = start().await;
    site.accept(&usage("a", "1", START)).await;
    let deleted = site.delete("a").await;
    assert_eq!((deleted.status, &deleted.body["usage"]["id"]), (200, &"a".into()));
    assert_eq!(code(&site.delete("a").await), "resource_not_found");
    site.subscribe("other", &["calls"]);
    site.accept(&usage("b", "1", START)).await;
    let path = "/subscriptions/other/delete_usage";
    assert_eq!(site.post(path, &pairs(&[("id", "b")])).await.status, 404);
    assert_eq!(site.fates(), ["a Deleted", "b Counts"]);
}

#[tokio::test]
async fn a_site_without_the_usages_api_says_so_in_both_forms() {
    let site = start_with(|settings| settings.usages_enabled = false).await;
    let refused = site.refuse(&usage("a", "1", START), 400).await;
    assert_eq!(code(&refused), "configuration_incompatible");
    assert_eq!(refused.body["error_code"], "api_restricted");
    assert_eq!(code(&site.try_get("/usages", &[]).await), "configuration_incompatible");
    assert_eq!(site.try_get("/subscriptions", &[]).await.status, 200);
}

#[tokio::test]
async fn what_people_record_by_hand_is_told_apart_by_its_source() {
    let site = start().await;
    site.handle.record_by_hand("sub", "calls", "7", START).expect("it is recorded");
    site.accept(&usage("a", "1", START + 1)).await;
    let found = site.ids("/usages", "usage", &[("source[is]", "admin_console")]).await;
    assert_eq!(found.len(), 1);
    site.handle.delete_by_hand("sub", &found[0]).expect("it is deleted");
    assert_eq!(site.ids("/usages", "usage", &[]).await, ["a"]);
    // None of it is told of.
    assert!(site.event_types().await.iter().all(|name| !name.contains("usage")));
}

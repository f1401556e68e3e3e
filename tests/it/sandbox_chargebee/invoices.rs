//! Invoices: what a term comes to, and what is on none.

use std::time::Duration;

use serde_json::{Value, json};
use tallyd::sandbox::chargebee::{Aggregation, CancelAt, Change, NewItemPrice};

use crate::support::chargebee::{
    DAY, MINUTE, MONTH, Running, START, code, start, start_with, usage,
};
use crate::support::stripe::pairs;

/// How long invoices stay pending here, in seconds.
const PENDING: i64 = 120 * MINUTE;

async fn invoices(site: &Running) -> Vec<Value> {
    let list = site.get("/invoices", &[("limit", "100")]).await;
    list["list"].as_array().expect("a list").iter().map(|row| row["invoice"].clone()).collect()
}

async fn only_invoice(site: &Running) -> Value {
    let [invoice] = <[Value; 1]>::try_from(invoices(site).await).expect("one invoice");
    invoice
}

/// An invoice's lines, as `entity quantity`.
fn lines(invoice: &Value) -> Vec<String> {
    let lines = invoice["line_items"].as_array().expect("lines").iter();
    let text = |line: &Value, name: &str| line[name].as_str().expect("a text").to_owned();
    lines
        .map(|line| format!("{} {}", text(line, "entity_id"), text(line, "quantity_in_decimal")))
        .collect()
}

async fn act(site: &Running, invoice: &Value, act: &str) -> (u16, Value) {
    let id = invoice["id"].as_str().expect("an id");
    let reply = site.post(&format!("/invoices/{id}/{act}"), &pairs(&[])).await;
    (reply.status, reply.body["invoice"].clone())
}

#[tokio::test]
async fn a_term_that_ends_leaves_a_pending_invoice_that_late_usage_still_joins() {
    let site = start().await;
    site.accept(&usage("first", "1.5", START)).await;
    site.accept(&usage("last", "2", START + MONTH - 1)).await;
    site.accept(&usage("next", "10", START + MONTH)).await;
    assert!(invoices(&site).await.is_empty());
    site.go_to(START + MONTH);
    let pending = only_invoice(&site).await;
    assert_eq!(pending["status"], "pending");
    assert!(pending["id"].as_str().expect("an id").starts_with("draft_inv_"));
    assert_eq!(lines(&pending), ["calls 3.5"]);
    let line = &pending["line_items"][0];
    assert_eq!((&line["quantity"], &line["amount"]), (&json!(3), &json!(350)));
    assert_eq!((&line["date_from"], &line["date_to"]), (&json!(START), &json!(START + MONTH)));
    assert_eq!(
        (&line["subscription_id"], &line["entity_type"]),
        (&json!("sub"), &json!("addon_item_price"))
    );
    site.advance(PENDING - 1);
    site.accept(&usage("late", "0.25", START + 5)).await;
    assert_eq!(lines(&only_invoice(&site).await), ["calls 3.75"]);
    assert_eq!(site.delete("first").await.status, 200);
    assert_eq!(lines(&only_invoice(&site).await), ["calls 2.25"]);
    site.advance(1);
    site.accept(&usage("too-late", "9", START + 6)).await;
    let closed = only_invoice(&site).await;
    assert_eq!((&closed["status"], &closed["id"]), (&json!("payment_due"), &pending["id"]));
    assert_eq!((lines(&closed), &closed["total"]), (vec!["calls 2.25".to_owned()], &json!(225)));
    assert_eq!(
        site.fates()[3..],
        ["late Invoiced(\"draft_inv_sandbox00000000\")", "too-late Unbilled(TermInvoiced)"]
    );
    assert_eq!(site.books(), ["sub calls 12.25 3"]);
}

#[tokio::test]
async fn an_invoiced_usage_names_its_invoice_and_line_and_cannot_be_deleted() {
    let site = start().await;
    site.accept(&usage("a", "1", START)).await;
    site.go_to(START + MONTH);
    let open = site.usage("a").await.body["usage"].clone();
    assert_eq!(open.get("invoice_id"), None);
    site.advance(PENDING);
    let invoice = only_invoice(&site).await;
    let closed = site.usage("a").await.body["usage"].clone();
    assert_eq!(closed["invoice_id"], invoice["id"]);
    assert_eq!(closed["line_item_id"], invoice["line_items"][0]["id"]);
    assert_eq!(closed["updated_at"], START + MONTH + PENDING);
    assert!(closed["resource_version"].as_i64() > open["resource_version"].as_i64());
    let refused = site.delete("a").await;
    assert_eq!((refused.status, code(&refused)), (409, "invalid_state_for_request"));
    let found = site.ids("/usages", "usage", &[("invoice_id[is_present]", "true")]).await;
    assert_eq!(found, ["a"]);
}

#[tokio::test]
async fn a_site_may_show_the_pending_invoice_and_rename_it_when_it_closes() {
    let site = start_with(|settings| {
        settings.pending_is_invoiced = true;
        settings.renames_invoices = true;
    })
    .await;
    site.accept(&usage("a", "1", START)).await;
    site.go_to(START + MONTH);
    let draft = only_invoice(&site).await;
    let shown = site.usage("a").await.body["usage"].clone();
    assert_eq!(shown["invoice_id"], draft["id"]);
    assert_eq!(site.delete("a").await.status, 409);
    let (status, closed) = act(&site, &draft, "close").await;
    assert_eq!((status, &closed["id"]), (200, &json!("1")));
    let path = format!("/invoices/{}", draft["id"].as_str().expect("an id"));
    assert_eq!(site.try_get(&path, &[]).await.status, 404, "the old id is forgotten");
    let after = site.usage("a").await.body["usage"].clone();
    assert_eq!(
        (&after["invoice_id"], &after["line_item_id"]),
        (&json!("1"), &shown["line_item_id"])
    );
}

#[tokio::test]
async fn an_invoice_is_closed_over_the_api_once() {
    let site = start().await;
    site.accept(&usage("a", "1", START)).await;
    site.go_to(START + MONTH);
    let pending = only_invoice(&site).await;
    assert_eq!(act(&site, &pending, "sync_usages").await.0, 200);
    assert_eq!(act(&site, &pending, "close").await.0, 200);
    assert_eq!(act(&site, &pending, "close").await.0, 409);
    assert_eq!(act(&site, &pending, "sync_usages").await.0, 409);
    site.accept(&usage("late", "1", START + 1)).await;
    assert_eq!(lines(&only_invoice(&site).await), ["calls 1"]);
    assert_eq!(site.fates()[1], "late Unbilled(TermInvoiced)");
}

#[tokio::test]
async fn a_voided_invoice_frees_its_usages_and_a_deleted_one_destroys_them() {
    let site = start().await;
    site.subscribe("other", &["calls"]);
    site.accept(&usage("a", "1", START)).await;
    site.post("/subscriptions/other/usages", &usage("b", "1", START)).await;
    site.go_to(START + MONTH + PENDING);
    let [voided, deleted] = <[Value; 2]>::try_from(invoices(&site).await).expect("two invoices");
    let (status, after) = act(&site, &voided, "void").await;
    assert_eq!((status, &after["status"]), (200, &json!("voided")));
    assert_eq!(act(&site, &voided, "void").await.0, 409);
    assert_eq!(site.usage("a").await.body["usage"].get("invoice_id"), None);
    let (status, after) = act(&site, &deleted, "delete").await;
    assert_eq!((status, &after["deleted"]), (200, &json!(true)));
    assert_eq!(act(&site, &deleted, "delete").await.0, 404);
    let gone = site.try_get("/subscriptions/other/usages", &[("id", "b")]).await;
    assert_eq!(gone.status, 404);
    assert_eq!(site.fates(), ["a Unbilled(InvoiceVoided)", "b Destroyed"]);
    assert_eq!(site.delete("a").await.status, 200, "what is free can be deleted");
    assert_eq!(invoices(&site).await.len(), 1);
    assert_eq!(site.ids("/invoices", "invoice", &[("include_deleted", "true")]).await.len(), 2);
    let told = site.event_types().await;
    let told: Vec<&str> = told.iter().rev().take(2).map(String::as_str).collect();
    assert_eq!(told, ["invoice_deleted", "invoice_updated"]);
}

#[tokio::test]
async fn a_price_adds_up_its_usages_or_takes_the_latest_or_the_largest() {
    let site = start_with(|settings| {
        settings.item_prices.push(NewItemPrice::metered("seats").by(Aggregation::MostRecent));
        settings.item_prices.push(NewItemPrice::metered("peak").by(Aggregation::Max));
        settings.item_prices.push(NewItemPrice::metered("unused"));
    })
    .await;
    site.subscribe("all", &["calls", "seats", "peak", "unused"]);
    for price in ["calls", "seats", "peak"] {
        // The latest by its date comes first; the largest is in the middle.
        for (second, quantity) in [(9, "2.5"), (3, "7"), (6, "1")] {
            let sent = pairs(&[
                ("item_price_id", price),
                ("quantity", quantity),
                ("usage_date", &(START + second).to_string()),
            ]);
            let reply = site.post("/subscriptions/all/usages", &sent).await;
            assert_eq!(reply.status, 200, "{}", reply.text);
        }
    }
    site.go_to(START + MONTH);
    let found = invoices(&site).await;
    let found = found.iter().find(|it| it["subscription_id"] == "all").expect("its invoice");
    assert_eq!(lines(found), ["calls 10.5", "seats 2.5", "peak 7"]);
    assert_eq!(site.books(), ["all calls 10.5 3", "all seats 2.5 3", "all peak 7 3"]);
}

#[tokio::test]
async fn cancelling_now_ends_the_term_and_invoices_what_counts_until_then() {
    let site = start().await;
    site.accept(&usage("a", "1", START)).await;
    site.advance(DAY);
    site.handle.cancel("sub", CancelAt::Now).expect("it is admitted");
    site.accept(&usage("late", "2", START + DAY - 1)).await;
    site.accept(&usage("after", "4", START + DAY)).await;
    let invoice = only_invoice(&site).await;
    assert_eq!(
        (&invoice["date"], lines(&invoice)),
        (&json!(START + DAY), vec!["calls 3".to_owned()])
    );
    site.go_to(START + 3 * MONTH);
    assert_eq!(invoices(&site).await.len(), 1, "no term follows");
    assert_eq!(site.books(), ["sub calls 3 2"]);
    assert_eq!(site.fates()[2], "after Unbilled(Inactive)");
}

#[tokio::test]
async fn a_pause_lasts_beyond_the_term_and_a_new_one_begins_after_it() {
    let site = start().await;
    site.accept(&usage("a", "1", START)).await;
    site.advance(DAY);
    site.handle.pause("sub").expect("it is paused");
    site.go_to(START + 2 * MONTH);
    assert_eq!(invoices(&site).await.len(), 1);
    site.handle.resume("sub").expect("it goes on");
    site.accept(&usage("b", "2", START + 2 * MONTH)).await;
    site.accept(&usage("gap", "4", START + MONTH + DAY)).await;
    let found = site.get("/subscriptions/sub", &[]).await["subscription"].clone();
    assert_eq!(found["current_term_start"], START + 2 * MONTH);
    assert_eq!(site.fates()[1..], ["b Counts", "gap Unbilled(Inactive)"]);
}

#[tokio::test]
async fn a_removed_price_is_billed_for_the_time_it_was_there() {
    let site = start().await;
    site.accept(&usage("a", "1", START)).await;
    site.advance(DAY);
    site.handle.change("sub", &Change::RemoveItemPrice("calls".to_owned())).expect("it goes");
    site.accept(&usage("b", "2", START + DAY)).await;
    site.go_to(START + MONTH);
    assert_eq!(lines(&only_invoice(&site).await), ["calls 1"]);
    site.go_to(START + 2 * MONTH + PENDING);
    assert_eq!(invoices(&site).await.len(), 1, "the next term has no metered price");
}

#[tokio::test]
async fn without_multi_decimal_support_a_whole_quantity_has_no_decimal_form() {
    let site = start_with(|settings| settings.multi_decimal = false).await;
    site.accept(&usage("a", "3", START)).await;
    site.go_to(START + MONTH);
    let line = only_invoice(&site).await["line_items"][0].clone();
    assert_eq!((&line["quantity"], line.get("quantity_in_decimal")), (&json!(3), None));
    site.accept(&usage("b", "0.5", START + 1)).await;
    let line = only_invoice(&site).await["line_items"][0].clone();
    assert_eq!((&line["quantity"], &line["quantity_in_decimal"]), (&json!(3), &json!("3.5")));
}

#[tokio::test]
async fn many_lines_come_in_pages_and_a_wait_past_its_limit_is_refused() {
    let site = start_with(|settings| {
        settings.item_prices.push(NewItemPrice::metered("bytes"));
    })
    .await;
    site.handle.change("sub", &Change::AddItemPrice("bytes".to_owned())).expect("it is added");
    site.accept(&usage("a", "1", START)).await;
    site.handle.record_by_hand("sub", "bytes", "2", START).expect("it is recorded");
    site.go_to(START + MONTH);
    let id = only_invoice(&site).await["id"].as_str().expect("an id").to_owned();
    let path = format!("/invoices/{id}");
    let first = site.get(&path, &[("line_items_limit", "1")]).await["invoice"].clone();
    assert_eq!(lines(&first), ["calls 1"]);
    let next = first["line_items_next_offset"].as_str().expect("there is more").to_owned();
    let query = [("line_items_limit", "1"), ("line_items_offset", next.as_str())];
    let second = site.get(&path, &query).await["invoice"].clone();
    assert_eq!(
        (lines(&second), second.get("line_items_next_offset")),
        (vec!["bytes 2".to_owned()], None)
    );
    site.handle.set_pending(Duration::from_secs(51 * 86_400)).expect_err("it is too long");
}

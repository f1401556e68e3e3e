//! What the reading of an invoice promises, at its edge.

use serde_json::{Value, json};

use super::*;

/// From noon of 2026-09-21 to noon of 2026-10-21.
const TERM: (i64, i64) = (1_789_992_000, 1_792_584_000);

fn known() -> Vec<ProviderMeter> {
    ["calls-EUR", "seats-EUR"].map(|id| ProviderMeter::new(id).unwrap()).into()
}

fn line(id: &str, price: &str, quantity: Value) -> Value {
    json!({
        "id": id, "object": "line_item", "subscription_id": "sub_1", "customer_id": "cus_1",
        "date_from": TERM.0, "date_to": TERM.1, "unit_amount": 5, "quantity": quantity,
        "entity_type": "plan_item_price", "entity_id": price, "is_taxed": false,
        "description": price, "metered": true,
    })
}

fn invoice() -> Value {
    json!({
        "id": "draft_inv_1", "object": "invoice", "status": "pending", "customer_id": "cus_1",
        "subscription_id": "sub_1", "recurring": true, "date": TERM.1, "deleted": false,
        "updated_at": TERM.1 + 5,
        "line_items": [line("li_1", "calls-EUR", json!(12)), line("li_2", "base-EUR", json!(1))],
    })
}

fn with(changes: &[(&str, Value)]) -> Value {
    let mut invoice = invoice();
    for (field, value) in changes {
        invoice[*field] = value.clone();
    }
    invoice
}

fn told(invoice: &Value) -> Result<Told, String> {
    read(json!({ "invoice": invoice }).to_string().as_bytes())
}

fn found(invoice: &Value) -> Result<Invoice, String> {
    told(invoice)?.find(&known(), 48)
}

#[test]
fn a_pending_invoice_takes_usage_of_its_term_until_the_site_closes_it() {
    let read = found(&invoice()).unwrap();
    assert_eq!((read.id.as_str(), read.status), ("draft_inv_1", InvoiceStatus::Draft));
    assert_eq!((read.created_at.seconds(), read.finalized_at), (TERM.1, None));
    assert_eq!(read.finalizes_at.map(|at| at.seconds()), Some(TERM.1 + 48 * 3_600));
    let term = read.term.unwrap();
    assert_eq!((term.subscription.as_str(), term.billed_at.seconds()), ("sub_1", TERM.1));
    assert_eq!(read.lines.len(), 1, "the item price that is not known is left out");
    let line = &read.lines[0];
    assert_eq!((line.subscription.as_str(), line.account.as_str()), ("sub_1", "sub_1"));
    assert_eq!((line.meter.as_str(), line.price.as_str()), ("calls-EUR", "calls-EUR"));
    assert_eq!(line.period.to_string(), "[2026-09-21T12:00:00Z, 2026-10-21T12:00:00Z)");
    assert_eq!(line.quantity.to_string(), "12");
}

#[test]
fn every_status_but_one_of_next_year_is_read() {
    let at = TERM.1 + 100;
    for (word, status) in [
        ("paid", InvoiceStatus::Final),
        ("posted", InvoiceStatus::Final),
        ("payment_due", InvoiceStatus::Final),
        ("not_paid", InvoiceStatus::Final),
        ("voided", InvoiceStatus::Void),
    ] {
        let read = found(&with(&[("status", json!(word)), ("updated_at", json!(at))])).unwrap();
        let finalized_at = read.finalized_at.map(|at| at.seconds());
        assert_eq!((read.status, read.finalizes_at, finalized_at), (status, None, Some(at)));
    }
    let changes = [("status", json!("paid")), ("generated_at", json!(TERM.1 + 7))];
    let read = found(&with(&changes)).unwrap();
    assert_eq!(read.finalized_at.map(|at| at.seconds()), Some(TERM.1 + 7));
    let error = found(&with(&[("status", json!("hibernating"))])).unwrap_err();
    assert!(error.contains("status is none that is known"), "{error}");
}

#[test]
fn a_quantity_is_the_decimal_text_that_stands_there_else_the_number() {
    let quantity = |whole: Value, decimal: Value| {
        let mut one = line("li_1", "calls-EUR", whole);
        one["quantity_in_decimal"] = decimal;
        let read = found(&with(&[("line_items", json!([one]))]));
        read.map(|read| read.lines.first().map(|line| line.quantity.to_string()))
    };
    let text = |text: &str| Ok(Some(text.to_owned()));
    assert_eq!(quantity(json!(12), json!("12.500")), text("12.5"));
    assert_eq!(quantity(json!(12), Value::Null), text("12"));
    assert_eq!(quantity(Value::Null, json!("0.1")), text("0.1"));
    assert_eq!(quantity(Value::Null, Value::Null), Ok(None));
    assert!(quantity(json!(12), json!("a dozen")).is_err());
}

#[test]
fn an_invoice_over_several_subscriptions_is_read_by_its_lines() {
    let mut other = line("li_2", "seats-EUR", json!(3));
    other["subscription_id"] = json!("sub_2");
    other["entity_type"] = json!("addon_item_price");
    let lines = json!([line("li_1", "calls-EUR", json!(12)), other]);
    let of_several = with(&[("subscription_id", Value::Null), ("line_items", lines.clone())]);
    let read = found(&of_several).unwrap();
    let said: Vec<(&str, &str)> =
        read.lines.iter().map(|line| (line.account.as_str(), line.meter.as_str())).collect();
    assert_eq!(said, [("sub_1", "calls-EUR"), ("sub_2", "seats-EUR")]);
    assert_eq!(read.term, None);
    assert_eq!(found(&with(&[("line_items", lines)])).unwrap().term, None);
    assert_eq!(found(&with(&[("recurring", json!(false))])).unwrap().term, None);
}

#[test]
fn what_bills_no_known_price_or_no_time_is_left_out() {
    let mut charge = line("li_1", "calls-EUR", json!(12));
    charge["entity_type"] = json!("adhoc");
    let mut of_no_time = line("li_2", "calls-EUR", json!(0));
    of_no_time["date_to"] = json!(TERM.0);
    let read = found(&with(&[("line_items", json!([charge, of_no_time.clone()]))])).unwrap();
    assert_eq!(read.lines, []);
    of_no_time["quantity"] = json!(1);
    let error = found(&with(&[("line_items", json!([of_no_time]))])).unwrap_err();
    assert!(error.contains("the dates of a line ends before it begins"), "{error}");
}

#[test]
fn further_lines_are_read_page_by_page() {
    let mut read = told(&with(&[("line_items_next_offset", json!("2"))])).unwrap();
    assert!(read.find(&known(), 1).unwrap_err().contains("the lines have no end"));
    assert_eq!((read.more_lines(), read.id()), (Some("2"), "draft_inv_1"));
    let page = |id: &str, next: Value| {
        let more = [
            ("id", json!(id)),
            ("line_items", json!([line("li_3", "seats-EUR", json!(2))])),
            ("line_items_next_offset", next),
        ];
        json!({ "invoice": with(&more) }).to_string()
    };
    read.take_lines(page("other", Value::Null).as_bytes()).unwrap_err();
    read.take_lines(page("draft_inv_1", json!("2")).as_bytes()).unwrap_err();
    read.take_lines(page("draft_inv_1", Value::Null).as_bytes()).unwrap();
    assert_eq!(read.more_lines(), None);
    assert_eq!(read.find(&known(), 1).unwrap().lines.len(), 2);
}

#[test]
fn a_field_that_is_wrong_is_named() {
    let lines = |change: fn(&mut Value)| {
        let mut one = line("li_1", "calls-EUR", json!(12));
        change(&mut one);
        json!([one])
    };
    for (field, value, why) in [
        ("id", json!(" "), "id starts or ends with white space"),
        ("status", Value::Null, "has not the form"),
        ("date", Value::Null, "it has no date"),
        ("date", json!(-1), "date is no time"),
        ("line_items", json!(7), "has not the form"),
        ("line_items", lines(|line| line["id"] = Value::Null), "a line without an id"),
        ("line_items", lines(|line| line["date_to"] = json!(TERM.0 - 1)), "the dates of a line"),
        ("line_items", lines(|line| line["date_to"] = json!("noon")), "has not the form"),
    ] {
        let error = found(&with(&[(field, value.clone())])).unwrap_err();
        assert!(error.contains(why), "{field} {value}: {error}");
    }
    let nobodys = lines(|line| line["subscription_id"] = Value::Null);
    let changes = [("subscription_id", Value::Null), ("line_items", nobodys)];
    let error = found(&with(&changes)).unwrap_err();
    assert!(error.contains("a line of no subscription"), "{error}");
    for body in ["", "null", "[]", "{}", "<html>", r#"{"invoice":[]}"#] {
        assert!(read(body.as_bytes()).is_err(), "{body}");
    }
}

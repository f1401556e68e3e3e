//! Invoices of every kind, and what is no invoice. Read next: `super`.

use serde_json::{Value, json};

use super::*;

const START: i64 = 1_832_889_600;
const END: i64 = 1_835_395_200;

fn line(id: &str, price: &str, quantity: &str) -> Value {
    json!({
        "id": id, "object": "line_item", "livemode": false,
        "period": {"start": START, "end": END},
        "parent": {
            "type": "subscription_item_details",
            "invoice_item_details": null,
            "subscription_item_details": {"subscription": "sub_1", "subscription_item": "si_1"},
        },
        "pricing": {"type": "price_details", "price_details": {"price": price, "product": "p"}},
        "quantity": 7, "quantity_decimal": quantity,
    })
}

fn invoice() -> Value {
    json!({
        "id": "in_1", "object": "invoice", "livemode": false, "status": "draft",
        "customer": "cus_1", "created": END, "automatically_finalizes_at": END + 3_600,
        "status_transitions": {"finalized_at": null, "paid_at": null},
        "parent": {"subscription_details": {"subscription": "sub_9"}},
        "lines": {
            "object": "list", "has_more": false,
            "data": [line("il_1", "price_1", "3.25"), line("il_2", "price_fee", "1")],
        },
    })
}

fn found(invoice: &Value) -> Result<Found, String> {
    let price = |id: &str| PriceId::new(id).unwrap();
    let bills = [
        (price("price_1"), Bills::Meter("mtr_1".to_owned())),
        (price("price_odd"), Bills::Meter("mtr_odd".to_owned())),
        (price("price_fee"), Bills::NoMeter),
    ];
    let known = KnownMeters([("mtr_1".to_owned(), ProviderMeter::new("tokens").unwrap())].into());
    let told = read(invoice.to_string().as_bytes(), false);
    told.and_then(|told| told.find(&bills.into(), &known)).map_err(|error| error.to_string())
}

fn changed(pointer: &str, value: Value) -> Value {
    let mut invoice = invoice();
    *invoice.pointer_mut(pointer).unwrap() = value;
    invoice
}

/// The lines that are left when the first one is changed like this.
fn lines_with(pointer: &str, value: Value) -> Vec<InvoiceLine> {
    let changed = changed(&format!("/lines/data/0{pointer}"), value);
    found(&changed).unwrap().invoice.unwrap().lines
}

#[test]
fn an_invoice_tells_what_it_bills_of_meters() {
    let read = found(&invoice()).unwrap();
    assert_eq!(read.strangers, [""; 0]);
    let read = read.invoice.unwrap();
    assert_eq!((read.id.as_str(), read.lines[0].account.as_str()), ("in_1", "cus_1"));
    assert_eq!((read.status, read.created_at.seconds()), (InvoiceStatus::Draft, END));
    assert_eq!(read.finalizes_at.map(|at| at.seconds()), Some(END + 3_600));
    assert_eq!((read.finalized_at, read.lines.len()), (None, 1));
    let line = &read.lines[0];
    assert_eq!((line.id.as_str(), line.subscription.as_str()), ("il_1", "sub_1"));
    assert_eq!((line.price.as_str(), line.meter.as_str()), ("price_1", "tokens"));
    assert_eq!((line.period.start.seconds(), line.period.end.seconds()), (START, END));
    assert_eq!(line.quantity.to_string(), "3.25");
}

#[test]
fn every_status_but_one_of_next_year_is_read() {
    for (word, status) in [
        ("draft", InvoiceStatus::Draft),
        ("open", InvoiceStatus::Final),
        ("paid", InvoiceStatus::Final),
        ("uncollectible", InvoiceStatus::Final),
        ("void", InvoiceStatus::Void),
    ] {
        let mut invoice = changed("/status", json!(word));
        invoice["status_transitions"]["finalized_at"] = json!(END + 60);
        let read = found(&invoice).unwrap().invoice.unwrap();
        assert_eq!(read.status, status, "{word}");
        assert_eq!(read.finalized_at.map(|at| at.seconds()), Some(END + 60));
        assert_eq!(read.finalizes_at.is_some(), status == InvoiceStatus::Draft, "{word}");
    }
    let error = found(&changed("/status", json!("sealed"))).unwrap_err();
    assert!(error.contains("does not know"), "{error}");
}

#[test]
fn a_quantity_is_the_text_that_stood_there_else_the_whole_number() {
    for (text, told) in [
        ("5", "5"),
        ("0.000000000001", "0.000000000001"),
        ("123456789012345678.5", "123456789012345678.5"),
        ("-1", "-1"),
    ] {
        assert_eq!(lines_with("/quantity_decimal", json!(text))[0].quantity.to_string(), told);
    }
    assert_eq!(lines_with("/quantity_decimal", Value::Null)[0].quantity.to_string(), "7");
    let mut none = changed("/lines/data/0/quantity_decimal", Value::Null);
    none["lines"]["data"][0]["quantity"] = Value::Null;
    assert_eq!(found(&none).unwrap().invoice.unwrap().lines, []);
    for text in ["", "many", "1e400", "NaN", &"1".repeat(65)] {
        let error = found(&changed("/lines/data/0/quantity_decimal", json!(text))).unwrap_err();
        assert!(error.contains("the quantity_decimal of a line is no number"), "{error}");
    }
}

#[test]
fn what_bills_no_meter_is_left_out() {
    for (pointer, value) in [
        ("/pricing", Value::Null),
        ("/pricing/price_details", Value::Null),
        ("/pricing/price_details/price", Value::Null),
        ("/pricing/price_details/price", json!("price_fee")),
        ("/pricing/price_details/price", json!("price_nobody_asked_for")),
        ("/parent", Value::Null),
        ("/parent/subscription_item_details", Value::Null),
    ] {
        assert_eq!(lines_with(pointer, value), [], "{pointer}");
    }
    let odd = found(&changed("/lines/data/0/pricing/price_details/price", json!("price_odd")));
    let odd = odd.unwrap();
    assert_eq!((odd.invoice.unwrap().lines, odd.strangers), (vec![], vec!["mtr_odd".to_owned()]));
    let nobody = found(&changed("/customer", Value::Null)).unwrap();
    assert_eq!(nobody.invoice, None);
}

#[test]
fn a_line_of_no_time_bills_nothing_or_makes_no_sense() {
    let mut first = changed("/lines/data/0/period/end", json!(START));
    let error = found(&first).unwrap_err();
    assert!(error.contains("the period of a line ends before it begins"), "{error}");
    first["lines"]["data"][0]["quantity_decimal"] = json!("0");
    assert_eq!(found(&first).unwrap().invoice.unwrap().lines, []);
}

#[test]
fn a_line_is_by_its_own_subscription_else_by_the_invoices() {
    let details = "/parent/subscription_item_details/subscription";
    let whole = lines_with(details, json!({"id": "sub_2", "object": "subscription"}));
    assert_eq!(whole[0].subscription.as_str(), "sub_2");
    let mut bare = changed(&format!("/lines/data/0{details}"), Value::Null);
    let of_invoice = found(&bare).unwrap().invoice.unwrap();
    assert_eq!(of_invoice.lines[0].subscription.as_str(), "sub_9");
    bare["parent"] = Value::Null;
    assert!(found(&bare).unwrap_err().contains("by an item of no subscription"));
    let price = lines_with("/pricing/price_details/price", json!({"id": "price_1"}));
    assert_eq!(price[0].price.as_str(), "price_1");
}

#[test]
fn further_lines_are_read_page_by_page() {
    let long = changed("/lines/has_more", json!(true));
    let error = found(&long).unwrap_err();
    assert!(error.contains("has no end of lines: more than 2000"), "{error}");
    let mut told = read(long.to_string().as_bytes(), false).unwrap();
    let path = "/v1/invoices/in_1/lines?limit=100&starting_after=il_2";
    assert_eq!(told.more_lines().as_deref(), Some(path));
    let page = |line: &Value| json!({"object": "list", "has_more": false, "data": [line]});
    let mut third = line("il_3", "price_3", "1");
    third["livemode"] = json!(true);
    let other = told.take_lines(page(&third).to_string().as_bytes()).unwrap_err();
    assert_eq!(other, NoObject::OtherMode("line of an invoice"));
    told.take_lines(page(&json!({"id": "il_3"})).to_string().as_bytes()).unwrap_err();
    third["livemode"] = json!(false);
    told.take_lines(page(&third).to_string().as_bytes()).unwrap();
    assert_eq!(told.more_lines(), None);
    let prices: Vec<String> =
        told.prices().unwrap().iter().map(|price| price.as_str().to_owned()).collect();
    assert_eq!(prices, ["price_1", "price_3", "price_fee"]);
}

#[test]
fn a_field_that_is_wrong_is_named() {
    for (pointer, value, why) in [
        ("/id", json!("in/1"), "is something else"),
        ("/object", json!("quote"), "is something else"),
        ("/livemode", json!(true), "another mode than the invoice"),
        ("/lines/data/1/livemode", json!(true), "another mode than the invoice"),
        ("/livemode", json!("false"), "has not the form"),
        ("/status", Value::Null, "has not the form"),
        ("/customer", json!("cus 1"), "customer is no id"),
        ("/created", json!(0), "created is no time"),
        ("/automatically_finalizes_at", json!(i64::MIN), "automatically_finalizes_at is no time"),
        ("/status_transitions/finalized_at", json!(1), "finalized_at is no time"),
        ("/status_transitions", Value::Null, "has not the form"),
        ("/lines", Value::Null, "has not the form"),
        ("/lines/data/0/id", json!("il 1"), "the id of a line is no id"),
        ("/lines/data/0/period", json!([]), "has not the form"),
        ("/lines/data/0/period/end", json!(START - 1), "the period of a line"),
        ("/lines/data/0/quantity_decimal", json!(5), "has not the form"),
        ("/lines/data/0/parent/subscription_item_details/subscription", json!("/"), "is no id"),
    ] {
        let error = found(&changed(pointer, value)).unwrap_err();
        assert!(error.contains(why), "{pointer}: {error}");
    }
    let mut told = invoice();
    told["lines"]["data"][0]["pricing"]["price_details"]["price"] = json!(" padded");
    let told = read(told.to_string().as_bytes(), false).unwrap();
    assert!(told.prices().unwrap_err().to_string().contains("the price of a line starts or"));
    for text in ["", "null", "[]", "{}", "\u{0}", "<html>"] {
        assert!(read(text.as_bytes(), false).is_err(), "{text}");
    }
}

//! A report, as Planship's SDKs send it. PURE. Here: its body and key read, what is wrong with them
//! in the shape in which their API says so, and the fields of the record that it is. Never here: a
//! ledger. Read next: [`crate::intake::admit`].

use std::borrow::Cow;

use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::KEY;
use crate::domain::names::NAME_BYTES_MAX;
use crate::domain::time::Timestamp;
use crate::intake::admit::{Fault, Fields, Written};
use crate::usage::lever::{BUCKET_PROPERTY, SUBSCRIPTION_PROPERTY};

/// The property that says a record's product.
pub(in crate::web) const PRODUCT_PROPERTY: &str = "product";
/// Longest key, in bytes: a record's id less what is put before it.
const KEY_BYTES_MAX: usize = NAME_BYTES_MAX - "key-".len();

/// What a report says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reported {
    /// How much.
    pub(super) usage: i64,
    /// The same, in digits.
    digits: String,
    /// Of which bucket.
    pub(super) bucket: Option<String>,
    /// Of which subscription.
    pub(super) subscription: Option<String>,
}

/// What is wrong with a request: where, in words, and of which kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    place: [String; 2],
    message: String,
    kind: &'static str,
}

impl Invalid {
    fn body(field: &str, message: &str, kind: &'static str) -> Self {
        let place = ["body".to_owned(), field.to_owned()];
        Self { place, message: message.to_owned(), kind }
    }

    /// Something in the path.
    pub(super) fn path(field: &str, message: &str) -> Self {
        let place = ["path".to_owned(), field.to_owned()];
        Self { place, message: message.to_owned(), kind: "value_error" }
    }

    /// What intake found.
    pub(super) fn of(fault: &Fault) -> Self {
        let place = match fault.field.as_str() {
            "customer" => ["path", "customer_id"],
            "meter" => ["path", "metering_id"],
            "id" => ["header", KEY],
            "quantity" => ["body", "usage"],
            field => ["body", field.strip_prefix("properties.").unwrap_or(field)],
        };
        let place = place.map(str::to_owned);
        Self { place, message: fault.reason.clone(), kind: "value_error" }
    }

    /// As the API says it.
    pub(super) fn json(&self) -> Value {
        json!({ "loc": self.place, "msg": self.message, "type": self.kind })
    }
}

/// The key of a report, where it has one.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, Invalid> {
    let Some(value) = headers.get(KEY) else { return Ok(None) };
    let wrong = || Invalid {
        place: ["header".to_owned(), KEY.to_owned()],
        message: format!("must be 1 to {KEY_BYTES_MAX} visible ASCII characters"),
        kind: "value_error",
    };
    let text = value.to_str().map_err(|_| wrong())?;
    if text.is_empty() || text.len() > KEY_BYTES_MAX {
        return Err(wrong());
    }
    Ok(Some(text.to_owned()))
}

/// Reads a report's body.
pub(super) fn read(body: &[u8]) -> Result<Reported, Vec<Invalid>> {
    let whole = |message: &str, kind| {
        vec![Invalid {
            place: ["body".to_owned(), "__root__".to_owned()],
            message: message.to_owned(),
            kind,
        }]
    };
    let value: Value = serde_json::from_slice(body)
        .map_err(|why| whole(&why.to_string(), "value_error.jsondecode"))?;
    let Value::Object(fields) = value else {
        return Err(whole("value is not a valid dict", "type_error.dict"));
    };
    let mut faults = Vec::new();
    let usage = match fields.get("usage") {
        None => Err(("field required", "value_error.missing")),
        Some(Value::Null) => Err(("none is not an allowed value", "type_error.none.not_allowed")),
        Some(Value::Number(number)) if number.as_i64().is_some_and(|number| number < 0) => {
            Err(("ensure this value is greater than or equal to 0", "value_error.number.not_ge"))
        }
        Some(Value::Number(number)) => {
            number.as_i64().ok_or(("value is not a valid integer", "type_error.integer"))
        }
        Some(Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
            Err(("value is not a valid integer", "type_error.integer"))
        }
    };
    let usage = usage.map_err(|(message, kind)| faults.push(Invalid::body("usage", message, kind)));
    let mut text =
        |name: &str, is_valid: &dyn Fn(&str) -> bool, message: &str, kind| match fields.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if is_valid(text) => Some(text.clone()),
            Some(_) => {
                faults.push(Invalid::body(name, message, kind));
                None
            }
        };
    let bucket = text("bucket", &|_| true, "str type expected", "type_error.str");
    let message = "value is not a valid uuid";
    let subscription = text("subscription_id", &is_uuid, message, "type_error.uuid");
    if bucket.as_ref().is_some_and(|bucket| bucket.len() > NAME_BYTES_MAX) {
        let message = format!("ensure this value has at most {NAME_BYTES_MAX} bytes");
        faults.push(Invalid::body("bucket", &message, "value_error.any_str.max_length"));
    }
    match usage {
        Ok(usage) if faults.is_empty() => {
            let bucket = bucket.filter(|bucket| !bucket.is_empty());
            Ok(Reported { usage, digits: usage.to_string(), bucket, subscription })
        }
        Ok(_) | Err(()) => Err(faults),
    }
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let is_hex = |group: &&str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    lengths == [8, 4, 4, 4, 12] && groups.iter().all(is_hex)
}

impl Reported {
    /// The fields of the record that it is.
    pub(super) fn fields<'a>(
        &'a self,
        id: &'a str,
        (customer, product, meter): (&'a str, &'a str, &'a str),
        now: Timestamp,
    ) -> Fields<'a> {
        let text = |text: &'a str| Written::Text(Cow::Borrowed(text));
        let mut properties = vec![(Cow::Borrowed(PRODUCT_PROPERTY), text(product))];
        for (name, value) in
            [(BUCKET_PROPERTY, &self.bucket), (SUBSCRIPTION_PROPERTY, &self.subscription)]
        {
            if let Some(value) = value {
                properties.push((Cow::Borrowed(name), text(value)));
            }
        }
        Fields {
            source: None,
            id: Some(text(id)),
            customer: Some(text(customer)),
            meter: Some(text(meter)),
            quantity: Some(Written::Number(&self.digits)),
            time: Some(Written::Text(Cow::Owned(now.to_rfc3339()))),
            properties,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(body: &str) -> Vec<&'static str> {
        read(body.as_bytes()).unwrap_err().into_iter().map(|fault| fault.kind).collect()
    }

    #[test]
    fn a_body_that_is_no_report_is_told_apart_as_the_api_does() {
        for (body, kind) in [
            ("", "value_error.jsondecode"),
            ("[]", "type_error.dict"),
            ("{}", "value_error.missing"),
            ("{\"usage\":null}", "type_error.none.not_allowed"),
            ("{\"usage\":1.5}", "type_error.integer"),
            ("{\"usage\":\"3\"}", "type_error.integer"),
            ("{\"usage\":9223372036854775808}", "type_error.integer"),
            ("{\"usage\":-1}", "value_error.number.not_ge"),
            ("{\"usage\":1,\"bucket\":2}", "type_error.str"),
            ("{\"usage\":1,\"subscription_id\":\"sub_1\"}", "type_error.uuid"),
        ] {
            assert_eq!(kinds(body), [kind], "{body}");
        }
        let long = format!("{{\"usage\":1,\"bucket\":\"{}\"}}", "b".repeat(NAME_BYTES_MAX + 1));
        assert_eq!(kinds(&long), ["value_error.any_str.max_length"]);
        let both = "{\"bucket\":2}";
        assert_eq!(kinds(both), ["value_error.missing", "type_error.str"]);
    }

    #[test]
    fn what_a_report_does_not_know_is_passed_over() {
        let body = r#"{"usage": 15, "bucket": null, "colour": "red"}"#;
        let reported = read(body.as_bytes()).unwrap();
        assert_eq!((reported.usage, reported.bucket, reported.subscription), (15, None, None));
    }
}

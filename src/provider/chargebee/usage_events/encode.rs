//! The bytes of a usage event. PURE. Here: an intent becomes a JSON object, a body says again what
//! it means, and bodies become a batch. Never here: sending it, or anything that could make the
//! same intent come out differently. Read next: [`super::classify`].
//!
//! The value goes as a JSON number. Chargebee's own examples have numbers, and a meter that adds
//! numbers up may pass over a text, which would bill nothing and say nothing; a number of no more
//! than [`super::promises::DIGITS_MAX`] digits is the same to whoever reads it exactly and to
//! whoever reads it as a float. It is written by its digits, never through a float of ours.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::promises::ACCOUNT_CHARS_MAX;
use super::settings::Feature;
use crate::domain::digest::Fields;
use crate::domain::event::{EventIntent, Says};
use crate::domain::names::AccountName;
use crate::domain::time::Timestamp;
use crate::provider::EncodeError;

/// Longest `deduplication_id`, in characters.
/// <https://apidocs.chargebee.com/docs/api/usage_events>
pub const DEDUPLICATION_CHARS_MAX: usize = 36;
/// Microseconds in one of the milliseconds that an event's time is counted in.
const MICROS_PER_MILLI: i64 = 1_000;

/// The name of an event as Chargebee takes it: its identifier where that is short enough, else 128
/// bits of a digest of it, in hex. Two identifiers of one subscription and millisecond would have
/// to meet in them for usage to be lost: among a million million events that happens once in
/// 10^14 ledgers.
#[must_use]
pub fn deduplication_id(identifier: &str) -> String {
    if identifier.len() <= DEDUPLICATION_CHARS_MAX {
        return identifier.to_owned();
    }
    hex::encode(Fields::of("chargebee deduplication id 1").text(identifier).finish())
}

/// The JSON object that tells `intent` for `feature` and the subscription `account`.
///
/// # Errors
/// When the subscription's id is longer than an event takes, or the intent is a cancellation.
pub fn body(
    feature: &Feature,
    account: &AccountName,
    intent: &EventIntent,
) -> Result<Vec<u8>, EncodeError> {
    match intent.says {
        Says::Usage => {}
        Says::Cancel(_) => return Err(EncodeError::NeverCancelled(feature.id.clone())),
    }
    if account.as_str().chars().count() > ACCOUNT_CHARS_MAX {
        let (account, most) = (account.clone(), ACCOUNT_CHARS_MAX);
        return Err(EncodeError::AccountTooLong { account, most });
    }
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let object = format!(
        "{{\"deduplication_id\":{},\"subscription_id\":{},\"usage_timestamp\":{},\
         \"properties\":{{{}:{}}}}}",
        text(&deduplication_id(intent.identifier.as_str())),
        text(account.as_str()),
        millis(intent.occurred_at),
        text(&feature.property),
        intent.quantity,
    );
    Ok(object.into_bytes())
}

/// Whole milliseconds: what is finer is cut, so that the time stays in its window.
const fn millis(at: Timestamp) -> i64 {
    at.micros().div_euclid(MICROS_PER_MILLI)
}

/// What makes an event the one that it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Identity {
    /// Its name.
    pub deduplication_id: String,
    /// The subscription.
    pub subscription_id: String,
    /// Its time, in milliseconds.
    pub usage_timestamp: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<'a> {
    deduplication_id: String,
    subscription_id: String,
    usage_timestamp: i64,
    #[serde(borrow, rename = "properties")]
    _properties: &'a RawValue,
}

/// Whose event a stored body is; nothing where it is none.
#[must_use]
pub fn read(body: &[u8]) -> Option<Identity> {
    let Stored { deduplication_id, subscription_id, usage_timestamp, _properties } =
        serde_json::from_slice(body).ok()?;
    Some(Identity { deduplication_id, subscription_id, usage_timestamp })
}

/// The body of a request that tells several events: their stored bytes, unchanged, in a list.
#[must_use]
pub fn batch(bodies: &[&[u8]]) -> Vec<u8> {
    let mut request = b"{\"events\":[".to_vec();
    for (place, body) in bodies.iter().enumerate() {
        if place > 0 {
            request.push(b',');
        }
        request.extend_from_slice(body);
    }
    request.extend_from_slice(b"]}");
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::balance::BalanceId;
    use crate::domain::event::Identifier;
    use crate::domain::names::ProviderMeter;
    use crate::domain::quantity::Quantity;

    /// As a ledger makes them.
    const IDENTIFIER: &str = "tallyd-00112233445566aa-ffeeddccbbaa99887766554433221100";

    fn feature() -> Feature {
        Feature { id: ProviderMeter::new("api-calls").unwrap(), property: "calls".to_owned() }
    }

    fn intent(identifier: &str, quantity: &str) -> EventIntent {
        EventIntent {
            balance: BalanceId(1),
            ordinal: 1,
            identifier: Identifier::stored(identifier),
            says: Says::Usage,
            quantity: Quantity::parse(quantity).unwrap(),
            total: None,
            occurred_at: Timestamp::from_seconds(1_700_000_000).plus_micros(123_999),
        }
    }

    fn encoded(account: &str, identifier: &str, quantity: &str) -> String {
        let account = AccountName::new(account).unwrap();
        let body = body(&feature(), &account, &intent(identifier, quantity)).unwrap();
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn the_bytes_of_an_event_never_change() {
        assert_eq!(
            encoded("sub \"1\"", "tallyd-1", "12.50"),
            "{\"deduplication_id\":\"tallyd-1\",\"subscription_id\":\"sub \\\"1\\\"\",\
             \"usage_timestamp\":1700000000123,\"properties\":{\"calls\":12.5}}"
        );
        assert_eq!(deduplication_id(IDENTIFIER), "e21e38283d2e5b6eb9cc07c0bcede9bf");
    }

    #[test]
    fn a_name_is_as_long_as_chargebee_takes_it_and_differs_where_identifiers_do() {
        let other = IDENTIFIER.replace("ff", "fe");
        assert!(deduplication_id(IDENTIFIER).len() <= DEDUPLICATION_CHARS_MAX);
        assert_ne!(deduplication_id(IDENTIFIER), deduplication_id(&other));
        let longest = "x".repeat(DEDUPLICATION_CHARS_MAX);
        assert_eq!(deduplication_id(&longest), longest);
    }

    #[test]
    fn a_value_is_written_by_its_digits() {
        for quantity in ["0.000000000001", "123456789012345", "7"] {
            let said = encoded("sub", "a", quantity);
            assert!(said.ends_with(&format!("{{\"calls\":{quantity}}}}}")), "{said}");
        }
    }

    #[test]
    fn the_longest_event_is_less_than_a_kibibyte() {
        let property = "p".repeat(super::super::settings::PROPERTY_CHARS_MAX);
        let feature = Feature { property, ..feature() };
        // Four bytes a character, or two where one is escaped.
        for account in ["\u{10348}".repeat(ACCOUNT_CHARS_MAX), "\"".repeat(ACCOUNT_CHARS_MAX)] {
            let account = AccountName::new(&account).unwrap();
            let longest = intent(IDENTIFIER, "12345678901234.567890123456789");
            assert!(body(&feature, &account, &longest).unwrap().len() < 1_024);
        }
    }

    #[test]
    fn what_no_event_can_say_is_refused_by_name() {
        let account = AccountName::new(&"s".repeat(ACCOUNT_CHARS_MAX + 1)).unwrap();
        let refused = body(&feature(), &account, &intent("a", "1")).unwrap_err().to_string();
        assert!(refused.contains(account.as_str()) && refused.contains("50"), "{refused}");
        let says = Says::Cancel(Identifier::stored("b"));
        let cancel = EventIntent { says, ..intent("a", "1") };
        let account = AccountName::new("sub").unwrap();
        let refused = body(&feature(), &account, &cancel).unwrap_err().to_string();
        assert!(refused.contains("api-calls"), "{refused}");
    }

    #[test]
    fn a_stored_body_says_again_whose_it_is_and_goes_into_a_batch_unchanged() {
        let stored = encoded("sub", "tallyd-1", "1");
        let identity = Identity {
            deduplication_id: "tallyd-1".to_owned(),
            subscription_id: "sub".to_owned(),
            usage_timestamp: 1_700_000_000_123,
        };
        assert_eq!(read(stored.as_bytes()), Some(identity));
        for other in ["", "{}", "id=a&quantity=1", &stored.replace("usage_", "")] {
            assert_eq!(read(other.as_bytes()), None, "{other}");
        }
        let request = batch(&[stored.as_bytes(), b"{ \"as\" : \"it is\" }"]);
        let said = String::from_utf8(request).unwrap();
        assert_eq!(said, format!("{{\"events\":[{stored},{{ \"as\" : \"it is\" }}]}}"));
    }
}

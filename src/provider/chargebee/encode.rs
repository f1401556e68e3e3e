//! The bytes of a Chargebee usage, and of its deletion. PURE. Here: an intent becomes a form body,
//! and a body says again what it means. Never here: sending it, or anything that could make the
//! same intent come out differently. Read next: [`super::classify`].
//!
//! The subscription stands in the path, not in the body: it is the account of the balance that an
//! event tells, which never changes.

use form_urlencoded::Serializer;

use crate::domain::event::{EventIntent, Says};
use crate::domain::names::ProviderMeter;
use crate::domain::quantity::Quantity;

/// The form body that tells `intent` for the item price `meter`.
///
/// The time goes as whole seconds, which is what an entry's time is. The quantity goes as its
/// canonical text: one amount, one spelling.
#[must_use]
pub fn body(meter: &ProviderMeter, intent: &EventIntent) -> Vec<u8> {
    let mut form = Serializer::new(String::new());
    match &intent.says {
        Says::Usage => form
            .append_pair("id", intent.identifier.as_str())
            .append_pair("item_price_id", meter.as_str())
            .append_pair("quantity", &intent.quantity.to_string())
            .append_pair("usage_date", &intent.occurred_at.seconds().to_string()),
        Says::Cancel(target) => form.append_pair("id", target.as_str()),
    };
    form.finish().into_bytes()
}

/// A usage, as a stored body says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Its own id.
    pub id: String,
    /// The item price.
    pub item_price: String,
    /// How much.
    pub quantity: Quantity,
    /// The second that it is entered at.
    pub second: i64,
}

/// What the stored body of a usage says; nothing where it is none.
#[must_use]
pub fn read(body: &[u8]) -> Option<Usage> {
    let (mut id, mut item_price, mut quantity, mut second) = (None, None, None, None);
    for (name, value) in form_urlencoded::parse(body) {
        match name.as_ref() {
            "id" => id = Some(value.into_owned()),
            "item_price_id" => item_price = Some(value.into_owned()),
            "quantity" => quantity = Quantity::parse_unbounded(&value).ok(),
            "usage_date" => second = value.parse().ok(),
            _ => return None,
        }
    }
    Some(Usage { id: id?, item_price: item_price?, quantity: quantity?, second: second? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::balance::BalanceId;
    use crate::domain::event::Identifier;
    use crate::domain::time::Timestamp;

    fn intent(says: Says) -> EventIntent {
        EventIntent {
            balance: BalanceId(1),
            ordinal: 1,
            identifier: Identifier::stored("tallyd-00-ff"),
            says,
            quantity: Quantity::parse("12.50").unwrap(),
            total: None,
            occurred_at: Timestamp::from_seconds(1_700_000_000),
        }
    }

    #[test]
    fn the_bytes_of_a_usage_and_of_its_deletion_never_change() {
        let meter = ProviderMeter::new("calls & more-EUR").unwrap();
        let said = |says| String::from_utf8(body(&meter, &intent(says))).unwrap();
        assert_eq!(
            said(Says::Usage),
            "id=tallyd-00-ff&item_price_id=calls+%26+more-EUR&quantity=12.5&usage_date=1700000000"
        );
        assert_eq!(said(Says::Cancel(Identifier::stored("tallyd-00-aa"))), "id=tallyd-00-aa");
    }

    #[test]
    fn a_stored_body_says_again_what_it_was_made_of() {
        let meter = ProviderMeter::new("calls & more-EUR").unwrap();
        let read_back = read(&body(&meter, &intent(Says::Usage))).unwrap();
        let meant = Usage {
            id: "tallyd-00-ff".to_owned(),
            item_price: "calls & more-EUR".to_owned(),
            quantity: Quantity::parse("12.5").unwrap(),
            second: 1_700_000_000,
        };
        assert_eq!(read_back, meant);
        assert_eq!(read(b"id=tallyd-00-ff"), None, "a deletion is no usage");
        assert_eq!(read(b"id=a&item_price_id=b&quantity=c&usage_date=1"), None);
        assert_eq!(read(b"id=a&item_price_id=b&quantity=1&usage_date=1&more=2"), None);
    }
}

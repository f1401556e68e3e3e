//! The bytes of a report. PURE. Here: an intent becomes a JSON object, and is read back from one.
//! Never here: the customer and the metering id, which are the path's; a token; sending. Read next:
//! [`super::client`].
//!
//! `bucket` and `subscription_id` are left out, as official clients do where they have none.

use serde::Deserialize;

use super::promises::CUSTOMER_CHARS_MAX;
use crate::domain::event::{EventIntent, Says};
use crate::domain::names::{AccountName, ProviderMeter};
use crate::provider::EncodeError;

/// The field of how much was used.
pub const USAGE: &str = "usage";
/// What the path calls the customer by.
pub const CUSTOMER: &str = "customer_id";

/// The body that tells `intent` of a metering id for the customer `account`.
///
/// # Errors
/// When the intent is a cancellation, or the customer's id is longer than any there.
pub fn body(
    metering_id: &ProviderMeter,
    account: &AccountName,
    intent: &EventIntent,
) -> Result<Vec<u8>, EncodeError> {
    match intent.says {
        Says::Usage => {}
        Says::Cancel(_) => return Err(EncodeError::NeverCancelled(metering_id.clone())),
    }
    if account.as_str().chars().count() > CUSTOMER_CHARS_MAX {
        let (account, most) = (account.clone(), CUSTOMER_CHARS_MAX);
        return Err(EncodeError::AccountTooLong { account, most });
    }
    // A quantity's text is a number of JSON, which no float has touched.
    Ok(format!("{{\"{USAGE}\":{}}}", intent.quantity).into_bytes())
}

/// How much stored bytes say was used; nothing where they are no report.
#[must_use]
pub fn usage(body: &[u8]) -> Option<i64> {
    #[derive(Deserialize)]
    struct Report {
        usage: i64,
    }
    serde_json::from_slice::<Report>(body).ok().map(|report| report.usage)
}

//! The bytes of a record of usage. PURE. Here: an intent becomes a form. Never here: the token,
//! which is no part of what is stored; sending. Read next: [`super::client`].

use form_urlencoded::Serializer;

use crate::domain::event::{EventIntent, Says};
use crate::domain::names::{AccountName, ProviderMeter};
use crate::provider::EncodeError;

/// The field of the product.
pub const PRODUCT: &str = "ProductId";
/// The field of the license key.
pub const KEY: &str = "Key";
/// The field of the amount. Left blank it is nothing, so that it is always written.
pub const AMOUNT: &str = "Amount";

/// The form that tells `intent` for a product and the license key `account`.
///
/// # Errors
/// When the intent is a cancellation.
pub fn body(
    product: &ProviderMeter,
    account: &AccountName,
    intent: &EventIntent,
) -> Result<Vec<u8>, EncodeError> {
    match intent.says {
        Says::Usage => {}
        Says::Cancel(_) => return Err(EncodeError::NeverCancelled(product.clone())),
    }
    let form = Serializer::new(String::new())
        .append_pair(PRODUCT, product.as_str())
        .append_pair(KEY, account.as_str())
        .append_pair(AMOUNT, &intent.quantity.to_string())
        .finish();
    Ok(form.into_bytes())
}

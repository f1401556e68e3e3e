//! Stripe's answers to reading requests: the list of meters, the account. Here: whatever is read
//! can be judged. Never here: meter events. Read next: `sandbox_form`.

#![no_main]

use bytes::Bytes;
use futures_util::FutureExt;
use libfuzzer_sys::fuzz_target;
use stripe_billing::billing_meter::ListBillingMeter;
use stripe_client_core::{CustomizedStripeRequest, StripeClient, StripeClientErr};
use tallyd::provider::stripe::settings::Channel;
use tallyd::provider::stripe::{classify, meters, promises};

/// A client that is answered with these bytes.
struct Answered<'a>(&'a [u8]);

/// The bytes cannot be read.
#[derive(Debug)]
struct Unread;

impl StripeClientErr for Unread {
    fn deserialize_err(_message: impl std::fmt::Display) -> Self {
        Self
    }
}

impl StripeClient for Answered<'_> {
    type Err = Unread;

    async fn execute(&self, _request: CustomizedStripeRequest) -> Result<Bytes, Unread> {
        Ok(Bytes::copy_from_slice(self.0))
    }
}

fuzz_target!(|data: &[u8]| {
    if let Some(account) = classify::account(data) {
        assert!(account.len() <= data.len());
    }
    let request = ListBillingMeter::new().limit(100);
    let client = Answered(data);
    let Some(Ok(page)) = request.send(&client).now_or_never() else { return };
    let (pins, unusable) = meters::read(&page.data);
    assert!(pins.len() + unusable.len() <= page.data.len());
    for pin in &pins {
        // A meter that cannot be told is named with a reason.
        drop(promises::of(pin, None, Channel::V1));
        assert!(pin.means_the_same(pin));
    }
});

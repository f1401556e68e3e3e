//! The bytes of a Stripe meter event, and of its cancellation. PURE. Here: an intent and a pinned
//! meter become a body, which is a form unless version 2 is to take it. Never here: sending it, or
//! anything that could make the same intent come out differently. Read next: [`json`].

use std::collections::HashMap;

use stripe_billing::BillingMeterEventAdjustmentType;
use stripe_billing::billing_meter_event::CreateBillingMeterEvent;
use stripe_billing::billing_meter_event_adjustment::{
    CreateBillingMeterEventAdjustment, CreateBillingMeterEventAdjustmentCancel,
};
use stripe_client_core::{RequestBuilder, StripeRequest as _};

use crate::domain::event::{EventIntent, Identifier, Says};
use crate::domain::names::AccountName;
use crate::domain::provider_facts::MeterPin;
use crate::provider::stripe::settings::Channel;

pub mod json;

/// The body that tells `intent` to `meter` for `account`, where the operator chose `channel`.
#[must_use]
pub fn body(
    meter: &MeterPin,
    account: &AccountName,
    intent: &EventIntent,
    channel: Channel,
) -> Vec<u8> {
    let object = || json::object(meter, account, intent);
    match (&intent.says, json::channel_of(channel, intent)) {
        (Says::Cancel(target), _) => adjustment(meter, target),
        (Says::Usage, Channel::V1) => meter_event(meter, account, intent),
        (Says::Usage, Channel::V2) => object().into_bytes(),
        (Says::Usage, Channel::Stream) => json::streamed(&object()).into_bytes(),
    }
}

/// The form body of `POST /v1/billing/meter_events`.
///
/// The time goes as whole seconds, rounded towards the past, so that it stays inside its window.
/// The value goes as the canonical text of the quantity, or of the total where the meter keeps the
/// last one it was told: one amount, one spelling.
fn meter_event(meter: &MeterPin, account: &AccountName, intent: &EventIntent) -> Vec<u8> {
    let payload = HashMap::from([
        (meter.customer_key.clone(), account.as_str().to_owned()),
        (meter.value_key.clone(), intent.value().to_string()),
    ]);
    let request = CreateBillingMeterEvent::new(meter.meter.as_str(), payload)
        .identifier(intent.identifier.as_str())
        .timestamp(intent.occurred_at.seconds());
    sorted(request.build())
}

/// The form body of `POST /v1/billing/meter_event_adjustments`. It names the target and nothing
/// else: neither customer nor quantity, and the cancellation itself has no name at Stripe.
fn adjustment(meter: &MeterPin, target: &Identifier) -> Vec<u8> {
    let cancel =
        CreateBillingMeterEventAdjustmentCancel { identifier: Some(target.as_str().to_owned()) };
    let kind = BillingMeterEventAdjustmentType::Cancel;
    let request = CreateBillingMeterEventAdjustment::new(meter.meter.as_str(), kind).cancel(cancel);
    sorted(request.build())
}

/// The payload is a hash map, whose order differs from one process to the next. Encoded pairs hold
/// no bare `&`, so cutting there is safe; sorted, the same intent always gives the same bytes.
fn sorted(request: RequestBuilder) -> Vec<u8> {
    let body = request.body.expect("both are POSTs, and their builders always make a form");
    let mut pairs: Vec<&str> = body.split('&').collect();
    pairs.sort_unstable();
    pairs.join("&").into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::balance::BalanceId;
    use crate::domain::event::{Identifier, Says};
    use crate::domain::names::ProviderMeter;
    use crate::domain::provider_facts::Formula;
    use crate::domain::quantity::Quantity;
    use crate::domain::time::Timestamp;

    pub(super) fn pin(meter: &str, customer_key: &str, value_key: &str) -> MeterPin {
        MeterPin {
            meter: ProviderMeter::new(meter).unwrap(),
            id: None,
            formula: Formula::Sum,
            customer_key: customer_key.to_owned(),
            value_key: value_key.to_owned(),
            span: None,
            active: true,
            learned: false,
        }
    }

    pub(super) fn intent(quantity: &str, micros: i64) -> EventIntent {
        EventIntent {
            balance: BalanceId(1),
            ordinal: 1,
            identifier: Identifier::stored(
                "tallyd-00112233445566aa-ffeeddccbbaa99887766554433221100",
            ),
            says: Says::Usage,
            quantity: Quantity::parse(quantity).unwrap(),
            total: None,
            occurred_at: Timestamp::from_micros(micros),
        }
    }

    fn text(meter: &MeterPin, account: &str, intent: &EventIntent) -> String {
        let account = AccountName::new(account).unwrap();
        String::from_utf8(body(meter, &account, intent, Channel::V1)).unwrap()
    }

    #[test]
    fn the_bytes_of_a_meter_event_never_change() {
        // One pair a line; the bytes themselves hold no line feed.
        let lines = |body: String| body.replace('&', "&\n");
        let meter = pin("tokens", "stripe_customer_id", "value");
        let plain = text(&meter, "cus_1", &intent("25", 1_700_000_000_999_999));
        insta::assert_snapshot!(lines(plain), @r"
        event_name=tokens&
        identifier=tallyd-00112233445566aa-ffeeddccbbaa99887766554433221100&
        payload[stripe_customer_id]=cus_1&
        payload[value]=25&
        timestamp=1700000000
        ");
        let odd = pin("tokens in & out=é+", "customer id", "tokens[in]");
        let escaped = text(&odd, "cus_ü&%", &intent("-0.000000000001", -1));
        insta::assert_snapshot!(lines(escaped), @r"
        event_name=tokens+in+%26+out%3D%C3%A9%2B&
        identifier=tallyd-00112233445566aa-ffeeddccbbaa99887766554433221100&
        payload[customer+id]=cus_%C3%BC%26%25&
        payload[tokens%5Bin%5D]=-0.000000000001&
        timestamp=-1
        ");
    }

    #[test]
    fn the_bytes_of_a_cancellation_never_change() {
        let cancel = |target: &str| EventIntent {
            says: Says::Cancel(Identifier::stored(target)),
            ..intent("-25", 1_700_000_000_000_000)
        };
        let plain = text(&pin("tokens", "customer", "value"), "cus_1", &cancel("tallyd-00-ff"));
        assert_eq!(plain, "cancel[identifier]=tallyd-00-ff&event_name=tokens&type=cancel");
        let odd = text(&pin("in & out=é", "customer", "value"), "cus_1", &cancel("a&b=ü"));
        assert_eq!(
            odd,
            "cancel[identifier]=a%26b%3D%C3%BC&event_name=in+%26+out%3D%C3%A9&type=cancel"
        );
    }

    #[test]
    fn the_same_intent_always_gives_the_same_bytes() {
        let meter = pin("tokens", "stripe_customer_id", "value");
        let first = text(&meter, "cus_1", &intent("25", 0));
        for _ in 0..100 {
            assert_eq!(text(&meter, "cus_1", &intent("25", 0)), first);
        }
    }

    proptest! {
        #[test]
        fn a_form_decoder_reads_back_what_was_meant(
            meter in "[^\\p{C}\\s]{1,40}", account in "[^\\p{C}\\s]{1,40}",
            customer_key in "a[^\\p{C}\\[\\]]{1,20}", value_key in "b[^\\p{C}\\[\\]]{1,20}",
            whole in any::<i64>(),
        ) {
            let pin = pin(&meter, &customer_key, &value_key);
            let intent = intent(&whole.to_string(), 1_700_000_000_000_000);
            let encoded = text(&pin, &account, &intent);
            let mut found: Vec<(String, String)> =
                form_urlencoded::parse(encoded.as_bytes()).into_owned().collect();
            found.sort();
            let mut meant = vec![
                ("event_name".to_owned(), meter),
                ("identifier".to_owned(), intent.identifier.to_string()),
                (format!("payload[{customer_key}]"), account),
                (format!("payload[{value_key}]"), whole.to_string()),
                ("timestamp".to_owned(), "1700000000".to_owned()),
            ];
            meant.sort();
            prop_assert_eq!(found, meant);
        }
    }
}

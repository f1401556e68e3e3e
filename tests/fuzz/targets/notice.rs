//! Stripe's webhooks. Here: no header and no body breaks their reader, none is taken without its
//! signature, and whatever is read stays within its bounds. Never here: what is kept of them. Read
//! next: `stripe_reading`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tallyd::domain::time::Timestamp;
use tallyd::provider::stripe::{notices, signature};

/// Bytes before this one are a header, those behind it a body.
const BETWEEN: u8 = b'\n';

fuzz_target!(|data: &[u8]| {
    let cut = data.iter().position(|byte| *byte == BETWEEN).unwrap_or(0);
    let (header, body) = (&data[..cut], &data[cut..]);
    let now = Timestamp::from_seconds(1_790_000_000);
    let secret = "whsec_that_no_input_was_signed_with".to_owned().into();
    let headers = [(signature::HEADER, header)];
    assert!(signature::verify(&headers, body, &[secret], now).is_err());
    for livemode in [false, true] {
        let Ok(notice) = notices::read(body, livemode) else { continue };
        assert_eq!(notice.livemode, livemode);
        assert_eq!(notice.body.as_bytes(), body);
        assert!(notice.announcement().as_str().len() <= 128);
        assert_eq!(notices::read(body, livemode), Ok(notice));
        assert!(notices::read(body, !livemode).is_err());
    }
});

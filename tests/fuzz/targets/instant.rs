//! Instants, in the forms that sources write them. Here: what is read is written and read back the
//! same. Never here: whether an instant is plausible. Read next: `config`.

#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use tallyd::domain::time::{TIMESTAMP_MAX, TIMESTAMP_MIN, Timestamp};
use tallyd::intake::admit::Written;
use tallyd::intake::instant::read;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    // A leap second at the end of the year 9999 is in one that the form has no digits for.
    let plausible = |at: &Timestamp| (TIMESTAMP_MIN..=TIMESTAMP_MAX).contains(at);
    if let Some(at) = Timestamp::parse_rfc3339(text).filter(plausible) {
        assert_eq!(Timestamp::parse_rfc3339(&at.to_rfc3339()), Some(at), "{text}");
    }
    let as_text = Written::Text(Cow::Borrowed(text));
    for (written, zone) in
        [(&as_text, None), (&as_text, Some(7_200)), (&Written::Number(text), None)]
    {
        match read(written, zone) {
            Ok(at) if plausible(&at) => {
                assert_eq!(Timestamp::parse_rfc3339(&at.to_rfc3339()), Some(at), "{text}");
            }
            Ok(_) => {}
            Err(reason) => assert!(reason.len() < 1_000, "{reason}"),
        }
    }
    let local = read(&as_text, Some(7_200));
    if let (Ok(local), Err(_)) = (local, read(&as_text, None)) {
        let utc = Timestamp::parse_rfc3339(&format!("{text}Z")).expect("it was read with a zone");
        assert_eq!(utc.micros_since(local), 7_200_000_000, "{text}");
    }
});

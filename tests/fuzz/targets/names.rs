//! Names from outside. Here: a name is the very text it was made of, and no kind takes what another
//! refuses. Never here: what a name stands for. Read next: `usage_body`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tallyd::domain::names::{
    AccountName, CustomerName, MeterName, NAME_BYTES_MAX, ProviderMeter, ProviderName, RecordId,
    RouteName, SourceName,
};
use tallyd::domain::record::identity;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let taken = SourceName::new(text);
    macro_rules! same {
        ($($name:ident)+) => {$(
            match (&taken, $name::new(text)) {
                (Ok(_), Ok(name)) => assert_eq!((name.as_str(), &*name.to_string()), (text, text)),
                (Err(one), Err(other)) => assert_eq!(*one, other),
                (_, other) => panic!("a source is {taken:?}, and this is {other:?}"),
            }
        )+};
    }
    same!(RecordId CustomerName MeterName ProviderName AccountName ProviderMeter RouteName);
    if taken.is_ok() {
        assert!(text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control));
    }
    // Two pairs of names never make one identity.
    if let Some((one, other)) = text.split_once(' ')
        && let (Ok(source), Ok(id)) = (SourceName::new(one), RecordId::new(other))
        && let (Ok(other_source), Ok(other_id)) = (SourceName::new(other), RecordId::new(one))
        && one != other
    {
        assert_ne!(identity(&source, &id), identity(&other_source, &other_id));
    }
});

//! Bodies of `POST /v1/usage`. Here: whatever is admitted is written back to the same record, and
//! what is not is kept within its bounds. Never here: rows of files. Read next: `rows`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tallyd::domain::names::SourceName;
use tallyd::domain::time::Timestamp;
use tallyd::intake::Settings;
use tallyd::intake::admit::{Rules, Sources};
use tallyd::intake::batch::{Batch, RAW_BYTES_MAX};
use tallyd::intake::json::{BodyKind, read_body, read_line, write_record};

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    let settings = Settings { batch_records_max: 20, ..Settings::default() };
    let sources = if choice & 4 == 0 {
        Sources::These(vec![SourceName::new("web").expect("a name")])
    } else {
        Sources::Any
    };
    let now = Timestamp::from_seconds(1_790_000_000);
    let rules = Rules { settings: &settings, sources: &sources, now };
    let kind = match choice & 3 {
        0 => BodyKind::Json,
        1 => BodyKind::Lines,
        2 => BodyKind::Unsaid,
        _ if choice & 8 == 0 => BodyKind::Event,
        _ => BodyKind::Events,
    };
    let Ok(batch) = read_body(body, kind, &rules) else { return };
    assert!(batch.len() <= settings.batch_records_max, "more items than a request may carry");
    for (_, item) in &batch.rejected {
        assert!(
            item.raw.len() <= RAW_BYTES_MAX && !item.field.is_empty() && !item.reason.is_empty()
        );
    }
    for (_, admitted) in &batch.admitted {
        let text = write_record(&admitted.record);
        let mut again = Batch::default();
        read_line(text.as_bytes(), 1, &rules, &mut again);
        assert_eq!(again.rejected, [], "{text}");
        let read = &again.admitted[0].1;
        assert_eq!(read.record, admitted.record, "{text}");
        assert_eq!(read.identity, admitted.identity);
        assert_eq!(read.content, admitted.content);
    }
});

//! Rows of files: tables, and objects a line. Here: the records do not depend on how the stream
//! was cut into reads, and are what their text says. Never here: bodies of requests. Read next:
//! `quantity`.

#![no_main]

use std::io::BufReader;

use libfuzzer_sys::fuzz_target;
use tallyd::domain::names::{MeterName, SourceName};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::time::Timestamp;
use tallyd::intake::Settings;
use tallyd::intake::admit::{Rules, Sources};
use tallyd::intake::batch::Batch;
use tallyd::intake::import::{FileRecords, Format, Mapping, QuantityRule, RecordRule, WhenEmpty};
use tallyd::intake::json::{read_line, write_record};

/// Batches of so many bytes of input; no file has more.
const BATCHES_MAX: usize = 100_000;

fn mapping(format: Format) -> Mapping {
    let rule = |meter, quantity, when_empty, suffix: &str| RecordRule {
        meter: MeterName::new(meter).expect("a name"),
        quantity,
        id_suffix: suffix.to_owned(),
        when_empty,
    };
    Mapping {
        name: "fuzz".to_owned(),
        format,
        id: "id".to_owned(),
        time: "t".to_owned(),
        customer: "c".to_owned(),
        properties: vec!["p".to_owned()],
        records: vec![
            rule("calls", QuantityRule::Constant(Quantity::one()), WhenEmpty::Reject, ""),
            rule("bytes", QuantityRule::Column("q".to_owned()), WhenEmpty::Zero, "-q"),
        ],
    }
}

/// All that the stream holds, read in pieces of so many bytes; nothing when its header is refused.
fn read(data: &[u8], mapping: Option<Mapping>, capacity: usize) -> Option<Batch> {
    let settings = Settings { record_bytes_max: 300, batch_records_max: 8, ..Settings::default() };
    let sources = Sources::These(vec![SourceName::new("web").expect("a name")]);
    let now = Timestamp::from_seconds(1_790_000_000);
    let rules = Rules { settings: &settings, sources: &sources, now };
    let reader = BufReader::with_capacity(capacity, data);
    let mut file = FileRecords::open(reader, "f", mapping, &settings).ok()?;
    let mut all = Batch::default();
    for _ in 0..BATCHES_MAX {
        let Some(next) = file.next_batch(&rules).expect("memory can be read") else { break };
        assert!(next.batch.len() <= settings.batch_records_max);
        all.admitted.extend(next.batch.admitted);
        all.rejected.extend(next.batch.rejected);
    }
    // As JSON a row is longer than it was.
    let settings = Settings::default();
    let rules = Rules { settings: &settings, ..rules };
    for (_, admitted) in &all.admitted {
        let mut again = Batch::default();
        read_line(write_record(&admitted.record).as_bytes(), 1, &rules, &mut again);
        assert_eq!(again.admitted.first().map(|(_, it)| &it.record), Some(&admitted.record));
    }
    Some(all)
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else { return };
    let mapping = match choice & 3 {
        0 => Some(mapping(Format::Csv { delimiter: b',' })),
        1 => Some(mapping(Format::Csv { delimiter: b'\t' })),
        2 => Some(mapping(Format::Ndjson)),
        _ => None,
    };
    let whole = read(data, mapping.clone(), 64 * 1024);
    let capacity = usize::from(choice >> 2) + 1;
    assert_eq!(read(data, mapping, capacity), whole, "read in pieces of {capacity}");
});

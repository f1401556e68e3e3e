//! Files become records through a mapping, in bounded batches.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::io::Read;

use tallyd::domain::names::{MeterName, SourceName};
use tallyd::domain::time::Timestamp;
use tallyd::intake::Settings;
use tallyd::intake::admit::{Rules, Sources};
use tallyd::intake::import::{
    FileRecords, Format, ImportError, Mapping, QuantityRule, RecordRule, WhenEmpty,
};

fn mapping(format: Format) -> Mapping {
    let rule = |meter: &str, quantity, when_empty| RecordRule {
        meter: MeterName::new(meter).unwrap(),
        quantity,
        id_suffix: format!("/{meter}"),
        when_empty,
    };
    let column = |name: &str| QuantityRule::Column(name.to_owned());
    Mapping {
        name: "rides".to_owned(),
        format,
        id: "ride".to_owned(),
        time: "ended".to_owned(),
        customer: "rider".to_owned(),
        properties: vec!["city".to_owned()],
        records: vec![
            rule("rides", QuantityRule::Constant(1.into()), WhenEmpty::Reject),
            rule("kilometres", column("km"), WhenEmpty::Reject),
            rule("tolls", column("tolls"), WhenEmpty::Skip),
            rule("waits", column("wait"), WhenEmpty::Zero),
        ],
    }
}

const CSV: Format = Format::Csv { delimiter: b';' };

fn settings() -> Settings {
    Settings { batch_records_max: 10, record_bytes_max: 120, ..Settings::default() }
}

fn open(
    text: impl Read,
    mapping: Option<Mapping>,
) -> Result<FileRecords<impl std::io::BufRead>, ImportError> {
    FileRecords::open(
        std::io::BufReader::with_capacity(16, text),
        "rides.csv",
        mapping,
        &settings(),
    )
}

/// Every item of a file, a line each.
fn read(text: &str, mapping: Option<Mapping>) -> Result<Vec<String>, ImportError> {
    let settings = settings();
    let sources = Sources::These(vec![SourceName::new("fleet").unwrap()]);
    let now = Timestamp::from_seconds(1_770_000_000);
    let rules = Rules { settings: &settings, sources: &sources, now };
    let mut file = open(text.as_bytes(), mapping)?;
    let mut items = Vec::new();
    let mut bytes = 0;
    while let Some(stretch) = file.next_batch(&rules)? {
        assert!(stretch.batch.len() <= 10, "{}", stretch.batch.len());
        assert!(stretch.next.offset > bytes);
        bytes = stretch.next.offset;
        items.extend(stretch.batch.admitted.into_iter().map(|(place, admitted)| {
            let record = admitted.record;
            let city = record.properties.get("city").map_or("-", |city| city.as_text());
            format!("{place}: {} {} {} {city}", record.id, record.customer, record.quantity)
        }));
        items.extend(stretch.batch.rejected.into_iter().map(|(place, rejected)| {
            let id = rejected.id.unwrap_or_default();
            format!("{place}: {id} {} {}", rejected.field, rejected.reason)
        }));
    }
    // The line feed of a last "\r\n" may be left, as the row ended before it.
    assert!(u64::try_from(text.len()).unwrap() - bytes <= 1, "{bytes} of {}", text.len());
    Ok(items)
}

const HEADER: &str = "ride;ended;rider;city;km;tolls;wait\n";

#[test]
fn a_row_makes_the_records_that_its_mapping_names() {
    let text = format!(
        "\u{feff}{HEADER}a;2026-01-31T10:00:00Z;ann;\"Lyon; 3e\nnord\";12.50;3;\r\n\
         b;1769903999;bob;;1;;2\r\n"
    );
    let items = read(&text, Some(mapping(CSV))).unwrap();
    assert_eq!(
        items,
        [
            "line 2: a/rides ann 1 Lyon; 3e\nnord",
            "line 2: a/kilometres ann 12.5 Lyon; 3e\nnord",
            "line 2: a/tolls ann 3 Lyon; 3e\nnord",
            "line 2: a/waits ann 0 Lyon; 3e\nnord",
            "line 4: b/rides bob 1 -",
            "line 4: b/kilometres bob 1 -",
            "line 4: b/waits bob 2 -",
        ]
    );
}

#[test]
fn a_bad_row_stands_alone_with_its_line() {
    let long = "x".repeat(1_000);
    let text = format!(
        "{HEADER}a;1769903999;ann;;;;\n\
         b;1769903999;bob\n\
         c;1769903999;{long};;1;;\n\
         \n\
         d;1769903999;dan;;1;;-1\n"
    );
    let items = read(&text, Some(mapping(CSV))).unwrap();
    assert_eq!(
        items,
        [
            "line 2: a/rides ann 1 -",
            "line 2: a/waits ann 0 -",
            "line 6: d/rides dan 1 -",
            "line 6: d/kilometres dan 1 -",
            "line 2: a/kilometres quantity is missing: \"km\" is empty",
            "line 3:  record has 3 cells, and the header has 7",
            "line 4:  record is 1018 bytes long, and at most 120 are taken",
            "line 6: d/waits quantity \"-1\" is below zero; to take usage back correct its record \
             (tallyd cancel, tallyd adjust, or POST /v1/usage/{source}/{id}/cancel or adjust)",
        ]
    );
}

#[test]
fn a_missing_column_is_named_before_anything_is_read() {
    let text = "ride;ended;rider;km;tolls\na;1769903999;ann;1;1\n";
    let refused = read(text, Some(mapping(CSV))).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "rides.csv has no column \"city\", \"wait\", which the mapping \"rides\" needs; its \
         header is: \
         \"ride\", \"ended\", \"rider\", \"km\", \"tolls\""
    );
    let twice = read("ride;ride\n", Some(mapping(CSV))).unwrap_err();
    assert_eq!(twice.to_string(), "the header of rides.csv: ride is there twice");
    let empty = read("", Some(mapping(CSV))).unwrap_err();
    assert_eq!(empty.to_string(), "rides.csv is empty: its first line must be a header");
}

#[test]
fn objects_are_mapped_by_their_names() {
    let text = "{\"ride\":7,\"ended\":1769903999,\"rider\":\"ann\",\"city\":\"Lyon\",\
                \"km\":1.5,\"x\":{}}\n\
                {\"ride\":\"8\",\"ended\":1769903999,\"rider\":\"bob\",\"km\":1,\"km\":2}\n\
                nonsense\n";
    let items = read(text, Some(mapping(Format::Ndjson))).unwrap();
    assert_eq!(
        items,
        [
            "line 1: 7/rides ann 1 Lyon",
            "line 1: 7/kilometres ann 1.5 Lyon",
            "line 1: 7/waits ann 0 Lyon",
            "line 2: 8/rides bob 1 -",
            "line 2: 8/waits bob 0 -",
            "line 2: 8/kilometres km is there twice",
            "line 3:  record is not JSON: expected ident at line 1 column 2",
        ]
    );
}

#[test]
fn without_a_mapping_a_line_is_a_record_as_over_http() {
    let good = r#"{"id":"1","customer":"c","meter":"m","quantity":1,"time":1769903999}"#;
    let items = read(&format!("{good}\n \r\n{{}}\n{good}"), None).unwrap();
    assert_eq!(items, ["line 1: 1 c 1 -", "line 4: 1 c 1 -", "line 3:  id is missing"]);
}

#[test]
fn a_file_larger_than_memory_is_read_in_batches() {
    let row = b"a;1769903999;ann;;1;;\n";
    let rows = 10_000_usize;
    let text = HEADER.as_bytes().chain(RepeatedRows { row, left: rows * row.len() });
    let settings = settings();
    let sources = Sources::These(vec![SourceName::new("fleet").unwrap()]);
    let now = Timestamp::from_seconds(1_770_000_000);
    let rules = Rules { settings: &settings, sources: &sources, now };
    let mut file = open(text, Some(mapping(CSV))).unwrap();
    let mut records = 0;
    while let Some(stretch) = file.next_batch(&rules).unwrap() {
        assert!(stretch.batch.len() <= 10);
        records += stretch.batch.admitted.len();
    }
    assert_eq!(records, rows * 3);
}

/// A stream that repeats a row and never holds it more than once.
struct RepeatedRows<'a> {
    row: &'a [u8],
    left: usize,
}

impl Read for RepeatedRows<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let at = (self.row.len() - self.left % self.row.len()) % self.row.len();
        let mut rest = &self.row[at..at + (self.row.len() - at).min(self.left)];
        let read = rest.read(into)?;
        self.left -= read;
        Ok(read)
    }
}

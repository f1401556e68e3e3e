//! Corrections as lines of JSON. Here: whatever is admitted is written back to the same
//! correction, and what is not is kept within its bounds. Never here: tables of corrections, whose
//! rows are read as those of records are. Read next: `rows`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tallyd::domain::correction::Change;
use tallyd::domain::names::SourceName;
use tallyd::intake::Settings;
use tallyd::intake::admit::Sources;
use tallyd::intake::batch::{Place, RAW_BYTES_MAX};
use tallyd::intake::correct::{CorrectionBatch, CorrectionRules, write_correction};

fuzz_target!(|data: &[u8]| {
    let Some((choice, line)) = data.split_first() else { return };
    let settings = Settings::default();
    let sources = if choice & 1 == 0 {
        Sources::These(vec![SourceName::new("web").expect("a name")])
    } else {
        Sources::Any
    };
    let rules = CorrectionRules { settings: &settings, sources: &sources, who: "fuzz" };
    let mut batch = CorrectionBatch::default();
    batch.read_line(line, Place::Line(1), &rules);
    assert_eq!(batch.len(), 1, "a line is one correction, or none that is kept");
    for unfit in &batch.unfit {
        let item = &unfit.item;
        assert!(
            item.raw.len() <= RAW_BYTES_MAX && !item.field.is_empty() && !item.reason.is_empty()
        );
    }
    for (_, correction) in &batch.admitted {
        match &correction.change {
            Change::Cancel => {}
            Change::Adjust { quantity, replaces } => {
                assert!(!quantity.is_negative() && !replaces.is_negative());
            }
        }
        let text = write_correction(correction);
        let mut again = CorrectionBatch::default();
        again.read_line(text.as_bytes(), Place::Line(1), &rules);
        assert_eq!(again.admitted, [(Place::Line(1), correction.clone())], "{text}");
    }
});

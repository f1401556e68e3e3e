//! Usage to send. Here: reproducible records with random ids, their bodies and requests. Never
//! here: sending them.

use anyhow::Context;
use tallyd::domain::names::{CustomerName, MeterName, RecordId, SourceName};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::record::{Property, UsageRecord};
use tallyd::domain::time::{MICROS_PER_SECOND, Timestamp};
use tallyd::intake::json::write_record;

/// The source of every record.
pub(crate) const SOURCE: &str = "gateway";
/// The token that may speak for it.
pub(crate) const TOKEN: &str = "a-token-of-the-benchmark";

/// A reproducible stream of numbers (SplitMix64).
#[derive(Debug)]
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// The next number.
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// `count` records as a gateway would send them: a random id, one of a thousand customers, one of
/// eight meters, three properties; some 230 bytes of JSON each.
pub(crate) fn draw(count: usize, now: Timestamp) -> anyhow::Result<Vec<UsageRecord>> {
    let mut numbers = Numbers(now.micros().unsigned_abs());
    let mut records = Vec::with_capacity(count);
    for _ in 0..count {
        let (high, low, other) = (numbers.draw(), numbers.draw(), numbers.draw());
        let age = i64::try_from(other % 86_400)? * MICROS_PER_SECOND;
        let quantity = format!("{}.{}", other % 5_000, (other >> 32) % 1_000);
        let properties = [
            ("region".to_owned(), Property::Text("eu-west".to_owned())),
            ("route".to_owned(), Property::Text("/v1/chat".to_owned())),
            ("status".to_owned(), Property::Number("200".to_owned())),
        ];
        records.push(UsageRecord {
            source: SourceName::new(SOURCE)?,
            id: RecordId::new(&uuid(high, low))?,
            customer: CustomerName::new(&format!("cus_{:04}", other % 1_000))?,
            meter: MeterName::new(&format!("tokens_{}", (other >> 20) % 8))?,
            quantity: Quantity::parse(&quantity).context("a drawn quantity")?,
            occurred_at: now.plus_micros(-age),
            properties: properties.into(),
        });
    }
    Ok(records)
}

fn uuid(high: u64, low: u64) -> String {
    let digits = format!("{high:016x}{low:016x}");
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

/// Whole requests of `each` records, a record a line: built before anything is timed.
pub(crate) fn requests(records: &[UsageRecord], each: usize) -> Vec<Vec<u8>> {
    records
        .chunks(each)
        .map(|records| {
            let lines: Vec<String> = records.iter().map(write_record).collect();
            let body = lines.join("\n");
            let head = format!(
                "POST /v1/usage HTTP/1.1\r\nHost: tallyd\r\nAuthorization: Bearer {TOKEN}\r\n\
                 Content-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            [head, body].concat().into_bytes()
        })
        .collect()
}

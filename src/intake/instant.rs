//! Reading times. PURE. Here: the forms in which a source may write an instant. Never here: whether
//! the instant is plausible (see [`super::admit`]), a clock. Read next: [`super::batch`].

use super::admit::{Written, quoted};
use crate::domain::quantity::Quantity;
use crate::domain::time::{MICROS_PER_SECOND, Timestamp};

/// The forms that are read, as a refusal names them.
pub const FORMS: &str = "RFC 3339 with a zone (2026-01-31T23:59:59Z, 2026-01-31 23:59:59+02:00) \
    or Unix seconds (1769903999, 1769903999.5)";

/// Reads an instant. `zone_offset_seconds` is the offset from UTC of times that name no zone, for
/// sources that declare one; without it such a time is refused, as any guess could move usage into
/// another billing period.
///
/// # Errors
/// A sentence that repeats the value and names the forms.
pub fn read(written: &Written<'_>, zone_offset_seconds: Option<i32>) -> Result<Timestamp, String> {
    match written {
        Written::Number(digits) => unix_seconds(digits),
        Written::Text(text) => match Timestamp::parse_rfc3339(text) {
            Some(at) => Ok(at),
            None => without_zone(text, zone_offset_seconds),
        },
        other @ (Written::Flag(_) | Written::Null | Written::List | Written::Object) => {
            Err(format!("is {}, and must be {FORMS}", other.kind()))
        }
    }
}

fn without_zone(text: &str, zone_offset_seconds: Option<i32>) -> Result<Timestamp, String> {
    let Some(as_utc) = Timestamp::parse_rfc3339(&format!("{text}Z")) else {
        return unix_seconds(text);
    };
    match zone_offset_seconds {
        Some(offset) => Ok(as_utc.plus_seconds(-i64::from(offset))),
        None => {
            let value = quoted(text);
            Err(format!("{value} has no zone, and its source declares none; taken is {FORMS}"))
        }
    }
}

fn unix_seconds(text: &str) -> Result<Timestamp, String> {
    let Ok(seconds) = Quantity::parse(text) else {
        return Err(format!("{} is not a time that is taken, which is {FORMS}", quoted(text)));
    };
    // Exact: the decimal is moved by six places and what is finer than a microsecond cut off.
    let micros = (&seconds * &Quantity::from(MICROS_PER_SECOND)).cut_to_decimals(0);
    let micros: Result<i64, _> = micros.to_string().parse();
    micros
        .map(Timestamp::from_micros)
        .map_err(|_| format!("{} is out of range; Unix times are seconds", quoted(text)))
}

//! Values of meter events. Here: what counts as a number, and how many digits it has. Never here: a
//! float. Read next: [`super::ledger`].

use std::str::FromStr;

use bigdecimal::BigDecimal;

/// The most significant digits a value may have; Stripe refuses more at once.
pub(super) const DIGITS_MAX: usize = 15;

/// The longest text that can be a value. Zeros are not significant digits, so the limit above would
/// let a megabyte of them through; no value that a meter can use needs more than this.
const TEXT_LENGTH_MAX: usize = 100;

/// Splits plain decimal text into the digits before and after the point. A leading plus, an
/// exponent, spaces and a bare point are refused: whether Stripe takes them is unconfirmed.
fn digits(text: &str) -> Option<(&str, &str)> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (unsigned, ""),
    };
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    (!whole.is_empty() && is_digits(whole) && is_digits(fraction)).then_some((whole, fraction))
}

/// Whether `text` is a number with more than [`DIGITS_MAX`] significant digits. Zeros at the end
/// are counted: whether Stripe counts them is unconfirmed, and counting them is the stricter way.
pub(super) fn has_too_many_digits(text: &str) -> bool {
    let Some((whole, fraction)) = digits(text) else { return false };
    let all = whole.bytes().chain(fraction.bytes());
    all.skip_while(|byte| *byte == b'0').count() > DIGITS_MAX
}

/// Whether `text` is a whole number above zero.
pub(super) fn is_counting(text: &str) -> bool {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits && text.bytes().any(|byte| byte != b'0')
}

/// The exact number that `text` writes, if it is one.
pub(super) fn parse(text: &str) -> Option<BigDecimal> {
    digits(text).filter(|_| text.len() <= TEXT_LENGTH_MAX)?;
    BigDecimal::from_str(text).ok()
}

//! Quantities. PURE. Here: what counts as one, exactly, and how it is written back. Never here: a
//! float. Read next: [`super::usages`].

use std::str::FromStr;

use bigdecimal::num_bigint::Sign;
use bigdecimal::{BigDecimal, RoundingMode};

/// The longest text of a quantity, in characters: Chargebee's own limit.
pub(super) const LENGTH_MAX: usize = 40;
/// Decimals where the site has multi-decimal support: Chargebee's own limit.
const DECIMALS_MAX: usize = 20;
/// Decimals where it has none. Whether Chargebee refuses more or rounds them is unconfirmed;
/// refusing is the side on which no money is lost in silence.
const DECIMALS_WITHOUT: usize = 2;

/// The exact quantity that `text` writes, or what is wrong with it.
///
/// A negative one is refused: Chargebee documents none, and a client that leans on it is found out.
/// So are a plus, an exponent, spaces and a bare point.
pub(super) fn parse(text: &str, multi_decimal: bool) -> Result<BigDecimal, String> {
    if text.starts_with('-') {
        return Err("cannot be negative".to_owned());
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return Err("is no decimal number".to_owned());
    }
    let most = if multi_decimal { DECIMALS_MAX } else { DECIMALS_WITHOUT };
    if fraction.len() > most {
        return Err(format!("has more than {most} decimals"));
    }
    BigDecimal::from_str(text).map_err(|_| "is no decimal number".to_owned())
}

/// The quantity as it is written back: plain, without zeros at its end. Whether Chargebee keeps the
/// text that was sent is unconfirmed, so that a client must compare numbers and not texts.
pub(super) fn text(quantity: &BigDecimal) -> String {
    quantity.normalized().to_plain_string()
}

/// Its whole part, as far as it fits: what an invoice's line shows beside the exact text.
pub(super) fn whole(quantity: &BigDecimal) -> i64 {
    let whole = quantity.with_scale_round(0, RoundingMode::Down);
    i64::from_str(&whole.to_plain_string()).unwrap_or(i64::MAX)
}

/// What a quantity costs at a price of whole cents, rounded half up to a cent.
pub(super) fn amount(quantity: &BigDecimal, unit_price: i64) -> i64 {
    let exact = quantity * BigDecimal::from(unit_price);
    whole(&exact.with_scale_round(0, RoundingMode::HalfUp))
}

/// Whether there is nothing after the point.
pub(super) fn is_whole(quantity: &BigDecimal) -> bool {
    (quantity - BigDecimal::from(whole(quantity))).sign() == Sign::NoSign
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_plain_decimals_and_never_negative() {
        for (sent, kept) in [
            ("0", "0"),
            ("5", "5"),
            ("5.10", "5.1"),
            ("0.00000000000000000001", "0.00000000000000000001"),
            ("1000", "1000"),
            ("00012.500", "12.5"),
        ] {
            assert_eq!(parse(sent, true).map(|it| text(&it)), Ok(kept.to_owned()), "{sent}");
        }
        for wrong in
            ["", "-1", "-0", "+1", "1e3", "1.", ".5", " 1", "1,5", "0.000000000000000000001"]
        {
            parse(wrong, true).expect_err(wrong);
        }
    }

    #[test]
    fn without_multi_decimal_support_there_are_two_decimals() {
        assert!(parse("1.25", false).is_ok());
        assert!(parse("1.250", false).is_err());
    }

    #[test]
    fn what_is_billed_is_rounded_once_at_the_end() {
        let quantity = parse("2.5", true).expect("a quantity");
        assert_eq!((whole(&quantity), is_whole(&quantity)), (2, false));
        assert_eq!(
            [amount(&quantity, 1), amount(&quantity, 3), amount(&quantity, 100)],
            [3, 8, 250]
        );
    }
}

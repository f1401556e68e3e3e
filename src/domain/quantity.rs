//! Exact quantities. Here: the decimal that every amount of usage is, its grammar and its
//! arithmetic. Never here: a float, a rounding. Read next: [`crate::domain::record`].

use std::cmp::Ordering;
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Mul, Neg, Sub};

use bigdecimal::num_bigint::{BigInt, Sign};
use bigdecimal::{BigDecimal, RoundingMode, Signed, Zero};

/// Most significant digits a quantity from outside may have. Three more than a 64-bit counter of
/// billionths needs, and few enough that no sum of a ledger's life grows past a few dozen digits.
pub const DIGITS_MAX: usize = 30;
/// Most digits after the point a quantity from outside may have: twice what any provider bills.
pub const DECIMALS_MAX: i64 = 18;
/// Longest text that is looked at as a quantity, in bytes: a sign, [`DIGITS_MAX`] digits, a point,
/// an exponent and a run of zeros. Longer text is refused before it is parsed.
pub const TEXT_BYTES_MAX: usize = 64;
/// Largest power of ten an exponent may name, either way. It only bounds the work of parsing;
/// [`DIGITS_MAX`] and [`DECIMALS_MAX`] judge the value.
const EXPONENT_MAX: i64 = 60;
/// Most digits of a quantity that is read as a machine word: every number of so many fits 64 bits.
/// It lies below [`DIGITS_MAX`], and not above [`DECIMALS_MAX`].
const PLAIN_DIGITS_MAX: usize = 18;

/// Why a text is not a quantity that can be booked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a decimal number at all.
    #[error("is not a decimal number")]
    NotDecimal,
    /// More digits than [`DIGITS_MAX`], counting zeros before the point.
    #[error("has more than {DIGITS_MAX} digits, counting zeros before the point")]
    TooManyDigits,
    /// More digits after the point than [`DECIMALS_MAX`].
    #[error("has more than {DECIMALS_MAX} digits after the point")]
    TooManyDecimals,
    /// The text itself is too long to look at.
    #[error("is longer than {TEXT_BYTES_MAX} bytes")]
    TooLong,
}

/// An exact decimal amount of usage. Equal values are equal however they were written (`1`, `1.0`),
/// and [`fmt::Display`] writes the one canonical text: no exponent, no trailing zeros, no `-0`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Quantity(BigDecimal);

impl Default for Quantity {
    /// Nothing.
    fn default() -> Self {
        Self::zero()
    }
}

impl Quantity {
    /// Nothing.
    #[must_use]
    pub fn zero() -> Self {
        Self(BigDecimal::zero())
    }

    /// One: what a counted record contributes.
    #[must_use]
    pub fn one() -> Self {
        Self::from(1)
    }

    /// Reads a decimal from outside: an optional sign, digits, an optional fraction, an optional
    /// exponent, as JSON writes numbers (a leading `+`, a bare `.5` and `1.` are read too).
    ///
    /// # Errors
    /// When the text is no decimal number, or is past a bound of this module.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        if let Some(quantity) = Self::parse_plain(text) {
            return Ok(quantity);
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(QuantityError::TooLong);
        }
        let quantity = Self::parse_unbounded(text)?;
        let (digits, scale) = quantity.0.as_bigint_and_exponent();
        if scale > DECIMALS_MAX {
            return Err(QuantityError::TooManyDecimals);
        }
        // A negative scale stands for zeros before the point, which a reader has to count too.
        let zeros = usize::try_from(scale.min(0).unsigned_abs()).unwrap_or(usize::MAX);
        if digit_count(&digits).saturating_add(zeros) > DIGITS_MAX {
            return Err(QuantityError::TooManyDigits);
        }
        Ok(quantity)
    }

    /// Reads what nearly every source writes: a few digits, perhaps with a point between them. Such
    /// a text fits a machine word and is within every bound. Nothing for any other text.
    fn parse_plain(text: &str) -> Option<Self> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (text, ""),
        };
        if whole.is_empty() || whole.len() + fraction.len() > PLAIN_DIGITS_MAX {
            return None;
        }
        let mut value: i64 = 0;
        for byte in whole.bytes().chain(fraction.bytes()) {
            if !byte.is_ascii_digit() {
                return None;
            }
            value = value * 10 + i64::from(byte - b'0');
        }
        if value == 0 {
            return Some(Self::zero());
        }
        let mut scale = i64::try_from(fraction.len()).ok()?;
        // The one form of each value, as `BigDecimal::normalized` makes it.
        while value % 10 == 0 {
            value /= 10;
            scale -= 1;
        }
        Some(Self(BigDecimal::new(value.into(), scale)))
    }

    /// Reads a text this program wrote: canonical, and of any length, as a sum may outgrow the
    /// bounds for a single quantity.
    ///
    /// # Errors
    /// When the text is no decimal number.
    pub fn parse_unbounded(text: &str) -> Result<Self, QuantityError> {
        if let Some(quantity) = Self::parse_plain(text) {
            return Ok(quantity);
        }
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (text, 0),
        };
        let unsigned = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits_only = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty())
            || !digits_only(whole)
            || !digits_only(fraction)
        {
            return Err(QuantityError::NotDecimal);
        }
        let mut digits = String::with_capacity(text.len());
        if mantissa.starts_with('-') {
            digits.push('-');
        }
        digits.push_str(whole);
        digits.push_str(fraction);
        let integer: BigInt = digits.parse().map_err(|_| QuantityError::NotDecimal)?;
        let decimals = i64::try_from(fraction.len()).map_err(|_| QuantityError::TooLong)?;
        Ok(Self(BigDecimal::new(integer, decimals.saturating_sub(exponent)).normalized()))
    }

    /// Whether this is nothing.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    /// Whether this is below zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.0.is_negative()
    }

    /// Of two amounts the one that is nearer to nothing; of two that are as near, `self`.
    #[must_use]
    pub fn nearer_to_zero(self, other: Self) -> Self {
        if other.magnitude() < self.magnitude() { other } else { self }
    }

    /// The amount without its sign.
    #[must_use]
    pub fn magnitude(&self) -> Self {
        Self(self.0.abs())
    }

    /// The amount in whole units, rounded away from nothing and cut to what a gauge holds. For
    /// showing only.
    #[must_use]
    pub fn in_whole_units(&self) -> i64 {
        let (integer, _) = self.0.with_scale_round(0, RoundingMode::Up).into_bigint_and_exponent();
        let end = if integer.sign() == Sign::Minus { i64::MIN } else { i64::MAX };
        i64::try_from(integer).unwrap_or(end)
    }

    /// The part of this that has at most `decimals` digits after the point, cut towards zero. What
    /// is cut off is `self - result`, and is never lost: it stays outstanding.
    #[must_use]
    pub fn cut_to_decimals(&self, decimals: u32) -> Self {
        Self(self.0.with_scale_round(i64::from(decimals), RoundingMode::Down).normalized())
    }

    /// This amount as a few parts, each with at most `digits` significant digits, that add up to it
    /// exactly. Zero has no parts; an amount that fits is its own only part.
    #[must_use]
    pub fn split_to_digits(&self, digits: u32) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut rest = self.clone();
        while !rest.is_zero() {
            let (integer, scale) = rest.0.as_bigint_and_exponent();
            let have = i64::try_from(digit_count(&integer)).unwrap_or(i64::MAX);
            let excess = have.saturating_sub(i64::from(digits)).max(0);
            let part = Self(
                rest.0
                    .with_scale_round(scale.saturating_sub(excess), RoundingMode::Down)
                    .normalized(),
            );
            rest = &rest - &part;
            parts.push(part);
        }
        parts
    }

    /// How many digits it has after the point.
    #[must_use]
    pub fn decimals(&self) -> u32 {
        let (_, scale) = self.0.as_bigint_and_exponent();
        u32::try_from(scale.max(0)).unwrap_or(u32::MAX)
    }

    /// How many significant digits it has; zero has one.
    #[must_use]
    pub fn digits(&self) -> u32 {
        let (integer, _) = self.0.as_bigint_and_exponent();
        u32::try_from(digit_count(&integer)).unwrap_or(u32::MAX)
    }

    /// How many units of the last of `decimals` digits after the point it is; nothing when that is
    /// no whole number, or is past what a machine's double word holds.
    #[must_use]
    pub fn in_units_of(&self, decimals: u32) -> Option<i128> {
        let (integer, scale) = self.0.as_bigint_and_exponent();
        let zeros = u32::try_from(i64::from(decimals).checked_sub(scale)?).ok()?;
        i128::try_from(integer).ok()?.checked_mul(10_i128.checked_pow(zeros)?)
    }
}

/// Digits of an integer without its sign; zero has one.
fn digit_count(integer: &BigInt) -> usize {
    let text = integer.to_string();
    text.len() - usize::from(integer.sign() == Sign::Minus)
}

fn parse_exponent(text: &str) -> Result<i64, QuantityError> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(QuantityError::NotDecimal);
    }
    let exponent: i64 = text.parse().unwrap_or(i64::MAX);
    if exponent > EXPONENT_MAX {
        return Err(QuantityError::TooManyDigits);
    }
    if exponent < -EXPONENT_MAX {
        return Err(QuantityError::TooManyDecimals);
    }
    Ok(exponent)
}

impl From<i64> for Quantity {
    fn from(value: i64) -> Self {
        Self(BigDecimal::from(value).normalized())
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_plain_string())
    }
}

impl fmt::Debug for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quantity({self})")
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl Add for &Quantity {
    type Output = Quantity;
    fn add(self, other: Self) -> Quantity {
        Quantity((&self.0 + &other.0).normalized())
    }
}

impl Sub for &Quantity {
    type Output = Quantity;
    fn sub(self, other: Self) -> Quantity {
        Quantity((&self.0 - &other.0).normalized())
    }
}

impl Mul for &Quantity {
    type Output = Quantity;
    fn mul(self, other: Self) -> Quantity {
        Quantity((&self.0 * &other.0).normalized())
    }
}

impl Neg for &Quantity {
    type Output = Quantity;
    fn neg(self) -> Quantity {
        Quantity(-&self.0)
    }
}

impl<'a> Sum<&'a Quantity> for Quantity {
    fn sum<I: Iterator<Item = &'a Self>>(iter: I) -> Self {
        iter.fold(Self::zero(), |total, each| &total + each)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: Result<&str, QuantityError>) {
        let found = Quantity::parse(text).map(|quantity| quantity.to_string());
        assert_eq!(found, expected.map(str::to_owned), "{text}");
    }

    #[test]
    fn a_quantity_is_read_exactly_and_written_canonically() {
        for (text, canonical) in [
            ("0", "0"),
            ("-0", "0"),
            ("0.000", "0"),
            ("1", "1"),
            ("+1", "1"),
            ("007", "7"),
            ("1.50", "1.5"),
            (".5", "0.5"),
            ("1.", "1"),
            ("1e3", "1000"),
            ("1E-3", "0.001"),
            ("-12.5e1", "-125"),
            ("0.1", "0.1"),
            ("123456789012345678.000000000001", "123456789012345678.000000000001"),
        ] {
            check(text, Ok(canonical));
        }
    }

    #[test]
    fn what_is_not_a_decimal_number_is_refused() {
        for text in
            ["", "-", ".", "e5", "1e", "NaN", "Infinity", "1,000", "0x10", "1 ", "--1", "1_0"]
        {
            check(text, Err(QuantityError::NotDecimal));
        }
    }

    #[test]
    fn a_quantity_past_a_bound_is_refused_by_that_bound() {
        check("1e400", Err(QuantityError::TooManyDigits));
        check("1e40", Err(QuantityError::TooManyDigits));
        check("1234567890123456789012345678901234567890", Err(QuantityError::TooManyDigits));
        check("1e-400", Err(QuantityError::TooManyDecimals));
        check("0.1234567890123456789", Err(QuantityError::TooManyDecimals));
        check(&"0".repeat(65), Err(QuantityError::TooLong));
    }

    #[test]
    fn a_quantity_is_counted_in_units_of_its_last_digit() {
        let check = |text: &str, digits: u32, decimals: u32, units: Option<i128>| {
            let quantity = Quantity::parse_unbounded(text).unwrap();
            assert_eq!((quantity.digits(), quantity.decimals()), (digits, decimals), "{text}");
            assert_eq!(quantity.in_units_of(3), units, "{text}");
        };
        check("0", 1, 0, Some(0));
        check("1000", 1, 0, Some(1_000_000));
        check("-1.25", 3, 2, Some(-1_250));
        check("0.001", 1, 3, Some(1));
        check("0.0001", 1, 4, None);
        check(&format!("1{}", "0".repeat(40)), 1, 0, None);
    }

    proptest! {
        #[test]
        fn parts_fit_the_digits_and_add_up(
            mantissa in any::<i128>(),
            scale in 0i64..18,
            digits in 1u32..20,
        ) {
            let whole = Quantity(BigDecimal::new(mantissa.into(), scale).normalized());
            let parts = whole.split_to_digits(digits);
            prop_assert_eq!(parts.iter().sum::<Quantity>(), whole);
            for part in parts {
                let (integer, _) = part.0.as_bigint_and_exponent();
                prop_assert!(digit_count(&integer) <= usize::try_from(digits).unwrap());
            }
        }

        #[test]
        fn canonical_text_reads_back_as_the_same_quantity(
            mantissa in any::<i64>(),
            scale in -20i64..20,
        ) {
            let quantity = Quantity(BigDecimal::new(mantissa.into(), scale).normalized());
            prop_assert_eq!(Quantity::parse_unbounded(&quantity.to_string()), Ok(quantity));
        }

        #[test]
        fn a_plain_text_is_read_as_the_long_way_reads_it(
            whole in "[0-9]{1,9}",
            fraction in "[0-9]{0,9}",
        ) {
            let point = if fraction.is_empty() { "" } else { "." };
            let text = format!("{whole}{point}{fraction}");
            let plain = Quantity::parse_plain(&text).unwrap();
            // The exponent keeps it from the short way, and changes nothing.
            let long = Quantity::parse(&format!("{text}e0")).unwrap();
            prop_assert_eq!(plain.0.as_bigint_and_exponent(), long.0.as_bigint_and_exponent());
        }

        #[test]
        fn a_cut_and_what_is_cut_off_add_up(
            mantissa in any::<i64>(),
            scale in 0i64..18,
            decimals in 0u32..18,
        ) {
            let quantity = Quantity(BigDecimal::new(mantissa.into(), scale).normalized());
            let cut = quantity.cut_to_decimals(decimals);
            let rest = &quantity - &cut;
            prop_assert_eq!(&cut + &rest, quantity);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,80}") {
            let _read = Quantity::parse(&text);
        }
    }
}

//! Exact decimals of the auditor's own. Here: reading, writing and adding them, with none of the
//! program's arithmetic. Never here: a rule. Read next: [`crate::auditor`].

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Neg, Sub};

/// Digits after the point.
const DECIMALS: usize = 18;
/// One, in the finest unit.
const ONE: i128 = 1_000_000_000_000_000_000;

/// A decimal with [`DECIMALS`] digits after the point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Amount(i128);

impl Amount {
    /// Nothing.
    pub(crate) const ZERO: Self = Self(0);

    /// `whole` and `micros` millionths.
    pub(crate) fn of(whole: i64, micros: i64) -> Self {
        Self(i128::from(whole) * ONE + i128::from(micros) * (ONE / 1_000_000))
    }

    /// Reads plain decimal text, without an exponent.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        if part.len() > DECIMALS || whole.is_empty() {
            return None;
        }
        let whole: i128 = whole.parse().ok()?;
        let part: i128 = format!("{part:0<DECIMALS$}").parse().ok()?;
        Some(Self(sign * (whole.checked_mul(ONE)? + part)))
    }

    /// This times `factor`, which must come out exactly.
    pub(crate) fn times(self, factor: Self) -> Self {
        // A factor is a whole number, or one divided by one.
        if factor.0 % ONE == 0 {
            return Self(self.0 * (factor.0 / ONE));
        }
        let divisor = ONE / factor.0;
        assert_eq!(ONE % factor.0, 0, "{factor} is no simple factor");
        assert_eq!(self.0 % divisor, 0, "{self} times {factor} is finer than an amount can be");
        Self(self.0 / divisor)
    }

    /// What is finer than `decimals` digits after the point.
    pub(crate) fn finer_than(self, decimals: u32) -> Self {
        Self(self.0 % (ONE / 10_i128.pow(decimals)))
    }

    /// Significant digits of its plain text.
    pub(crate) fn digits(self) -> usize {
        let text = self.to_string();
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let digits = digits.trim_start_matches('0');
        if text.contains('.') { digits.len() } else { digits.trim_end_matches('0').len() }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0.unsigned_abs() / ONE.unsigned_abs(), self.0.unsigned_abs());
        let part = format!("{:018}", part % ONE.unsigned_abs());
        let part = part.trim_end_matches('0');
        let sign = if self.0 < 0 { "-" } else { "" };
        let point = if part.is_empty() { "" } else { "." };
        write!(f, "{sign}{whole}{point}{part}")
    }
}

impl Add for Amount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Amount {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Neg for Amount {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

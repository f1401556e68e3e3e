//! Decimal quantities. Here: one canonical text for each value, and exact arithmetic. Never here:
//! which quantities a record may have. Read next: `instant`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tallyd::domain::quantity::Quantity;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let (one, other) = text.split_once(' ').unwrap_or((text, "0"));
    let Ok(value) = Quantity::parse(one) else { return };
    let canonical = value.to_string();
    assert!(!canonical.contains(['e', 'E', '+']) && canonical != "-0", "{canonical}");
    assert!(!canonical.contains('.') || !canonical.ends_with(['0', '.']), "{canonical}");
    assert_eq!(Quantity::parse(&canonical).as_ref(), Ok(&value), "{one}");
    assert_eq!(Quantity::parse_unbounded(&canonical).as_ref(), Ok(&value), "{one}");
    for digits in [1, 15] {
        let parts = value.split_to_digits(digits);
        let sum = parts.iter().fold(Quantity::zero(), |sum, part| &sum + part);
        assert_eq!(sum, value, "{one} in parts of {digits} digits");
    }
    let rest = &value - &value.cut_to_decimals(2);
    assert_eq!(&value.cut_to_decimals(2) + &rest, value);
    if let Ok(other) = Quantity::parse(other) {
        let sum = &value + &other;
        assert_eq!(&sum - &other, value);
        assert_eq!(Quantity::parse_unbounded(&sum.to_string()), Ok(sum));
        assert_eq!((value == other), (canonical == other.to_string()));
    }
});

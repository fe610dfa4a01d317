//! Money: whole numbers of an asset's smallest unit, computed only with a check.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount or a difference. In JSON a string in answers, a string or a whole number in requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i64);

/// The result does not fit in 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow;

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the amount does not fit in 64 bits")
    }
}

impl std::error::Error for Overflow {}

impl Amount {
    /// Nothing.
    pub const ZERO: Amount = Amount(0);

    /// Of that many smallest units.
    #[must_use]
    pub const fn new(units: i64) -> Self {
        Self(units)
    }

    /// In smallest units.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The sum.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn plus(self, other: Amount) -> Result<Amount, Overflow> {
        self.0.checked_add(other.0).map(Amount).ok_or(Overflow)
    }

    /// The difference.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn minus(self, other: Amount) -> Result<Amount, Overflow> {
        self.0.checked_sub(other.0).map(Amount).ok_or(Overflow)
    }

    /// The product.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn times(self, factor: i64) -> Result<Amount, Overflow> {
        self.0.checked_mul(factor).map(Amount).ok_or(Overflow)
    }

    /// The same with the other sign.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn negated(self) -> Result<Amount, Overflow> {
        self.0.checked_neg().map(Amount).ok_or(Overflow)
    }

    /// `floor(amount × basis points / 10,000)` and the rest, which together are the amount: nothing is lost to rounding.
    /// For an amount of 0 or more and at most 10,000 basis points.
    ///
    /// # Errors
    /// For other arguments.
    pub fn split_bps(self, basis_points: u32) -> Result<(Amount, Amount), Overflow> {
        if self.0 < 0 || basis_points > 10_000 {
            return Err(Overflow);
        }
        let share = i128::from(self.0) * i128::from(basis_points) / 10_000;
        let share = i64::try_from(share).map_err(|_| Overflow)?;
        Ok((Amount(share), self.minus(Amount(share))?))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor)
    }
}

struct AmountVisitor;

impl Visitor<'_> for AmountVisitor {
    type Value = Amount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of smallest units, as a string or a number")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Amount, E> {
        i64::try_from(value).map(Amount).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Amount, E> {
        Ok(Amount(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Amount, E> {
        let plain = !value.starts_with('+');
        let parsed = if plain { value.parse().ok() } else { None };
        parsed.map(Amount).ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_that_does_not_fit_is_an_error() {
        let most = Amount::new(i64::MAX);
        assert_eq!(most.plus(Amount::new(1)), Err(Overflow));
        assert_eq!(Amount::new(i64::MIN).minus(Amount::new(1)), Err(Overflow));
        assert_eq!(most.times(2), Err(Overflow));
        assert_eq!(Amount::new(i64::MIN).negated(), Err(Overflow));
    }

    #[test]
    fn a_split_loses_nothing_even_at_the_edges() {
        for units in [0, 1, 3, 9_999, 10_001, i64::MAX] {
            for basis_points in [0, 1, 3_333, 9_999, 10_000] {
                let (share, rest) = Amount::new(units).split_bps(basis_points).unwrap();
                assert_eq!(share.plus(rest).unwrap(), Amount::new(units));
                assert!(share.get() >= 0 && rest.get() >= 0);
            }
        }
        assert_eq!(Amount::new(1).split_bps(10_001), Err(Overflow));
        assert_eq!(Amount::new(-1).split_bps(1), Err(Overflow));
    }

    #[test]
    fn fractions_are_refused() {
        for text in ["1.5", "\"1.5\"", "1e3", "\"\"", "\"+1\"", "9223372036854775808"] {
            assert!(serde_json::from_str::<Amount>(text).is_err(), "{text}");
        }
        assert_eq!(serde_json::from_str::<Amount>("\"10\"").unwrap(), Amount::new(10));
        assert_eq!(serde_json::to_string(&Amount::new(10)).unwrap(), "\"10\"");
    }
}

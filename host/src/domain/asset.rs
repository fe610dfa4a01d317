//! Money: whole numbers of an asset's smallest unit, added only with a check.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::UserId;

/// A virtual currency: gold coin, diamond, points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AssetType(pub u32);

impl fmt::Display for AssetType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who owns which currency. Ordered by user, then asset: the order in which rows are locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The owner.
    pub user_id: UserId,
    /// The currency.
    pub asset_type: AssetType,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {} asset {}", self.user_id, self.asset_type)
    }
}

/// An amount or a difference, in the asset's smallest unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amount(pub i64);

/// The sum does not fit in 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the amount does not fit in 64 bits")]
pub struct Overflow;

impl Amount {
    /// Nothing.
    pub const ZERO: Amount = Amount(0);

    /// The sum.
    ///
    /// # Errors
    /// If it does not fit in 64 bits.
    pub fn plus(self, other: Amount) -> Result<Amount, Overflow> {
        self.0.checked_add(other.0).map(Amount).ok_or(Overflow)
    }

    /// The difference.
    ///
    /// # Errors
    /// If it does not fit in 64 bits.
    pub fn minus(self, other: Amount) -> Result<Amount, Overflow> {
        self.0.checked_sub(other.0).map(Amount).ok_or(Overflow)
    }

    /// The same with the other sign.
    ///
    /// # Errors
    /// If it does not fit in 64 bits.
    pub fn negated(self) -> Result<Amount, Overflow> {
        self.0.checked_neg().map(Amount).ok_or(Overflow)
    }

    /// Whether it is 1 or more.
    #[must_use]
    pub fn is_positive(self) -> bool {
        self.0 > 0
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

//! Parameters and columns of plugins' statements. A parameter has the type that PostgreSQL found for it when it prepared the
//! statement; a column of a type without a place in the interface is refused then.

use sqlx::postgres::{PgArguments, PgRow, PgTypeInfo, PgValueRef};
use sqlx::{Arguments, Row, TypeInfo, ValueRef};

use crate::ports::db::{TransactError, Value};

use super::error;

/// How a value travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    /// What a sum of integers is.
    Numeric,
    Text,
    Bytes,
}

impl Kind {
    fn of(info: &PgTypeInfo) -> Option<Self> {
        match info.name() {
            "BOOL" => Some(Self::Bool),
            "INT2" => Some(Self::Int2),
            "INT4" => Some(Self::Int4),
            "INT8" => Some(Self::Int8),
            "NUMERIC" => Some(Self::Numeric),
            "TEXT" | "VARCHAR" | "CHAR" | "NAME" => Some(Self::Text),
            "BYTEA" => Some(Self::Bytes),
            _ => None,
        }
    }

    /// The kind of a column.
    pub(super) fn of_column(index: usize, info: &PgTypeInfo) -> Result<Self, String> {
        Self::of(info).ok_or_else(|| format!("column {index} is {}; cast it to BIGINT, TEXT or BYTEA", info.name()))
    }

    /// The kind of a parameter.
    pub(super) fn of_param(index: usize, info: &PgTypeInfo) -> Result<Self, String> {
        Self::of(info).filter(|kind| *kind != Self::Numeric).ok_or_else(|| {
            format!("parameter ${} is {}; cast it to BIGINT, TEXT or BYTEA", index.saturating_add(1), info.name())
        })
    }
}

/// The parameters as PostgreSQL wants them.
pub(super) fn arguments(kinds: &[Kind], params: Vec<Value>) -> Result<PgArguments, TransactError> {
    if params.len() != kinds.len() {
        return Err(TransactError::Invalid(format!("{} parameters for {}", params.len(), kinds.len())));
    }
    let mut arguments = PgArguments::default();
    for (index, (kind, value)) in kinds.iter().zip(params).enumerate() {
        add(&mut arguments, *kind, value)
            .map_err(|fault| TransactError::Invalid(format!("parameter ${}: {fault}", index.saturating_add(1))))?;
    }
    Ok(arguments)
}

fn add(arguments: &mut PgArguments, kind: Kind, value: Value) -> Result<(), sqlx::error::BoxDynError> {
    match (kind, value) {
        (Kind::Bytes, Value::Null) => arguments.add(None::<Vec<u8>>),
        (Kind::Text, Value::Null) => arguments.add(None::<String>),
        (_, Value::Null) => arguments.add(None::<i64>),
        (Kind::Bool, Value::Integer(number @ (0 | 1))) => arguments.add(number == 1),
        (Kind::Int2, Value::Integer(number)) => arguments.add(i16::try_from(number)?),
        (Kind::Int4, Value::Integer(number)) => arguments.add(i32::try_from(number)?),
        (Kind::Int8, Value::Integer(number)) => arguments.add(number),
        (Kind::Text, Value::Text(text)) => arguments.add(text),
        (Kind::Bytes, Value::Blob(bytes)) => arguments.add(bytes),
        (kind, _) => Err(format!("a value of another kind than {kind:?}").into()),
    }
}

/// A row of a plugin's statement.
pub(super) fn read(kinds: &[Kind], row: &PgRow) -> Result<Vec<Value>, TransactError> {
    kinds.iter().enumerate().map(|(index, kind)| column(row, index, *kind)).collect()
}

fn column(row: &PgRow, index: usize, kind: Kind) -> Result<Value, TransactError> {
    let raw = row.try_get_raw(index).map_err(error::of)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    Ok(match kind {
        Kind::Bool => Value::Integer(i64::from(row.try_get::<bool, _>(index).map_err(error::of)?)),
        Kind::Int2 => Value::Integer(i64::from(row.try_get::<i16, _>(index).map_err(error::of)?)),
        Kind::Int4 => Value::Integer(i64::from(row.try_get::<i32, _>(index).map_err(error::of)?)),
        Kind::Int8 => Value::Integer(row.try_get(index).map_err(error::of)?),
        Kind::Text => Value::Text(row.try_get(index).map_err(error::of)?),
        Kind::Bytes => Value::Blob(row.try_get(index).map_err(error::of)?),
        Kind::Numeric => Value::Integer(integer(&raw).ok_or_else(|| {
            TransactError::Invalid(format!("column {index} is no whole number of 64 bits; cast it to TEXT"))
        })?),
    })
}

/// A NUMERIC in PostgreSQL's binary form, if it is whole and fits: the number of digits to base 10,000, the weight of the first, the
/// sign, the digits shown behind the point, and the digits; 16 bits each.
fn integer(raw: &PgValueRef<'_>) -> Option<i64> {
    let words: Vec<u16> =
        raw.as_bytes().ok()?.chunks_exact(2).filter_map(|pair| pair.try_into().ok()).map(u16::from_be_bytes).collect();
    whole(&words)
}

fn whole(words: &[u16]) -> Option<i64> {
    let (&[_, weight, sign, _], digits) = words.split_first_chunk::<4>()?;
    // As two's complement.
    let weight = i32::from(weight.cast_signed());
    let negative = match sign {
        0 => false,
        0x4000 => true,
        _ => return None,
    };
    let mut number = 0_i128;
    for place in 0..=weight.max(-1) {
        let digit = usize::try_from(place).ok().and_then(|place| digits.get(place)).copied().unwrap_or(0);
        number = number.checked_mul(10_000)?.checked_add(i128::from(digit))?;
    }
    let behind = usize::try_from(weight.saturating_add(1).max(0)).ok()?;
    if digits.iter().skip(behind).any(|digit| *digit != 0) {
        return None;
    }
    i64::try_from(if negative { -number } else { number }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_is_an_integer_if_it_is_whole_and_fits() {
        assert_eq!(whole(&[0, 0, 0, 0]), Some(0));
        assert_eq!(whole(&[1, 0, 0, 0, 42]), Some(42));
        assert_eq!(whole(&[1, 1, 0x4000, 0, 3]), Some(-30_000));
        assert_eq!(whole(&[2, 0, 0, 2, 7, 5_000]), None);
        assert_eq!(whole(&[1, u16::MAX, 0, 1, 5_000]), None);
        assert_eq!(whole(&[5, 4, 0x4000, 0, 922, 3_372, 368, 5_477, 5_808]), Some(i64::MIN));
        assert_eq!(whole(&[5, 4, 0, 0, 922, 3_372, 368, 5_477, 5_808]), None);
        assert_eq!(whole(&[0, 0, 0xc000, 0]), None);
        assert_eq!(whole(&[1, 30, 0, 0, 1]), None);
    }
}

//! A row as either database gives it, so that what both store in the same columns is read once.

use sqlx::{ColumnIndex, Decode, Row, Type};

use super::columns::corrupt;
use crate::ports::db::Error;

/// The values of a row by their place, counted from 0. Numbers are of 64 bits: a query casts smaller ones.
pub(in crate::adapters) trait Columns {
    /// A number.
    fn number(&self, at: usize) -> Result<i64, Error>;
    /// A number, or none.
    fn number_or_null(&self, at: usize) -> Result<Option<i64>, Error>;
    /// Text.
    fn text(&self, at: usize) -> Result<&str, Error>;
    /// Text, or none.
    fn text_or_null(&self, at: usize) -> Result<Option<&str>, Error>;
    /// Bytes.
    fn bytes(&self, at: usize) -> Result<&[u8], Error>;
    /// True or false.
    fn flag(&self, at: usize) -> Result<bool, Error>;

    /// A number that this program stored from 32 bits or fewer.
    fn small<T: TryFrom<i64>>(&self, at: usize) -> Result<T, Error> {
        let number = self.number(at)?;
        T::try_from(number).map_err(|_| corrupt(format_args!("{number} in column {at} is out of range")))
    }
}

impl<R> Columns for R
where
    R: Row,
    usize: ColumnIndex<R>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> bool: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> &'r str: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> &'r [u8]: Decode<'r, R::Database> + Type<R::Database>,
{
    fn number(&self, at: usize) -> Result<i64, Error> {
        self.try_get(at).map_err(corrupt)
    }

    fn number_or_null(&self, at: usize) -> Result<Option<i64>, Error> {
        self.try_get(at).map_err(corrupt)
    }

    fn text(&self, at: usize) -> Result<&str, Error> {
        self.try_get(at).map_err(corrupt)
    }

    fn text_or_null(&self, at: usize) -> Result<Option<&str>, Error> {
        self.try_get(at).map_err(corrupt)
    }

    fn bytes(&self, at: usize) -> Result<&[u8], Error> {
        self.try_get(at).map_err(corrupt)
    }

    fn flag(&self, at: usize) -> Result<bool, Error> {
        self.try_get(at).map_err(corrupt)
    }
}

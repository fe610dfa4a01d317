//! Many rows in few statements: an execution through the driver costs about 15 µs however small it is.

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite};

// Few sizes, so that few texts are prepared and all of them stay in the statement cache. 512 rows of the widest table (12
// columns) stay well below SQLite's 32,766 parameters.
const SIZES: [usize; 6] = [512, 128, 32, 8, 2, 1];

/// Cuts rows into pieces of a few sizes.
pub(super) fn pieces<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rows.len())?;
        let (piece, rest) = rows.split_at(size);
        rows = rest;
        Some(piece)
    })
}

/// A statement with one tuple of parameters for each row between its two halves. Only text of this program may go in.
pub(super) fn statement<'q>(head: &str, columns: usize, rows: usize, tail: &str) -> Query<'q, Sqlite, SqliteArguments> {
    let mut sql = String::with_capacity(head.len() + tail.len() + rows * (columns * 2 + 2));
    sql.push_str(head);
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ",(" });
        for column in 0..columns {
            sql.push_str(if column == 0 { "?" } else { ",?" });
        }
        sql.push(')');
    }
    sql.push_str(tail);
    sqlx::query(AssertSqlSafe(sql))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_every_row_once_and_in_order() {
        for len in [0_usize, 1, 3, 40, 513, 5_000] {
            let rows: Vec<usize> = (0..len).collect();
            let joined: Vec<usize> = pieces(&rows).flatten().copied().collect();
            assert_eq!(joined, rows);
            assert!(pieces(&rows).all(|piece| SIZES.contains(&piece.len())));
        }
    }
}

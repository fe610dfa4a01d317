//! What a plugin's SQL may touch, asked of SQLite itself: while a statement is prepared, SQLite reports every table, column and
//! function in it, and each is allowed or refused here. Nothing is run.
//!
//! This is the only module with `unsafe`: the driver gives no other way to prepare without running. It uses the connection's
//! handle only while the driver has it locked, and leaves no pointer behind.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

use libsqlite3_sys as ffi;
use sqlx::sqlite::LockedSqliteHandle;

use crate::adapters::sql::plugin_tables::owns;

const TABLE_FUNCTIONS: [&str; 2] = ["json_each", "json_tree"];
// `randomblob` and `zeroblob` make as many bytes as they are asked for.
const FUNCTIONS_DENIED: [&str; 5] = ["fts3_tokenizer", "load_extension", "randomblob", "writefile", "zeroblob"];
const SCHEMA_TABLE: &str = "sqlite_master";

/// What a statement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Reads or writes rows.
    Rows,
    /// Makes a table or an index.
    Schema,
}

/// A statement that may be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checked {
    /// Whether it changes nothing.
    pub reads: bool,
    /// How many parameters it takes.
    pub params: usize,
}

/// Prepares one statement and throws it away.
///
/// # Errors
/// In words: SQLite's own, or what the statement touches that it may not.
pub(super) fn check(
    connection: &mut LockedSqliteHandle<'_>,
    plugin: &str,
    sql: &str,
    purpose: Purpose,
) -> Result<Checked, String> {
    let length = c_int::try_from(sql.len()).map_err(|_| "the statement is too long".to_owned())?;
    if sql.contains('\0') {
        return Err("the statement has a zero byte".into());
    }
    let mut rules = Rules { plugin, purpose, refused: None };
    let database = connection.as_raw_handle().as_ptr();
    let mut statement = ptr::null_mut();
    let mut tail = ptr::null();
    // SAFETY: the handle is open and locked for us; `sql` outlives the call and `length` is its length; `rules` outlives the
    // authorizer, which is taken away before this block ends.
    let code = unsafe {
        ffi::sqlite3_set_authorizer(database, Some(authorize), ptr::from_mut(&mut rules).cast());
        let code = ffi::sqlite3_prepare_v3(database, sql.as_ptr().cast(), length, 0, &raw mut statement, &raw mut tail);
        ffi::sqlite3_set_authorizer(database, None, ptr::null_mut());
        code
    };
    if let Some(refused) = rules.refused {
        // SAFETY: a null pointer or the statement made above, which nothing else knows.
        unsafe { ffi::sqlite3_finalize(statement) };
        return Err(refused);
    }
    if code != ffi::SQLITE_OK {
        // SAFETY: the handle is open and locked; SQLite keeps the message until the next call.
        return Err(unsafe { text(ffi::sqlite3_errmsg(database)) }.unwrap_or("not to be prepared").to_owned());
    }
    let rest = (tail as usize).checked_sub(sql.as_ptr() as usize).and_then(|used| sql.get(used..));
    // SAFETY: the statement was made above and is finalized here, its only use.
    let checked = unsafe {
        let checked = describe(statement);
        ffi::sqlite3_finalize(statement);
        checked
    };
    match rest.map(|rest| rest.trim().is_empty()) {
        Some(true) => checked,
        _ => Err("more than one statement".into()),
    }
}

/// # Safety
/// `statement` must be null or a prepared statement of a connection that is locked for the caller.
unsafe fn describe(statement: *mut ffi::sqlite3_stmt) -> Result<Checked, String> {
    if statement.is_null() {
        return Err("no statement".into());
    }
    let mut params = 0;
    // SAFETY: by the caller's promise; indexes run from 1 to the count, and names live as long as the statement.
    unsafe {
        for index in 1..=ffi::sqlite3_bind_parameter_count(statement) {
            let name = text(ffi::sqlite3_bind_parameter_name(statement, index)).unwrap_or_default();
            params = params.max(parameter(name)?);
        }
        Ok(Checked { reads: ffi::sqlite3_stmt_readonly(statement) != 0, params })
    }
}

fn parameter(name: &str) -> Result<usize, String> {
    let digits = name.strip_prefix('$').unwrap_or_default();
    let number = digits.parse().ok().filter(|number| (1..=100).contains(number) && !digits.starts_with(['0', '+']));
    number.ok_or_else(|| format!("`{name}` is no parameter: they are $1 to $100"))
}

struct Rules<'a> {
    plugin: &'a str,
    purpose: Purpose,
    refused: Option<String>,
}

/// SQLite's question while it prepares: may the statement do this?
unsafe extern "C" fn authorize(
    rules: *mut c_void,
    action: c_int,
    first: *const c_char,
    second: *const c_char,
    database: *const c_char,
    _inner: *const c_char,
) -> c_int {
    // SAFETY: `rules` is the pointer given to `sqlite3_set_authorizer` by `check`, alive and used by nobody else during the
    // prepare; the texts are null or end in zero and live for this call.
    let (rules, first, second, database) =
        unsafe { (&mut *rules.cast::<Rules<'_>>(), text(first), text(second), text(database)) };
    if rules.allows(action, first.unwrap_or_default(), second.unwrap_or_default(), database) {
        return ffi::SQLITE_OK;
    }
    let what = [first, second].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let words = format!("the plugin `{}` may not touch `{what}` (action {action})", rules.plugin);
    rules.refused.get_or_insert(words);
    ffi::SQLITE_DENY
}

impl Rules<'_> {
    fn allows(&self, action: c_int, first: &str, second: &str, database: Option<&str>) -> bool {
        let main = database.is_none_or(|name| name == "main");
        match self.purpose {
            Purpose::Rows => match action {
                ffi::SQLITE_SELECT => true,
                ffi::SQLITE_READ if TABLE_FUNCTIONS.contains(&first) => true,
                ffi::SQLITE_READ | ffi::SQLITE_INSERT | ffi::SQLITE_UPDATE | ffi::SQLITE_DELETE => {
                    main && owns(self.plugin, first)
                }
                ffi::SQLITE_FUNCTION => !FUNCTIONS_DENIED.contains(&second.to_ascii_lowercase().as_str()),
                _ => false,
            },
            Purpose::Schema => match action {
                ffi::SQLITE_READ | ffi::SQLITE_INSERT | ffi::SQLITE_UPDATE | ffi::SQLITE_DELETE => {
                    main && (first == SCHEMA_TABLE || owns(self.plugin, first))
                }
                ffi::SQLITE_CREATE_TABLE => main && owns(self.plugin, first),
                // SQLite names the index first and its table second; an index of a constraint has a name of SQLite's own.
                ffi::SQLITE_CREATE_INDEX => {
                    let named = owns(self.plugin, first) || first.starts_with("sqlite_autoindex_");
                    main && named && owns(self.plugin, second)
                }
                ffi::SQLITE_REINDEX => main,
                ffi::SQLITE_FUNCTION => !FUNCTIONS_DENIED.contains(&second.to_ascii_lowercase().as_str()),
                _ => false,
            },
        }
    }
}

/// # Safety
/// The pointer must be null or a text that ends in zero and lives for `'a`.
unsafe fn text<'a>(pointer: *const c_char) -> Option<&'a str> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: by the caller's promise.
    unsafe { CStr::from_ptr(pointer) }.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_owns_its_name_and_what_begins_with_it_but_nothing_of_the_host() {
        for (plugin, table) in [("gift", "gift"), ("gift", "Gift_Price"), ("red-packet", "red-packet_share")] {
            assert!(owns(plugin, table), "{plugin} {table}");
        }
        let strangers = [
            ("gift", "gifts"),
            ("gift", "lottery_gift"),
            ("user", "user_asset"),
            ("room", "ROOM"),
            ("sqlite", "sqlite_master"),
            ("dead", "dead_letter"),
            ("gift", "gift-x_y"),
            ("plugin", "plugin_schema"),
        ];
        for (plugin, table) in strangers {
            assert!(!owns(plugin, table), "{plugin} {table}");
        }
    }

    #[test]
    fn parameters_are_numbered_from_one() {
        assert_eq!(parameter("$1"), Ok(1));
        assert_eq!(parameter("$100"), Ok(100));
        for name in ["", "?1", "$0", "$01", "$+1", "$1a", ":name", "$101"] {
            assert!(parameter(name).is_err(), "{name}");
        }
    }
}

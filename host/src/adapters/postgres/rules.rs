//! What a plugin's SQL may say, beside what its role may touch: PostgreSQL has functions that run SQL of their own, change settings or
//! roles, read files or make as many bytes as they are asked for, and everybody may call most of them. So a statement may call
//! the functions listed here and no other that there is, and names nothing of PostgreSQL's own. Pure.

use crate::adapters::sql::plugin_tables::{begins_as_schema, begins_as_statement, owns};

use super::lexer::{Token, tokens};

const FUNCTIONS: [&str; 52] = [
    "abs",
    "array_length",
    "avg",
    "bool_and",
    "bool_or",
    "bpchar",
    "btrim",
    "ceil",
    "ceiling",
    "char",
    "char_length",
    "character_length",
    "concat",
    "concat_ws",
    "count",
    "cume_dist",
    "date",
    "dense_rank",
    "every",
    "first_value",
    "floor",
    "json_array_elements",
    "json_array_elements_text",
    "lag",
    "last_value",
    "lead",
    "left",
    "length",
    "lower",
    "ltrim",
    "max",
    "md5",
    "min",
    "mod",
    "nth_value",
    "ntile",
    "numeric",
    "octet_length",
    "percent_rank",
    "position",
    "rank",
    "replace",
    "right",
    "round",
    "row_number",
    "rtrim",
    "sign",
    "strpos",
    "substr",
    "substring",
    "sum",
    "upper",
];
// The catalogue's names, and the types that look names up in it.
const RESERVED_BEGINNINGS: [&str; 2] = ["pg_", "reg"];
const RESERVED: [&str; 1] = ["information_schema"];
const WRITING: [&str; 4] = ["delete", "insert", "merge", "update"];

/// A statement that says nothing forbidden, as far as can be seen without a database.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Whether it changes nothing. It is then run in a transaction that cannot.
    pub reads: bool,
    /// Names that would be functions outside the list if there are functions of these names.
    pub called: Vec<String>,
}

/// Looks at a statement that reads or writes rows.
pub(super) fn statement(sql: &str) -> Result<Seen, String> {
    begins_as_statement(sql)?;
    let tokens = tokens(sql)?;
    let has = |word: &str| tokens.iter().any(|token| token.keyword() == Some(word));
    let verb = tokens.first().and_then(Token::keyword).unwrap_or_default();
    let reads = match verb {
        "select" | "values" => true,
        "with" => !WRITING.iter().any(|word| has(word)),
        _ => false,
    };
    if reads && has("into") {
        return Err("SELECT INTO makes a table".into());
    }
    Ok(Seen { reads, called: called(&tokens)? })
}

/// Looks at a statement of a plugin's schema.
pub(super) fn schema(plugin: &str, sql: &str) -> Result<Seen, String> {
    begins_as_schema(sql)?;
    let tokens = tokens(sql)?;
    let after = |word: &str| {
        let at = tokens.iter().position(|token| token.keyword() == Some(word))?;
        let at = at + 1 + usize::from(tokens.get(at + 1).and_then(Token::keyword) == Some("only"));
        let qualified = tokens.get(at + 1) == Some(&Token::Sign('.'));
        tokens.get(at).and_then(Token::word).filter(|_| !qualified)
    };
    let own = |name: Option<&str>| match name {
        Some(name) if owns(plugin, name) => Ok(()),
        other => Err(format!("`{}` is not a name of `{plugin}`'s", other.unwrap_or_default())),
    };
    own(after("exists"))?;
    if tokens.iter().take(3).any(|token| token.keyword() == Some("index")) {
        own(after("on"))?;
    }
    Ok(Seen { reads: false, called: called(&tokens)? })
}

fn called(tokens: &[Token]) -> Result<Vec<String>, String> {
    let mut called = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let Some(word) = token.word() else { continue };
        let lower = word.to_ascii_lowercase();
        if RESERVED_BEGINNINGS.iter().any(|beginning| lower.starts_with(beginning))
            || RESERVED.contains(&lower.as_str())
        {
            return Err(format!("`{word}` is PostgreSQL's own"));
        }
        let opens = tokens.get(index + 1) == Some(&Token::Sign('('));
        if opens && !FUNCTIONS.contains(&word) {
            called.push(word.to_owned());
        }
    }
    called.sort_unstable();
    called.dedup();
    Ok(called)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_is_told_from_writing() {
        let reads = |sql: &str| statement(sql).unwrap().reads;
        assert!(reads("SELECT 'delete'"));
        assert!(reads("with x as (select 1) select * from x"));
        assert!(!reads("WITH x AS (DELETE FROM gift RETURNING gift_id) SELECT * FROM x"));
        assert!(!reads("insert into gift values (1)"));
        assert!(statement("SELECT * INTO gift_copy FROM gift").is_err());
    }

    #[test]
    fn a_call_is_seen_however_it_is_written() {
        for sql in
            ["SELECT set_config('a', 'b', true)", "SELECT SET_CONFIG /* x */ ('a')", "SELECT \"set_config\"('a')"]
        {
            assert_eq!(statement(sql).unwrap().called, ["set_config"], "{sql}");
        }
        assert!(statement("SELECT pg_sleep(1)").is_err());
        assert!(statement("SELECT 'gift'::regclass").is_err());
        assert!(statement("SELECT * FROM \"pg_class\"").is_err());
        assert!(statement("SELECT count(*), sum(unit) FROM gift").unwrap().called.is_empty());
    }

    #[test]
    fn the_names_in_a_schema_are_the_plugins_own() {
        let fine = |sql: &str| schema("gift", sql).is_ok();
        assert!(fine("CREATE TABLE IF NOT EXISTS gift_x (id BIGINT)"));
        assert!(fine("create unique index if not exists gift_x on only gift (id)"));
        assert!(!fine("CREATE TABLE IF NOT EXISTS gifts (id BIGINT)"));
        assert!(!fine("CREATE TABLE IF NOT EXISTS gift.x (id BIGINT)"));
        assert!(!fine("CREATE INDEX IF NOT EXISTS gift_x ON user_asset (id)"));
        assert!(!fine("CREATE INDEX IF NOT EXISTS x ON gift (id)"));
        assert!(!fine("CREATE TABLE gift_x (id BIGINT)"));
    }
}

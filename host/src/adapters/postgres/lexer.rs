//! The words of a statement, as PostgreSQL's own lexer cuts them with `standard_conforming_strings` on. Pure.
//!
//! What a plugin has no need of and what could be read in two ways is refused: dollar-quoted strings, strings and names with
//! escapes, `$` in names.

/// One piece of a statement. Strings, numbers and comments are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword or a name: unquoted in lower case, quoted as it is.
    Word { text: String, quoted: bool },
    /// A parameter.
    Param,
    /// A string or a number.
    Literal,
    /// Anything else, one character each.
    Sign(char),
}

impl Token {
    /// The keyword or unquoted name.
    pub(super) fn keyword(&self) -> Option<&str> {
        match self {
            Self::Word { text, quoted: false } => Some(text),
            _ => None,
        }
    }

    /// The keyword or name, quoted or not.
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Word { text, .. } => Some(text),
            _ => None,
        }
    }
}

/// Cuts a statement.
///
/// # Errors
/// In words: what cannot be read, or has no place in a plugin's statement.
pub(super) fn tokens(sql: &str) -> Result<Vec<Token>, String> {
    let mut lexer = Lexer { rest: sql };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next()? {
        tokens.push(token);
    }
    Ok(tokens)
}

struct Lexer<'a> {
    rest: &'a str,
}

impl Lexer<'_> {
    fn next(&mut self) -> Result<Option<Token>, String> {
        self.skip_blanks()?;
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let token = match first {
            '\'' => self.string()?,
            '"' => self.quoted_name()?,
            '$' => self.parameter()?,
            '0'..='9' => self.number(),
            _ if begins_name(first) => self.name()?,
            other => {
                self.skip(other.len_utf8());
                Token::Sign(other)
            }
        };
        Ok(Some(token))
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn skip_blanks(&mut self) -> Result<(), String> {
        loop {
            self.rest = self.rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
            if self.rest.starts_with("--") {
                self.skip(self.rest.find(['\n', '\r']).unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                self.comment()?;
            } else {
                return Ok(());
            }
        }
    }

    /// PostgreSQL's comments may lie in each other.
    fn comment(&mut self) -> Result<(), String> {
        let mut depth = 0_u32;
        loop {
            let next = [self.rest.find("/*"), self.rest.find("*/")];
            match next {
                [Some(open), close] if close.is_none_or(|close| open < close) => {
                    depth = depth.saturating_add(1);
                    self.skip(open + 2);
                }
                [_, Some(close)] => {
                    depth -= 1;
                    self.skip(close + 2);
                }
                _ => return Err("a comment has no end".into()),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// From the quote on. Two quotes stand for one, and so read as two strings beside each other.
    fn string(&mut self) -> Result<Token, String> {
        let inner = self.rest.get(1..).unwrap_or_default();
        let end = inner.find('\'').ok_or("a string has no end")?;
        self.skip(end + 2);
        Ok(Token::Literal)
    }

    fn quoted_name(&mut self) -> Result<Token, String> {
        let inner = self.rest.get(1..).unwrap_or_default();
        let end = inner.find('"').ok_or("a quoted name has no end")?;
        let text = inner.get(..end).unwrap_or_default().to_owned();
        self.skip(end + 2);
        if self.rest.starts_with('"') {
            return Err("a name has a quote in it".into());
        }
        Ok(Token::Word { text, quoted: true })
    }

    fn parameter(&mut self) -> Result<Token, String> {
        let digits = self.rest.get(1..).unwrap_or_default();
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let follows = digits.get(end..).and_then(|rest| rest.chars().next());
        let digits = digits.get(..end).unwrap_or_default();
        let number: Option<u32> = digits.parse().ok().filter(|number| (1..=100).contains(number));
        if number.is_none() || digits.starts_with('0') || follows.is_some_and(|c| begins_name(c) || c == '$') {
            return Err(format!("`${digits}` is no parameter: they are $1 to $100"));
        }
        self.skip(end + 1);
        Ok(Token::Param)
    }

    /// Letters after the digits are part of it: `1e5`, `0xff`.
    fn number(&mut self) -> Token {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        self.skip(end);
        Token::Literal
    }

    fn name(&mut self) -> Result<Token, String> {
        let end = self.rest.find(|c: char| !begins_name(c) && !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let text = self.rest.get(..end).unwrap_or_default().to_ascii_lowercase();
        self.skip(end);
        let mut after = self.rest.chars();
        match (text.as_str(), after.next(), after.next()) {
            (_, Some('$'), _) => Err(format!("`{text}$`: a name has no $")),
            ("u", Some('&'), Some('\'' | '"')) => Err("Unicode escapes have no place here".into()),
            ("e", Some('\''), _) => Err("strings with escapes have no place here".into()),
            _ => Ok(Token::Word { text, quoted: false }),
        }
    }
}

fn begins_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(sql: &str) -> Vec<String> {
        tokens(sql).unwrap().iter().filter_map(|token| token.word().map(str::to_owned)).collect()
    }

    #[test]
    fn what_is_in_strings_and_comments_is_no_word() {
        let sql = "SELECT 'a ''b'' c', \"F g\" -- h\n/* i /* j */ k */ FROM l1 WHERE x=$1 AND 1e5>0";
        assert_eq!(words(sql), ["select", "F g", "from", "l1", "where", "x", "and"]);
        assert_eq!(words("set_config/* */\n--\n('a')"), ["set_config"]);
        assert_eq!(words(r"SELECT '\', b"), ["select", "b"]);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for sql in [
            "SELECT $0",
            "SELECT $01",
            "SELECT $101",
            "SELECT $$a$$",
            "SELECT $x$ a $x$",
            "SELECT a$1",
            "SELECT $1a",
            "SELECT U&\"set\\005fconfig\"('a')",
            "SELECT u&'a'",
            "SELECT 'a",
            "SELECT \"a",
            "SELECT /* a",
            "SELECT \"a\"\"b\"",
            "SELECT E'a\\'b'",
            "SELECT e'a'",
        ] {
            assert!(tokens(sql).is_err(), "{sql}");
        }
    }
}

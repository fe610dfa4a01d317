//! Laying one source of configuration over another, with an error that names the key.

use std::path::Path;

use toml::{Table, Value};

use super::{Config, DEFAULT, Error};

/// What every variable begins with.
const PREFIX: &str = "GREENROOM_";
/// Variables of the command line's clients, which are no keys, and what those of the tests begin with.
const NOT_KEYS: [&str; 3] = ["GREENROOM_CONFIG", "GREENROOM_SERVER", "GREENROOM_TOKEN"];
const OF_TESTS: &str = "GREENROOM_TEST_";

/// The defaults with whatever was laid over them.
pub(super) struct Layers(Table);

impl Layers {
    pub fn defaults() -> Result<Self, Error> {
        let table = DEFAULT
            .parse()
            .map_err(|e: toml::de::Error| Error::Syntax { path: "default.toml".into(), reason: e.to_string() })?;
        Ok(Self(table))
    }

    pub fn add_file(&mut self, path: &Path) -> Result<(), Error> {
        let text =
            std::fs::read_to_string(path).map_err(|e| Error::Read { path: path.into(), reason: e.to_string() })?;
        let table: Table =
            text.parse().map_err(|e: toml::de::Error| Error::Syntax { path: path.into(), reason: e.to_string() })?;
        let place = path.display().to_string();
        let known = self.keys();
        for (key, value) in leaves(&table) {
            self.set(&place, &key, value, &known)?;
        }
        Ok(())
    }

    pub fn add_environment(&mut self, variables: impl Iterator<Item = (String, String)>) -> Result<(), Error> {
        let known = self.keys();
        for (name, text) in variables {
            let is_key = |name: &str| !NOT_KEYS.contains(&name) && !name.starts_with(OF_TESTS);
            let Some(rest) = name.strip_prefix(PREFIX).filter(|_| is_key(&name)) else { continue };
            let wanted = rest.to_ascii_lowercase();
            let key = known.iter().find(|key| key.replace('.', "_") == wanted);
            let key = key.cloned().ok_or_else(|| unknown(&name, &wanted, &known))?;
            let value = self.parse(&name, &key, text)?;
            self.set(&name, &key, value, &known)?;
        }
        Ok(())
    }

    pub fn read(self) -> Result<Config, Error> {
        Value::Table(self.0).try_into().map_err(|e: toml::de::Error| Error::Value {
            place: "configuration".into(),
            key: e.message().to_owned(),
            fault: "is not usable".into(),
        })
    }

    fn keys(&self) -> Vec<String> {
        leaves(&self.0).into_iter().map(|(key, _)| key).collect()
    }

    fn set(&mut self, place: &str, key: &str, value: Value, known: &[String]) -> Result<(), Error> {
        let Some(slot) = slot(&mut self.0, key) else { return Err(unknown(place, key, known)) };
        if slot.type_str() != value.type_str() {
            let fault = format!("must be {}, not {}", article(slot.type_str()), article(value.type_str()));
            return Err(Error::Value { place: place.into(), key: key.into(), fault });
        }
        *slot = value;
        Ok(())
    }

    /// Reads a variable's text as what the key is by default: text as it stands, anything else as TOML.
    fn parse(&mut self, place: &str, key: &str, text: String) -> Result<Value, Error> {
        if slot(&mut self.0, key).is_some_and(|slot| slot.is_str()) {
            return Ok(Value::String(text));
        }
        let line = format!("value = {text}");
        let mut table: Table = line.parse().map_err(|_| Error::Value {
            place: place.into(),
            key: key.into(),
            fault: format!("cannot be `{text}`"),
        })?;
        table.remove("value").ok_or_else(|| Error::Value {
            place: place.into(),
            key: key.into(),
            fault: "is empty".into(),
        })
    }
}

/// Every value that is no table, with its dotted key.
fn leaves(table: &Table) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(inner) => {
                found.extend(leaves(inner).into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            value => found.push((name.clone(), value.clone())),
        }
    }
    found
}

fn slot<'a>(table: &'a mut Table, key: &str) -> Option<&'a mut Value> {
    let value = match key.split_once('.') {
        Some((section, rest)) => return slot(table.get_mut(section)?.as_table_mut()?, rest),
        None => table.get_mut(key)?,
    };
    (!value.is_table()).then_some(value)
}

fn unknown(place: &str, key: &str, known: &[String]) -> Error {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let near = known.iter().find(|known| last(known) == last(key) || key.ends_with(&last(known)));
    let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Error::UnknownKey { place: place.into(), key: key.into(), hint }
}

fn article(kind: &str) -> String {
    match kind {
        "string" => "text in quotes".into(),
        "integer" => "a whole number".into(),
        "boolean" => "true or false".into(),
        "array" => "a list in brackets".into(),
        other => format!("a {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Result<Config, Error> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(None, pairs)
    }

    #[test]
    fn the_defaults_are_a_configuration() {
        assert_eq!(environment(&[]).unwrap().listen.port(), 8080);
    }

    #[test]
    fn a_variable_sets_the_key_it_names() {
        let config = environment(&[("GREENROOM_LISTEN", "0.0.0.0:9"), ("GREENROOM_HTTP_BODY_BYTES_MAX", "100")]);
        let config = config.unwrap();
        assert_eq!((config.listen.port(), config.http.body_bytes_max), (9, 100));
    }

    #[test]
    fn a_variable_that_names_no_key_is_refused_with_the_nearest() {
        let error = environment(&[("GREENROOM_BODY_BYTES_MAX", "100")]).unwrap_err().to_string();
        assert!(error.contains("GREENROOM_BODY_BYTES_MAX") && error.contains("http.body_bytes_max"), "{error}");
    }

    #[test]
    fn a_value_of_another_kind_is_refused_with_what_it_may_be() {
        let error = environment(&[("GREENROOM_DEV", "7")]).unwrap_err().to_string();
        assert!(error.contains("`dev` must be true or false"), "{error}");
    }

    #[test]
    fn a_value_outside_its_range_is_refused_with_the_range() {
        for (name, value, range) in [
            ("GREENROOM_HTTP_HEADER_BYTES_MAX", "100", "must be 8192 or more"),
            ("GREENROOM_EMBEDDED_BUCKETS", "0", "must be 1 to 4096"),
            ("GREENROOM_LOG_FORMAT", "xml", "must be \"text\" or \"json\""),
        ] {
            let error = environment(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(range), "{error}");
        }
    }

    #[test]
    fn a_file_sets_keys_and_its_unknown_ones_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("greenroom.toml");
        std::fs::write(&path, "[settle]\nretry_waits_ms = [5]\n").unwrap();
        assert_eq!(Config::load(Some(&path), std::iter::empty()).unwrap().settle.retry_waits_ms, [5]);
        std::fs::write(&path, "[settle]\nretries = 5\n").unwrap();
        let error = Config::load(Some(&path), std::iter::empty()).unwrap_err().to_string();
        assert!(error.contains("settle.retries"), "{error}");
    }

    #[test]
    fn the_readme_tells_every_key_with_its_default() {
        let readme = include_str!("../../../README.md");
        for (key, value) in leaves(&Layers::defaults().unwrap().0) {
            let default = match value {
                Value::String(text) if !text.is_empty() => text,
                Value::Array(list) if list.len() > 3 => "[…]".to_owned(),
                value => value.to_string(),
            };
            let row = format!("| `{key}` | `{default}` |");
            assert!(readme.contains(&row), "README.md lacks a row that begins with {row}");
        }
    }
}

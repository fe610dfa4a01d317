//! What a manifest must satisfy beyond its form.

use std::collections::HashSet;

use crate::{Grant, Manifest, Scope};

/// A field with a value that it may not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("manifest field `{field}`: {fault}")]
pub struct Fault {
    /// Where.
    pub field: String,
    /// What is wrong, and what would be right.
    pub fault: String,
}

impl Manifest {
    /// Checks names, routes and topics.
    ///
    /// # Errors
    /// With the first fault.
    pub fn check(&self) -> Result<(), Fault> {
        check_name(&self.name)?;
        self.check_routes()?;
        for (index, topic) in self.publishes.iter().enumerate() {
            let own = topic.strip_prefix(&self.name).and_then(|rest| rest.strip_prefix('.'));
            if !own.is_some_and(is_word) {
                return fault(format!("publishes[{index}]"), format!("`{topic}` must be `{}.<word>`", self.name));
            }
        }
        for (index, topic) in self.consumes.iter().enumerate() {
            if !topic.split_once('.').is_some_and(|(plugin, word)| is_word(plugin) && is_word(word)) {
                return fault(format!("consumes[{index}]"), format!("`{topic}` must be `<plugin>.<word>`"));
            }
            let is_own = self.publishes.contains(topic);
            if !is_own && !self.grants.contains(&Grant::Topics) {
                let remedy = "is not among `publishes`; another plugin's topic needs \"topics\" in `grants`";
                return fault(format!("consumes[{index}]"), format!("`{topic}` {remedy}"));
            }
        }
        for (index, statement) in self.remembered.iter().enumerate() {
            let remedy = match self.statements.get(statement) {
                None => "is none of `statements`; add it there, or take it out here",
                Some(sql) if has_parameters(sql) => {
                    "has parameters, so its rows differ from call to call; take it out here"
                }
                Some(_) => continue,
            };
            return fault(format!("remembered[{index}]"), format!("`{statement}` {remedy}"));
        }
        if !self.config.is_object() {
            return fault("config".into(), "must be a JSON Schema, an object".into());
        }
        Ok(())
    }

    fn check_routes(&self) -> Result<(), Fault> {
        let mut seen = HashSet::new();
        for (index, route) in self.routes.iter().enumerate() {
            let field = format!("routes[{index}].path");
            let segments: Vec<&str> = route.path.split('/').collect();
            if !segments.iter().all(|segment| is_segment(segment)) {
                return fault(field, format!("`{}` must be segments of a-z 0-9 - or {{parameter}}", route.path));
            }
            let shape: Vec<&str> = segments.iter().map(|s| if s.starts_with('{') { "{}" } else { s }).collect();
            if !seen.insert((route.method, route.scope, shape.join("/"))) {
                return fault(field, format!("`{} {}` is there twice", route.method.as_str(), route.path));
            }
            if route.scope == Scope::Global && route.live {
                return fault(format!("routes[{index}].live"), "a global route has no stream".into());
            }
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), Fault> {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !starts || name.len() > 32 || !is_word(name) {
        return fault(
            "name".into(),
            format!("`{name}` must be 1 to 32 characters of a-z 0-9 -, beginning with a letter"),
        );
    }
    Ok(())
}

/// Whether there is a `$1` outside of quotes.
fn has_parameters(sql: &str) -> bool {
    let is_parameter = |pair: &[u8]| matches!(pair, [b'$', digit] if digit.is_ascii_digit());
    sql.split('\'').step_by(2).any(|unquoted| unquoted.as_bytes().windows(2).any(is_parameter))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_segment(text: &str) -> bool {
    match text.strip_prefix('{') {
        Some(rest) => rest
            .strip_suffix('}')
            .is_some_and(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric())),
        None => is_word(text),
    }
}

fn fault(field: String, fault: String) -> Result<(), Fault> {
    Err(Fault { field, fault })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn fault_of(remembered: &str) -> Option<String> {
        let text = format!(
            r#"
            name = "shop"
            version = "0.1.0"
            description = "Sells."
            remembered = ["{remembered}"]
            [statements]
            all = "SELECT id FROM shop WHERE price <> '$1'"
            one = "SELECT id FROM shop WHERE price <> '$' AND id = $1"
            "#
        );
        let manifest: Manifest = toml::from_str(&text).unwrap();
        manifest.check().err().map(|fault| fault.to_string())
    }

    #[test]
    fn only_a_statement_without_parameters_can_be_remembered() {
        assert_eq!(fault_of("all"), None);
        let fault = |text: &str| Some(format!("manifest field `remembered[0]`: {text}"));
        let differs = "`one` has parameters, so its rows differ from call to call; take it out here";
        assert_eq!(fault_of("one"), fault(differs));
        let missing = "`none` is none of `statements`; add it there, or take it out here";
        assert_eq!(fault_of("none"), fault(missing));
    }

    #[test]
    fn another_plugins_topic_needs_a_grant_and_ones_own_does_not() {
        let fault_of = |grants: &str, topic: &str| {
            let text = format!(
                r#"
                name = "shop"
                version = "0.1.0"
                description = "Sells."
                grants = [{grants}]
                publishes = ["shop.sold"]
                consumes = ["{topic}"]
                "#
            );
            let manifest: Manifest = toml::from_str(&text).unwrap();
            manifest.check().err().map(|fault| fault.to_string())
        };
        assert_eq!(fault_of("", "shop.sold"), None);
        assert_eq!(fault_of(r#""topics""#, "gift.sent"), None);
        let fault = fault_of("", "gift.sent").unwrap();
        assert!(fault.contains("consumes[0]") && fault.contains(r#""topics" in `grants`"#), "{fault}");
    }
}

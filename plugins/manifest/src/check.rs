//! What a manifest must satisfy beyond its form.

use std::collections::HashSet;

use crate::{Manifest, Scope};

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
        }
        for (index, statement) in self.remembered.iter().enumerate() {
            if !self.statements.contains_key(statement) {
                return fault(format!("remembered[{index}]"), format!("`{statement}` is none of `statements`"));
            }
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

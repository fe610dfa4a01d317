//! The environment variables that tell tests where the servers are, and `target/services/env.json` with the same in it.

use std::collections::BTreeMap;
use std::path::Path;

use super::place::write;

/// A variable's name and value.
pub(super) type Variable = (String, String);

/// Writes down what is there now, for tools that were not started with the variables.
///
/// # Errors
/// If it cannot be written.
pub(super) fn store(folder: &Path, variables: &[Variable]) -> anyhow::Result<()> {
    let sorted: BTreeMap<_, _> = variables.iter().map(|(name, value)| (name, value)).collect();
    write(&folder.join("env.json"), &(serde_json::to_string_pretty(&sorted)? + "\n"))
}

/// A line for a shell.
pub(super) fn export((name, value): &Variable) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.,:/@%+=".contains(c);
    if value.chars().all(plain) {
        format!("export {name}={value}")
    } else {
        format!("export {name}='{}'", value.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_a_shell_would_read_otherwise_is_quoted() {
        let export = |value: &str| export(&("A".into(), value.into()));
        assert_eq!(
            export("redis://127.0.0.1:1,redis://127.0.0.1:2"),
            "export A=redis://127.0.0.1:1,redis://127.0.0.1:2"
        );
        assert_eq!(export("postgres://h/d?a=1&b='2'"), r"export A='postgres://h/d?a=1&b='\''2'\'''");
    }

    #[test]
    fn what_is_stored_can_be_read_as_json() {
        let folder = std::env::temp_dir().join(format!("greenroom-env-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        store(&folder, &[("B".into(), "2".into()), ("A".into(), "1".into())]).unwrap();
        let text = std::fs::read_to_string(folder.join("env.json")).unwrap();
        assert_eq!(text, "{\n  \"A\": \"1\",\n  \"B\": \"2\"\n}\n");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

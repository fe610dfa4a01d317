//! The programs that a service needs: found on the machine, else installed from Debian's packages, else asked for.

use std::process::Command;

use anyhow::bail;

use crate::apt::{self, Privilege, apt};
use crate::progress::{Step, run_quietly};

/// Something that is not on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The program, with the version it must have.
    pub(crate) program: &'static str,
    /// The Debian package that has it.
    pub(crate) package: &'static str,
}

/// Debian starts the server of a package that it installs, unless this file forbids it; ours are started by ourselves. Where
/// the administrator has such a file already, it stays as it is.
const INSTALL: &str = r#"
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
DEBIAN_FRONTEND=noninteractive apt-get --quiet install --yes --no-install-recommends "$@"
"#;

/// Installs what is missing, and looks again.
///
/// # Errors
/// If something is missing afterwards; with what to install.
pub(crate) fn ensure(look: impl Fn() -> Vec<Missing>) -> anyhow::Result<()> {
    let missing = look();
    if missing.is_empty() {
        return Ok(());
    }
    let tried = install(&packages(&missing));
    let missing = look();
    if missing.is_empty() { Ok(()) } else { bail!("{}", advice(&missing, tried.err().as_ref())) }
}

fn install(packages: &[&str]) -> anyhow::Result<()> {
    let (true, Some(privilege)) = (apt::is_there(), Privilege::look()) else {
        bail!("only root, or a user of sudo without a password, on Debian can have them installed here");
    };
    let step = Step::start(format!("installing {} with apt", packages.join(", ")));
    run_quietly(&mut apt(privilege, &["update"]), apt::TIMEOUT)?;
    let mut shell: Command = privilege.command("sh");
    run_quietly(shell.args(["-c", INSTALL, "sh"]).args(packages), apt::TIMEOUT)?;
    step.done("installed");
    Ok(())
}

fn packages(missing: &[Missing]) -> Vec<&'static str> {
    let mut packages: Vec<_> = missing.iter().map(|missing| missing.package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

fn advice(missing: &[Missing], tried: Option<&anyhow::Error>) -> String {
    let mut lines = vec!["programs are missing on this machine:".to_owned()];
    for (index, one) in missing.iter().enumerate() {
        // Two services may need the same program.
        if !missing.iter().take(index).any(|earlier| earlier == one) {
            lines.push(format!("- {}", one.program));
        }
    }
    if let Some(error) = tried {
        lines.push(format!("tried to install them: {error:#}"));
    }
    lines.push(format!(
        "install them, then run this again; on Debian: `sudo apt-get update && sudo apt-get install {}`",
        packages(missing).join(" ")
    ));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_package_each_once() {
        let maven = Missing { program: "mvn", package: "maven" };
        let text = advice(&[maven.clone(), Missing { program: "java 17 or newer", package: "java" }, maven], None);
        assert_eq!(text.matches("- mvn").count(), 1, "{text}");
        assert!(text.contains("- java 17 or newer") && text.ends_with("apt-get install java maven`"), "{text}");
    }

    #[test]
    fn nothing_is_installed_where_nothing_is_missing() {
        ensure(Vec::new).unwrap();
    }
}

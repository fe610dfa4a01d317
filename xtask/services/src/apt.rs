//! Debian's packages: whether they can be installed here, and how.

use std::process::Command;
use std::time::Duration;

use crate::progress::run_quietly;

/// For one call of apt; a slow mirror is slow, a dead one is given up.
pub const TIMEOUT: Duration = Duration::from_secs(600);
const LOOK_TIMEOUT: Duration = Duration::from_secs(20);

/// How a package is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// This is root.
    Root,
    /// sudo asks for no password.
    Sudo,
}

impl Privilege {
    /// Looks; none if nothing can be installed.
    pub fn look() -> Option<Self> {
        if is_root() {
            return Some(Self::Root);
        }
        says("sudo", &["--non-interactive", "true"]).map(|_| Self::Sudo)
    }

    /// A program that runs with this privilege.
    pub fn command(self, program: &str) -> Command {
        match self {
            Self::Root => Command::new(program),
            Self::Sudo => {
                let mut command = Command::new("sudo");
                command.args(["--non-interactive", program]);
                command
            }
        }
    }
}

/// `apt-get` with its arguments; it asks nothing.
pub fn apt(privilege: Privilege, args: &[&str]) -> Command {
    let mut command = privilege.command("env");
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]).args(args);
    command
}

/// Whether this machine has apt.
pub fn is_there() -> bool {
    says("apt-get", &["--version"]).is_some()
}

/// Whether this is root.
pub fn is_root() -> bool {
    says("id", &["-u"]).is_some_and(|user| user.trim() == "0")
}

fn says(program: &str, args: &[&str]) -> Option<String> {
    run_quietly(Command::new(program).args(args), LOOK_TIMEOUT).ok()
}

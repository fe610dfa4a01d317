//! The way to a standard library for wasm32 on this machine.
//!
//! What is installed comes first, then what can be had: [`ways`] decides from what [`Machine::look`] saw, and
//! [`Toolchain::find`] tries the ways in that order. It never touches rustup where `RUSTUP_AUTO_INSTALL=0` forbids it.

mod machine;

use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::bail;

use crate::workspace::cargo;
use greenroom_services::apt::{self, Privilege, apt};
use greenroom_services::progress::{Step, run_quietly};
use machine::{Machine, Rustup, TARGET};

/// Debian's compiler, cargo, library sources, and the name under which the compiler finds its linker.
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm"];
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
/// A mirror that does not answer must not hold up a first build; a standard library is 20 MB.
const RUSTUP_TIMEOUT: Duration = Duration::from_secs(90);

/// One way to a standard library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The active compiler has it.
    Active,
    /// Debian's compiler is installed and builds it from its sources.
    Debian,
    /// rustup adds it to the active toolchain.
    AddWithRustup,
    /// apt installs Debian's compiler.
    InstallDebian(Privilege),
}

/// The ways worth trying, the best first.
fn ways(machine: &Machine) -> Vec<Way> {
    let mut ways = Vec::new();
    if machine.active_has_target {
        ways.push(Way::Active);
    }
    if machine.debian_builds_std {
        ways.push(Way::Debian);
    }
    if machine.rustup == Rustup::MayInstall {
        ways.push(Way::AddWithRustup);
    }
    if let (false, true, Some(privilege)) = (machine.debian_builds_std, machine.has_apt, machine.privilege) {
        ways.push(Way::InstallDebian(privilege));
    }
    ways
}

/// A cargo that builds for wasm32, and how.
#[derive(Debug)]
pub(crate) enum Toolchain {
    /// The active one, as it is.
    Active,
    /// Debian's; it builds the standard library too.
    Debian {
        /// A `rust-lld` or `wasm-ld`; none if the compiler finds its own.
        linker: Option<PathBuf>,
    },
}

impl Toolchain {
    /// Looks at the machine and takes the first way that works, installing what it must.
    ///
    /// # Errors
    /// If no way works; with what to install.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let machine = Machine::look();
        let mut failures = Vec::new();
        for way in ways(&machine) {
            match take(way) {
                Ok(toolchain) => return Ok(toolchain),
                Err(error) => {
                    eprintln!("wasm32: {error:#}");
                    failures.push(format!("{error:#}"));
                }
            }
        }
        bail!("{}", advice(&machine, &failures))
    }

    /// The cargo to build with.
    pub(crate) fn cargo(&self) -> Command {
        match self {
            Toolchain::Active => cargo(),
            Toolchain::Debian { linker } => {
                let mut command = Command::new(DEBIAN_CARGO);
                // What rustup's proxy set for the active toolchain would lead Debian's compiler to the wrong libraries.
                for inherited in ["CARGO", "LD_LIBRARY_PATH", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
                    command.env_remove(inherited);
                }
                // Building the standard library is an unstable option; a stable compiler accepts it with this.
                command.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
                if let Some(linker) = linker {
                    command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
                }
                command
            }
        }
    }

    /// The arguments that `cargo build` needs besides.
    pub(crate) fn args(&self) -> &'static [&'static str] {
        match self {
            Toolchain::Active => &[],
            Toolchain::Debian { .. } => &["-Zbuild-std=std,panic_abort"],
        }
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Toolchain::Active => write!(f, "the active toolchain has the target {TARGET}"),
            Toolchain::Debian { linker: None } => write!(f, "Debian's rustc builds its standard library"),
            Toolchain::Debian { linker: Some(linker) } => {
                write!(f, "Debian's rustc builds its standard library, linking with {}", linker.display())
            }
        }
    }
}

fn take(way: Way) -> anyhow::Result<Toolchain> {
    match way {
        Way::Active => Ok(Toolchain::Active),
        Way::Debian => Ok(Toolchain::Debian { linker: machine::linker() }),
        Way::AddWithRustup => add_with_rustup(),
        Way::InstallDebian(privilege) => install_debian(privilege),
    }
}

fn add_with_rustup() -> anyhow::Result<Toolchain> {
    let step = Step::start(format!("adding the target {TARGET} with rustup"));
    run_quietly(Command::new("rustup").args(["target", "add", TARGET]), RUSTUP_TIMEOUT)?;
    if !machine::active_has_target() {
        bail!("rustup added {TARGET}, but the active rustc is not rustup's");
    }
    step.done("added");
    Ok(Toolchain::Active)
}

fn install_debian(privilege: Privilege) -> anyhow::Result<Toolchain> {
    let step = Step::start(format!("installing {} with apt", DEBIAN_PACKAGES.join(", ")));
    run_quietly(&mut apt(privilege, &["update"]), apt::TIMEOUT)?;
    let install = |packages: &[&str]| {
        let mut install = apt(privilege, &["install", "--yes", "--no-install-recommends"]);
        run_quietly(install.args(packages), apt::TIMEOUT)
    };
    install(&DEBIAN_PACKAGES)?;
    if machine::linker().is_none() {
        install(&[&machine::linker_package()])?;
    }
    if !machine::debian_builds_std() {
        bail!(
            "apt installed {}, but they are older than this workspace needs, or have no linker",
            DEBIAN_PACKAGES.join(", ")
        );
    }
    step.done("installed");
    Ok(Toolchain::Debian { linker: machine::linker() })
}

fn advice(machine: &Machine, failures: &[String]) -> String {
    let mut lines = vec![format!("no way to a standard library for {TARGET} on this machine")];
    lines.extend(failures.iter().map(|failure| format!("tried: {failure}")));
    lines.push("install one of these, then run this again:".into());
    match machine.rustup {
        Rustup::Absent => lines.push(format!("- rustup (https://rustup.rs), then `rustup target add {TARGET}`")),
        Rustup::Forbidden => lines
            .push(format!("- `rustup target add {TARGET}` (not run by itself, because RUSTUP_AUTO_INSTALL=0 is set)")),
        Rustup::MayInstall => lines.push(format!("- `rustup target add {TARGET}`")),
    }
    if machine.has_apt {
        let packages = format!("{} {}", DEBIAN_PACKAGES.join(" "), machine::linker_package());
        lines.push(format!(
            "- `sudo apt-get update && sudo apt-get install {packages}` (Debian 12 with its security updates)"
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: Machine = Machine {
        active_has_target: false,
        debian_builds_std: false,
        rustup: Rustup::Absent,
        has_apt: false,
        privilege: None,
    };

    #[test]
    fn what_is_installed_is_taken_before_anything_is_fetched() {
        let rich = Machine {
            active_has_target: true,
            debian_builds_std: true,
            rustup: Rustup::MayInstall,
            has_apt: true,
            privilege: Some(Privilege::Root),
        };
        assert_eq!(ways(&rich), [Way::Active, Way::Debian, Way::AddWithRustup]);
    }

    #[test]
    fn rustup_is_tried_before_apt() {
        let machine = Machine { rustup: Rustup::MayInstall, has_apt: true, privilege: Some(Privilege::Sudo), ..BARE };
        assert_eq!(ways(&machine), [Way::AddWithRustup, Way::InstallDebian(Privilege::Sudo)]);
    }

    #[test]
    fn rustup_is_left_alone_where_it_may_not_install() {
        let machine = Machine { rustup: Rustup::Forbidden, has_apt: true, privilege: Some(Privilege::Root), ..BARE };
        assert_eq!(ways(&machine), [Way::InstallDebian(Privilege::Root)]);
        assert!(advice(&machine, &[]).contains("RUSTUP_AUTO_INSTALL=0"));
    }

    #[test]
    fn apt_is_not_tried_without_the_right_to_install() {
        assert_eq!(ways(&Machine { has_apt: true, ..BARE }), []);
    }

    #[test]
    fn a_machine_that_offers_nothing_is_told_what_to_install_and_what_was_tried() {
        assert_eq!(ways(&BARE), []);
        let text = advice(&Machine { has_apt: true, ..BARE }, &["rustup gave no answer".into()]);
        assert!(text.contains("tried: rustup gave no answer"), "{text}");
        assert!(text.contains("https://rustup.rs") && text.contains("rustc-web cargo-web rust-web-src"), "{text}");
    }
}

//! What the machine has: the active compiler, Debian's, rustup, apt and the right to install.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{DEBIAN_CARGO, DEBIAN_RUSTC};
use greenroom_services::apt::{self, Privilege};
use greenroom_services::progress::run_quietly;

/// The target of every plugin.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";
/// The oldest minor version of Rust 1 that compiles this workspace, as `rust-version` in `Cargo.toml`.
const RUST_MINOR_MIN: u32 = 95;
const DEBIAN_LLD: &str = "/usr/bin/rust-lld";
const LOOK_TIMEOUT: Duration = Duration::from_secs(20);

/// The facts that decide.
#[derive(Debug, Clone, Copy)]
pub(super) struct Machine {
    /// The active rustc has a standard library for the target.
    pub(super) active_has_target: bool,
    /// Debian's rustc, cargo and library sources are there and new enough.
    pub(super) debian_builds_std: bool,
    pub(super) rustup: Rustup,
    pub(super) has_apt: bool,
    /// How to install with apt; none if it is not allowed.
    pub(super) privilege: Option<Privilege>,
}

/// What rustup may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rustup {
    /// It is not there.
    Absent,
    /// `RUSTUP_AUTO_INSTALL=0`: the user wants nothing installed that they did not ask for.
    Forbidden,
    /// It may add a target.
    MayInstall,
}

impl Machine {
    /// Looks; installs nothing.
    pub(super) fn look() -> Self {
        Self {
            active_has_target: active_has_target(),
            debian_builds_std: debian_builds_std(),
            rustup: rustup(),
            has_apt: apt::is_there(),
            privilege: Privilege::look(),
        }
    }
}

/// Whether the active rustc has a standard library for the target.
pub(super) fn active_has_target() -> bool {
    let library = says("rustc", &["--print", "target-libdir", "--target", TARGET]).map(PathBuf::from);
    let entries = library.and_then(|library| std::fs::read_dir(library).ok());
    entries.into_iter().flatten().flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}

/// Whether Debian's compiler is there, new enough, and has the sources of its standard library and a linker.
pub(super) fn debian_builds_std() -> bool {
    let new_enough =
        says(DEBIAN_RUSTC, &["--version"]).and_then(|line| minor(&line)).is_some_and(|m| m >= RUST_MINOR_MIN);
    let sysroot = says(DEBIAN_RUSTC, &["--print", "sysroot"]).unwrap_or_default();
    let sources = Path::new(&sysroot).join("lib/rustlib/src/rust/library/std/Cargo.toml");
    new_enough && sources.is_file() && Path::new(DEBIAN_CARGO).is_file() && linker().is_some()
}

/// The package with the linker: `rust-lld` is a link to a program of another package, which has the program's name.
pub(super) fn linker_package() -> String {
    let program = std::fs::read_link(DEBIAN_LLD).ok().and_then(|program| program.file_name().map(ToOwned::to_owned));
    program.map_or_else(|| "lld".into(), |name| name.to_string_lossy().into_owned())
}

/// A linker for wasm32: the active toolchain's, else one of Debian's.
pub(super) fn linker() -> Option<PathBuf> {
    let sysroot = says("rustc", &["--print", "sysroot"]).unwrap_or_default();
    let hosts = std::fs::read_dir(Path::new(&sysroot).join("lib/rustlib")).into_iter().flatten().flatten();
    let own = hosts.map(|host| host.path().join("bin/rust-lld"));
    own.chain([DEBIAN_LLD, "/usr/bin/wasm-ld"].map(PathBuf::from)).find(|linker| linker.is_file())
}

fn rustup() -> Rustup {
    if says("rustup", &["--version"]).is_none() {
        Rustup::Absent
    } else if std::env::var("RUSTUP_AUTO_INSTALL").is_ok_and(|value| value == "0") {
        Rustup::Forbidden
    } else {
        Rustup::MayInstall
    }
}

/// `rustc 1.96.0 (…)` → 96.
fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("rustc 1.")?.split('.').next()?.parse().ok()
}

/// What a program prints; none if it is not there or fails. Debian's rustc must not find the active one's libraries.
fn says(program: &str, args: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    if program == DEBIAN_RUSTC {
        command.env_remove("LD_LIBRARY_PATH");
    }
    run_quietly(command.args(args), LOOK_TIMEOUT).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minor_version_is_read_from_what_rustc_prints() {
        assert_eq!(minor("rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)"), Some(96));
        assert_eq!(minor("rustc 2.0.0"), None);
        assert_eq!(minor("not found"), None);
    }
}

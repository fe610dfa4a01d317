//! What can be said of a component before it is compiled: whether it is one, what it imports and exports, and whether its manifest
//! fits. Every refusal names the exact thing and the remedy.

use std::collections::BTreeSet;

use greenroom_manifest::{Grant, Manifest};
use semver::Version;
use wasmparser::{Parser, Payload};

use crate::plugin::Rejected;
use crate::plugin::limits::Bounds;

/// Every interface that this host offers, with its version and the grant that it needs.
const OFFERED: [(&str, &str, Option<Grant>); 12] = [
    ("greenroom:ledger/ledger", "0.1.0", Some(Grant::Ledger)),
    ("greenroom:cache/cache", "0.1.0", Some(Grant::Cache)),
    ("greenroom:db/db", "0.1.0", Some(Grant::Db)),
    ("greenroom:mq/mq", "0.1.0", Some(Grant::Mq)),
    ("greenroom:room/room", "0.1.0", None),
    ("greenroom:timer/timer", "0.1.0", Some(Grant::Timer)),
    ("wasi:config/store", "0.2.0-rc.1", None),
    ("wasi:logging/logging", "0.1.0-draft", None),
    ("wasi:clocks/wall-clock", "0.2.0", None),
    ("wasi:clocks/monotonic-clock", "0.2.0", None),
    ("wasi:random/random", "0.2.0", None),
    ("wasi:keyvalue/store", "0.2.0-draft2", Some(Grant::Cache)),
];

/// The package of the exports, and its version.
const EXPORT_PACKAGE: &str = "greenroom:plugin/";
const EXPORT_VERSION: &str = "0.1.0";

/// The names on the outside of a component.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outside {
    imports: Vec<String>,
    exports: BTreeSet<String>,
}

/// A refusal.
pub(crate) fn rejected(subject: impl Into<String>, fault: impl Into<String>) -> Rejected {
    Rejected { subject: subject.into(), fault: fault.into() }
}

/// Reads what is to be read without compiling, and checks it.
///
/// # Errors
/// With the first fault.
pub(crate) fn inspect(wasm: &[u8], bounds: &Bounds) -> Result<Manifest, Rejected> {
    check_kind(wasm, bounds)?;
    let outside = outside(wasm)?;
    for import in &outside.imports {
        check_import(import)?;
    }
    let manifest = greenroom_manifest::extract(wasm)
        .map_err(|e| rejected(format!("section {}", greenroom_manifest::SECTION), e.to_string()))?;
    for import in &outside.imports {
        check_grant(import, &manifest)?;
    }
    check_exports(&outside.exports, &manifest)?;
    Ok(manifest)
}

fn check_kind(wasm: &[u8], bounds: &Bounds) -> Result<(), Rejected> {
    let fault = if wasm.len() > bounds.component_bytes_max {
        format!("it has {} bytes; this host accepts up to {}", wasm.len(), bounds.component_bytes_max)
    } else if wasm.starts_with(b"\x7fELF") {
        "this is precompiled code, which is never accepted; upload the component it was made from".into()
    } else if Parser::is_core_wasm(wasm) {
        "this is a core module, not a component; turn it into one (`wasm-tools component new`)".into()
    } else if Parser::is_component(wasm) {
        return Ok(());
    } else if wasm.is_empty() {
        "there are no bytes".into()
    } else if b"\0asm\x0d\0\x01\0".starts_with(wasm) {
        "it ends within the header of a component: the file is truncated".into()
    } else {
        "this is not WebAssembly: it does not begin with the header of a component".into()
    };
    Err(rejected("component", fault))
}

fn outside(wasm: &[u8]) -> Result<Outside, Rejected> {
    let mut outside = Outside::default();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(broken)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    outside.imports.push(import.map_err(broken)?.name.name.into());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    outside.exports.insert(export.map_err(broken)?.name.name.into());
                }
            }
            _ => {}
        }
    }
    Ok(outside)
}

fn broken(error: wasmparser::BinaryReaderError) -> Rejected {
    let ends = error.message().contains("unexpected end");
    let what = if ends { "the file is truncated" } else { "it is not valid" };
    rejected("component", format!("{what}: {} at byte {}", error.message(), error.offset()))
}

fn check_import(import: &str) -> Result<(), Rejected> {
    let subject = format!("import {import}");
    let (name, version) = import.split_once('@').unwrap_or((import, ""));
    let Some((_, offered, _)) = OFFERED.iter().find(|(offered, ..)| *offered == name) else {
        return Err(rejected(subject, unknown_import(name)));
    };
    if !compatible(version, offered) {
        return Err(rejected(subject, format!("imports {import}; this host offers {offered}")));
    }
    Ok(())
}

fn unknown_import(name: &str) -> String {
    if name.starts_with("wasi:") {
        return "this host gives plugins no such access. Build for wasm32-unknown-unknown, or leave it out of the build: \
                `componentize-py --stub-wasi`, `jco componentize --disable all`, `wasi-virt` for a component that has it"
            .into();
    }
    let offered: Vec<String> = OFFERED.iter().map(|(name, version, _)| format!("{name}@{version}")).collect();
    format!("there is no such interface here; this host offers {}", offered.join(", "))
}

/// Whether something built against `wanted` runs on `offered`: the same up to the leading number that is not zero.
fn compatible(wanted: &str, offered: &str) -> bool {
    if wanted == offered {
        return true;
    }
    let (Ok(wanted), Ok(offered)) = (Version::parse(wanted), Version::parse(offered)) else { return false };
    if !wanted.pre.is_empty() || !offered.pre.is_empty() || wanted.major != offered.major {
        return false;
    }
    if offered.major > 0 {
        return true;
    }
    wanted.minor == offered.minor && (offered.minor > 0 || wanted.patch == offered.patch)
}

fn check_grant(import: &str, manifest: &Manifest) -> Result<(), Rejected> {
    let name = import.split_once('@').map_or(import, |(name, _)| name);
    let needed = OFFERED.iter().find(|(offered, ..)| *offered == name).and_then(|(.., grant)| *grant);
    match needed {
        Some(grant) if !manifest.grants.contains(&grant) => Err(missing_grant(grant, import)),
        _ => Ok(()),
    }
}

/// The refusal of an import without its grant.
pub(crate) fn missing_grant(grant: Grant, import: &str) -> Rejected {
    let name = format!("{grant:?}").to_lowercase();
    rejected(
        format!("grant {name}"),
        format!("the component imports {import}; add \"{name}\" to `grants` in its manifest"),
    )
}

fn check_exports(exports: &BTreeSet<String>, manifest: &Manifest) -> Result<(), Rejected> {
    for export in exports.iter().filter(|export| export.starts_with(EXPORT_PACKAGE)) {
        let version = export.split_once('@').map_or("", |(_, version)| version);
        if version != EXPORT_VERSION {
            let fault = format!("exports {export}; this host calls {EXPORT_VERSION}");
            return Err(rejected(format!("export {export}"), fault));
        }
    }
    let needs = [
        ("api", !manifest.routes.is_empty(), "has routes"),
        ("consumer", !manifest.consumes.is_empty(), "consumes topics"),
        ("timer-handler", manifest.grants.contains(&Grant::Timer), "asks for the grant `timer`"),
    ];
    for (interface, needed, why) in needs {
        let export = format!("{EXPORT_PACKAGE}{interface}@{EXPORT_VERSION}");
        if needed && !exports.contains(&export) {
            return Err(rejected(
                format!("export {export}"),
                format!("the manifest {why}, but the component lacks it"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_compatible_within_its_leading_number_and_a_draft_only_with_itself() {
        assert!(compatible("0.2.6", "0.2.0"));
        assert!(compatible("0.1.0-draft", "0.1.0-draft"));
        for (wanted, offered) in [("0.9.0", "0.1.0"), ("", "0.1.0"), ("0.2.0-rc.2", "0.2.0-rc.1"), ("1.0.0", "0.1.0")] {
            assert!(!compatible(wanted, offered), "{wanted} on {offered}");
        }
    }

    #[test]
    fn what_is_no_component_is_called_by_its_name() {
        let fault = |bytes: &[u8]| inspect(bytes, &Bounds::default()).unwrap_err().fault;
        assert!(fault(b"\0asm\x01\0\0\0").contains("core module"));
        assert!(fault(b"\0asm\x0d").contains("truncated"));
        assert!(fault(b"").contains("no bytes"));
        assert!(fault(b"\x7fELF\x02").contains("precompiled"));
        assert!(fault(b"(component)").contains("not WebAssembly"));
    }

    #[test]
    fn an_import_of_another_version_names_both() {
        let fault = check_import("greenroom:ledger/ledger@0.9.0").unwrap_err().fault;
        assert_eq!(fault, "imports greenroom:ledger/ledger@0.9.0; this host offers 0.1.0");
    }
}

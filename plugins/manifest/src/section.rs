//! The custom section in which a manifest travels. Tools that strip a component remove it, so it is added last.

use std::borrow::Cow;

use wasmparser::{Parser, Payload};

use crate::{Error, Manifest};

/// The section's name.
pub const SECTION: &str = "greenroom:manifest";

/// Adds the manifest to a component that has none yet.
///
/// # Errors
/// If the bytes are no component, or carry a manifest.
pub fn embed(component: &[u8], manifest: &Manifest) -> Result<Vec<u8>, Error> {
    let json = serde_json::to_vec(manifest).map_err(|e| Error::Parse(e.to_string()))?;
    if manifests(component)?.next().is_some() {
        return Err(Error::Twice);
    }
    let mut packed = component.to_vec();
    let section = wasm_encoder::CustomSection { name: SECTION.into(), data: Cow::Owned(json) };
    wasm_encoder::ComponentSection::append_to_component(&section, &mut packed);
    Ok(packed)
}

/// The manifest that a component carries.
///
/// # Errors
/// If the bytes are no component, carry no manifest, or one with a fault.
pub fn extract(component: &[u8]) -> Result<Manifest, Error> {
    let mut found = manifests(component)?;
    let first = found.next().ok_or(Error::Missing)??;
    if found.next().is_some() {
        return Err(Error::Twice);
    }
    Manifest::from_json(first)
}

fn manifests(component: &[u8]) -> Result<impl Iterator<Item = Result<&[u8], Error>>, Error> {
    Ok(sections(component)?.filter_map(|payload| match payload {
        Ok(Payload::CustomSection(section)) if section.name() == SECTION => Some(Ok(section.data())),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    }))
}

fn sections(component: &[u8]) -> Result<impl Iterator<Item = Result<Payload<'_>, Error>>, Error> {
    if !Parser::is_component(component) {
        let what = if Parser::is_core_wasm(component) {
            "it is a core module; turn it into a component first (`wasm-tools component new`)"
        } else {
            "it does not begin with the header of a component"
        };
        return Err(Error::Wasm(what.into()));
    }
    let mut depth = 0_u32;
    let outermost = Parser::new(0).parse_all(component).filter(move |payload| {
        match payload {
            Ok(Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) => depth += 1,
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    });
    Ok(outermost.map(|payload| payload.map_err(|e| Error::Wasm(e.to_string()))))
}

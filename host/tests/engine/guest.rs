//! Makes components out of WebAssembly text, with their manifests.

use serde_json::{Value, json};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Every export that a component may have.
pub const EXPORTS: [&str; 4] = ["api", "consumer", "lifecycle", "timer-handler"];

/// Every import that a component may have.
pub const ALL_IMPORTS: &str = "include greenroom:plugin/imports@0.1.0;";

/// The guest of `hostile.wat` under a name.
pub fn hostile(name: &str) -> Vec<u8> {
    packed(&component(include_str!("hostile.wat"), ALL_IMPORTS, &EXPORTS), &manifest(name))
}

/// The manifest that goes with it.
pub fn manifest(name: &str) -> Value {
    json!({
        "name": name,
        "version": "1.0.0",
        "description": "Does what it is told.",
        "routes": [{
            "method": "POST",
            "path": "act",
            "roles": ["viewer"],
            "request": { "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] },
        }],
        "config": {
            "type": "object",
            "properties": { "share": { "type": "integer", "minimum": 0, "default": 50 } },
            "additionalProperties": false,
        },
        "grants": ["cache", "push", "timer"],
        "publishes": [format!("{name}.sent")],
        "consumes": [format!("{name}.sent")],
        "limits": { "timeout-ms": 3000 },
    })
}

/// A component of a core module in text; `imports` is what its world has besides its exports.
pub fn component(wat: &str, imports: &str, exports: &[&str]) -> Vec<u8> {
    let mut module = wat::parse_str(wat).expect("the text is a module");
    let mut resolve = Resolve::default();
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit");
    resolve.push_dir(wit).expect("the WIT is in order");
    let exports: String = exports.iter().map(|name| format!("export greenroom:plugin/{name}@0.1.0;")).collect();
    let text = format!("package test:guest; world guest {{ {imports} {exports} }}");
    let package = resolve.push_str("guest.wit", &text).expect("the world is in order");
    let world = resolve.select_world(&[package], Some("guest")).expect("the world is there");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).expect("the world fits");
    let mut encoder = ComponentEncoder::default();
    encoder.module(&module).expect("the module has its metadata");
    encoder.validate(true).encode().expect("the module fits the world")
}

/// A component with its manifest, which need not fit.
pub fn packed(component: &[u8], manifest: &Value) -> Vec<u8> {
    let manifest = greenroom_manifest::Manifest::from_json(manifest.to_string().as_bytes()).expect("a manifest");
    greenroom_manifest::embed(component, &manifest).expect("a component without a manifest")
}

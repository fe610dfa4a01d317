//! JSON Schemas of plugins: configuration with its defaults, the queries and bodies of requests.

use jsonschema::Validator;
use serde_json::Value;

use crate::plugin::{ConfigFault, Rejected};

/// How deep defaults are filled in.
const DEPTH_MAX: u32 = 16;

/// A schema, compiled.
pub(crate) struct Schema {
    source: Value,
    validator: Validator,
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// If it is none; `subject` names it.
    pub(crate) fn compile(subject: &str, source: &Value) -> Result<Self, Rejected> {
        let fault = |e: String| Rejected { subject: subject.into(), fault: format!("not a valid JSON Schema: {e}") };
        let validator = jsonschema::validator_for(source).map_err(|e| fault(e.to_string()))?;
        Ok(Self { source: source.clone(), validator })
    }

    /// As it was written.
    pub(crate) fn source(&self) -> &Value {
        &self.source
    }

    /// Checks a value.
    ///
    /// # Errors
    /// With the place of the first fault.
    pub(crate) fn check(&self, value: &Value) -> Result<(), ConfigFault> {
        self.validator.validate(value).map_err(|error| {
            let fault = error.to_string();
            ConfigFault { pointer: error.instance_path().as_str().into(), fault }
        })
    }

    /// Puts in the `default` of every property that the value leaves out, in objects within objects too.
    pub(crate) fn fill_in(&self, value: &mut Value) {
        fill_in(&self.source, &self.source, value, DEPTH_MAX);
    }
}

fn fill_in(root: &Value, schema: &Value, value: &mut Value, depth: u32) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let schema = resolve(root, schema);
    let (Some(properties), Some(object)) = (schema.get("properties").and_then(Value::as_object), value.as_object_mut())
    else {
        return;
    };
    for (name, property) in properties {
        if !object.contains_key(name)
            && let Some(default) = resolve(root, property).get("default")
        {
            object.insert(name.clone(), default.clone());
        }
        if let Some(inner) = object.get_mut(name) {
            fill_in(root, property, inner, depth);
        }
    }
}

/// Follows a reference within the schema, once.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
    target.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_are_filled_in_within_objects_and_through_references() {
        let schema = Schema::compile(
            "config",
            &json!({
                "type": "object",
                "properties": {
                    "share": { "type": "integer", "default": 50 },
                    "combo": { "$ref": "#/$defs/combo", "default": {} },
                },
                "$defs": { "combo": { "type": "object", "properties": { "window": { "default": 3 } } } },
            }),
        )
        .unwrap();
        let mut value = json!({ "combo": { "x": 1 } });
        schema.fill_in(&mut value);
        assert_eq!(value, json!({ "share": 50, "combo": { "x": 1, "window": 3 } }));
    }

    #[test]
    fn a_fault_has_a_json_pointer() {
        let source = json!({ "properties": { "a": { "properties": { "b": { "type": "integer" } } } } });
        let schema = Schema::compile("config", &source).unwrap();
        let fault = schema.check(&json!({ "a": { "b": "x" } })).unwrap_err();
        assert_eq!(fault.pointer, "/a/b");
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        assert!(Schema::compile("config", &json!({ "type": "number of things" })).is_err());
    }
}

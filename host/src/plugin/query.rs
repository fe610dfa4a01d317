//! A query as the object that its schema is about: each value is text, and becomes what the schema says.

use serde_json::{Map, Value};

/// The object. What does not become what its schema says stays a text, which the schema then refuses.
pub(crate) fn object(schema: &Value, pairs: &[(String, String)]) -> Value {
    let properties = schema.get("properties");
    let value = |(name, text): &(String, String)| {
        let property = properties.and_then(|properties| properties.get(name));
        (name.clone(), property.and_then(|property| read(property, text)).unwrap_or_else(|| text.as_str().into()))
    };
    Value::Object(pairs.iter().map(value).collect::<Map<_, _>>())
}

/// A number or a boolean, where the schema asks for one and not for a text.
fn read(schema: &Value, text: &str) -> Option<Value> {
    if is_of(schema, "string") {
        return None;
    }
    let value: Value = serde_json::from_str(text).ok()?;
    let is_asked = (value.is_number() && (is_of(schema, "integer") || is_of(schema, "number")))
        || (value.is_boolean() && is_of(schema, "boolean"));
    is_asked.then_some(value)
}

/// Whether a schema allows a type, by its `type` or by one of its alternatives.
fn is_of(schema: &Value, kind: &str) -> bool {
    let is_named = match schema.get("type") {
        Some(Value::String(only)) => only == kind,
        Some(Value::Array(kinds)) => kinds.iter().any(|other| other == kind),
        _ => schema
            .get("enum")
            .and_then(Value::as_array)
            .is_some_and(|of| kind == "string" && of.iter().any(Value::is_string)),
    };
    let mut alternatives = ["anyOf", "oneOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    is_named || alternatives.any(|alternative| is_of(alternative, kind))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_become_what_the_schema_says() {
        let schema = json!({ "properties": {
            "limit": { "type": ["integer", "null"] },
            "all": { "type": "boolean" },
            "user": { "anyOf": [{ "type": "integer" }, { "type": "string" }] },
            "period": { "enum": ["7", "30"] },
        } });
        let pairs = [("limit", "20"), ("all", "true"), ("user", "7"), ("period", "7"), ("odd", "1")];
        let pairs = pairs.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let expected = json!({ "limit": 20, "all": true, "user": "7", "period": "7", "odd": "1" });
        assert_eq!(object(&schema, &pairs), expected);
        let wrong = [("limit".to_owned(), "many".to_owned()), ("all".to_owned(), "1".to_owned())];
        assert_eq!(object(&schema, &wrong), json!({ "limit": "many", "all": "1" }));
    }
}

//! JSON Schemas of the SDK's own types.

use std::borrow::Cow;

use schemars::generate::Contract;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{Amount, Id};

impl JsonSchema for Id {
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        match generator.contract() {
            Contract::Serialize => json_schema!({ "type": "string", "pattern": "^[1-9][0-9]{0,18}$" }),
            _ => json_schema!({ "anyOf": [
                { "type": "integer", "minimum": 1, "maximum": i64::MAX },
                { "type": "string", "pattern": "^[1-9][0-9]{0,18}$" },
            ]}),
        }
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        match generator.contract() {
            Contract::Serialize => json_schema!({ "type": "string", "pattern": "^-?[0-9]{1,19}$" }),
            _ => json_schema!({ "anyOf": [
                { "type": "integer" },
                { "type": "string", "pattern": "^-?[0-9]{1,19}$" },
            ]}),
        }
    }
}

/// The schema of an [`Amount`] of 1 or more, such as a price: `#[schemars(schema_with = "positive_amount")]`.
#[must_use]
pub fn positive_amount(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [
        { "type": "integer", "minimum": 1, "maximum": i64::MAX },
        { "type": "string", "pattern": "^[1-9][0-9]{0,18}$" },
    ]})
}

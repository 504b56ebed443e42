//! The published JSON Schema (draft 2020-12) of the native form, made from the model's types and their docs.
//!
//! Everything is required and nothing else is allowed: a field that a reader does not know is a new version of the schema.

use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Value, json};

use super::model::{Kind, SCHEMA_VERSION};

/// The schema of one line.
#[must_use]
pub fn native() -> Value {
    let mut generator = SchemaGenerator::new(SchemaSettings::draft2020_12().for_serialize());
    let kinds: Vec<Value> = Kind::ALL.into_iter().map(|kind| of_kind(kind, &mut generator)).collect();
    let mut root = json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("urn:ingress-auditor:schema:native:{SCHEMA_VERSION}"),
        "title": "Ingress Auditor: native form of an event",
        "description": "One line of output is one event. Every field is always there; what is not known is null.",
        "oneOf": kinds,
        "$defs": generator.take_definitions(true),
    });
    Closed.transform(&mut root);
    root.to_value()
}

fn of_kind(kind: Kind, generator: &mut SchemaGenerator) -> Value {
    let mut schema = kind.line_schema(generator);
    schema.insert("title".into(), json!(kind.name()));
    schema.insert("description".into(), json!(kind.title()));
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.insert(
            "kind".into(),
            json!({ "description": "What the event is about.", "const": kind.name() }),
        );
    }
    schema.to_value()
}

/// Says of each object with properties that it has no others, in the one way that every validator understands.
struct Closed;

impl Transform for Closed {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        if schema.get("properties").is_some() {
            schema.remove("unevaluatedProperties");
            schema.insert("additionalProperties".into(), Value::Bool(false));
        }
    }
}

//! The native rendering: compact JSON, one event a line.
//!
//! Consumes events, appends bytes. A line never holds a newline: JSON escapes control characters (RFC 8259, 7).

mod json;

use serde::Serialize;

use super::model::Event;
use json::Json;

/// Appends `event` and a newline to `out`.
///
/// # Errors
///
/// None that an [`Event`] can cause; `out` is as it was then.
pub fn render(event: &Event, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let start = out.len();
    match event.serialize(Json(out)) {
        Ok(()) => {
            out.push(b'\n');
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};
    use std::{env, fs};

    use serde_json::Value;

    use super::super::model::{Event, Kind};
    use super::super::{sample, schema};
    use super::render;

    fn line(event: &Event) -> String {
        let mut out = Vec::new();
        render(event, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Compares a committed file with what it should hold, or writes it if `UPDATE_GOLDEN` is 1.
    #[track_caller]
    fn check_file(path: &Path, current: &str) {
        if env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, current).unwrap();
        }
        let committed = fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == current,
            "{} is not current: run the tests with UPDATE_GOLDEN=1 and review",
            path.display()
        );
    }

    fn root() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
    }

    fn validator() -> jsonschema::Validator {
        jsonschema::draft202012::options().should_validate_formats(true).build(&schema::native()).unwrap()
    }

    #[test]
    fn committed_schema_is_current_and_valid() {
        let schema = schema::native();
        jsonschema::draft202012::meta::validate(&schema).unwrap();
        check_file(
            &root().join("../docs/schema/native.json"),
            &(serde_json::to_string_pretty(&schema).unwrap() + "\n"),
        );
    }

    #[test]
    fn golden_files_are_current_valid_and_read_back() {
        let validator = validator();
        for kind in Kind::ALL {
            let event = sample::event(kind);
            let line = line(&event);
            assert_eq!(line.matches('\n').count(), 1);
            let value: Value = serde_json::from_str(&line).unwrap();
            if let Err(error) = validator.validate(&value) {
                panic!("{}: {error} at {}", kind.name(), error.instance_path());
            }
            let path = root().join(format!("tests/golden/{}.json", kind.name()));
            check_file(&path, &(serde_json::to_string_pretty(&value).unwrap() + "\n"));
            let read: Event = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
            assert_eq!(read, event);
            assert_eq!(self::line(&read), line);
        }
    }

    /// The samples would hide a nullable field's type if they left it null.
    #[test]
    fn samples_are_fully_populated() {
        fn walk(value: &Value, path: &str) {
            match value {
                Value::Null => panic!("{path} is null"),
                Value::Array(items) => {
                    assert!(!items.is_empty(), "{path} is empty");
                    items.iter().for_each(|item| walk(item, path));
                }
                Value::Object(fields) => {
                    fields.iter().for_each(|(key, value)| walk(value, &format!("{path}/{key}")))
                }
                _ => {}
            }
        }
        for kind in Kind::ALL {
            walk(&serde_json::to_value(sample::event(kind)).unwrap(), kind.name());
        }
    }

    /// Each pointer to a value inside `value`.
    fn pointers(value: &Value, at: &str, out: &mut BTreeSet<String>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), value)).collect(),
            Value::Array(items) => {
                items.iter().enumerate().map(|(n, value)| (n.to_string(), value)).collect()
            }
            _ => Vec::new(),
        };
        for (key, child) in children {
            let pointer = format!("{at}/{key}");
            pointers(child, &pointer, out);
            out.insert(pointer);
        }
    }

    #[test]
    fn schema_and_reader_accept_the_same() {
        let validator = validator();
        let mut nullable = 0;
        for kind in Kind::ALL {
            let value = serde_json::to_value(sample::event(kind)).unwrap();
            let mut all = BTreeSet::new();
            pointers(&value, "", &mut all);
            for pointer in &all {
                let with = |change: &dyn Fn(&mut Value)| {
                    let mut changed = value.clone();
                    change(changed.pointer_mut(pointer).unwrap());
                    (validator.is_valid(&changed), serde_json::from_value::<Event>(changed).is_ok())
                };
                let (valid, readable) = with(&|value| *value = Value::Null);
                assert_eq!(valid, readable, "{} {pointer}: null", kind.name());
                nullable += usize::from(valid);
                assert_eq!(
                    with(&|value| *value = true.into()).0,
                    value.pointer(pointer).unwrap().is_boolean()
                );
                let is_map = pointer == "/counters";
                let unknown = with(&|value| {
                    if let Value::Object(fields) = value {
                        fields.insert("unknown".into(), 1.into());
                    }
                });
                let is_closed = value.pointer(pointer).unwrap().is_object() && !is_map;
                assert_eq!(unknown, (!is_closed, !is_closed), "{} {pointer}: unknown field", kind.name());

                let (parent, key) = pointer.rsplit_once('/').unwrap();
                let mut without = value.clone();
                if let Some(Value::Object(fields)) = without.pointer_mut(parent)
                    && parent != "/counters"
                {
                    fields.remove(key);
                    assert!(!validator.is_valid(&without), "{} {pointer}: left out", kind.name());
                }
            }
        }
        assert!(nullable > 100, "{nullable}");
    }

    #[test]
    fn refuses_what_is_out_of_bounds() {
        let validator = validator();
        for (pointer, bad) in [
            ("/sequence", Value::from(1_u64 << 53)),
            ("/sequence", Value::from(-1)),
            ("/time", Value::from("2026-11-23T20:43:15Z")),
            ("/id", Value::from("42")),
            ("/client/address", Value::from("example.com")),
            ("/client/port", Value::from(65_536)),
            ("/role", Value::from("egress")),
            ("/chain/hash", Value::from("A1")),
            ("/kind", Value::from("connection")),
            ("/kind", Value::from("http.reply")),
        ] {
            let mut value = serde_json::to_value(sample::event(Kind::HttpRequest)).unwrap();
            *value.pointer_mut(pointer).unwrap() = bad.clone();
            assert!(!validator.is_valid(&value), "{pointer} {bad}");
            assert!(serde_json::from_value::<Event>(value).is_err(), "{pointer} {bad}");
        }
    }

    #[test]
    fn a_request_has_the_published_order() {
        let value: Value = serde_json::from_str(&line(&sample::event(Kind::HttpRequest))).unwrap();
        let keys = |pointer: &str| {
            let object = value.pointer(pointer).unwrap().as_object().unwrap();
            object.keys().cloned().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            keys(""),
            "kind id time sequence cluster node controller client tls http auth route backend role answered_by agrees \
             outcome timing observation chain"
        );
        assert_eq!(keys("/controller"), "kind namespace pod container");
        assert_eq!(keys("/client"), "address port determined_by peer proxy_protocol forwarded_in forwarded");
        assert_eq!(
            keys("/tls"),
            "version cipher group sni alpn ja4 resumed ech_offered handshake alerts certificate \
             client_certificate_requested client_certificate"
        );
        assert_eq!(keys("/tls/alerts/0"), "from fatal in_handshake description");
        assert_eq!(
            keys("/tls/certificate"),
            "sha256 subject alternative_names alternative_names_left_out issuer serial_number not_before not_after"
        );
        assert_eq!(keys("/http"), "version stream request response tunnel grpc");
        assert_eq!(keys("/http/grpc"), "service method status");
        assert_eq!(
            keys("/http/request"),
            "method scheme host path query query_masked user_agent referer id trace_id head_bytes body_bytes"
        );
        assert_eq!(keys("/http/response"), "status content_type location head_bytes body_bytes");
        assert_eq!(keys("/auth"), "kind subject issuer verified outcome credential_hash");
        assert_eq!(keys("/route"), "matched kind namespace name host path path_type service port");
        assert_eq!(keys("/backend"), "address port service namespace pod status duration_us join attempts");
        assert_eq!(
            keys("/backend/attempts/0"),
            "address port method path status purpose outcome started duration_us bytes"
        );
        assert_eq!(keys("/observation"), "complete missing_bytes notes");
    }
}

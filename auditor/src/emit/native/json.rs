//! A `serde` serializer for what events are made of, as compact JSON into a `Vec`.
//!
//! The bytes are those of `serde_json`, in a fraction of the time: names of fields and variants are the program's own and
//! copied without a look, and so is a string that needs no escape, which is nearly every one; one that does is left to
//! `serde_json`. Kinds of values that no event holds (floating point, bytes, tuples) are refused.

use serde::Serialize;
use serde::ser::{self, Impossible, SerializeMap, SerializeSeq, SerializeStruct};
use serde_json::Error;

/// Appends one value.
pub(super) struct Json<'a>(pub(super) &'a mut Vec<u8>);

/// The items of an array or an object, after its opening bracket.
pub(super) struct Items<'a> {
    out: &'a mut Vec<u8>,
    close: u8,
    first: bool,
}

/// Whether a string stands in JSON as it is (RFC 8259, 7): sixteen bytes at a time, the last sixteen perhaps again.
fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| (byte >= b' ') & (byte != b'"') & (byte != b'\\');
    let block = |block: &[u8; 16]| block.iter().fold(true, |all, byte| all & plain(*byte));
    let bytes = text.as_bytes();
    match bytes.last_chunk() {
        Some(last) => bytes.as_chunks().0.iter().all(block) && block(last),
        None => bytes.iter().all(|byte| plain(*byte)),
    }
}

fn refused<T>(what: &str) -> Result<T, Error> {
    Err(ser::Error::custom(format_args!("no event holds {what}")))
}

impl<'a> Json<'a> {
    fn raw(self, bytes: &[u8]) -> Result<(), Error> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// A string that needs no escape.
    #[inline]
    fn plain(self, text: &str) -> Result<(), Error> {
        self.0.reserve(text.len() + 2);
        self.0.push(b'"');
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(b'"');
        Ok(())
    }

    fn items(self, open: u8, close: u8) -> Result<Items<'a>, Error> {
        self.0.push(open);
        Ok(Items { out: self.0, close, first: true })
    }
}

impl Items<'_> {
    #[inline]
    fn next(&mut self) -> Json<'_> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        Json(self.out)
    }

    fn close(self) -> Result<(), Error> {
        self.out.push(self.close);
        Ok(())
    }
}

impl<'a> ser::Serializer for Json<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Items<'a>;
    type SerializeMap = Items<'a>;
    type SerializeStruct = Items<'a>;
    type SerializeTuple = Impossible<(), Error>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeStructVariant = Impossible<(), Error>;

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.raw(if value { b"true" } else { b"false" })
    }
    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }
    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }
    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }
    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        self.raw(itoa::Buffer::new().format(value).as_bytes())
    }
    fn serialize_i8(self, value: i8) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }
    fn serialize_i16(self, value: i16) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }
    fn serialize_i32(self, value: i32) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }
    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        self.raw(itoa::Buffer::new().format(value).as_bytes())
    }
    fn serialize_f32(self, _: f32) -> Result<(), Error> {
        refused("a floating point number")
    }
    fn serialize_f64(self, _: f64) -> Result<(), Error> {
        refused("a floating point number")
    }
    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }
    fn serialize_str(self, text: &str) -> Result<(), Error> {
        if is_plain(text) { self.plain(text) } else { serde_json::to_writer(self.0, text) }
    }
    fn serialize_bytes(self, _: &[u8]) -> Result<(), Error> {
        refused("bytes")
    }
    fn serialize_none(self) -> Result<(), Error> {
        self.raw(b"null")
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), Error> {
        self.raw(b"null")
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.raw(b"null")
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.plain(variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Error> {
        refused("a variant with a value")
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'a>, Error> {
        self.items(b'[', b']')
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Items<'a>, Error> {
        self.items(b'{', b'}')
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Items<'a>, Error> {
        self.items(b'{', b'}')
    }
    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Error> {
        refused("a tuple")
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Error> {
        refused("a tuple")
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        refused("a variant with a value")
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        refused("a variant with a value")
    }
}

impl SerializeSeq for Items<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(self.next())
    }
    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl SerializeStruct for Items<'_> {
    type Ok = ();
    type Error = Error;

    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        let Json(out) = self.next();
        out.reserve(name.len() + 3);
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        value.serialize(Json(out))
    }
    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl SerializeMap for Items<'_> {
    type Ok = ();
    type Error = Error;

    /// The key of an event's map is a string: whatever else would come out is refused.
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        let Json(out) = self.next();
        let start = out.len();
        key.serialize(Json(out))?;
        if out.get(start) == Some(&b'"') { Ok(()) } else { refused("a key that is no string") }
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.out.push(b':');
        value.serialize(Json(self.out))
    }
    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn json(value: &impl Serialize) -> Result<String, Error> {
        let mut out = Vec::new();
        value.serialize(Json(&mut out))?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[derive(Serialize)]
    struct Nested<'a> {
        empty: Vec<u8>,
        list: Vec<Option<&'a str>>,
        map: BTreeMap<&'a str, i64>,
        number: u64,
        yes: bool,
        letter: char,
    }

    proptest! {
        #[test]
        fn is_what_serde_json_writes(
            first in "[\\x00-\\x7f]{0,40}",
            second in ".{0,40}",
            signed: i64,
            number: u64,
            yes: bool,
            letter: char,
        ) {
            let map = BTreeMap::from([(first.as_str(), signed), (second.as_str(), -1)]);
            let list = vec![Some(first.as_str()), None, Some(second.as_str())];
            let nested = vec![Nested { empty: Vec::new(), list, map, number, yes, letter }];
            prop_assert_eq!(json(&nested).unwrap(), serde_json::to_string(&nested).unwrap());
        }
    }

    #[test]
    fn every_byte_that_needs_an_escape_has_one() {
        for byte in 0..=0x7fu8 {
            let text = format!("before{}after", char::from(byte));
            assert_eq!(json(&text).unwrap(), serde_json::to_string(&text).unwrap());
        }
    }

    #[test]
    fn what_would_not_be_an_event_is_refused() {
        assert!(json(&1.5).is_err());
        assert!(json(&("a", 1)).is_err());
        assert!(json(&BTreeMap::from([(1, 2)])).is_err());
        assert!(json(&Ok::<u8, u8>(1)).is_err());
    }
}

//! A query as a type: each value is text, and becomes what the type's field asks for.

use serde::de::value::{Error, MapDeserializer};
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::Problem;

/// Reads the parameters of a query.
///
/// # Errors
/// 400 with what is wrong.
pub(crate) fn read<T: DeserializeOwned>(pairs: &[(String, String)]) -> Result<T, Problem> {
    let map = MapDeserializer::new(pairs.iter().map(|(name, value)| (name.as_str(), Value(name, value))));
    T::deserialize(map).map_err(|e: Error| Problem::invalid(format!("query: {e}")))
}

/// A parameter's name, for what is said of it, and its text.
struct Value<'a>(&'a str, &'a str);

impl<'a> IntoDeserializer<'a, Error> for Value<'a> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed {
    ($($method:ident => $visit:ident: $kind:literal,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let value = self.1.parse().map_err(|_| de::Error::custom(format!("`{}` must be {}", self.0, $kind)))?;
            visitor.$visit(value).map_err(|e: Error| de::Error::custom(format!("`{}`: {e}", self.0)))
        }
    )*};
}

impl<'de> Deserializer<'de> for Value<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.1).map_err(|e: Error| de::Error::custom(format!("`{}`: {e}", self.0)))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let variant: de::value::StrDeserializer<'_, Error> = self.1.into_deserializer();
        visitor.visit_enum(variant).map_err(|e| de::Error::custom(format!("`{}`: {e}", self.0)))
    }

    parsed! {
        deserialize_bool => visit_bool: "true or false",
        deserialize_u8 => visit_u8: "a whole number from 0 to 255",
        deserialize_u16 => visit_u16: "a whole number from 0 to 65535",
        deserialize_u32 => visit_u32: "a whole number from 0 to 4294967295",
        deserialize_u64 => visit_u64: "a whole number of 0 or more",
        deserialize_i8 => visit_i8: "a whole number",
        deserialize_i16 => visit_i16: "a whole number",
        deserialize_i32 => visit_i32: "a whole number",
        deserialize_i64 => visit_i64: "a whole number",
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Id;

    #[crate::request]
    struct Asked {
        period: Option<Period>,
        limit: Option<u32>,
        after: Option<Id>,
        #[serde(default)]
        all: bool,
    }

    #[derive(Copy, Eq)]
    #[crate::request]
    enum Period {
        Day,
        Week,
    }

    fn asked(pairs: &[(&str, &str)]) -> Result<Asked, String> {
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        read(&pairs).map_err(|problem| problem.detail)
    }

    #[test]
    fn texts_become_what_the_fields_are() {
        let read = asked(&[("period", "week"), ("limit", "20"), ("after", "7"), ("all", "true")]).unwrap();
        assert_eq!(read, Asked { period: Some(Period::Week), limit: Some(20), after: Id::new(7), all: true });
        assert_eq!(asked(&[]).unwrap(), Asked { period: None, limit: None, after: None, all: false });
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_name() {
        for (name, value) in [("limit", "-1"), ("limit", "1.5"), ("after", "0"), ("all", "yes"), ("period", "year")] {
            let fault = asked(&[(name, value)]).unwrap_err();
            assert!(fault.starts_with("query: ") && fault.contains(&format!("`{name}`")), "{fault}");
        }
        let unknown = asked(&[("odd", "1")]).unwrap_err();
        assert!(unknown.contains("odd"), "{unknown}");
    }
}

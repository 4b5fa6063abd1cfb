//! Bodies: the typed, layout-independent content of a record.

use std::cmp::Ordering;

use bytes::Bytes;

use crate::canonical;
use crate::{Decimal, Float, Integer, ValueRef};

/// A canonical typed value. Null, `""` and absent differ; so do integer and float, text and bytes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Body {
    /// Nothing, said explicitly.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// An integer of any size.
    Int(Integer),
    /// A decimal number, scale kept.
    Decimal(Decimal),
    /// A 64-bit float, every bit kept (NaN normalised).
    Float(Float),
    /// Text.
    Text(Box<str>),
    /// Bytes.
    Bytes(Bytes),
    /// A sequence.
    List(Vec<Body>),
    /// A map without order.
    Map(Map),
    /// A large value, named by its digest; its bytes travel beside the body.
    Value(ValueRef),
}

impl Body {
    /// Makes text.
    pub fn text(text: impl Into<Box<str>>) -> Self {
        Self::Text(text.into())
    }

    /// Makes an integer.
    pub fn int(n: i64) -> Self {
        Self::Int(n.into())
    }

    /// Makes text, or null where there is none.
    pub fn text_or_null(text: Option<&str>) -> Self {
        text.map_or(Self::Null, Self::text)
    }

    /// Returns the text, where it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(t) => Some(t),
            _ => None,
        }
    }

    /// Returns the map, where it is one.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(m) => Some(m),
            _ => None,
        }
    }

    /// Returns the items, where it is a list.
    pub fn as_list(&self) -> Option<&[Body]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the value's name, where it is one.
    pub fn as_value(&self) -> Option<ValueRef> {
        match self {
            Self::Value(v) => Some(*v),
            _ => None,
        }
    }

    /// Returns the entry of a map by its text key, where both are there.
    pub fn get(&self, key: &str) -> Option<&Body> {
        self.as_map()?.get(key)
    }

    /// Calls `visit` for each large value that the body names, in canonical order.
    pub fn each_value(&self, visit: &mut impl FnMut(ValueRef)) {
        match self {
            Self::Value(v) => visit(*v),
            Self::List(items) => items.iter().for_each(|i| i.each_value(visit)),
            Self::Map(map) => map.iter().for_each(|(k, v)| {
                k.each_value(visit);
                v.each_value(visit);
            }),
            _ => {}
        }
    }
}

/// A map without order: entries sorted by canonical key, each key once.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Map(Vec<(Body, Body)>);

impl Map {
    /// Makes a map; of entries with one key the last stays, as in Python and JSON.
    pub fn from_pairs(mut pairs: Vec<(Body, Body)>) -> Self {
        if !pairs.windows(2).all(|w| key_order(&w[0].0, &w[1].0) == Ordering::Less) {
            pairs.sort_by(|a, b| key_order(&a.0, &b.0));
            pairs.reverse();
            pairs.dedup_by(|later, kept| later.0 == kept.0);
            pairs.reverse();
        }
        Self(pairs)
    }

    /// Returns the entry of a text key.
    pub fn get(&self, key: &str) -> Option<&Body> {
        let order = |(k, _): &(Body, Body)| match k {
            Body::Text(t) => text_order(t, key),
            other => key_order(other, &Body::text(key)),
        };
        self.0.binary_search_by(order).ok().map(|at| &self.0[at].1)
    }

    /// Returns the entries in canonical order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &(Body, Body)> {
        self.0.iter()
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Says whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the entries, sorted.
    pub fn into_pairs(self) -> Vec<(Body, Body)> {
        self.0
    }
}

impl<const N: usize> From<[(&str, Body); N]> for Map {
    fn from(pairs: [(&str, Body); N]) -> Self {
        Self::from_pairs(pairs.into_iter().map(|(k, v)| (Body::text(k), v)).collect())
    }
}

fn text_order(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Orders map keys as their canonical encodings order: text by length, then by bytes.
pub(crate) fn key_order(a: &Body, b: &Body) -> Ordering {
    match (a, b) {
        (Body::Text(a), Body::Text(b)) => text_order(a, b),
        _ => canonical::key_rank(a).cmp(&canonical::key_rank(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_two_entries_stays() {
        let pair = |k: &str, n| (Body::text(k), Body::int(n));
        let map = Map::from_pairs(vec![pair("b", 1), pair("a", 2), pair("b", 3)]);
        assert_eq!(map.len(), 2);
        assert_eq!(map.get("b"), Some(&Body::int(3)));
        assert_eq!(map.get("a"), Some(&Body::int(2)));
        assert_eq!(map.get("c"), None);
    }
}

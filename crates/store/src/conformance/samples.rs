//! Sample records: what a seed makes is the same for ever, and the keys do not depend on it.

use bytes::Bytes;
use restow_model::{
    Body, Decimal, Float, Form, Integer, Key, Map, Record, Residue, Value, ValueRef,
};

use crate::wrap::fault::Numbers;

const LARGE_BYTES: usize = 200 << 10;

fn numbers(seed: u64, n: usize) -> Numbers {
    Numbers(seed.wrapping_mul(0x9e37_79b9).wrapping_add(n as u64))
}

fn bytes(numbers: &mut Numbers, len: usize) -> Vec<u8> {
    let words = std::iter::repeat_with(|| numbers.next().to_le_bytes());
    words.flatten().take(len).collect()
}

/// Makes records with every type of body, values of every form and size, and residue.
pub fn generic(seed: u64, n: usize) -> Vec<Record> {
    (0..n).map(|n| generic_record(&mut numbers(seed, n), n)).collect()
}

fn generic_record(numbers: &mut Numbers, n: usize) -> Record {
    let key = match n % 3 {
        0 => Key::of("item").int(n as i64 - 2),
        1 => Key::of("item").text("a\0ü").bytes(&(n as u64).to_be_bytes()),
        _ => Key::of("note").text("").int(n as i64),
    };
    let mut values = vec![Value::new(Form::Raw, bytes(numbers, 100 + n).into())];
    values.push(Value::new(Form::Msgpack, msgpack(numbers, 40)));
    let json = format!("{{\"n\": [{}, 1.0]}}", numbers.next());
    values.push(Value::new(Form::Json, json.into()));
    if n % 4 == 1 {
        values.push(Value::new(Form::Raw, Bytes::new()));
    }
    if n % 16 == 3 {
        values.push(Value::new(Form::Raw, bytes(numbers, LARGE_BYTES).into()));
    }
    // The first is named twice, and travels once.
    let mut named: Vec<ValueRef> = values.iter().map(|v| v.name).collect();
    named.push(named[0]);
    let body = Body::Map(Map::from([
        ("values", Body::List(named.into_iter().map(Body::Value).collect())),
        ("scalars", Body::List(scalars(numbers))),
        ("", Body::Map(Map::from_pairs(vec![(Body::int(-1), Body::Null)]))),
    ]));
    with_residue(Record { values, ..Record::new(key.build(), body) }, n)
}

fn scalars(numbers: &mut Numbers) -> Vec<Body> {
    let long = Integer::parse("-123456789012345678901234567890");
    let coefficient = Integer::from(-1100_i64);
    vec![
        Body::Null,
        Body::Bool(numbers.next().is_multiple_of(2)),
        Body::Int(numbers.next().into()),
        long.map_or(Body::Null, Body::Int),
        Body::Decimal(Decimal { coefficient, exponent: -3 }),
        Body::Float(Float::new(-0.0)),
        Body::Float(Float::new(f64::NAN)),
        Body::text("a\0ü\u{10ffff}"),
        Body::text(""),
        Body::Bytes(bytes(numbers, 9).into()),
        Body::List(Vec::new()),
        Body::Map(Map::default()),
    ]
}

/// Makes records as LangGraph's layouts hold them: checkpoints, and writes between them.
///
/// Every fifth checkpoint is a fork: it has its neighbour's version of a channel, and other bytes.
pub fn langgraph(seed: u64, n: usize) -> Vec<Record> {
    (0..n).map(|n| langgraph_record(&mut numbers(seed, n), n)).collect()
}

fn langgraph_record(numbers: &mut Numbers, n: usize) -> Record {
    let id = |n: usize| format!("1ef00000-0000-6000-8000-{n:012x}");
    let namespace = if n % 7 == 6 { "child:0b7e" } else { "" };
    let record = match n % 3 {
        2 => write(numbers, namespace, &id(n - 1), n),
        _ => checkpoint(numbers, namespace, &id(n), (n > 0).then(|| id(n - 1)).as_deref(), n),
    };
    with_residue(record, n)
}

fn checkpoint(
    numbers: &mut Numbers,
    namespace: &str,
    id: &str,
    parent: Option<&str>,
    n: usize,
) -> Record {
    let version = |step: usize, low: u64| format!("{step:032}.0.{:016}", low % 10_u64.pow(16));
    let messages = if n % 5 == 4 { version(n - 1, 7) } else { version(n, 7) };
    let start = version(n, numbers.next());
    let size = if n % 12 == 3 { LARGE_BYTES } else { 60 };
    let values = vec![
        Value::new(Form::Msgpack, msgpack(numbers, size)),
        Value::new(Form::Msgpack, msgpack(numbers, 5)),
    ];
    let channel = |version: &str, value: Option<&Value>| {
        let value = value.map_or(Body::Null, |v| Body::Value(v.name));
        Body::List(vec![Body::text(version), value])
    };
    let seen = Body::Map(Map::from([("messages", Body::text(&*messages))]));
    let head = Body::Map(Map::from([
        ("v", Body::int(4)),
        ("ts", Body::text(format!("2026-01-01T00:00:{:02}.000001+00:00", n % 60))),
        ("id", Body::text(id)),
        (
            "versions_seen",
            Body::Map(Map::from([("__input__", Body::Map(Map::default())), ("model", seen)])),
        ),
        (
            "updated_channels",
            if n.is_multiple_of(2) { Body::Null } else { Body::List(vec![Body::text("messages")]) },
        ),
    ]));
    let metadata = Body::Map(Map::from([
        ("source", Body::text("loop")),
        ("step", Body::int(n as i64 - 1)),
        ("parents", Body::Map(Map::default())),
        ("score", Body::Float(Float::new(0.5))),
        ("note", Body::text("größe")),
    ]));
    let channels = Body::Map(Map::from([
        ("messages", channel(&messages, Some(&values[0]))),
        ("__start__", channel(&start, Some(&values[1]))),
        ("branch:to:model", channel(&version(n, 9), None)),
    ]));
    let body = Body::Map(Map::from([
        ("parent", Body::text_or_null(parent)),
        ("metadata", metadata),
        ("head", head),
        ("channels", channels),
    ]));
    let key = Key::of("checkpoint").text(namespace).text(id).build();
    Record { values, ..Record::new(key, body) }
}

fn write(numbers: &mut Numbers, namespace: &str, checkpoint: &str, n: usize) -> Record {
    let idx = n as i64 % 5 - 1;
    let task = format!("7ac0{n:04x}-0000-5000-8000-000000000000");
    let key = Key::of("write").text(namespace).text(checkpoint).text(&task).int(idx).build();
    let value = Value::new(Form::Msgpack, msgpack(numbers, 80));
    let body = Body::Map(Map::from([
        ("channel", Body::text(if idx < 0 { "__error__" } else { "messages" })),
        ("tag", Body::text("msgpack")),
        ("value", Body::Value(value.name)),
        ("path", Body::text("~__pregel_pull, model")),
    ]));
    Record { values: vec![value], ..Record::new(key, body) }
}

/// Adds what other layouts would have to say about some of the records.
fn with_residue(mut record: Record, n: usize) -> Record {
    let residue = |layout: &str, bytes: Bytes, record: &Record| Residue {
        layout: layout.into(),
        format: 1,
        record: record.digest(),
        bytes,
    };
    if n % 4 >= 2 {
        record.residue.push(residue("elsewhere+files", vec![0, n as u8, 255].into(), &record));
    }
    if n % 4 == 3 {
        record.residue.push(residue("elsewhere+memory", Bytes::new(), &record));
    }
    record
}

/// One msgpack item: a map of a text, an array and so many bytes.
fn msgpack(numbers: &mut Numbers, len: usize) -> Bytes {
    let mut out = vec![0x83, 0xa4];
    out.extend_from_slice(b"text");
    out.extend_from_slice(b"\xa7gr\xc3\xb6\xc3\x9fe");
    out.extend_from_slice(b"\xa4list\x93\xc0\xc3\xcf");
    out.extend(numbers.next().to_be_bytes());
    out.extend_from_slice(b"\xa5bytes\xc6");
    out.extend((len as u32).to_be_bytes());
    out.extend(bytes(numbers, len));
    out.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_are_distinct_and_independent_of_the_seed() {
        for make in [generic, langgraph] {
            let keys = |seed| make(seed, 40).into_iter().map(|r| r.key).collect::<Vec<_>>();
            assert_eq!(keys(1), keys(2));
            assert_eq!(keys(1).into_iter().collect::<BTreeSet<_>>().len(), 40);
            let (one, two) = (make(1, 40), make(2, 40));
            assert!(one.iter().zip(&two).all(|(a, b)| a.digest() != b.digest()));
            assert_eq!(make(1, 40), one);
        }
    }

    #[test]
    fn records_carry_the_values_that_they_name_once() {
        for record in [generic(1, 40), langgraph(1, 40)].concat() {
            let mut named = BTreeSet::new();
            record.body.each_value(&mut |name| {
                named.insert(name);
            });
            let carried: Vec<_> = record.values.iter().map(|v| v.name).collect();
            assert_eq!(carried.iter().copied().collect::<BTreeSet<_>>(), named);
            assert_eq!(carried.len(), named.len());
        }
    }
}

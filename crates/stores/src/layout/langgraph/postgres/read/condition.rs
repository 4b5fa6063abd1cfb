//! What a selection of keys is as a condition on the key columns of a table.

use postgres::types::{ToSql, Type};
use restow_model::{Key, KeyPart};
use restow_store::{KeyRange, Keys};

use super::keys::Table;

/// A parameter of a statement.
#[derive(Debug)]
pub(super) enum Parameter {
    Texts(Vec<String>),
    Ints(Vec<i32>),
    Text(String),
    Int(i32),
}

impl Parameter {
    pub(super) fn typed(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Self::Texts(texts) => (texts, Type::TEXT_ARRAY),
            Self::Ints(ints) => (ints, Type::INT4_ARRAY),
            Self::Text(text) => (text, Type::TEXT),
            Self::Int(n) => (n, Type::INT4),
        }
    }
}

/// A condition on the key columns of a table, and its parameters; wider than the keys where they
/// have no shape that SQL knows.
#[derive(Debug, Default)]
pub(super) struct Condition {
    /// What the rows of a unit are looked up by, where each row is.
    listed: Option<String>,
    /// What follows the join, each with a leading `AND`.
    sql: String,
    /// The parameters, from `$2` on.
    pub(super) parameters: Vec<Parameter>,
}

/// Says whether a range is that of a single key, so that the index finds it.
fn is_one(range: &KeyRange) -> bool {
    let to = range.to.as_ref().and_then(|to| to.strip_suffix(&[0]));
    to.is_some_and(|to| *to == range.from) && Key::from_bytes(range.from.clone()).is_ok()
}

impl Condition {
    /// Translates keys for a table; `None` where none of its records is among them.
    pub(super) fn of(table: Table, keys: &Keys) -> Option<Self> {
        let kind = Key::of(table.kind()).build();
        let range = match keys {
            Keys::Range(range) => range,
            Keys::Set(keys) => return Self::listed(table, keys.iter().filter(|k| kind.covers(k))),
        };
        let end = kind.after_prefix();
        let is_before = range.to.as_ref().is_some_and(|to| to <= kind.as_bytes());
        if is_before || range.from >= end {
            return None;
        }
        let mut condition = Self::default();
        if is_one(range) {
            condition.add(table, "=", &range.from);
            return Some(condition);
        }
        if range.from > *kind.as_bytes() {
            condition.add(table, ">=", &range.from);
        }
        if let Some(to) = range.to.as_ref().filter(|to| **to < end) {
            condition.add(table, "<=", to);
        }
        Some(condition)
    }

    /// Translates keys, each of which may be that of a row.
    fn listed<'k>(table: Table, keys: impl Iterator<Item = &'k Key>) -> Option<Self> {
        let columns = table.columns();
        let (mut texts, mut ints) = (vec![Vec::new(); columns.len().min(3)], Vec::new());
        for key in keys {
            let (mut row, mut index) = (Vec::new(), None);
            for part in key.parts() {
                match part {
                    // No cell of text holds NUL.
                    KeyPart::Text(text) if !text.contains('\0') => row.push(text),
                    KeyPart::Int(n) => index = i32::try_from(n).ok(),
                    _ => {}
                }
            }
            if row.len() + usize::from(index.is_some()) != columns.len() {
                continue;
            }
            ints.extend(index);
            texts.iter_mut().zip(row).for_each(|(column, text)| column.push(text));
        }
        if texts[0].is_empty() {
            return None;
        }
        let mut parameters: Vec<_> = texts.into_iter().map(Parameter::Texts).collect();
        if !ints.is_empty() {
            parameters.push(Parameter::Ints(ints));
        }
        let types = columns.iter().map(|c| if *c == "idx" { "int[]" } else { "text[]" });
        let arrays = types.enumerate().map(|(n, kind)| format!("${}::{kind}", n + 2));
        let arrays: Vec<String> = arrays.collect();
        let names = columns.join(", ");
        let listed = format!(" CROSS JOIN unnest({}) k ({names})", arrays.join(", "));
        let equal = columns.iter().map(|column| format!(" AND r.{column} = k.{column}"));
        Some(Self { listed: Some(listed), sql: equal.collect(), parameters })
    }

    /// Writes the join of units `u` with their rows `r` in a table.
    pub(super) fn join(&self, rows: &str) -> String {
        let sql = &self.sql;
        match &self.listed {
            None => format!(" JOIN {rows} r ON r.thread_id = u.id{sql}"),
            // Every row is looked up by its whole key, whatever the server believes.
            Some(listed) => format!(
                "{listed} CROSS JOIN LATERAL \
                 (SELECT * FROM {rows} r WHERE r.thread_id = u.id{sql} OFFSET 0) r"
            ),
        }
    }

    fn add(&mut self, table: Table, sign: &str, bound: &bytes::Bytes) {
        // Bounds are keys, prefixes of keys, or one of these with a byte behind it.
        let cut = bound.slice(..bound.len().saturating_sub(1));
        let parts = [bound.clone(), cut].into_iter().find_map(|b| Key::from_bytes(b).ok());
        let Some(parts) = parts.map(|key| key.parts()).filter(|p| !p.is_empty()) else { return };
        let columns = table.columns();
        if parts.len() > columns.len() {
            return;
        }
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let mut parameters = Vec::new();
        for (n, part) in parts.into_iter().enumerate() {
            let (parameter, collation) = match (n, part) {
                (3, KeyPart::Int(index)) => match i32::try_from(index) {
                    Ok(index) => (Parameter::Int(index), ""),
                    Err(_) => break,
                },
                // No cell of text holds NUL, so that whatever lies behind it is left to the keys.
                (0..3, KeyPart::Text(text)) if !text.contains('\0') => {
                    (Parameter::Text(text), if sign == "=" { "" } else { " COLLATE \"C\"" })
                }
                _ => break,
            };
            parameters.push(parameter);
            left.push(format!("r.{}{collation}", columns[n]));
            right.push(format!("${}", 1 + self.parameters.len() + parameters.len()));
        }
        if left.is_empty() {
            return;
        }
        // Equal columns in front are found by the index under any collation.
        self.sql.push_str(&format!(" AND ({}) {sign} ({})", left.join(", "), right.join(", ")));
        self.parameters.extend(parameters);
    }
}

//! Whether the tables are what LangGraph's own `setup()` would leave, difference by difference.

use restow_store::Result;

use super::super::shape::resolve;
use super::expected::{Column, TABLES, Table, VERSION};
use super::found::{self, Found};
use crate::engine::postgres::Server;

const OPERATION: &str = "verify the tables";

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The application's schema.
    pub schema: String,
    /// The newest version that was applied; −1 where none was.
    pub version: i32,
    /// The tables that are there, with the numbers of their columns and indexes.
    pub tables: Vec<(&'static str, usize, usize)>,
    /// What differs, a sentence each; empty where all is as LangGraph makes it.
    pub differences: Vec<String>,
}

/// Compares tables, columns, indexes and versions with what LangGraph makes.
pub async fn verify(server: &Server) -> Result<Verified> {
    server
        .run(OPERATION, |server| {
            server.read(OPERATION, |tx| {
                let tables = resolve(tx, server.settings())?;
                let found = Found::look(tx, &tables)?;
                let numbers = |t: &found::Table| (t.name, t.columns.len(), t.indexes.len());
                Ok(Verified {
                    schema: tables.schema,
                    version: found.version(),
                    tables: found.tables.iter().map(numbers).collect(),
                    differences: differences(&found),
                })
            })
        })
        .await
}

fn differences(found: &Found) -> Vec<String> {
    let mut differences = Vec::new();
    for expected in TABLES {
        match found.table(expected) {
            None => differences.push(format!("table {} is missing", expected.name)),
            Some(table) if !table.is_table => {
                differences.push(format!("{} is no table", expected.name));
            }
            Some(table) => {
                columns(expected, table, &mut differences);
                indexes(expected, table, &mut differences);
            }
        }
    }
    let missing: Vec<String> =
        (0..=VERSION).filter(|v| !found.versions.contains(v)).map(|v| v.to_string()).collect();
    if !missing.is_empty() {
        differences.push(format!("checkpoint_migrations lacks versions {}", missing.join(" ")));
    }
    if found.version() > VERSION {
        let version = found.version();
        differences.push(format!("version {version} is newer than {VERSION}, which is known"));
    }
    if found.is_partial() {
        let there = found.side.0 + found.control.0;
        let all = found.side.1 + if found.control.0 > 0 { found.control.1 } else { 0 };
        differences.push(format!("only {there} of restow's own {all} tables are there"));
    }
    differences
}

fn columns(expected: &Table, table: &found::Table, differences: &mut Vec<String>) {
    let name = table.name;
    for column in expected.columns {
        match table.column(column.name) {
            None => differences.push(format!("column {name}.{} is missing", column.name)),
            Some(there) => differences.extend(column_differs(name, column, there)),
        }
    }
    let unknown = table.columns.iter().filter(|c| expected.column(&c.name).is_none());
    differences.extend(unknown.map(|c| format!("column {name}.{} is not LangGraph's", c.name)));
}

fn column_differs(table: &str, column: &Column, there: &found::Column) -> Vec<String> {
    let mut differences = Vec::new();
    let name = format!("column {table}.{}", column.name);
    if there.kind != column.kind {
        differences.push(format!("{name} is of type {}, not {}", there.kind, column.kind));
    }
    match (there.not_null, column.not_null) {
        (true, false) => differences.push(format!("{name} is NOT NULL, and should not be")),
        (false, true) => differences.push(format!("{name} is not NOT NULL, and should be")),
        _ => {}
    }
    if there.default.as_deref() != column.default {
        let said = |default: Option<&str>| default.map_or("none".to_owned(), str::to_owned);
        let (there, wanted) = (said(there.default.as_deref()), said(column.default));
        differences.push(format!("the default of {name} is {there}, not {wanted}"));
    }
    differences
}

fn indexes(expected: &Table, table: &found::Table, differences: &mut Vec<String>) {
    match table.indexes.iter().find(|index| index.is_primary) {
        None => differences.push(format!("{} has no primary key", table.name)),
        Some(key) if key.columns != expected.key => {
            let (there, wanted) = (key.columns.join(", "), expected.key.join(", "));
            let name = table.name;
            differences.push(format!("the primary key of {name} is ({there}), not ({wanted})"));
        }
        Some(_) => {}
    }
    if let Some(name) = expected.index {
        match table.index(name) {
            None => differences.push(format!("index {name} is missing")),
            Some(index) if index.columns != ["thread_id"] || !index.is_plain => {
                differences.push(format!("index {name} is not on (thread_id) alone"));
            }
            Some(index) if index.is_unique => {
                differences.push(format!("index {name} is unique, and should not be"));
            }
            Some(_) => {}
        }
    }
    // A valid index of the application's own changes nothing that LangGraph stores.
    for index in &table.indexes {
        let is_own = index.is_primary || Some(&*index.name) == expected.index;
        if !index.is_valid {
            let (name, table) = (&index.name, table.name);
            differences
                .push(format!("index {name} on {table} is invalid: its build was cut short"));
        } else if index.is_unique && !is_own {
            let (name, table) = (&index.name, table.name);
            differences.push(format!("unique index {name} on {table} is not LangGraph's"));
        }
    }
}

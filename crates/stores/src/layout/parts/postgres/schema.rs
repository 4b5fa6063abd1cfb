//! The tables of a `parts+postgres` store, format 1, in a schema of their own.
//!
//! Names of units, ids and keys are bytes: they hold whatever text there is, and ascend by bytes
//! under any collation and encoding of the database.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use postgres::types::Type;
use restow_store::StoreRecord;

use crate::engine::postgres::{Transaction, journal, registers};

/// The number of the format.
pub(super) const FORMAT: i32 = 1;
/// The schema of a store whose address names none.
pub(super) const SCHEMA: &str = "restow_parts";

/// A unit's staged copy is a row of its own with a token; everything else hangs on `unit_no`, so
/// that promotion and removal touch one row. What zstd compressed the server need not try again.
const TABLES: &str = "
CREATE TABLE restow_layout (
    layout text PRIMARY KEY,
    format integer NOT NULL
);
CREATE SEQUENCE restow_unit_no;
CREATE TABLE restow_unit (
    unit_no bigint PRIMARY KEY,
    unit    bytea NOT NULL,
    token   bytea,
    active  bytea,
    dialect smallint NOT NULL,
    digest  bytea NOT NULL,
    next    bigint NOT NULL,
    version bigint NOT NULL,
    newest  bytea,
    op_id   bytea,
    staged  boolean NOT NULL GENERATED ALWAYS AS (token IS NOT NULL) STORED
);
CREATE UNIQUE INDEX restow_unit_name ON restow_unit (unit, staged);
CREATE INDEX restow_unit_newest ON restow_unit (newest) WHERE newest IS NOT NULL;
CREATE TABLE restow_page (
    page_no   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    unit_no   bigint NOT NULL,
    first_key bytea NOT NULL,
    records   bigint NOT NULL,
    raw_len   bigint NOT NULL,
    digest    bytea NOT NULL,
    data      bytea NOT NULL
);
ALTER TABLE restow_page ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX restow_page_key ON restow_page (unit_no, first_key);
CREATE TABLE restow_part (
    unit_no bigint NOT NULL,
    first   bigint NOT NULL,
    count   bigint NOT NULL,
    raw_len bigint NOT NULL,
    digest  bytea NOT NULL,
    data    bytea NOT NULL,
    PRIMARY KEY (unit_no, first)
);
ALTER TABLE restow_part ALTER COLUMN data SET STORAGE EXTERNAL;
";

/// The qualified names of a store's tables, as SQL writes them.
#[derive(Debug)]
pub(super) struct Tables {
    /// The schema, bare.
    pub(super) schema: String,
    /// Units and staged copies.
    pub(super) unit: String,
    /// Gives units their numbers.
    pub(super) unit_no: String,
    /// Pages.
    pub(super) page: String,
    /// Parts.
    pub(super) part: String,
    /// Registers.
    pub(super) register: String,
    /// Journals, made when the store is prepared for a migration.
    pub(super) journal: String,
    layout: String,
    /// Whether the store was prepared for a migration when it was last looked at.
    has_control: AtomicBool,
}

/// What a schema is, as far as this layout is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A store of this format.
    Ours,
    /// A store of this layout in a format that this version does not know.
    Format,
    /// An empty schema, or none.
    Empty,
    /// Something else.
    Other,
}

impl Tables {
    /// Names the tables of a schema.
    pub(super) fn of(schema: Option<&str>) -> Self {
        let schema = schema.unwrap_or(SCHEMA);
        let table = |name: &str| format!("{}.{name}", quoted(schema));
        Self {
            schema: schema.to_owned(),
            unit: table("restow_unit"),
            unit_no: table("restow_unit_no"),
            page: table("restow_page"),
            part: table("restow_part"),
            register: table("restow_register"),
            journal: table("restow_journal"),
            layout: table("restow_layout"),
            has_control: AtomicBool::new(false),
        }
    }

    /// Looks what the schema is.
    pub(super) fn find(&self, tx: &mut Transaction<'_>) -> Result<Found, postgres::Error> {
        let sql = "SELECT count(*), count(*) FILTER (WHERE relname = 'restow_layout') \
                   FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relnamespace \
                   = (SELECT oid FROM pg_namespace WHERE nspname = $1)";
        let row = tx.query_typed_one(sql, &[(&self.schema, Type::TEXT)])?;
        let (all, marks): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        if marks == 0 {
            return Ok(if all == 0 { Found::Empty } else { Found::Other });
        }
        let sql = format!("SELECT format FROM {} WHERE layout = 'parts'", self.layout);
        let row = tx.query_typed_opt(&sql, &[])?;
        Ok(match row.map(|row| row.try_get::<_, i32>(0)).transpose()? {
            Some(FORMAT) => Found::Ours,
            Some(_) => Found::Format,
            None => Found::Other,
        })
    }

    /// Makes the tables in an empty schema; several may come at once.
    pub(super) fn make(&self, tx: &mut Transaction<'_>) -> Result<Found, postgres::Error> {
        let found = self.find(tx)?;
        if found != Found::Empty {
            return Ok(found);
        }
        self.lock(tx)?;
        match self.find(tx)? {
            Found::Empty => {}
            found => return Ok(found),
        }
        let schema = quoted(&self.schema);
        let sql = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
        // Whoever may not make schemas may still be given one.
        if tx.query_typed_opt(sql, &[(&self.schema, Type::TEXT)])?.is_none() {
            tx.batch_execute(&format!("CREATE SCHEMA {schema}"))?;
        }
        let register = registers::ddl(&self.register);
        tx.batch_execute(&format!(
            "SET LOCAL search_path = {schema}; {TABLES} {register}; \
             INSERT INTO restow_layout VALUES ('parts', {FORMAT})"
        ))?;
        Ok(Found::Ours)
    }

    /// Says whether the store is known to be prepared for a migration.
    pub(super) fn has_control(&self) -> bool {
        self.has_control.load(Ordering::Acquire)
    }

    /// Learns from the store's record whether the store was prepared for a migration.
    pub(super) fn learn(&self, store: Option<&Bytes>) -> bool {
        // A record of another format was written by a newer restow, for a migration.
        let has_control = store.is_some_and(|bytes| {
            StoreRecord::from_bytes(bytes).is_none_or(|record| record.id.is_some())
        });
        self.has_control.store(has_control, Ordering::Release);
        has_control
    }

    /// Makes what a migration needs beside the tables; several may come at once.
    pub(super) fn make_control(&self, tx: &mut Transaction<'_>) -> Result<(), postgres::Error> {
        self.lock(tx)?;
        tx.batch_execute(&format!(
            "ALTER TABLE {} ADD COLUMN IF NOT EXISTS control bytea; {}",
            self.unit,
            journal::ddl(&self.journal)
        ))
    }

    /// What a migration kept beside the units goes; a unit that was removed leaves nothing.
    pub(super) fn clear_control(&self, tx: &mut Transaction<'_>) -> Result<(), postgres::Error> {
        let Self { unit, journal, .. } = self;
        tx.batch_execute(&format!(
            "DELETE FROM {unit} WHERE control IS NOT NULL AND NOT staged \
                 AND substr(digest, 1, 8) = decode('0000000000000000', 'hex'); \
             UPDATE {unit} SET control = NULL, version = version + 1 WHERE control IS NOT NULL; \
             DELETE FROM {journal}"
        ))
    }

    /// Keeps everybody else from making tables until the transaction ends.
    fn lock(&self, tx: &mut Transaction<'_>) -> Result<(), postgres::Error> {
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
        let name = format!("restow schema {}", self.schema);
        tx.query_typed(lock, &[(&name, Type::TEXT)]).map(drop)
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

//! The names of tables: LangGraph's four in the application's schema, restow's own in a schema
//! beside it.
//!
//! - `residue`: what other layouts say about a record, which this one only keeps.
//! - `unit`: records that belong to a unit alone; `items` are its values one behind the other:
//!   form, length (varint), bytes.
//! - `adjustment`: what the application's tables had to be given differently, undone on reading.
//! - `stage`, `stage_*`: units that are being staged.
//! - `register`: small values changed by compare-and-swap.
//! - `control`, `journal`: what a live migration keeps of units; made when one begins.

use crate::engine::postgres::{control, journal, registers};

/// The tables of units: the active ones, or those of staged copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `checkpoints`.
    pub checkpoints: String,
    /// `checkpoint_blobs`.
    pub blobs: String,
    /// `checkpoint_writes`.
    pub writes: String,
    /// Residues of other layouts.
    pub residue: String,
    /// Records that belong to a unit alone.
    pub unit: String,
    /// What the application's tables had to be given differently.
    pub adjustment: String,
}

/// All tables of a store, by qualified and quoted name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// The application's schema, as it is named.
    pub schema: String,
    /// restow's own schema, as it is named.
    pub side: String,
    /// What readers of the store see.
    pub active: Place,
    /// What is being staged, all in tables of its own.
    pub staged: Place,
    /// What is being staged of a unit that is not there yet: nobody sees blob rows that no
    /// checkpoint names, so that they go where they stay.
    pub direct: Place,
    /// Which units are being staged.
    pub stage: String,
    /// Registers.
    pub register: String,
    /// Control records, with the digests of staged copies; there once a live migration began.
    pub control: String,
    /// Journals; likewise.
    pub journal: String,
    /// `checkpoint_migrations`.
    pub migrations: String,
}

impl Tables {
    /// Names the tables of a schema.
    pub fn of(schema: &str) -> Self {
        let side = match schema {
            "public" => "restow".to_owned(),
            other => format!("{other}_restow"),
        };
        let own = |name: &str| format!("{}.{}", quoted(schema), quoted(name));
        let beside = |name: &str| format!("{}.{}", quoted(&side), quoted(name));
        let active = Place {
            checkpoints: own("checkpoints"),
            blobs: own("checkpoint_blobs"),
            writes: own("checkpoint_writes"),
            residue: beside("residue"),
            unit: beside("unit"),
            adjustment: beside("adjustment"),
        };
        let staged = Place {
            checkpoints: beside("stage_checkpoints"),
            blobs: beside("stage_blobs"),
            writes: beside("stage_writes"),
            residue: beside("stage_residue"),
            unit: beside("stage_unit"),
            adjustment: beside("stage_adjustment"),
        };
        Self {
            schema: schema.to_owned(),
            direct: Place { blobs: active.blobs.clone(), ..staged.clone() },
            active,
            staged,
            stage: beside("stage"),
            register: beside("register"),
            control: beside("control"),
            journal: beside("journal"),
            migrations: own("checkpoint_migrations"),
            side,
        }
    }
}

/// Quotes an identifier.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Returns the statements that make what a live migration needs beside restow's own tables.
pub fn control_ddl(tables: &Tables) -> [String; 2] {
    [control::ddl(&tables.control), journal::ddl(&tables.journal)]
}

/// Returns the statements that make restow's own tables; each does nothing where it was done.
pub fn side_ddl(tables: &Tables) -> Vec<String> {
    let Tables { active, staged, .. } = tables;
    let mut ddl = vec![
        format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(&tables.side)),
        registers::ddl(&tables.register),
        format!(
            "CREATE TABLE IF NOT EXISTS {} (
                thread_id TEXT PRIMARY KEY, token TEXT NOT NULL, guard BYTEA NOT NULL,
                direct BOOLEAN NOT NULL
            )",
            tables.stage
        ),
    ];
    for place in [active, staged] {
        ddl.push(format!(
            "CREATE TABLE IF NOT EXISTS {} (
                thread_id TEXT NOT NULL, key BYTEA NOT NULL, layout TEXT NOT NULL,
                format SMALLINT NOT NULL, record BYTEA NOT NULL, bytes BYTEA NOT NULL,
                PRIMARY KEY (thread_id, key, layout)
            )",
            place.residue
        ));
        ddl.push(format!(
            "CREATE TABLE IF NOT EXISTS {} (
                thread_id TEXT NOT NULL, key BYTEA NOT NULL, body BYTEA NOT NULL,
                items BYTEA NOT NULL, PRIMARY KEY (thread_id, key)
            )",
            place.unit
        ));
        ddl.push(format!(
            "CREATE TABLE IF NOT EXISTS {} (
                thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL, checkpoint_id TEXT NOT NULL,
                row_digest BYTEA NOT NULL, bytes BYTEA NOT NULL,
                PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
            )",
            place.adjustment
        ));
    }
    ddl.push(format!(
        "CREATE TABLE IF NOT EXISTS {} (
            thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL, checkpoint_id TEXT NOT NULL,
            parent_checkpoint_id TEXT, type TEXT, checkpoint JSONB NOT NULL,
            metadata JSONB NOT NULL, PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
        )",
        staged.checkpoints
    ));
    ddl.push(format!(
        "CREATE TABLE IF NOT EXISTS {} (
            thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL, channel TEXT NOT NULL,
            version TEXT NOT NULL, type TEXT NOT NULL, blob BYTEA,
            PRIMARY KEY (thread_id, checkpoint_ns, channel, version)
        )",
        staged.blobs
    ));
    ddl.push(format!(
        "CREATE TABLE IF NOT EXISTS {} (
            thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL, checkpoint_id TEXT NOT NULL,
            task_id TEXT NOT NULL, idx INTEGER NOT NULL, channel TEXT NOT NULL, type TEXT,
            blob BYTEA NOT NULL, task_path TEXT NOT NULL,
            PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
        )",
        staged.writes
    ));
    ddl
}

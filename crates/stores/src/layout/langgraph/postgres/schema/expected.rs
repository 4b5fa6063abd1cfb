//! LangGraph's tables at version 9, as its own `setup()` leaves them.
//!
//! Format: langgraph-checkpoint-postgres 3.2.0, `MIGRATIONS` in `postgres/base.py`.

/// The version that restow reads and writes.
pub const VERSION: i32 = 9;

/// A column.
#[derive(Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type, as `format_type` names it.
    pub kind: &'static str,
    /// Whether it refuses NULL.
    pub not_null: bool,
    /// Its default, as `pg_get_expr` prints it.
    pub default: Option<&'static str>,
}

/// A table.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The version that makes it.
    pub since: i32,
    /// Its columns, in the order of a fresh setup.
    pub columns: &'static [Column],
    /// The columns of its primary key.
    pub key: &'static [&'static str],
    /// Its index of threads.
    pub index: Option<&'static str>,
}

const fn column(name: &'static str, kind: &'static str) -> Column {
    Column { name, kind, not_null: true, default: None }
}

const fn optional(name: &'static str, kind: &'static str) -> Column {
    Column { name, kind, not_null: false, default: None }
}

const fn with_default(name: &'static str, kind: &'static str, default: &'static str) -> Column {
    Column { name, kind, not_null: true, default: Some(default) }
}

/// `checkpoint_migrations`.
pub const MIGRATIONS: Table = Table {
    name: "checkpoint_migrations",
    since: 0,
    columns: &[column("v", "integer")],
    key: &["v"],
    index: None,
};

/// `checkpoints`.
pub const CHECKPOINTS: Table = Table {
    name: "checkpoints",
    since: 1,
    columns: &[
        column("thread_id", "text"),
        with_default("checkpoint_ns", "text", "''::text"),
        column("checkpoint_id", "text"),
        optional("parent_checkpoint_id", "text"),
        optional("type", "text"),
        column("checkpoint", "jsonb"),
        with_default("metadata", "jsonb", "'{}'::jsonb"),
    ],
    key: &["thread_id", "checkpoint_ns", "checkpoint_id"],
    index: Some("checkpoints_thread_id_idx"),
};

/// `checkpoint_blobs`.
pub const BLOBS: Table = Table {
    name: "checkpoint_blobs",
    since: 2,
    columns: &[
        column("thread_id", "text"),
        with_default("checkpoint_ns", "text", "''::text"),
        column("channel", "text"),
        column("version", "text"),
        column("type", "text"),
        optional("blob", "bytea"),
    ],
    key: &["thread_id", "checkpoint_ns", "channel", "version"],
    index: Some("checkpoint_blobs_thread_id_idx"),
};

/// `checkpoint_writes`.
pub const WRITES: Table = Table {
    name: "checkpoint_writes",
    since: 3,
    columns: &[
        column("thread_id", "text"),
        with_default("checkpoint_ns", "text", "''::text"),
        column("checkpoint_id", "text"),
        column("task_id", "text"),
        column("idx", "integer"),
        column("channel", "text"),
        optional("type", "text"),
        column("blob", "bytea"),
        with_default(PATH, "text", "''::text"),
    ],
    key: &["thread_id", "checkpoint_ns", "checkpoint_id", "task_id", "idx"],
    index: Some("checkpoint_writes_thread_id_idx"),
};

/// The column that version 9 adds to `checkpoint_writes`.
pub const PATH: &str = "task_path";

/// All tables.
pub const TABLES: [&Table; 4] = [&MIGRATIONS, &CHECKPOINTS, &BLOBS, &WRITES];

impl Table {
    /// Returns a column by name.
    pub fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Returns the statement that makes the table under a qualified name.
    pub fn ddl(&self, qualified: &str) -> String {
        let columns: String = self.columns.iter().map(|c| format!("{}, ", c.ddl())).collect();
        let key = self.key.join(", ");
        format!("CREATE TABLE IF NOT EXISTS {qualified} ({columns}PRIMARY KEY ({key}))")
    }
}

impl Column {
    /// Returns the column's definition.
    pub fn ddl(&self) -> String {
        let not_null = if self.not_null { " NOT NULL" } else { "" };
        let default = self.default.map(|text| format!(" DEFAULT {text}")).unwrap_or_default();
        format!("{} {}{not_null}{default}", self.name, self.kind)
    }
}

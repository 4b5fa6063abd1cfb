//! A LangGraph SQLite file, as the official saver 3.1.2 makes it.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::Figures;

/// The statements of the official saver, to the letter: SQLite keeps their text.
const TABLES: &str = "
            CREATE TABLE IF NOT EXISTS checkpoints (
                thread_id TEXT NOT NULL,
                checkpoint_ns TEXT NOT NULL DEFAULT '',
                checkpoint_id TEXT NOT NULL,
                parent_checkpoint_id TEXT,
                type TEXT,
                checkpoint BLOB,
                metadata BLOB,
                PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
            );
            CREATE TABLE IF NOT EXISTS writes (
                thread_id TEXT NOT NULL,
                checkpoint_ns TEXT NOT NULL DEFAULT '',
                checkpoint_id TEXT NOT NULL,
                task_id TEXT NOT NULL,
                task_path TEXT NOT NULL DEFAULT '',
                idx INTEGER NOT NULL,
                channel TEXT NOT NULL,
                type TEXT,
                value BLOB,
                PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
            );
";

// A file that a crash spoils is made again, so nothing is spent on surviving one.
const FAST: &str = "PRAGMA page_size=4096; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
    PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-131072;";

/// A row of `checkpoints`, thread and namespace apart.
#[derive(Debug)]
pub(super) struct CheckpointRow<'a> {
    pub(super) id: &'a str,
    pub(super) parent: Option<&'a str>,
    pub(super) packed: &'a [u8],
    pub(super) metadata: &'a str,
}

/// A row of `writes`, thread and namespace apart.
#[derive(Debug)]
pub(super) struct WriteRow<'a> {
    pub(super) checkpoint: &'a str,
    pub(super) task_id: &'a str,
    pub(super) task_path: &'a str,
    pub(super) idx: i64,
    pub(super) channel: &'a str,
    /// The value as it would stand in a checkpoint; the row's tag follows from it.
    pub(super) packed: &'a [u8],
}

/// A file being generated.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    connection: Connection,
    figures: Figures,
}

impl File {
    /// Begins a file, which must not exist yet.
    pub(super) fn create(path: &Path) -> Self {
        assert!(!path.exists(), "the file exists already: {}", path.display());
        let connection = Connection::open(path).expect("open the new file");
        connection.execute_batch(FAST).expect("set up the new file");
        connection.execute_batch(TABLES).expect("make the official tables");
        connection.execute_batch("BEGIN").expect("begin");
        Self { path: path.to_owned(), connection, figures: Figures::default() }
    }

    /// Adds a checkpoint.
    pub(super) fn checkpoint(&mut self, thread: &str, ns: &str, row: &CheckpointRow<'_>) {
        let sql = "INSERT INTO checkpoints VALUES (?1, ?2, ?3, ?4, 'msgpack', ?5, ?6)";
        let mut statement = self.connection.prepare_cached(sql).expect("prepare");
        let metadata = row.metadata.as_bytes();
        let values = params![thread, ns, row.id, row.parent, row.packed, metadata];
        statement.execute(values).expect("insert a checkpoint");
        self.figures.checkpoints += 1;
        self.figures.payload += row.packed.len() as u64;
    }

    /// Adds a write.
    pub(super) fn write(&mut self, thread: &str, ns: &str, row: &WriteRow<'_>) {
        let sql = "INSERT INTO writes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let mut statement = self.connection.prepare_cached(sql).expect("prepare");
        let (tag, value) = tagged(row.packed);
        let values = params![
            thread,
            ns,
            row.checkpoint,
            row.task_id,
            row.task_path,
            row.idx,
            row.channel,
            tag,
            value
        ];
        statement.execute(values).expect("insert a write");
        self.figures.writes += 1;
        self.figures.payload += value.len() as u64;
    }

    /// Returns how many bytes of checkpoints and values were written so far.
    pub(super) fn payload(&self) -> u64 {
        self.figures.payload
    }

    /// Ends the file; nothing stays beside it.
    pub(super) fn finish(self) -> Figures {
        self.connection.execute_batch("COMMIT").expect("commit");
        self.connection.flush_prepared_statement_cache();
        self.connection.close().expect("close the new file");
        let bytes = fs::metadata(&self.path).expect("the new file").len();
        Figures { bytes, ..self.figures }
    }
}

/// The tag and the bytes under which the official serializer stores a value on its own.
fn tagged(packed: &[u8]) -> (&'static str, &[u8]) {
    match packed[0] {
        0xc0 => ("null", &[]),
        0xc4 => ("bytes", &packed[2..]),
        0xc5 => ("bytes", &packed[3..]),
        0xc6 => ("bytes", &packed[5..]),
        _ => ("msgpack", packed),
    }
}

/// Marks a file as the official saver leaves it behind: in WAL mode, without anything beside it.
///
/// Generated files are in rollback mode, so that reading them leaves nothing behind.
pub fn mark_write_ahead(path: &Path) {
    let connection = Connection::open(path).expect("open the file");
    let mode: String = connection
        .query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))
        .expect("turn to write-ahead logging");
    assert_eq!(mode, "wal");
    connection.close().expect("close the file");
}

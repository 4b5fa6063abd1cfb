//! Damage to LangGraph's tables in PostgreSQL, and to what restow keeps beside them.

use postgres::Client;

use super::Hit;
use crate::generate::Random;

/// One way to damage a database: a statement about one row that a condition allows.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    /// Its name, as the table of damages and checks shows it.
    pub name: &'static str,
    /// Whether the database alone shows it.
    pub structural: bool,
    table: &'static str,
    condition: &'static str,
    /// `$row` stands for the row that was chosen.
    sql: &'static str,
}

const CHECKPOINT: &str = "checkpoint_ns = '' AND parent_checkpoint_id IS NOT NULL";
const BLOB: &str = "type = 'msgpack' AND length(blob) > 64";
const CUT: &str = "UPDATE checkpoint_blobs SET blob = substr(blob, 1, length(blob) / 2) WHERE $row";

const fn sound(name: &'static str, [table, condition, sql]: [&'static str; 3]) -> Statement {
    Statement { name, structural: false, table, condition, sql }
}

const fn structural(name: &'static str, [table, condition, sql]: [&'static str; 3]) -> Statement {
    Statement { name, structural: true, table, condition, sql }
}

/// Ways to damage LangGraph's own tables.
pub const LANGGRAPH_POSTGRES: &[Statement] = &[
    sound("checkpoint missing", ["checkpoints", CHECKPOINT, "DELETE FROM checkpoints WHERE $row"]),
    sound("blob missing", ["checkpoint_blobs", BLOB, "DELETE FROM checkpoint_blobs WHERE $row"]),
    sound(
        "write missing",
        ["checkpoint_writes", "true", "DELETE FROM checkpoint_writes WHERE $row"],
    ),
    sound(
        "checkpoint extra",
        [
            "checkpoints",
            CHECKPOINT,
            "INSERT INTO checkpoints SELECT thread_id, checkpoint_ns, checkpoint_id || 'x',
             checkpoint_id, type, checkpoint, metadata FROM checkpoints WHERE $row",
        ],
    ),
    sound(
        "blob extra",
        [
            "checkpoint_blobs",
            BLOB,
            "INSERT INTO checkpoint_blobs SELECT thread_id, checkpoint_ns, channel,
             version || 'x', type, blob FROM checkpoint_blobs WHERE $row",
        ],
    ),
    sound(
        "write extra",
        [
            "checkpoint_writes",
            "idx >= 0",
            "INSERT INTO checkpoint_writes SELECT thread_id, checkpoint_ns, checkpoint_id, task_id,
             idx + 1000, channel, type, blob, task_path FROM checkpoint_writes WHERE $row",
        ],
    ),
    sound(
        "inline value altered",
        [
            "checkpoints",
            CHECKPOINT,
            "UPDATE checkpoints SET checkpoint = jsonb_set(checkpoint, '{channel_values,altered}',
             '7') WHERE $row",
        ],
    ),
    sound(
        "version of a channel altered",
        [
            "checkpoints",
            "checkpoint -> 'channel_versions' ? 'messages'",
            "UPDATE checkpoints SET checkpoint = jsonb_set(checkpoint,
             '{channel_versions,messages}', '\"00000000000000000000000000009999.5\"') WHERE $row",
        ],
    ),
    sound(
        "last byte of a blob altered",
        [
            "checkpoint_blobs",
            "type = 'msgpack' AND length(blob) > 64 AND get_byte(blob, length(blob) - 1) > 96",
            "UPDATE checkpoint_blobs SET blob = set_byte(blob, length(blob) - 1,
             get_byte(blob, length(blob) - 1) # 1) WHERE $row",
        ],
    ),
    sound(
        "blob stale",
        [
            "checkpoint_blobs",
            "channel = 'messages' AND EXISTS (SELECT FROM checkpoint_blobs o WHERE
             (o.thread_id, o.checkpoint_ns, o.channel) = (t.thread_id, t.checkpoint_ns, t.channel)
             AND o.version < t.version)",
            "UPDATE checkpoint_blobs b SET blob = (SELECT o.blob FROM checkpoint_blobs o WHERE
             (o.thread_id, o.checkpoint_ns, o.channel) = (b.thread_id, b.checkpoint_ns, b.channel)
             AND o.version < b.version ORDER BY o.version LIMIT 1) WHERE b.$row",
        ],
    ),
    sound(
        "metadata altered",
        [
            "checkpoints",
            CHECKPOINT,
            "UPDATE checkpoints SET metadata = metadata || '{\"step\": 4711}' WHERE $row",
        ],
    ),
    sound(
        "parent altered",
        [
            "checkpoints",
            CHECKPOINT,
            "UPDATE checkpoints SET parent_checkpoint_id = checkpoint_id WHERE $row",
        ],
    ),
    sound(
        "parent removed",
        [
            "checkpoints",
            CHECKPOINT,
            "UPDATE checkpoints SET parent_checkpoint_id = NULL WHERE $row",
        ],
    ),
    sound(
        "task path altered",
        [
            "checkpoint_writes",
            "true",
            "UPDATE checkpoint_writes SET task_path = task_path || 'x' WHERE $row",
        ],
    ),
    sound(
        "channel of a write altered",
        [
            "checkpoint_writes",
            "true",
            "UPDATE checkpoint_writes SET channel = channel || 'x' WHERE $row",
        ],
    ),
    structural(
        "checkpoint no object",
        ["checkpoints", CHECKPOINT, "UPDATE checkpoints SET checkpoint = '[1, 2]' WHERE $row"],
    ),
    structural(
        "values of channels no object",
        [
            "checkpoints",
            CHECKPOINT,
            "UPDATE checkpoints SET checkpoint = jsonb_set(checkpoint, '{channel_values}', '7')
             WHERE $row",
        ],
    ),
    structural(
        "versions of channels no object",
        [
            "checkpoints",
            CHECKPOINT,
            "UPDATE checkpoints SET checkpoint = jsonb_set(checkpoint, '{channel_versions}',
             '\"x\"') WHERE $row",
        ],
    ),
    structural(
        "version of a channel no text",
        [
            "checkpoints",
            CHECKPOINT,
            "UPDATE checkpoints SET checkpoint = jsonb_set(checkpoint,
             '{channel_versions,messages}', '[1]') WHERE $row",
        ],
    ),
    structural(
        "metadata no object",
        ["checkpoints", CHECKPOINT, "UPDATE checkpoints SET metadata = '[]' WHERE $row"],
    ),
    structural("blob cut short", ["checkpoint_blobs", BLOB, CUT]),
    structural(
        "blob null",
        ["checkpoint_blobs", BLOB, "UPDATE checkpoint_blobs SET blob = NULL WHERE $row"],
    ),
    structural(
        "tag of a blob unknown",
        ["checkpoint_blobs", BLOB, "UPDATE checkpoint_blobs SET type = 'msgpock' WHERE $row"],
    ),
    structural(
        "write cut short",
        [
            "checkpoint_writes",
            BLOB,
            "UPDATE checkpoint_writes SET blob = substr(blob, 1, length(blob) / 2) WHERE $row",
        ],
    ),
    structural(
        "tag of a write unknown",
        ["checkpoint_writes", BLOB, "UPDATE checkpoint_writes SET type = 'msgpock' WHERE $row"],
    ),
];

/// Ways to damage what restow keeps beside LangGraph's tables.
pub const BESIDE_POSTGRES: &[Statement] = &[
    sound("residue missing", ["restow.residue", "true", "DELETE FROM restow.residue WHERE $row"]),
    sound(
        "residue altered",
        [
            "restow.residue",
            "length(bytes) > 0",
            "UPDATE restow.residue SET bytes = set_byte(bytes, 0, get_byte(bytes, 0) # 1)
             WHERE $row",
        ],
    ),
    structural(
        "a table of restow's missing",
        ["restow.residue", "true", "DROP TABLE restow.residue"],
    ),
    sound(
        "all tables of restow's missing",
        ["restow.residue", "true", "DROP SCHEMA restow CASCADE"],
    ),
];

impl Statement {
    /// Damages a database; the seed chooses the row.
    pub fn apply(&self, client: &mut Client, seed: u64) -> Hit {
        let Self { name, table, condition, sql, .. } = self;
        let rows = format!(
            "SELECT ctid::text, thread_id FROM {table} t WHERE {condition} ORDER BY md5(t::text)"
        );
        let rows = client.query(&rows, &[]).expect("look for a row");
        assert!(!rows.is_empty(), "no row of {table} to damage: {name}");
        let row = &rows[Random::new(seed).below(rows.len() as u64) as usize];
        let (place, unit): (String, String) = (row.get(0), row.get(1));
        let sql = sql.replace("$row", &format!("ctid = '{place}'"));
        client.batch_execute(&sql).expect("damage a row");
        Hit { unit: Some(unit), place: format!("{table} {place}") }
    }
}

//! Damage to a LangGraph SQLite file.

use rusqlite::{Connection, params};

use super::{Damage, Hit, blob, changed, delete, flip, pick, set, set_blob, swap};
use crate::generate::Random;

/// Ways to damage the rows of a LangGraph SQLite file.
///
/// The official saver refuses the structural ones, but for bytes behind a checkpoint, which it does
/// not look at; it reads past all others.
pub const LANGGRAPH: &[Damage] = &[
    Damage::rows("checkpoint missing", false, checkpoint_missing),
    Damage::rows("write missing", false, write_missing),
    Damage::rows("thread missing", false, thread_missing),
    Damage::rows("checkpoint extra", false, checkpoint_extra),
    Damage::rows("write extra", false, write_extra),
    Damage::rows("text in a checkpoint altered", false, checkpoint_text_altered),
    Damage::rows("text in a write altered", false, write_text_altered),
    Damage::rows("metadata altered", false, metadata_altered),
    Damage::rows("parent altered", false, parent_altered),
    Damage::rows("parent removed", false, parent_removed),
    Damage::rows("task path altered", false, task_path_altered),
    Damage::rows("channel of a write altered", false, channel_altered),
    Damage::rows("index of a write altered", false, index_altered),
    Damage::rows("checkpoint stale", false, checkpoint_stale),
    Damage::rows("checkpoints swapped", false, checkpoints_swapped),
    Damage::rows("writes swapped", false, writes_swapped),
    Damage::rows("first byte of a checkpoint altered", true, first_byte_altered),
    Damage::rows("checkpoint cut short", true, checkpoint_cut),
    Damage::rows("checkpoint cut by a byte", true, checkpoint_cut_by_one),
    Damage::rows("bytes behind a checkpoint", true, checkpoint_longer),
    Damage::rows("checkpoint empty", true, checkpoint_empty),
    Damage::rows("checkpoint null", true, checkpoint_null),
    Damage::rows("write cut short", true, write_cut),
    Damage::rows("write null", true, write_null),
    Damage::rows("metadata cut short", true, metadata_cut),
    Damage::rows("metadata not UTF-8", true, metadata_not_text),
    Damage::rows("tag of a checkpoint unknown", true, checkpoint_tag),
    Damage::rows("tag of a write unknown", true, write_tag),
];

/// Values large enough to be cut and altered inside.
const PACKED: &str = "type = 'msgpack' AND length(value) > 64";

fn checkpoint(connection: &Connection, random: &mut Random) -> (i64, Hit) {
    let row = pick(connection, random, "checkpoints", "length(checkpoint) > 300");
    (row, hit_checkpoint(connection, row))
}

fn hit_checkpoint(connection: &Connection, row: i64) -> Hit {
    let sql = "SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints WHERE rowid = ?";
    let texts = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let (unit, ns, id): (String, String, String) =
        connection.query_row(sql, [row], texts).expect("a checkpoint");
    Hit { unit: Some(unit), place: format!("checkpoint({ns:?}, {id})") }
}

fn write(connection: &Connection, random: &mut Random, condition: &str) -> (i64, Hit) {
    let row = pick(connection, random, "writes", condition);
    let sql = "SELECT thread_id, checkpoint_ns, checkpoint_id, task_id, idx
               FROM writes WHERE rowid = ?";
    let hit = connection.query_row(sql, [row], |row| {
        let (unit, ns): (String, String) = (row.get(0)?, row.get(1)?);
        let (checkpoint, task): (String, String) = (row.get(2)?, row.get(3)?);
        let idx: i64 = row.get(4)?;
        let place = format!("write({ns:?}, {checkpoint}, {task}, {idx})");
        Ok(Hit { unit: Some(unit), place })
    });
    (row, hit.expect("a write"))
}

fn checkpoint_missing(connection: &Connection, random: &mut Random) -> Hit {
    let (row, hit) = checkpoint(connection, random);
    delete(connection, "checkpoints", row);
    hit
}

fn write_missing(connection: &Connection, random: &mut Random) -> Hit {
    let (row, hit) = write(connection, random, "true");
    delete(connection, "writes", row);
    hit
}

fn thread_missing(connection: &Connection, random: &mut Random) -> Hit {
    let (_, hit) = checkpoint(connection, random);
    for table in ["checkpoints", "writes"] {
        let sql = format!("DELETE FROM {table} WHERE thread_id = ?");
        connection.execute(&sql, params![hit.unit]).expect("delete a thread");
    }
    Hit { place: "thread".to_owned(), ..hit }
}

fn checkpoint_extra(connection: &Connection, random: &mut Random) -> Hit {
    let (row, _) = checkpoint(connection, random);
    let id = blob_text(connection, row, "checkpoint_id");
    let last = if id.ends_with('0') { '1' } else { '0' };
    let other = format!("{}{last}", &id[..id.len() - 1]);
    let packed = renamed(&blob(connection, "checkpoints", "checkpoint", row), &id, &other);
    let sql = "INSERT INTO checkpoints SELECT thread_id, checkpoint_ns, ?1, parent_checkpoint_id,
               type, ?2, metadata FROM checkpoints WHERE rowid = ?3";
    changed(connection.execute(sql, params![other, packed, row]));
    hit_checkpoint(connection, connection.last_insert_rowid())
}

fn write_extra(connection: &Connection, random: &mut Random) -> Hit {
    let (row, _) = write(connection, random, "idx >= 0");
    let columns = "thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, value";
    let values = columns.replace("idx", "idx + 1000");
    let sql = format!("INSERT INTO writes ({columns}) SELECT {values} FROM writes WHERE rowid = ?");
    changed(connection.execute(&sql, [row]));
    let made = format!("rowid = {}", connection.last_insert_rowid());
    write(connection, random, &made).1
}

fn checkpoint_text_altered(connection: &Connection, random: &mut Random) -> Hit {
    let (row, hit) = checkpoint(connection, random);
    let mut packed = blob(connection, "checkpoints", "checkpoint", row);
    alter_text(&mut packed, random);
    set_blob(connection, "checkpoints", "checkpoint", row, &packed);
    hit
}

fn write_text_altered(connection: &Connection, random: &mut Random) -> Hit {
    let condition = format!("{PACKED} AND instr(value, CAST(' ' AS BLOB)) > 0");
    let (row, hit) = write(connection, random, &condition);
    let mut packed = blob(connection, "writes", "value", row);
    alter_text(&mut packed, random);
    set_blob(connection, "writes", "value", row, &packed);
    hit
}

fn metadata_altered(connection: &Connection, random: &mut Random) -> Hit {
    let (row, hit) = checkpoint(connection, random);
    let mut metadata = blob(connection, "checkpoints", "metadata", row);
    let digit = metadata.iter().rposition(u8::is_ascii_digit).expect("a number in the metadata");
    metadata[digit] = b'0' + (metadata[digit] - b'0' + 1) % 10;
    set_blob(connection, "checkpoints", "metadata", row, &metadata);
    hit
}

fn parent_altered(connection: &Connection, random: &mut Random) -> Hit {
    let row = pick(connection, random, "checkpoints", "parent_checkpoint_id IS NOT NULL");
    set(connection, "checkpoints", "parent_checkpoint_id", row, "checkpoint_id");
    hit_checkpoint(connection, row)
}

fn parent_removed(connection: &Connection, random: &mut Random) -> Hit {
    let row = pick(connection, random, "checkpoints", "parent_checkpoint_id IS NOT NULL");
    set(connection, "checkpoints", "parent_checkpoint_id", row, "NULL");
    hit_checkpoint(connection, row)
}

fn task_path_altered(connection: &Connection, random: &mut Random) -> Hit {
    let (row, hit) = write(connection, random, "true");
    set(connection, "writes", "task_path", row, "task_path || 'x'");
    hit
}

fn channel_altered(connection: &Connection, random: &mut Random) -> Hit {
    let (row, hit) = write(connection, random, "true");
    set(connection, "writes", "channel", row, "channel || 'x'");
    hit
}

fn index_altered(connection: &Connection, random: &mut Random) -> Hit {
    let (row, hit) = write(connection, random, "idx >= 0");
    set(connection, "writes", "idx", row, "idx + 1000");
    hit
}

/// Gives a checkpoint the content of its parent, as an update that was lost leaves it.
fn checkpoint_stale(connection: &Connection, random: &mut Random) -> Hit {
    let condition = "parent_checkpoint_id IS NOT NULL";
    let row = pick(connection, random, "checkpoints", condition);
    let sql = "SELECT p.rowid FROM checkpoints c JOIN checkpoints p
               ON p.thread_id = c.thread_id AND p.checkpoint_ns = c.checkpoint_ns
               AND p.checkpoint_id = c.parent_checkpoint_id WHERE c.rowid = ?";
    let parent: i64 = connection.query_row(sql, [row], |row| row.get(0)).expect("a parent");
    let packed = blob(connection, "checkpoints", "checkpoint", parent);
    let from = blob_text(connection, parent, "checkpoint_id");
    let to = blob_text(connection, row, "checkpoint_id");
    set_blob(connection, "checkpoints", "checkpoint", row, &renamed(&packed, &from, &to));
    hit_checkpoint(connection, row)
}

fn checkpoints_swapped(connection: &Connection, random: &mut Random) -> Hit {
    let (row, hit) = checkpoint(connection, random);
    let alike = "b.thread_id = a.thread_id";
    swap(connection, "checkpoints", &["checkpoint"], row, alike);
    hit
}

fn writes_swapped(connection: &Connection, random: &mut Random) -> Hit {
    let twice = "channel IN (SELECT channel FROM writes WHERE type = 'msgpack' GROUP BY channel
                 HAVING count(DISTINCT value) > 1) AND type = 'msgpack'";
    let (row, hit) = write(connection, random, twice);
    let alike = "b.channel = a.channel AND b.type = a.type";
    swap(connection, "writes", &["value"], row, alike);
    hit
}

fn first_byte_altered(connection: &Connection, random: &mut Random) -> Hit {
    // The one byte that msgpack never uses.
    reshape(connection, random, |packed, _| packed[0] = 0xc1)
}

fn checkpoint_cut(connection: &Connection, random: &mut Random) -> Hit {
    reshape(connection, random, |packed, random| {
        let length = packed.len() as u64;
        packed.truncate(random.between(length / 4, length * 3 / 4) as usize);
    })
}

fn checkpoint_cut_by_one(connection: &Connection, random: &mut Random) -> Hit {
    reshape(connection, random, |packed, _| packed.truncate(packed.len() - 1))
}

fn checkpoint_longer(connection: &Connection, random: &mut Random) -> Hit {
    reshape(connection, random, |packed, random| packed.push(random.below(256) as u8))
}

fn checkpoint_empty(connection: &Connection, random: &mut Random) -> Hit {
    reshape(connection, random, |packed, _| packed.clear())
}

fn reshape(
    connection: &Connection,
    random: &mut Random,
    how: fn(&mut Vec<u8>, &mut Random),
) -> Hit {
    let (row, hit) = checkpoint(connection, random);
    let mut packed = blob(connection, "checkpoints", "checkpoint", row);
    how(&mut packed, random);
    set_blob(connection, "checkpoints", "checkpoint", row, &packed);
    hit
}

fn checkpoint_null(connection: &Connection, random: &mut Random) -> Hit {
    let (row, hit) = checkpoint(connection, random);
    set(connection, "checkpoints", "checkpoint", row, "NULL");
    hit
}

fn write_cut(connection: &Connection, random: &mut Random) -> Hit {
    let (row, hit) = write(connection, random, PACKED);
    let mut packed = blob(connection, "writes", "value", row);
    let length = packed.len() as u64;
    packed.truncate(random.between(1, length - 1) as usize);
    set_blob(connection, "writes", "value", row, &packed);
    hit
}

fn write_null(connection: &Connection, random: &mut Random) -> Hit {
    let (row, hit) = write(connection, random, PACKED);
    set(connection, "writes", "value", row, "NULL");
    hit
}

fn metadata_cut(connection: &Connection, random: &mut Random) -> Hit {
    let (row, hit) = checkpoint(connection, random);
    let mut metadata = blob(connection, "checkpoints", "metadata", row);
    metadata.truncate(metadata.len() / 2);
    set_blob(connection, "checkpoints", "metadata", row, &metadata);
    hit
}

fn metadata_not_text(connection: &Connection, random: &mut Random) -> Hit {
    let (row, hit) = checkpoint(connection, random);
    let mut metadata = blob(connection, "checkpoints", "metadata", row);
    flip(&mut metadata, random);
    let letter = metadata.iter().position(u8::is_ascii_lowercase).expect("a letter");
    metadata[letter] = 0xff;
    set_blob(connection, "checkpoints", "metadata", row, &metadata);
    hit
}

fn checkpoint_tag(connection: &Connection, random: &mut Random) -> Hit {
    let (row, hit) = checkpoint(connection, random);
    set(connection, "checkpoints", "type", row, "'msgpock'");
    hit
}

fn write_tag(connection: &Connection, random: &mut Random) -> Hit {
    let (row, hit) = write(connection, random, PACKED);
    set(connection, "writes", "type", row, "'msgpock'");
    hit
}

fn blob_text(connection: &Connection, row: i64, column: &str) -> String {
    let sql = format!("SELECT {column} FROM checkpoints WHERE rowid = ?");
    connection.query_row(&sql, [row], |row| row.get(0)).expect("read a text")
}

/// Puts one text in the place of another of the same length, where it first stands.
fn renamed(packed: &[u8], from: &str, to: &str) -> Vec<u8> {
    let at = packed.windows(from.len()).position(|window| window == from.as_bytes());
    let at = at.expect("a checkpoint that holds its id");
    [&packed[..at], to.as_bytes(), &packed[at + from.len()..]].concat()
}

/// Alters one letter behind a blank: prose, and never a name that msgpack's structure needs.
fn alter_text(packed: &mut [u8], random: &mut Random) {
    let blanks: Vec<usize> = packed
        .windows(3)
        .enumerate()
        .filter(|(_, w)| w[0].is_ascii_lowercase() && w[1] == b' ' && w[2].is_ascii_lowercase())
        .map(|(at, _)| at + 2)
        .collect();
    match blanks.len() {
        // No prose in this value: the last byte of the last text or number.
        0 => *packed.last_mut().expect("a value") ^= 1,
        n => packed[blanks[random.below(n as u64) as usize]] ^= 2,
    }
}

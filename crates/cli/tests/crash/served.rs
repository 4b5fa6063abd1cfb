//! What a database holds, as LangGraph's PostgresSaver reads it, and what no reader is to see.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use postgres::Client;
use restow_testkit::postgres::Database;

/// Threads, each with a digest of all that the saver reads of it.
pub(crate) type Seen = BTreeMap<String, String>;

/// The saver's own query, one row a checkpoint, and the rows that no checkpoint leads to.
const SEEN: &str = "
    SELECT thread_id, md5(string_agg(row, ';' ORDER BY row)) FROM (
        SELECT thread_id, concat_ws(',', checkpoint_ns, checkpoint_id, parent_checkpoint_id,
            md5(checkpoint::text), md5(metadata::text),
            (SELECT md5(string_agg(concat_ws(',', b.channel, b.type, b.blob), ';'
                 ORDER BY b.channel))
             FROM jsonb_each_text(c.checkpoint -> 'channel_versions') v
             JOIN checkpoint_blobs b ON (b.thread_id, b.checkpoint_ns, b.channel, b.version)
               = (c.thread_id, c.checkpoint_ns, v.key, v.value))) AS row
        FROM checkpoints c
        UNION ALL
        SELECT thread_id, concat_ws(',', checkpoint_ns, checkpoint_id, task_id, idx, channel, type,
            md5(blob), task_path) FROM checkpoint_writes
    ) rows GROUP BY thread_id";

/// What a copy that has ended leaves behind of staged copies, in either layout's tables.
const LEFT: [(&str, &str); 9] = [
    ("restow.stage", "true"),
    ("restow.stage_checkpoints", "true"),
    ("restow.stage_blobs", "true"),
    ("restow.stage_writes", "true"),
    ("restow.stage_residue", "true"),
    (
        "checkpoint_blobs",
        "NOT EXISTS (SELECT FROM checkpoints c WHERE c.thread_id = t.thread_id \
        AND c.checkpoint_ns = t.checkpoint_ns \
        AND c.checkpoint -> 'channel_versions' ->> t.channel = t.version)",
    ),
    ("restow_parts.restow_unit", "token IS NOT NULL"),
    ("restow_parts.restow_page", "unit_no NOT IN (SELECT unit_no FROM restow_parts.restow_unit)"),
    ("restow_parts.restow_part", "unit_no NOT IN (SELECT unit_no FROM restow_parts.restow_unit)"),
];

/// Reads every thread in one statement, which sees one moment.
pub(crate) fn seen(client: &mut Client) -> Seen {
    if !has_table(client, "checkpoints") {
        return Seen::new();
    }
    client.query(SEEN, &[]).unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Says whether a store's tables were not made yet.
pub(crate) fn is_blank(database: &Database) -> bool {
    let mut client = database.connect();
    !["checkpoints", "restow_parts.restow_unit"].iter().any(|table| has_table(&mut client, table))
}

/// Counts the rows that a copy which has ended left behind.
pub(crate) fn left(database: &Database) -> i64 {
    let mut client = database.connect();
    let mut sum = 0;
    for (table, condition) in LEFT {
        if has_table(&mut client, table) {
            let sql = format!("SELECT count(*) FROM {table} t WHERE {condition}");
            sum += client.query_one(&sql, &[]).unwrap().get::<_, i64>(0);
        }
    }
    sum
}

fn has_table(client: &mut Client, table: &str) -> bool {
    client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&table]).unwrap().get(0)
}

/// Looks at a database over and over while something is done.
pub(crate) fn watched<T>(
    database: &Database,
    check: impl Fn(&Seen) + Sync,
    work: impl FnOnce() -> T,
) -> T {
    struct Ends<'a>(&'a AtomicBool);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = database.connect();
            while !done.load(Ordering::Relaxed) {
                check(&seen(&mut client));
            }
        });
        let _ends = Ends(&done);
        work()
    })
}

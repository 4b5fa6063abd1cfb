//! The keys of rows, through a cursor of the server's.

use std::collections::VecDeque;

use postgres::fallible_iterator::FallibleIterator;
use postgres::types::{ToSql, Type};
use restow_model::{Key, Record, UnitId};
use restow_store::Keys as Among;

use super::super::super::record::{CHECKPOINT, WRITE, checkpoint_key, write_key};
use super::Reader;
use super::condition::{Condition, Parameter};
use crate::engine::postgres::Fail;
use crate::engine::postgres::pieces::WHOLE_BYTES_MAX;

/// How many keys a cursor gives at once, at most and at first.
const KEYS_MAX: usize = 1000;
const KEYS_FIRST: usize = 64;
/// Rows up to this size come with their keys.
const SMALL_BYTES_MAX: usize = 32 << 10;

/// The two tables whose rows are the application's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Table {
    /// `checkpoints`.
    Checkpoints,
    /// `checkpoint_writes`.
    Writes,
}

impl Table {
    /// Returns the kind of the table's records.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Checkpoints => CHECKPOINT,
            Self::Writes => WRITE,
        }
    }

    pub(super) fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Checkpoints => &["checkpoint_ns", "checkpoint_id"],
            Self::Writes => &["checkpoint_ns", "checkpoint_id", "task_id", "idx"],
        }
    }

    /// What tells roughly how many bytes a row has, without reading them.
    fn size(self) -> &'static str {
        match self {
            Self::Checkpoints => "pg_column_size(r.checkpoint) + pg_column_size(r.metadata)",
            Self::Writes => "octet_length(r.blob)",
        }
    }

    /// What a small row holds beside its key; of a large one only what is small.
    fn cells(self, has_path: bool, small_max: usize) -> String {
        let small = format!("CASE WHEN {} <= {small_max} THEN", self.size());
        match self {
            Self::Checkpoints => format!(
                "r.parent_checkpoint_id, r.type, {small} r.checkpoint::text END, \
                 {small} r.metadata::text END"
            ),
            Self::Writes => {
                let path = if has_path { "r.task_path" } else { "''" };
                format!("r.channel, r.type, {path}, {small} r.blob END")
            }
        }
    }

    /// The place of the first cell behind the key, its size and its block.
    pub(super) fn first_cell(self) -> usize {
        self.columns().len() + 3
    }
}

/// The key of a row, and about how large the row is.
#[derive(Debug)]
pub(super) struct RowKey {
    pub(super) unit: UnitId,
    pub(super) namespace: String,
    pub(super) checkpoint: String,
    /// Empty for a checkpoint.
    pub(super) task: String,
    pub(super) index: i32,
    pub(super) bytes: usize,
    /// The block in which the row lies.
    pub(super) block: i64,
    pub(super) key: Key,
    /// The row with its cells, where it is small.
    pub(super) row: Option<postgres::Row>,
    /// The record without its values, where these were made sure of already.
    pub(super) checked: Option<Record>,
}

/// Which rows to walk, and in which order.
#[derive(Clone, Debug)]
pub(in super::super) enum Walk<'w> {
    /// Those of some units, in the order given, by key.
    Units {
        /// The units.
        units: &'w [UnitId],
        /// Which keys.
        keys: &'w Among,
        /// From the last key to the first.
        is_descending: bool,
    },
    /// As they are stored, from a block on and up to another.
    Blocks(i64, Option<i64>),
}

/// The keys of a table's rows, in the order of a walk.
#[derive(Debug)]
pub(super) struct Keys {
    name: &'static str,
    table: Table,
    ahead: VecDeque<RowKey>,
    among: Among,
    is_spent: bool,
    /// How many keys to ask for next.
    fetch: usize,
    /// Whether it walks one unit alone, behind whose end nothing follows.
    is_single: bool,
    /// Whether values are made sure of at once.
    is_checking: bool,
    small_max: usize,
}

impl Keys {
    /// Opens the cursor.
    pub(super) fn open(
        reader: &mut Reader<'_, '_>,
        table: Table,
        walk: &Walk<'_>,
    ) -> Result<Self, Fail> {
        let (name, rows) = match table {
            Table::Checkpoints => ("restow_checkpoints", &reader.place.checkpoints),
            Table::Writes => ("restow_writes", &reader.place.writes),
        };
        let is_checking = reader.is_checking && table == Table::Writes;
        let mut keys = Self {
            name,
            table,
            ahead: VecDeque::new(),
            among: Among::default(),
            is_spent: false,
            fetch: KEYS_FIRST,
            is_single: matches!(walk, Walk::Units { units: [_], .. }),
            is_checking,
            small_max: if is_checking { WHOLE_BYTES_MAX } else { SMALL_BYTES_MAX },
        };
        let columns = table.columns();
        let select = format!("r.thread_id, r.{}, {}", columns.join(", r."), table.size());
        let cells = table.cells(reader.shape.has_path, keys.small_max);
        let (sql, parameters): (String, Vec<Parameter>) = match walk {
            Walk::Units { units, keys: among, is_descending } => {
                let Some(condition) = Condition::of(table, among) else {
                    keys.is_spent = true;
                    return Ok(keys);
                };
                keys.among = (*among).clone();
                let direction = if *is_descending { " DESC" } else { "" };
                let order = columns.iter().map(|column| match *column {
                    "idx" => format!("r.idx{direction}"),
                    text => format!("r.{text} COLLATE \"C\"{direction}"),
                });
                let order: Vec<String> = order.collect();
                let ids = units.iter().map(|u| u.as_str().to_owned()).collect();
                let mut parameters = vec![Parameter::Texts(ids)];
                // Rows are sorted as they are stored, and unpacked one by one behind that.
                let sql = format!(
                    "SELECT {select}, 0::bigint, {cells} FROM (SELECT r.* FROM \
                     unnest($1::text[]) WITH ORDINALITY u (id, n){} ORDER BY u.n, {} OFFSET 0) r",
                    condition.join(rows),
                    order.join(", ")
                );
                parameters.extend(condition.parameters);
                (sql, parameters)
            }
            Walk::Blocks(from, to) => {
                let mut sql = format!(
                    "SELECT {select}, (r.ctid::text::point)[0]::bigint, {cells} FROM {rows} r \
                     WHERE r.ctid >= '({from},0)'::tid"
                );
                if let Some(to) = to {
                    sql.push_str(&format!(" AND r.ctid < '({to},0)'::tid"));
                }
                (sql, Vec::new())
            }
        };
        let sql = format!("DECLARE {name} NO SCROLL CURSOR FOR {sql}");
        let typed: Vec<(&(dyn ToSql + Sync), Type)> =
            parameters.iter().map(Parameter::typed).collect();
        reader.tx.execute_typed(&sql, &typed)?;
        Ok(keys)
    }

    /// Closes the cursor.
    pub(super) fn close(self, reader: &mut Reader<'_, '_>) -> Result<(), Fail> {
        if !self.is_spent {
            reader.tx.execute_typed(&format!("CLOSE {}", self.name), &[])?;
        }
        Ok(())
    }

    /// Passes what is left of a unit.
    pub(super) fn skip(&mut self, reader: &mut Reader<'_, '_>, unit: &UnitId) -> Result<(), Fail> {
        if self.is_single && !self.is_spent {
            reader.tx.execute_typed(&format!("CLOSE {}", self.name), &[])?;
            self.is_spent = true;
            self.ahead.clear();
        }
        while self.peek(reader)?.is_some_and(|next| next.unit == *unit) {
            self.ahead.pop_front();
        }
        Ok(())
    }

    /// Returns the next key, and leaves it there.
    pub(super) fn peek(&mut self, reader: &mut Reader<'_, '_>) -> Result<Option<&RowKey>, Fail> {
        while self.ahead.is_empty() && !self.is_spent {
            let fetch = format!("FETCH {} FROM {}", self.fetch, self.name);
            let none: [(&(dyn ToSql + Sync), Type); 0] = [];
            let mut rows = reader.tx.query_typed_raw(&fetch, none)?;
            let (mut count, mut bytes) = (0, 0);
            while let Some(row) = rows.next()? {
                let key = self.row_key(row)?;
                count += 1;
                bytes += key.bytes.min(SMALL_BYTES_MAX);
                if self.among.contains(&key.key) {
                    self.ahead.push_back(key);
                }
            }
            drop(rows);
            if count < self.fetch {
                reader.tx.execute_typed(&format!("CLOSE {}", self.name), &[])?;
                self.is_spent = true;
            }
            let average = (bytes / count.max(1)).max(1);
            self.fetch = (super::PAGE_BYTES_MAX / average).clamp(KEYS_FIRST / 2, KEYS_MAX);
        }
        Ok(self.ahead.front())
    }

    /// Takes keys of rows that are about as many bytes as a page holds; at least one.
    pub(super) fn page(
        &mut self,
        reader: &mut Reader<'_, '_>,
        limit: usize,
    ) -> Result<Vec<RowKey>, Fail> {
        let (mut page, mut bytes) = (Vec::new(), 0);
        let rows_max = match reader.is_checking {
            true => super::CHECKED_ROWS_MAX.min(limit),
            false => super::PAGE_ROWS_MAX.min(limit),
        };
        while page.len() < rows_max
            && let Some(next) = self.peek(reader)?
        {
            bytes += next.bytes;
            if !page.is_empty() && bytes > super::PAGE_BYTES_MAX {
                break;
            }
            page.extend(self.ahead.pop_front());
        }
        Ok(page)
    }

    fn row_key(&self, row: postgres::Row) -> Result<RowKey, postgres::Error> {
        let (namespace, checkpoint): (String, String) = (row.try_get(1)?, row.try_get(2)?);
        let (task, index, rest) = match self.table {
            Table::Checkpoints => (String::new(), 0, 3),
            Table::Writes => (row.try_get(3)?, row.try_get(4)?, 5),
        };
        let key = match self.table {
            Table::Checkpoints => checkpoint_key(&namespace, &checkpoint),
            Table::Writes => write_key(&namespace, &checkpoint, &task, i64::from(index)),
        };
        let bytes: Option<i32> = row.try_get(rest)?;
        let bytes = bytes.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let unit: &str = row.try_get(0)?;
        // Most rows are of the unit of the row before.
        let unit = match self.ahead.back().filter(|last| last.unit.as_str() == unit) {
            Some(last) => last.unit.clone(),
            None => UnitId::new(unit),
        };
        let block = row.try_get(rest + 1)?;
        let mut key = RowKey {
            unit,
            namespace,
            checkpoint,
            task,
            index,
            bytes,
            block,
            key,
            row: None,
            checked: None,
        };
        if bytes <= self.small_max && self.is_checking {
            let mut record = super::writes::record(&key, (&row, self.table.first_cell()), None)?;
            record.values.clear();
            (key.bytes, key.checked) = (key.key.as_bytes().len(), Some(record));
        } else if bytes <= self.small_max {
            key.row = Some(row);
        }
        Ok(key)
    }
}

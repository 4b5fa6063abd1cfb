//! What a database holds under the names of LangGraph's tables, as its catalog tells.

use std::collections::BTreeSet;

use postgres::types::Type;

use super::super::tables::{Tables, quoted};
use super::expected::{self, TABLES};
use crate::engine::postgres::{Fail, Transaction};

/// A column that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as `format_type` names it.
    pub kind: String,
    /// Whether it refuses NULL.
    pub not_null: bool,
    /// Its default, as `pg_get_expr` prints it.
    pub default: Option<String>,
}

/// An index that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// The columns, in order; empty names stand for expressions.
    pub columns: Vec<String>,
    /// Whether it is that of the primary key.
    pub is_primary: bool,
    /// Whether it refuses what is there twice.
    pub is_unique: bool,
    /// Whether queries may use it; what an interrupted build leaves behind is not valid.
    pub is_valid: bool,
    /// Whether it covers all rows, in the order of a b-tree.
    pub is_plain: bool,
}

/// A table that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What of LangGraph's it is to be.
    pub name: &'static str,
    /// Whether it is a table, and no view.
    pub is_table: bool,
    /// Whether whoever asks may change it.
    pub is_owned: bool,
    /// Its columns, in their order.
    pub columns: Vec<Column>,
    /// Its indexes.
    pub indexes: Vec<Index>,
}

impl Table {
    /// Returns a column by name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Returns an index by name.
    pub fn index(&self, name: &str) -> Option<&Index> {
        self.indexes.iter().find(|index| index.name == name)
    }

    /// Says whether all of these columns are there.
    pub fn has(&self, columns: &[&str]) -> bool {
        columns.iter().all(|name| self.column(name).is_some())
    }
}

/// What a schema holds under LangGraph's names, and beside them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// LangGraph's tables that are there.
    pub tables: Vec<Table>,
    /// The rows of `checkpoint_migrations`.
    pub versions: BTreeSet<i32>,
    /// How many of restow's own tables are there, and how many there are to be.
    pub side: (usize, usize),
    /// The same of those that a live migration needs, if one ever began.
    pub control: (usize, usize),
}

impl Found {
    /// Looks at a schema.
    pub fn look(tx: &mut Transaction<'_>, tables: &Tables) -> Result<Self, Fail> {
        let mut found = Self { tables: columns(tx, &tables.schema)?, ..Self::default() };
        indexes(tx, &tables.schema, &mut found.tables)?;
        if found.table(&expected::MIGRATIONS).is_some_and(|table| table.has(&["v"])) {
            let sql = format!("SELECT v FROM {}", tables.migrations);
            for row in tx.query_typed(&sql, &[])? {
                found.versions.insert(row.try_get(0)?);
            }
        }
        found.side = there(tx, &side_tables(tables))?;
        found.control = there(tx, &control_tables(tables))?;
        Ok(found)
    }

    /// Returns a table that is there.
    pub fn table(&self, table: &expected::Table) -> Option<&Table> {
        self.tables.iter().find(|found| found.name == table.name)
    }

    /// Returns the newest version that was applied; −1 before the first.
    pub fn version(&self) -> i32 {
        self.versions.last().copied().unwrap_or(-1)
    }

    /// Says whether all of restow's own tables are there.
    pub fn has_side(&self) -> bool {
        self.side.0 == self.side.1
    }

    /// Says whether control records and journals are there.
    pub fn has_control(&self) -> bool {
        self.control.0 == self.control.1
    }

    /// Says whether restow's own tables are only partly there.
    pub fn is_partial(&self) -> bool {
        let is_cut = |(there, all): (usize, usize)| there > 0 && there < all;
        is_cut(self.side) || is_cut(self.control) || (self.control.0 > 0 && !self.has_side())
    }

    /// Says whether there is anything of restow's own.
    pub fn has_any_side(&self) -> bool {
        self.side.0 > 0 || self.control.0 > 0
    }
}

/// Counts the tables that are there, and all.
fn there(tx: &mut Transaction<'_>, names: &[&str]) -> Result<(usize, usize), Fail> {
    let sql = "SELECT count(to_regclass(name)) FROM unnest($1) AS name";
    let there: i64 = tx.query_typed_one(sql, &[(&names, Type::TEXT_ARRAY)])?.try_get(0)?;
    Ok((usize::try_from(there).unwrap_or_default(), names.len()))
}

/// Returns the qualified names of the tables that a live migration needs.
pub fn control_tables(tables: &Tables) -> [&str; 2] {
    [&tables.control, &tables.journal]
}

/// Returns the qualified names of all that is restow's own, whether it is there or not.
pub fn all_side_tables(tables: &Tables) -> Vec<&str> {
    [side_tables(tables), control_tables(tables).into()].concat()
}

/// Returns the qualified names of restow's own tables.
pub fn side_tables(tables: &Tables) -> Vec<&str> {
    let Tables { active, staged, stage, register, .. } = tables;
    let mut names = vec![register, stage, &staged.checkpoints, &staged.blobs, &staged.writes];
    for place in [active, staged] {
        names.extend([&place.residue, &place.unit, &place.adjustment]);
    }
    names.into_iter().map(String::as_str).collect()
}

/// Returns the qualified name of one of LangGraph's tables or indexes.
pub fn qualified(tables: &Tables, name: &str) -> String {
    format!("{}.{}", quoted(&tables.schema), quoted(name))
}

fn columns(tx: &mut Transaction<'_>, schema: &str) -> Result<Vec<Table>, Fail> {
    let sql = "SELECT c.relname::text, c.relkind IN ('r', 'p'), pg_has_role(c.relowner, 'USAGE'), \
                 a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull, \
                 pg_get_expr(d.adbin, d.adrelid) \
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
               LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
               WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind NOT IN ('i', 'I', 'c') \
               ORDER BY a.attnum";
    let mut tables = Vec::new();
    for table in TABLES {
        let names = [(&schema as _, Type::TEXT), (&table.name as _, Type::TEXT)];
        let mut found: Option<Table> = None;
        for row in tx.query_typed(sql, &names)? {
            if found.is_none() {
                let (is_table, is_owned) = (row.try_get(1)?, row.try_get(2)?);
                let (columns, indexes) = (Vec::new(), Vec::new());
                found = Some(Table { name: table.name, is_table, is_owned, columns, indexes });
            }
            if let Some(found) = &mut found {
                let (name, kind) = (row.try_get(3)?, row.try_get(4)?);
                let (not_null, default) = (row.try_get(5)?, row.try_get(6)?);
                found.columns.push(Column { name, kind, not_null, default });
            }
        }
        tables.extend(found);
    }
    Ok(tables)
}

fn indexes(tx: &mut Transaction<'_>, schema: &str, tables: &mut [Table]) -> Result<(), Fail> {
    let sql = "SELECT i.relname::text, x.indisprimary, x.indisunique, x.indisvalid, \
                 x.indpred IS NULL AND x.indexprs IS NULL AND m.amname = 'btree', \
                 ARRAY(SELECT coalesce(a.attname::text, '') \
                       FROM unnest(x.indkey) WITH ORDINALITY AS k (number, place) \
                       LEFT JOIN pg_attribute a \
                         ON a.attrelid = x.indrelid AND a.attnum = k.number ORDER BY k.place) \
               FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid \
               JOIN pg_am m ON m.oid = i.relam \
               JOIN pg_class c ON c.oid = x.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = $1 AND c.relname = $2 ORDER BY i.relname";
    for table in tables {
        let names = [(&schema as _, Type::TEXT), (&table.name as _, Type::TEXT)];
        for row in tx.query_typed(sql, &names)? {
            table.indexes.push(Index {
                name: row.try_get(0)?,
                is_primary: row.try_get(1)?,
                is_unique: row.try_get(2)?,
                is_valid: row.try_get(3)?,
                is_plain: row.try_get(4)?,
                columns: row.try_get(5)?,
            });
        }
    }
    Ok(())
}

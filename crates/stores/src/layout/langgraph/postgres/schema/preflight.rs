//! What may be done, asked before anything is done.

use postgres::types::Type;
use restow_store::{Error, ErrorKind};

use super::super::tables::{Tables, quoted};
use super::expected::{MIGRATIONS, TABLES};
use super::found::Found;
use super::up::Plan;
use crate::engine::postgres::{Fail, Transaction};

const OPERATION: &str = "check what is allowed";

/// Refuses, with what would allow it, a plan that the server would stop half way.
pub(super) fn check(
    tx: &mut Transaction<'_>,
    tables: &Tables,
    found: &Found,
    plan: &Plan,
) -> Result<(), Fail> {
    if plan.is_empty() {
        return Ok(());
    }
    writable(tx)?;
    let sql = "SELECT current_user::text, quote_ident(current_database()), \
                 has_schema_privilege($1, 'CREATE'), \
                 has_database_privilege(current_database(), 'CREATE'), \
                 (SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = $2)";
    let schemas = [(&tables.schema as _, Type::TEXT), (&tables.side as _, Type::TEXT)];
    let row = tx.query_typed_one(sql, &schemas)?;
    let (user, database): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let (in_schema, in_database): (bool, bool) = (row.try_get(2)?, row.try_get(3)?);
    let in_side: Option<bool> = row.try_get(4)?;
    let role = quoted(&user);
    let makes_tables = !plan.tables.is_empty() || !plan.indexes.is_empty();
    let makes_any = makes_tables || !plan.builds.is_empty();
    if makes_any && !in_schema {
        let grant = format!("GRANT CREATE ON SCHEMA {} TO {role}", quoted(&tables.schema));
        return Err(denied("the role may not make tables in the schema", &grant).into());
    }
    if (plan.side || plan.control) && !in_side.unwrap_or(in_database) {
        let grant = match in_side {
            Some(_) => format!("GRANT CREATE ON SCHEMA {} TO {role}", quoted(&tables.side)),
            None => format!("GRANT CREATE ON DATABASE {database} TO {role}"),
        };
        let message = "the role may not make the schema in which restow keeps its own tables";
        return Err(denied(message, &grant).into());
    }
    for table in TABLES {
        let is_mine = found.table(table).is_none_or(|table| table.is_owned);
        if plan.changes(table) && !is_mine {
            let message = "only a table's owner may change it; run this as the owner, or make the \
                           role a member of it";
            let error = Error::new(ErrorKind::Credentials, OPERATION, message);
            return Err(error.with("table", table.name).with("role", &user).into());
        }
    }
    if !plan.versions.is_empty() && found.table(&MIGRATIONS).is_some() {
        let sql = "SELECT has_table_privilege($1, 'INSERT')";
        let may: bool = tx.query_typed_one(sql, &[(&tables.migrations, Type::TEXT)])?.try_get(0)?;
        if !may {
            let grant = format!("GRANT INSERT ON {} TO {role}", tables.migrations);
            return Err(denied("the role may not record the version", &grant).into());
        }
    }
    Ok(())
}

/// Refuses a server that takes no changes.
pub(super) fn writable(tx: &mut Transaction<'_>) -> Result<(), Fail> {
    let row = tx.query_typed_one("SELECT pg_is_in_recovery()", &[])?;
    let is_replica: bool = row.try_get(0)?;
    if is_replica {
        let message = "the server is a read-only replica; name the primary";
        return Err(Error::new(ErrorKind::Refused, OPERATION, message).into());
    }
    Ok(())
}

fn denied(message: &str, grant: &str) -> Error {
    Error::new(ErrorKind::Credentials, OPERATION, message).with("allow with", grant)
}

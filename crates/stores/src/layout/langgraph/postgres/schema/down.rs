//! Removes the tables.

use restow_store::{Error, ErrorKind, Result};

use postgres::error::SqlState;
use restow_store::feed::Stop;

use super::super::shape::{judge, resolve};
use super::super::tables::quoted;
use super::expected::TABLES;
use super::found::{Found, all_side_tables, qualified};
use super::preflight;
use super::status::{Status, count};
use super::up::LOCK_TIMEOUT;
use crate::engine::postgres::Server;
use crate::engine::postgres::alone::code;

const OPERATION: &str = "remove the tables";

/// Removes LangGraph's tables and restow's own, with all that they hold, where `confirmed` is the
/// database's name; returns what was there.
///
/// Nothing that is not LangGraph's goes: a view that reads the tables keeps all of them.
pub async fn down(server: &Server, confirmed: &str) -> Result<Status> {
    let confirmed = confirmed.to_owned();
    server
        .run(OPERATION, move |server| {
            let done = server.write(OPERATION, |tx| {
                let database: String =
                    tx.query_typed_one("SELECT current_database()::text", &[])?.try_get(0)?;
                if database != confirmed {
                    return Err(unconfirmed(&database).into());
                }
                tx.batch_execute(LOCK_TIMEOUT)?;
                let tables = resolve(tx, server.settings())?;
                let found = Found::look(tx, &tables)?;
                judge(tx, &tables, &found)?;
                preflight::writable(tx)?;
                let own: Vec<String> = TABLES
                    .iter()
                    .filter(|table| found.table(table).is_some())
                    .map(|table| qualified(&tables, table.name))
                    .collect();
                if !own.is_empty() {
                    // What is counted is what goes: nobody adds to it any more.
                    tx.batch_execute(&format!("LOCK TABLE {}", own.join(", ")))?;
                }
                let status = count(tx, &tables, &found)?;
                if !own.is_empty() {
                    tx.batch_execute(&format!("DROP TABLE {}", own.join(", ")))?;
                }
                if found.has_any_side() {
                    let side = all_side_tables(&tables).join(", ");
                    tx.batch_execute(&format!("DROP TABLE IF EXISTS {side}"))?;
                    let sql = "SELECT NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n \
                           ON n.oid = c.relnamespace WHERE n.nspname = $1)";
                    let schema = [(&tables.side as _, postgres::types::Type::TEXT)];
                    if tx.query_typed_one(sql, &schema)?.try_get(0)? {
                        tx.batch_execute(&format!("DROP SCHEMA {}", quoted(&tables.side)))?;
                    }
                }
                Ok(status)
            });
            done.map_err(explained)
        })
        .await
}

/// Refuses to destroy what nobody confirmed by name.
fn unconfirmed(database: &str) -> Error {
    let message = "nothing was removed; confirm with the database's name";
    Error::new(ErrorKind::Refused, OPERATION, message).with("database", database)
}

fn explained(stop: Stop) -> Stop {
    let Stop::Error(error) = stop else { return stop };
    let message = match code(&error) {
        Some(&SqlState::DEPENDENT_OBJECTS_STILL_EXIST) => {
            "nothing was removed: something of your own depends on the tables; remove it first"
        }
        Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            "nothing was removed: somebody uses the tables; stop the application and every copy"
        }
        _ => return Stop::Error(error),
    };
    Error::new(ErrorKind::Refused, OPERATION, message).because(error).into()
}

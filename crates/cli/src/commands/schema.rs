//! `restow schema`: LangGraph's tables in PostgreSQL.

use restow::schema::{self, Server, Size, Status, Up, Verified};
use restow::{Address, Error, ErrorKind, Result};
use serde_json::{Value, json};

use super::environment;
use crate::args::Schema;
use crate::exit::Exit;
use crate::out::Out;
use crate::words::{bytes, counted};

pub(super) async fn run(args: &Schema, out: &Out) -> Result<Exit> {
    match args {
        Schema::Status(at) => {
            let status = schema::status(&server(&at.address)?).await?;
            print_status(&status, out);
            Ok(Exit::Ok)
        }
        Schema::Up(at) => {
            print_up(&schema::up(&server(&at.address)?).await?, out);
            Ok(Exit::Ok)
        }
        Schema::Verify(at) => {
            let verified = schema::verify(&server(&at.address)?).await?;
            print_verified(&verified, out);
            Ok(if verified.differences.is_empty() { Exit::Ok } else { Exit::Unclean })
        }
        Schema::Down(args) => down(&server(&args.at.address)?, args.confirm.as_deref(), out).await,
    }
}

fn server(address: &str) -> Result<Server> {
    schema::server(&Address::parse(address)?, &environment())
}

async fn down(server: &Server, confirm: Option<&str>, out: &Out) -> Result<Exit> {
    let status = schema::status(server).await?;
    if status.tables.is_empty() && status.side.is_none() {
        out.object(&down_object(&status, false));
        let Status { database, schema, .. } = &status;
        out.line(format!("nothing to remove: database {database}, schema {schema}"));
        return Ok(Exit::Ok);
    }
    if confirm != Some(&*status.database) {
        print_down("would remove", &status, out);
        out.object(&down_object(&status, false));
        let message =
            "nothing was removed; confirm what goes with --confirm and the database's name";
        let error = Error::new(ErrorKind::Refused, "remove the tables", message);
        return Err(error.with("database", &status.database));
    }
    let removed = schema::down(server, &status.database).await?;
    print_down("removed", &removed, out);
    out.object(&down_object(&removed, true));
    Ok(Exit::Ok)
}

fn print_up(up: &Up, out: &Out) {
    out.object(&json!({
        "event": "schema up",
        "schema": up.schema,
        "from": up.from,
        "version": up.version,
        "changes": up.changes,
    }));
    let Up { schema, from, version, changes } = up;
    if changes.is_empty() {
        out.line(format!("already applied (version {version})"));
        return;
    }
    out.line(match *from {
        ..0 => format!("applied version {version} in schema {schema}"),
        from if from < *version => {
            format!("lifted from version {from} to {version} in schema {schema}")
        }
        _ => format!("completed version {version} in schema {schema}"),
    });
    for change in changes {
        out.line(format!("  {change}"));
    }
}

fn print_verified(verified: &Verified, out: &Out) {
    let Verified { schema, version, tables, differences } = verified;
    out.object(&json!({
        "event": "schema verify",
        "schema": schema,
        "version": version,
        "clean": differences.is_empty(),
        "tables": tables.iter().map(|(name, columns, indexes)| json!({
            "name": name, "columns": columns, "indexes": indexes,
        })).collect::<Vec<_>>(),
        "differences": differences,
    }));
    for (name, columns, indexes) in tables {
        let columns = counted(*columns as u64, "column", "columns");
        let indexes = counted(*indexes as u64, "index", "indexes");
        out.line(format!("{name:<22}{columns}, {indexes}"));
    }
    match differences.is_empty() {
        true => out.line(format!("schema {schema} is as LangGraph makes it, version {version}")),
        false => out.line(format!("schema {schema} is not as LangGraph makes it:")),
    }
    for difference in differences {
        out.line(format!("  {difference}"));
    }
}

fn print_status(status: &Status, out: &Out) {
    let mut object = object(status);
    object["event"] = json!("schema status");
    out.object(&object);
    let Status { database, schema, version, .. } = status;
    if status.tables.is_empty() {
        out.line(format!("database {database}, schema {schema}: no tables of LangGraph's"));
        out.line("`restow schema up` makes them");
    } else {
        let version = match version {
            ..0 => "no version".to_owned(),
            version => format!("version {version}"),
        };
        out.line(format!("database {database}, schema {schema}, {version}"));
    }
    print_amounts(status, out);
}

fn print_down(what: &str, status: &Status, out: &Out) {
    let Status { database, schema, .. } = status;
    out.line(format!("{what}: database {database}, schema {schema}"));
    print_amounts(status, out);
}

fn print_amounts(status: &Status, out: &Out) {
    if !status.tables.is_empty() {
        out.line(format!(
            "{}, {}, {}, {}",
            counted(status.threads, "thread", "threads"),
            counted(status.checkpoints, "checkpoint", "checkpoints"),
            counted(status.blobs, "blob row", "blob rows"),
            counted(status.writes, "pending write", "pending writes"),
        ));
    }
    for table in &status.tables {
        print_size(&table.name, table, out);
    }
    if let Some(side) = &status.side {
        print_size(&format!("restow's own ({})", side.name), side, out);
    }
    if status.staged > 0 {
        let threads = counted(status.staged, "thread is", "threads are");
        out.line(format!("{threads} half written, by a copy that runs or that was stopped"));
    }
    if status.managed > 0 {
        let threads = counted(status.managed, "thread is", "threads are");
        out.line(format!("{threads} looked after by a live migration, removed ones included"));
    }
}

fn print_size(name: &str, size: &Size, out: &Out) {
    out.line(format!(
        "{name:<22} {:>9} = rows {} + indexes {} + large values {}",
        bytes(size.bytes()),
        bytes(size.table_bytes),
        bytes(size.index_bytes),
        bytes(size.toast_bytes),
    ));
}

pub(super) fn object(status: &Status) -> Value {
    let size = |size: &Size| {
        json!({
            "name": size.name,
            "table_bytes": size.table_bytes,
            "index_bytes": size.index_bytes,
            "toast_bytes": size.toast_bytes,
        })
    };
    json!({
        "database": status.database,
        "schema": status.schema,
        "version": status.version,
        "threads": status.threads,
        "checkpoints": status.checkpoints,
        "blobs": status.blobs,
        "writes": status.writes,
        "tables": status.tables.iter().map(size).collect::<Vec<_>>(),
        "side": status.side.as_ref().map(size),
        "staged": status.staged,
        "managed": status.managed,
    })
}

fn down_object(status: &Status, removed: bool) -> Value {
    let mut object = object(status);
    object["event"] = json!("schema down");
    object["removed"] = json!(removed);
    object
}

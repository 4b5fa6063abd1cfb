//! `restow parts`: what nothing points at any more, and records written whole again.

use std::sync::Arc;
use std::time::Duration;

use restow::items::{Clean, Cleaned, Items, Joined, Named};
use restow::{Access, Address, Clock, Error, ErrorKind, Result};
use serde_json::{Value, json};

use crate::args::{Parts, PartsClean, PartsJoin};
use crate::exit::Exit;
use crate::out::Out;
use crate::words::{bytes, count, counted};

const DAY: Duration = Duration::from_secs(86_400);

pub(super) async fn run(args: &Parts, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    match args {
        Parts::Clean(args) => clean(args, &*clock, out).await,
        Parts::Join(args) => join(args, out).await,
    }
}

/// Opens a store that keeps large records in parts, item by item.
async fn items(address: &str, access: Access) -> Result<(Arc<dyn Items>, String)> {
    let address = Address::parse(address)?;
    let opened = super::open(&address, access).await?;
    let items = opened.items.ok_or_else(|| {
        let message = "the store keeps no parts of its own that could be left behind";
        let error = Error::new(ErrorKind::Unsupported, "look at parts", message);
        error.with("address", address.to_string())
    })?;
    let place = address.place.strip_prefix("//").unwrap_or(&address.place);
    let name = place.split('?').next().unwrap_or_default().to_owned();
    Ok((items, name))
}

async fn clean(args: &PartsClean, clock: &dyn Clock, out: &Out) -> Result<Exit> {
    let is_dry = args.confirm.is_none();
    let access = if is_dry { Access::Read } else { Access::Write };
    let (items, name) = items(&args.address, access).await?;
    confirmed(args.confirm.as_deref(), &name)?;
    let older_than = DAY * args.older_than;
    let found = items.clean(Clean { now: clock.wall(), older_than, is_dry }).await?;
    print_cleaned(&found, is_dry, &name, out);
    Ok(Exit::Ok)
}

/// Refuses a confirmation of another table.
fn confirmed(given: Option<&str>, name: &str) -> Result<()> {
    match given {
        Some(given) if given != name => {
            let message = "nothing was changed; confirm it with --confirm and the table's name";
            Err(Error::new(ErrorKind::Refused, "confirm a change", message).with("table", name))
        }
        _ => Ok(()),
    }
}

fn print_cleaned(found: &Cleaned, is_dry: bool, name: &str, out: &Out) {
    let Cleaned { items, parts, split_parts, left, young } = found;
    out.object(&json!({
        "event": "parts clean",
        "dry_run": is_dry,
        "items": items,
        "parts": named(parts),
        "split_parts": named(split_parts),
        "left": named(left),
        "too_young": young,
    }));
    out.line(format!("{} looked at", counted(*items, "item", "items")));
    let verb = if is_dry { "would remove" } else { "removed" };
    let all = [
        (parts, "part that no record names", "parts that no record names"),
        (split_parts, "part of a checkpoint that is gone", "parts of checkpoints that are gone"),
    ];
    for (what, one, many) in all {
        let size = bytes(what.bytes);
        out.line(format!("{verb} {}, {size}", counted(what.count, one, many)));
        out.first_of(what.count, &what.first, Clone::clone);
    }
    let notes = counted(left.count, "thing", "things");
    out.line(format!("{verb} {notes} that writers left in their threads"));
    out.first_of(left.count, &left.first, Clone::clone);
    if *young > 0 {
        out.line(format!("{} kept, as too young", counted(*young, "part", "parts")));
    }
    if is_dry && parts.count + split_parts.count + left.count > 0 {
        out.line(format!("nothing was removed; `--confirm {name}` does"));
    }
}

async fn join(args: &PartsJoin, out: &Out) -> Result<Exit> {
    let is_dry = args.confirm.is_none();
    let access = if is_dry { Access::Read } else { Access::Write };
    let (items, name) = items(&args.address, access).await?;
    confirmed(args.confirm.as_deref(), &name)?;
    let Joined { whole, joined, kept } = items.join(is_dry).await?;
    out.object(&json!({
        "event": "parts join",
        "dry_run": is_dry,
        "whole": whole,
        "joined": named(&joined),
        "kept": named(&kept),
    }));
    out.line(format!("{} whole already", counted(whole, "record is", "records are")));
    let verb = if is_dry { "would write" } else { "wrote" };
    let records = counted(joined.count, "record", "records");
    out.line(format!("{verb} {records} whole, {}", bytes(joined.bytes)));
    out.line(format!("{} as they are", counted(kept.count, "record stays", "records stay")));
    out.first_of(kept.count, &kept.first, Clone::clone);
    if is_dry && joined.count > 0 {
        out.line(format!("nothing was written; `--confirm {name}` does"));
    }
    Ok(Exit::Ok)
}

/// Makes what was counted an object.
pub(super) fn named(what: &Named) -> Value {
    json!({ "count": what.count, "bytes": what.bytes, "first": what.first })
}

/// Shows sizes by their upper bounds, for a person.
pub(super) fn sizes<'s>(sizes: impl IntoIterator<Item = (&'s u64, &'s u64)>) -> String {
    let shown = sizes.into_iter().map(|(bound, many)| match *bound {
        u64::MAX => format!("larger {}", count(*many)),
        bound if bound < 1 << 20 => format!("≤ {} KiB {}", bound >> 10, count(*many)),
        bound => format!("≤ {} MiB {}", bound >> 20, count(*many)),
    });
    shown.collect::<Vec<_>>().join(" · ")
}

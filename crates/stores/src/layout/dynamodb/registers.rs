//! Registers, each an item; the store's record is one of several equal ones.
//!
//! Every commit looks at the store's record, and DynamoDB lets no two transactions touch one item
//! at once: so a unit looks at the one that its name leads to, and a change changes all.

use bytes::Bytes;
use restow_model::{Digest, UnitId};
use restow_store::{Etag, RegisterName, Result, Role, StoreRecord, Swap, managed};

use super::Base;
use super::head::ETAG;
use crate::engine::dynamodb::{
    Check, Item, Place, Table, Transacted, Write, bytes, bytes_of, text, text_of as attribute,
};

/// How many items hold the store's record.
const SHARDS: u64 = 32;
const BYTES: &str = "bytes";

fn place(name: &RegisterName, shard: u64) -> Place {
    (format!("restow#store#{shard}"), format!("restow#register#{}", name.0))
}

/// Returns where the store's record is that a unit's commits look at.
pub(in crate::layout) fn shard(unit: &UnitId) -> Place {
    place(&RegisterName::store(), Digest::of(unit.as_str().as_bytes()).short() % SHARDS)
}

/// Returns what a register's item holds.
pub(in crate::layout) fn content(item: &Item) -> Option<(Etag, Bytes)> {
    let etag = attribute(item, ETAG)?.as_bytes().to_vec();
    Some((Etag(etag.into()), bytes_of(item, BYTES)?.to_vec().into()))
}

/// Returns a version as it is stored.
pub(in crate::layout) fn text_of(etag: &Etag) -> String {
    String::from_utf8_lossy(&etag.0).into_owned()
}

/// Reads a register.
pub(in crate::layout) fn read(table: &Table, name: &RegisterName) -> Result<Option<(Etag, Bytes)>> {
    Ok(table.get(&place(name, 0))?.as_ref().and_then(content))
}

/// Reads the store's record.
pub(in crate::layout) fn store(table: &Table) -> Result<Option<(Etag, Bytes)>> {
    read(table, &RegisterName::store())
}

/// Changes a register from a known version to new bytes.
pub(in crate::layout) fn swap(
    base: &Base,
    name: &RegisterName,
    was: Option<&Etag>,
    now: &[u8],
) -> Result<Swap> {
    let stamp = format!("{:x}", base.number()?);
    let item = |shard| {
        let mut item = base.table.keys().at(&place(name, shard));
        item.insert(ETAG.into(), text(&stamp));
        item.insert(BYTES.into(), bytes(now));
        item
    };
    let check = was.map_or(Check::Without(ETAG), |etag| Check::Is(ETAG, text_of(etag)));
    let is_done = match *name == RegisterName::store() {
        true => {
            let others = (1..SHARDS).map(|shard| Write::Put(item(shard), Check::Any));
            let all: Vec<_> = [Write::Put(item(0), check)].into_iter().chain(others).collect();
            base.table.transact(&all)? == Transacted::Done
        }
        false => base.table.put_if(item(0), &check)?,
    };
    let mine = Etag(stamp.into_bytes().into());
    if is_done {
        return Ok(Swap::Swapped(mine));
    }
    let held = read(&base.table, name)?;
    // The answer to an earlier attempt may have got lost.
    match held.as_ref().is_some_and(|(etag, _)| *etag == mine) {
        true => Ok(Swap::Swapped(mine)),
        false => Ok(Swap::Lost(held)),
    }
}

/// Makes the store say of itself what a role needs.
pub(in crate::layout) fn prepare(base: &Base, role: Role, id: &str) -> Result<StoreRecord> {
    loop {
        let held = store(&base.table)?;
        let (etag, bytes) = held.unzip();
        let (record, is_new) =
            managed::prepared(managed::store_record(bytes.as_deref())?, role, id);
        if !is_new || declare(base, etag.as_ref(), &record)? {
            return Ok(record);
        }
    }
}

/// Makes the store say of itself that it takes part in no migration.
pub(in crate::layout) fn release(base: &Base) -> Result<()> {
    loop {
        let (etag, bytes) = store(&base.table)?.unzip();
        let held = managed::store_record(bytes.as_deref())?;
        match managed::released(held.as_ref())? {
            Some(record) if !declare(base, etag.as_ref(), &record)? => {}
            _ => return Ok(()),
        }
    }
}

fn declare(base: &Base, was: Option<&Etag>, record: &StoreRecord) -> Result<bool> {
    let swap = swap(base, &RegisterName::store(), was, &record.to_bytes())?;
    Ok(matches!(swap, Swap::Swapped(_)))
}

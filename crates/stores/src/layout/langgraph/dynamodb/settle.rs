//! Putting a unit in place: what the head says is to be seen moves to where the official saver
//! looks for it.
//!
//! The head is the redo entry: until it says that the unit is in place, readers read the space that
//! it names, and whoever comes to write goes on with this. Writes come before checkpoints, older
//! checkpoints before newer ones, and what is to go goes last: the official saver finds no
//! checkpoint without its payload, its writes or its ancestors.

use std::collections::{BTreeMap, HashMap};

use restow_model::{Key, UnitId};
use restow_store::Result;

use super::names::{self, KEYS};
use super::unit::{self, Items, is_settled};
use super::vault::{Place as Stored, Vault};
use super::{Saver, item};
use crate::engine::dynamodb::{Check, Item, Place, Transacted, Write};
use crate::layout::dynamodb::head::{ETAG, Head};
use crate::layout::langgraph::record::{CHECKPOINT, WRITE};

/// How many items are moved at once, and about how many bytes of them.
const ITEMS_AT_ONCE: usize = 90;
const BYTES_AT_ONCE: usize = 3 << 20;

/// Brings a unit in place, and takes away what nothing refers to.
pub(super) fn settle(saver: &Saver, name: &UnitId) -> Result<()> {
    let table = &saver.base.table;
    loop {
        let Some(head) = unit::head(table, name)? else { return Ok(()) };
        if !is_settled(&head) {
            if !put_in_place(saver, name, &head)? {
                continue;
            }
        } else if head.is_spent() {
            if table.delete_if(&names::head(name), &Check::Is(ETAG, head.etag.clone()))? {
                return Ok(());
            }
        } else if head.garbage.is_empty() {
            return Ok(());
        } else {
            for number in &head.garbage {
                leave(saver, name, *number)?;
            }
            let next = Head { garbage: Vec::new(), ..head.clone() };
            replace(saver, name, &head, next, Vec::new())?;
        }
    }
}

/// Replaces the head that was seen, together with writes; says whether it did.
fn replace(
    saver: &Saver,
    name: &UnitId,
    was: &Head,
    next: Head,
    mut writes: Vec<Write>,
) -> Result<bool> {
    let next = Head { etag: format!("{:x}", saver.base.number()?), ..next };
    let check = Check::Is(ETAG, was.etag.clone());
    writes.push(Write::Put(next.item(KEYS.at(&names::head(name))), check));
    Ok(saver.base.table.transact(&writes)? == Transacted::Done)
}

/// Moves what is in the unit's space in place; says whether it is done, or another was faster.
fn put_in_place(saver: &Saver, name: &UnitId, head: &Head) -> Result<bool> {
    let table = &saver.base.table;
    let space = head.active.as_ref().map(|row| row.unit_no);
    let wanted = match space {
        Some(number) => unit::all_in_space(saver, name, number)?,
        None => Items::new(),
    };
    let mut held: HashMap<Place, Item> = unit::all_in_place(saver, name, Some(head))?
        .into_values()
        .filter_map(|item| Some((KEYS.place_of(&item)?, item)))
        .collect();
    let (mut dead, mut writes) = (Vec::new(), Vec::new());
    let mut without_checkpoint = BTreeMap::new();
    for (key, item) in ordered(wanted) {
        let place = names::place(name, &key);
        if let Some(at) = names::checkpoint_of(&key) {
            let is_checkpoint = key.kind() == CHECKPOINT;
            *without_checkpoint.entry(at).or_insert(true) &= !is_checkpoint;
        }
        let payload = item::payload_of(&item).ok();
        match held.remove(&place).map(|old| item::payload_of(&old).ok()) {
            Some(old) if old == payload => continue,
            old => dead.extend(old.flatten()),
        }
        writes.push(Write::Put(item::in_place(item, name, &key), Check::Any));
    }
    for (place, old) in held {
        dead.extend(item::payload_of(&old).ok());
        writes.push(Write::Delete(place, Check::Any));
    }
    let orphans = without_checkpoint.into_iter().filter(|(_, is_without)| *is_without);
    let mut next = Head {
        in_place: true,
        hides: false,
        orphans: orphans.map(|((namespace, id), _)| format!("{namespace}#{id}")).collect(),
        ..head.clone()
    };
    next.garbage.extend(space);
    let mut writes = writes.into_iter().peekable();
    loop {
        let (mut some, mut bytes) = (Vec::new(), 0);
        while let Some(write) = writes.next_if(|write| {
            some.len() < ITEMS_AT_ONCE && (some.is_empty() || bytes + write.bytes() < BYTES_AT_ONCE)
        }) {
            bytes += write.bytes();
            some.push(write);
        }
        if writes.peek().is_none() {
            let done = replace(saver, name, head, next, some)?;
            if done {
                Vault::new(table).remove(&dead)?;
            }
            return Ok(done);
        }
        some.push(Write::Look(names::head(name), Check::Is(ETAG, head.etag.clone())));
        if table.transact(&some)? == Transacted::Lost {
            return Ok(false);
        }
    }
}

/// Orders items: writes first, then what no saver knows, then checkpoints by their ids.
fn ordered(items: Items) -> Vec<(Key, Item)> {
    let key = |(key, item): (Vec<u8>, Item)| Some((Key::from_bytes(key.into()).ok()?, item));
    let mut all: Vec<(Key, Item)> = items.into_iter().filter_map(key).collect();
    all.sort_by_cached_key(|(key, _)| {
        let id = names::checkpoint_of(key).filter(|_| key.kind() == CHECKPOINT);
        (id.map(|(_, id)| id), key.kind() != WRITE)
    });
    all
}

/// Removes a space that nothing refers to; payloads that are in use in place stay.
fn leave(saver: &Saver, name: &UnitId, number: i64) -> Result<()> {
    let table = &saver.base.table;
    let items = unit::all_in_space(saver, name, number)?;
    let keys = items.keys().filter_map(|key| Key::from_bytes(key.clone().into()).ok());
    let places: Vec<Place> = keys.map(|key| names::place(name, &key)).collect();
    let used: Vec<Stored> =
        table.get_many(&places)?.iter().filter_map(|item| item::payload_of(item).ok()).collect();
    let mut dead: Vec<Stored> =
        items.values().filter_map(|item| item::payload_of(item).ok()).collect();
    dead.retain(|payload| !used.contains(payload));
    Vault::new(table).remove(&dead)?;
    let places: Vec<Place> = items.values().filter_map(|item| KEYS.place_of(item)).collect();
    table.delete_all(&places)
}

//! Writing records whole again that lie in parts, where they fit an item.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use restow_model::{Dialect, Key, Record, UnitId};
use restow_store::feed::blocking;
use restow_store::items::Joined;
use restow_store::{
    Batch, Expect, Frame, Guard, Op, Result, Selection, Store, Then, UnitOps, UnitOutcome,
};

use super::options::{self, Options};
use super::rows::Rows;
use super::unit::{self, Which};
use super::work::{WHOLE_BYTES_MAX, whole_weight};
use super::{Split, Splitting, item, names, splitter};
use crate::engine::dynamodb::{SORT, text_of};
use crate::layout::dynamodb::{RECORDS_MAX, Threads};

const OPERATION: &str = "join parts";

/// The records of a unit that are to be looked at, and how many are whole already.
#[derive(Default)]
struct Parted {
    keys: BTreeSet<Key>,
    whole: u64,
    /// Why none of them can be written whole.
    why: Option<&'static str>,
}

/// Finds records in parts that fit an item and, unless it is a dry run, writes them whole.
pub(super) async fn join(split: &Split, is_dry: bool) -> Result<Joined> {
    if !is_dry {
        split.layout().base.to_be_written()?;
    }
    // As large as an item holds, whatever is split from now on.
    let threshold = options::THRESHOLD.1;
    let wide = split.layout().clone();
    let options = Options { threshold, ..wide.options.clone() };
    let wide = Threads::new(Splitting { options, ..wide });
    let this = wide.clone();
    let units = blocking(OPERATION, move || Ok(Rows::new(this.layout())?.names()?.clone())).await?;
    let mut joined = Joined::default();
    for unit in units.into_keys() {
        let (this, name) = (wide.clone(), unit.clone());
        let found = blocking(OPERATION, move || parted(this.layout(), &name)).await?;
        joined.whole += found.whole;
        let mut some = Vec::new();
        let mut weight = 0;
        for key in found.keys {
            let place = format!("{unit}: {key}");
            if let Some(why) = found.why {
                joined.kept.add(format!("{place}: {why}"), 0);
                continue;
            }
            let Some(record) = read(&wide, &unit, &key).await? else {
                joined.kept.add(format!("{place}: it is damaged, or gone by now"), 0);
                continue;
            };
            let bytes = whole_weight(&record);
            let why = match (item::is_known(&record), bytes <= threshold) {
                (true, true) => None,
                (false, _) => Some("the known applications could not read it"),
                (_, false) => Some("it does not fit an item"),
            };
            if let Some(why) = why {
                joined.kept.add(format!("{place}: {why}"), bytes as u64);
                continue;
            }
            if weight + bytes > WHOLE_BYTES_MAX || some.len() == RECORDS_MAX {
                write(&wide, &unit, std::mem::take(&mut some), is_dry, &mut joined).await?;
                weight = 0;
            }
            weight += bytes;
            some.push(record);
        }
        write(&wide, &unit, some, is_dry, &mut joined).await?;
    }
    Ok(joined)
}

/// Finds the records of a unit that are not whole.
fn parted(split: &Splitting, unit: &UnitId) -> Result<Parted> {
    let mut parted = Parted::default();
    let Some(seen) = unit::look(&split.base.table, unit, Which::Active)? else { return Ok(parted) };
    if seen.row.control.is_some() {
        parted.why = Some("the thread takes part in a migration");
    }
    for item in seen.items.values() {
        let is_whole = [item::CHECKPOINT, item::VALUE].iter().any(|name| item.contains_key(*name));
        let name = text_of(item, SORT).unwrap_or_default();
        if !names::is_record(name) {
            parted.why = Some("the thread was staged, and known applications do not look there");
        }
        match (is_whole && !splitter::is_piece(item), item::key_of(item)) {
            (true, _) => parted.whole += 1,
            (false, Some(key)) => drop(parted.keys.insert(key)),
            (false, None) => {}
        }
    }
    Ok(parted)
}

async fn read(split: &Split, unit: &UnitId, key: &Key) -> Result<Option<Record>> {
    let what = Selection::keys([key.clone()].into());
    let frames: Vec<_> = split.read(vec![unit.clone()], what).await?.try_collect().await?;
    Ok(frames.into_iter().find_map(|frame| match frame {
        Frame::Record(record) => Some(record),
        _ => None,
    }))
}

async fn write(
    split: &Split,
    unit: &UnitId,
    records: Vec<Record>,
    is_dry: bool,
    joined: &mut Joined,
) -> Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = records
        .iter()
        .map(|record| (format!("{unit}: {}", record.key), whole_weight(record) as u64))
        .collect();
    if !is_dry {
        let put = |record: Record| {
            let expect = Expect::Digest(record.digest());
            Op::Put { record, expect }
        };
        let ops = records.into_iter().map(put).collect();
        let ops = UnitOps::new(unit.clone(), Dialect::Any, Guard::Unmanaged, ops, Then::Keep);
        match Store::apply(split, Batch { units: vec![ops] }).await?.pop() {
            Some(UnitOutcome::Failed(error)) => return Err(error),
            Some(outcome) if outcome.is_applied() => {}
            _ => {
                let why = "it was changed meanwhile; join again";
                names.iter().for_each(|(name, _)| joined.kept.add(format!("{name}: {why}"), 0));
                return Ok(());
            }
        }
    }
    names.into_iter().for_each(|(name, bytes)| joined.joined.add(name, bytes));
    Ok(())
}

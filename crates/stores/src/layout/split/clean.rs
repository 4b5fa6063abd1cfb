//! Finding what nothing in a table points at, and removing it.

use std::time::Duration;

use restow_model::UnitId;
use restow_store::Result;
use restow_store::items::{Clean, Cleaned};

use super::sweep::{self, Notes};
use super::{Splitting, splitter, unit, walk};
use crate::engine::dynamodb::{Check, item_size, place_of};

/// Finds what nothing points at and, unless it is a dry run, removes it.
pub(super) fn clean(split: &Splitting, how: Clean) -> Result<Cleaned> {
    if !how.is_dry {
        split.base.to_be_written()?;
    }
    let table = &split.base.table;
    let found = walk::walk(table, Some(&walk::ATTRIBUTES), |_| {})?;
    let mut cleaned = Cleaned { items: found.items, ..Cleaned::default() };
    for unit in &found.untidy {
        tidy(split, unit, how, &mut cleaned)?;
    }
    found.orphans(table, |unit, place, bytes| {
        cleaned.parts.add(format!("{unit}: {}", place.0), bytes);
        if how.is_dry { Ok(()) } else { table.delete_all(std::slice::from_ref(place)) }
    })?;
    Ok(cleaned)
}

/// Tidies up inside a unit.
fn tidy(split: &Splitting, unit: &UnitId, how: Clean, cleaned: &mut Cleaned) -> Result<()> {
    let table = &split.base.table;
    let (head, items) = unit::standing(table, unit)?;
    for part in splitter::orphans(&items) {
        let Some(place) = place_of(&part) else { continue };
        let at = splitter::split_at(&part).map(str::to_owned);
        if at.as_deref().and_then(moment).is_some_and(|at| at + how.older_than > how.now) {
            cleaned.young += 1;
            continue;
        }
        cleaned.split_parts.add(format!("{unit}: {}", place.1), item_size(&part) as u64);
        if !how.is_dry {
            // One of the same name may have been written since, by another program.
            table.delete_if(&place, &Check::Entry(splitter::SPLIT_AT, at))?;
        }
    }
    let garbage = sweep::gather(&head.unwrap_or_default(), items, Notes::All).names();
    garbage.iter().for_each(|name| cleaned.left.add(format!("{unit}: {name}"), 0));
    match garbage.is_empty() || how.is_dry {
        true => Ok(()),
        false => sweep::unit(split, unit, Notes::All, &[]),
    }
}

/// Reads a moment of RFC 3339, in UTC; fractions of a second do not matter.
fn moment(text: &str) -> Option<Duration> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let is_sane = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_sane || hour > 23 || minute > 59 || second > 60 || !text.ends_with('Z') {
        return None;
    }
    // Years that begin in March, as Howard Hinnant's `days_from_civil` counts them.
    let year = year - u64::from(month <= 2);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_era = year * 365 + year / 4 - year / 100 + year / 400 + of_year;
    let days = of_era.checked_sub(719_468)?;
    Some(Duration::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_calendars_count() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-28T23:59:59.999Z", 951_782_399),
            ("2000-03-01T00:00:00.000Z", 951_868_800),
            ("2025-12-31T23:59:59Z", 1_767_225_599),
        ] {
            assert_eq!(moment(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "later", "2025-13-01T00:00:00Z", "2025-12-31T23:59:59+01:00"] {
            assert_eq!(moment(bad), None, "{bad}");
        }
    }
}

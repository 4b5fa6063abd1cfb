//! The law: a record that was applied reads back equal, values and residue included.

use restow_model::{Record, UnitId};

use super::fixture::{by_key, merged, seen, sorted, unit};
use super::{Fixture, samples};
use crate::{Enumeration, Guard, Op, RecordOutcome, Result, Segment, Then, UnitOutcome};

fn names() -> [UnitId; 4] {
    ["", "größe/ü?#", "a b\n'\"%_", "unit"].map(UnitId::new)
}

/// What was written reads back equal, in units of any name, and again after it was replaced.
pub async fn what_was_written_reads_back_equal(f: &Fixture) -> Result<()> {
    f.ready().await?;
    for seed in [1, 2] {
        let records = (f.records)(seed, 40);
        for id in names() {
            f.write(&id, &records).await?;
        }
        for id in names() {
            assert_equal(&f.records_of(&id).await?, &by_key(&records));
        }
    }
    Ok(())
}

/// What a scan delivers is what was written.
pub async fn what_was_scanned_is_what_was_written(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let records = (f.records)(1, 40);
    for id in names() {
        f.write(&id, &records).await?;
    }
    for by in [Enumeration::Units, Enumeration::Storage] {
        let units = merged(seen(&f.scan(Segment::whole(by), None).await?));
        assert_eq!(units.keys().cloned().collect::<Vec<_>>(), {
            let mut names = names();
            names.sort();
            names
        });
        for held in units.into_values() {
            assert_equal(&held.into_values().collect::<Vec<_>>(), &by_key(&records));
        }
    }
    Ok(())
}

/// Writing what is there changes nothing, and is told so.
pub async fn writing_what_is_there_changes_nothing(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let records = (f.records)(1, 12);
    f.write(&unit(0), &records).await?;
    let before = f.unit(&unit(0)).await?;
    for record in records {
        let ops = vec![Op::put(record)];
        let outcome = f.done(&unit(0), Guard::Unmanaged, ops, Then::Keep).await?;
        if let UnitOutcome::Applied { records, .. } = outcome {
            assert_eq!(records, [RecordOutcome::Kept]);
        }
    }
    assert_eq!(f.unit(&unit(0)).await?, before);
    Ok(())
}

/// Whatever the record, a store holds it whole or refuses it by name.
pub async fn generic_records_are_held_or_refused(f: &Fixture) -> Result<()> {
    f.ready().await?;
    for (n, record) in samples::generic(3, 12).into_iter().enumerate() {
        let ops = vec![Op::put(record.clone())];
        let outcome = f.run(&unit(n), Guard::Unmanaged, ops, Then::Keep).await?;
        match f.store.check(&record) {
            Ok(()) => {
                assert!(outcome.is_applied(), "{outcome:?}");
                assert_equal(&f.records_of(&unit(n)).await?, &[sorted(record)]);
            }
            Err(unsupported) => {
                assert_eq!(unsupported.key, record.key);
                assert!(matches!(outcome, UnitOutcome::Unsupported(_)), "{outcome:?}");
                assert_eq!(f.unit(&unit(n)).await?, None);
            }
        }
    }
    Ok(())
}

/// Compares record by record, so that a difference is shown by itself.
fn assert_equal(held: &[Record], written: &[Record]) {
    for (held, written) in held.iter().zip(written) {
        assert_eq!(held.key, written.key);
        assert_eq!(held.body, written.body, "body of {}", written.key);
        assert_eq!(held.residue, written.residue, "residue of {}", written.key);
        assert!(held.values == written.values, "values of {}", written.key);
    }
    assert_eq!(held.len(), written.len());
}

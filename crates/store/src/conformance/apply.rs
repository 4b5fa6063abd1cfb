//! Cases of `Store::apply`: operations and outcomes.

use restow_model::{Digest, Key};

use super::Fixture;
use super::fixture::{by_key, failed, lost, unit};
use crate::{
    Batch, Current, ErrorKind, Expect, Guard, Op, RecordOutcome, Result, Then, UnitOps, UnitOutcome,
};

fn remove(key: Key) -> Op {
    Op::Remove { key, expect: Expect::Any }
}

/// Where one operation of a unit is lost, none of them is applied.
pub async fn a_unit_is_all_or_nothing(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let records = (f.records)(1, 3);
    f.write(&unit(0), &records).await?;
    let wrong = Expect::Digest(Digest::of(b"wrong"));
    let ops = vec![
        Op::put(f.record(0, 2)),
        remove(records[1].key.clone()),
        Op::Remove { key: records[2].key.clone(), expect: wrong },
    ];
    let outcome = f.run(&unit(0), Guard::Unmanaged, ops, Then::Keep).await?;
    let current = Current::Record(records[2].key.clone(), Some(records[2].digest()));
    assert_eq!(lost(&outcome), Some(&current));
    assert_eq!(f.records_of(&unit(0)).await?, by_key(&records));
    Ok(())
}

/// Outcomes come in the order of the units, and each unit is on its own.
pub async fn a_unit_that_fails_does_not_stop_the_others(f: &Fixture) -> Result<()> {
    f.ready().await?;
    f.write(&unit(1), &[f.record(0, 1)]).await?;
    let ops = |n| f.ops(&unit(n), Guard::Absent, vec![Op::put(f.record(0, 2))], Then::Keep);
    let units: Vec<UnitOps> = [2, 1, 0].map(ops).into();
    let outcomes = f.store.apply(Batch { units }).await?;
    assert_eq!(outcomes.len(), 3);
    assert!(lost(&outcomes[1]).is_some(), "{outcomes:?}");
    for n in [0, 2] {
        assert_eq!(f.records_of(&unit(n)).await?, by_key(&[f.record(0, 2)]));
    }
    assert_eq!(f.records_of(&unit(1)).await?, by_key(&[f.record(0, 1)]));
    Ok(())
}

/// Each record's outcome tells whether it was new, what it replaced, or that it was there.
pub async fn outcomes_tell_what_became_of_records(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let (old, new) = (f.record(0, 1), f.record(0, 2));
    let key = old.key.clone();
    let steps = [
        (remove(key.clone()), RecordOutcome::Kept),
        (Op::put(old.clone()), RecordOutcome::Inserted),
        (Op::put(old.clone()), RecordOutcome::Kept),
        (Op::put(new.clone()), RecordOutcome::Replaced(old.digest())),
        (remove(key), RecordOutcome::Replaced(new.digest())),
    ];
    for (n, (op, expected)) in steps.into_iter().enumerate() {
        let outcome = f.done(&unit(0), Guard::Unmanaged, vec![op], Then::Keep).await?;
        // A repetition after a lost answer no longer knows.
        if let UnitOutcome::Applied { records, generation } = outcome {
            assert_eq!((records, generation), (vec![expected], None), "step {n}");
        }
    }
    Ok(())
}

/// What an operation expects has to be there; otherwise the unit is lost, and what is there told.
pub async fn expectations_are_kept(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let (old, new) = (f.record(0, 1), f.record(0, 2));
    let id = unit(0);
    let put = |record: &restow_model::Record, expect| {
        let ops = vec![Op::Put { record: record.clone(), expect }];
        f.run(&id, Guard::Unmanaged, ops, Then::Keep)
    };
    let nothing = put(&old, Expect::Digest(old.digest())).await?;
    assert_eq!(lost(&nothing), Some(&Current::Record(old.key.clone(), None)));
    assert!(put(&old, Expect::Absent).await?.is_applied());
    for wrong in [Expect::Absent, Expect::Digest(new.digest())] {
        let current = Current::Record(old.key.clone(), Some(old.digest()));
        assert_eq!(lost(&put(&new, wrong).await?), Some(&current));
    }
    assert!(put(&new, Expect::Digest(old.digest())).await?.is_applied());
    assert_eq!(f.records_of(&unit(0)).await?, by_key(&[new]));
    Ok(())
}

/// Each operation sees what those before it did; clearing is one of them.
pub async fn operations_run_in_order(f: &Fixture) -> Result<()> {
    f.ready().await?;
    f.write(&unit(0), &(f.records)(1, 5)).await?;
    let record = f.record(1, 2);
    let ops = vec![Op::Clear, Op::Put { record: record.clone(), expect: Expect::Absent }];
    f.done(&unit(0), Guard::Unmanaged, ops, Then::Keep).await?;
    assert_eq!(f.records_of(&unit(0)).await?, by_key(std::slice::from_ref(&record)));
    let gone = Op::Remove { key: record.key.clone(), expect: Expect::Digest(record.digest()) };
    let ops = vec![gone, Op::Put { record: record.clone(), expect: Expect::Absent }];
    f.done(&unit(0), Guard::Unmanaged, ops, Then::Keep).await?;
    assert_eq!(f.records_of(&unit(0)).await?, by_key(&[record]));
    Ok(())
}

/// A record that lacks a value which its body names is refused, by name.
pub async fn a_record_lacks_no_value(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let mut record = f.record(0, 1);
    record.values.pop();
    let name = record.key.to_string();
    let ops = vec![Op::put(record)];
    let outcome = f.run(&unit(0), Guard::Unmanaged, ops, Then::Keep).await?;
    assert_eq!(failed(&outcome), Some(ErrorKind::Invalid), "{outcome:?}");
    let UnitOutcome::Failed(error) = outcome else { return Ok(()) };
    assert!(error.to_string().contains(&name), "{error}");
    assert_eq!(f.unit(&unit(0)).await?, None);
    Ok(())
}

/// A record that the layout has no place for is refused by name; nothing of its unit is written,
/// and the other units of the batch are.
pub async fn what_check_refuses_is_not_written(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let strange = super::samples::generic(1, 1).swap_remove(0);
    let Err(unsupported) = f.store.check(&strange) else { return Ok(()) };
    let ops = |n, record| f.ops(&unit(n), Guard::Unmanaged, vec![Op::put(record)], Then::Keep);
    let units = vec![ops(0, strange), ops(1, f.record(0, 1))];
    let outcomes = f.store.apply(Batch { units }).await?;
    let told = matches!(&outcomes[0], UnitOutcome::Unsupported(told) if *told == unsupported);
    assert!(told, "{outcomes:?}");
    assert_eq!(f.unit(&unit(0)).await?, None);
    assert_eq!(f.records_of(&unit(1)).await?.len(), 1);
    Ok(())
}

/// More records or bytes than one apply may hold are refused, and nothing of them is written.
pub async fn too_much_for_one_apply_is_told(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let can = f.can();
    let mut records = (f.records)(1, 2);
    let weight =
        |records: &[restow_model::Record]| records.iter().map(|r| r.weight()).sum::<usize>();
    while records.len() <= can.apply_records_max && weight(&records) <= can.apply_bytes_max {
        records = (f.records)(1, records.len() * 2);
    }
    let ops = records.into_iter().map(Op::put).collect();
    let outcome = f.run(&unit(0), Guard::Unmanaged, ops, Then::Keep).await?;
    assert!(matches!(outcome, UnitOutcome::TooLarge), "{outcome:?}");
    assert_eq!(f.unit(&unit(0)).await?, None);
    Ok(())
}

/// The last operation of a unit, applied again under its id, does nothing more.
pub async fn an_operation_repeated_does_nothing_more(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let ops = f.ops(&unit(0), Guard::Unmanaged, vec![Op::put(f.record(0, 1))], Then::Keep);
    assert!(f.apply(ops.clone()).await?.is_applied());
    let before = f.unit(&unit(0)).await?;
    assert!(f.apply(ops).await?.is_applied());
    assert_eq!(f.unit(&unit(0)).await?, before);
    Ok(())
}

/// A unit whose records were all removed, and that has no control record, is not there.
pub async fn a_unit_without_records_is_not_there(f: &Fixture) -> Result<()> {
    f.ready().await?;
    for (n, op) in [Op::Clear, remove(f.record(0, 1).key)].into_iter().enumerate() {
        f.write(&unit(n), &[f.record(0, 1)]).await?;
        f.done(&unit(n), Guard::Unmanaged, vec![op], Then::Keep).await?;
        assert_eq!(f.unit(&unit(n)).await?, None);
        let again = vec![Op::put(f.record(0, 1))];
        f.done(&unit(n), Guard::Absent, again, Then::Keep).await?;
    }
    Ok(())
}

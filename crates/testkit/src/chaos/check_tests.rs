//! The checker finds what it has to, and lets pass what may be.

use super::check::check;
use super::history::{Asked, Came, Operation};
use super::truth::{Write, Writes};
use restow::model::Digest;

fn operation(name: &str, asked: Asked, (from, to): (u64, u64), came: Came) -> Operation {
    Operation { name: name.into(), unit: "u".into(), asked, from, to, came }
}

fn add(name: &str, time: (u64, u64), seq: u64) -> Operation {
    operation(name, Asked::Add, time, Came::Made(seq))
}

fn read(time: (u64, u64), seq: u64, elements: &[&str]) -> Operation {
    let elements: Vec<String> = elements.iter().map(|e| (*e).to_owned()).collect();
    let last = elements.last().cloned();
    operation("r", Asked::Read, time, Came::Read(Some(seq), elements, last))
}

fn written(names: &[&str]) -> Writes {
    let write = |name: &&str| Write {
        op_id: Some(Digest::of(name.as_bytes())),
        cleared: name.starts_with("clear"),
        added: if name.starts_with("clear") { vec![] } else { vec![(*name).to_owned()] },
        alone: true,
    };
    (1..).zip(names.iter().map(write)).collect()
}

fn faults(operations: &[Operation], journal: &Writes, other: &Writes) -> Vec<String> {
    check(&operations.iter().collect::<Vec<_>>(), [journal, other], false)
}

fn one(operations: &[Operation], names: &[&str], invariant: &str) {
    let faults = faults(operations, &written(names), &Writes::new());
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with(invariant), "{faults:?}");
}

#[test]
fn what_is_in_order_passes() {
    let history = [
        add("a", (1, 5), 1),
        read((2, 4), 0, &[]),
        add("b", (6, 20), 2),
        read((7, 9), 2, &["a", "b"]),
        operation("c", Asked::Add, (8, u64::MAX), Came::Unknown),
        operation("clear", Asked::Remove, (30, 40), Came::Made(4)),
        read((41, 42), 4, &[]),
    ];
    let (mut source, mut target) = (written(&["a", "b", "c", "clear"]), Writes::new());
    assert_eq!(faults(&history, &source, &target), [""; 0]);
    // Half of the journal is in the other store.
    target.extend(source.split_off(&3));
    assert_eq!(faults(&history, &source, &target), [""; 0]);
    // What was never answered may never have been made.
    assert_eq!(faults(&history[4..5], &Writes::new(), &Writes::new()), [""; 0]);
}

#[test]
fn a_lost_write_is_found() {
    one(&[add("a", (1, 2), 1), add("b", (3, 4), 2)], &["a"], "I4: b is lost");
}

#[test]
fn a_stale_read_is_found() {
    let history = [add("a", (1, 2), 1), add("b", (3, 4), 2), read((5, 6), 1, &["a"])];
    one(&history, &["a", "b"], "I5: r at seq 1 came after b");
    let history = [add("a", (1, 2), 1), read((3, 4), 1, &[])];
    one(&history, &["a"], "I5: r read at seq 1 what never was");
}

#[test]
fn an_order_that_time_contradicts_is_found() {
    let history = [add("a", (1, 2), 2), add("b", (3, 4), 1)];
    one(&history, &["b", "a"], "I5: b at seq 1 came after a");
    let seen = [read((1, 2), 1, &["a"]), add("a", (3, 4), 1)];
    one(&seen, &["a"], "I5: a is seq 1, which r had seen");
}

#[test]
fn a_write_made_twice_and_a_fork_are_found() {
    one(&[], &["a", "a"], "I13: a was made again");
    let refused = operation("a", Asked::Add, (1, 2), Came::Refused("no".into()));
    one(&[refused], &["a"], "I13: a was refused");
    let fork = faults(&[], &written(&["a"]), &written(&["b"]));
    assert!(fork[0].starts_with("I2: seq 1 was written in both"), "{fork:?}");
    let mut gap = written(&["a", "b", "c"]);
    gap.remove(&2);
    let gap = faults(&[], &gap, &Writes::new());
    assert!(gap[0].starts_with("I2: no journal tells of seq 2"), "{gap:?}");
}

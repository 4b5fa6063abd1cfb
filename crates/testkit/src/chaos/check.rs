//! Holds what processes were told against what the stores tell.
//!
//! Every write has a seq in its unit, and the journals of both stores together name the write of
//! every seq, also of those whose answers were lost. So the order in which a history would have to
//! be explained is given, and needs no search: a history is linearizable by that order when
//! - the seqs are one chain, each made in one store (I2), no operation twice (I13);
//! - each answered write is the one of its seq (I4), and no refused one has any (I13);
//! - each read found just what the writes up to its seq leave (I5, I7);
//! - whatever was asked after an answer came stands behind it in that order (I5).
//!
//! A history that passes is linearizable, for the order shows how. One that fails is not explained
//! by the seqs that the stores gave, which is a fault in any case.

use std::collections::{BTreeMap, BTreeSet};

use restow::model::Digest;

use super::history::{Asked, Came, Operation};
use super::truth::{Write, Writes};
use super::world::SEED;

/// An operation, the seq at which it stands, and whether it is a write.
type Placed<'o> = (&'o Operation, u64, bool);
/// What a unit holds.
type Elements = BTreeSet<String>;

/// Returns what is wrong with the history of one unit, whose journals these are; a unit that was
/// there before the migration has its first content at seq 1.
pub fn check(operations: &[&Operation], journals: [&Writes; 2], seeded: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let chain = chain(journals, seeded, &mut faults);
    let base = u64::from(seeded);
    answers(operations, &chain, &mut faults);
    let states = states(&chain, seeded);
    let mut placed: Vec<Placed<'_>> = Vec::new();
    for operation in operations {
        match &operation.came {
            Came::Broken(why) => faults.push(format!("{}: {why}", operation.name)),
            Came::Read(seq, elements, last) => {
                let seq = seq.unwrap_or(base);
                placed.push((operation, seq, false));
                let found: Elements = elements.iter().cloned().collect();
                match states.range(..=seq).next_back() {
                    Some((_, (expected, before))) if seq <= end(&chain, base) => {
                        if found != *expected || last != before {
                            faults.push(differs(operation, seq, &found, expected));
                        }
                    }
                    _ => faults.push(format!("{}: read at seq {seq}", operation.name)),
                }
            }
            _ => placed.extend(seq_of(operation, &chain).map(|seq| (*operation, seq, true))),
        }
    }
    order(&mut placed, &mut faults);
    faults
}

fn end(chain: &Writes, base: u64) -> u64 {
    chain.last_key_value().map_or(base, |(seq, _)| *seq)
}

/// Returns the most elements that a unit held, by what its journals tell.
pub fn most(journals: [&Writes; 2]) -> usize {
    let chain = chain(journals, false, &mut Vec::new());
    states(&chain, false).values().map(|(elements, _)| elements.len()).max().unwrap_or(0)
}

/// Joins both journals; each seq has to be told once, and none left out.
fn chain([one, other]: [&Writes; 2], seeded: bool, faults: &mut Vec<String>) -> Writes {
    let mut chain = one.clone();
    for (seq, write) in other {
        if chain.insert(*seq, write.clone()).is_some() {
            faults.push(format!("I2: seq {seq} was written in both stores"));
        }
    }
    let first = 1 + u64::from(seeded);
    for (expected, seq) in (first..).zip(chain.keys()) {
        if expected != *seq {
            faults.push(format!("I2: no journal tells of seq {expected}, though of {seq}"));
            break;
        }
    }
    let mut seen = BTreeSet::new();
    for (seq, write) in &chain {
        for element in &write.added {
            if !seen.insert(element) {
                faults.push(format!("I13: {element} was made again, at seq {seq}"));
            }
        }
    }
    chain
}

/// Finds the seq at which an operation was made, if it was.
fn seq_of(operation: &Operation, chain: &Writes) -> Option<u64> {
    let op_id = Some(Digest::of(operation.name.as_bytes()));
    let is_it = |write: &&Write| match operation.asked {
        Asked::Read => false,
        Asked::Remove => write.op_id == op_id,
        Asked::Add | Asked::AddBeside => write.added.contains(&operation.name),
    };
    chain.iter().find(|(_, write)| is_it(write)).map(|(seq, _)| *seq)
}

/// Compares the answers of writes with the chain.
fn answers(operations: &[&Operation], chain: &Writes, faults: &mut Vec<String>) {
    for operation in operations {
        let name = &operation.name;
        match (&operation.came, seq_of(operation, chain)) {
            (Came::Made(told), Some(seq)) if *told == seq => {}
            (Came::Made(told), Some(seq)) => {
                faults.push(format!("I4: {name} is told as seq {told}, and is seq {seq}"));
            }
            (Came::Made(told), None) => {
                faults.push(format!("I4: {name} is lost, which was answered as seq {told}"));
            }
            (Came::Refused(_), Some(seq)) => {
                faults.push(format!("I13: {name} was refused, and made at seq {seq}"));
            }
            _ => {}
        }
    }
}

/// Returns what the unit holds behind every seq, and which element was added last alone.
fn states(chain: &Writes, seeded: bool) -> BTreeMap<u64, (Elements, Option<String>)> {
    let mut now: (Elements, Option<String>) = (Elements::new(), None);
    if seeded {
        now.0.insert(SEED.to_owned());
    }
    let mut states = BTreeMap::from([(0, now.clone())]);
    for (seq, write) in chain {
        if write.cleared {
            now = (Elements::new(), None);
        }
        now.0.extend(write.added.iter().cloned());
        if write.alone {
            // The names of what a write adds beside begin with its own.
            now.1 = write.added.iter().min().cloned();
        }
        states.insert(*seq, now.clone());
    }
    states
}

fn differs(operation: &Operation, seq: u64, found: &Elements, expected: &Elements) -> String {
    let shown = |elements: Vec<&String>| {
        let first: Vec<&str> = elements.iter().take(5).map(|e| e.as_str()).collect();
        format!("{} [{}]", elements.len(), first.join(" "))
    };
    format!(
        "I5: {} read at seq {seq} what never was; it lacks {}, and has beside {}",
        operation.name,
        shown(expected.difference(found).collect()),
        shown(found.difference(expected).collect())
    )
}

/// Whatever was asked after an answer came stands behind it: a read may share the seq of the write
/// that it found, and writes that were made together share theirs.
fn order(placed: &mut [Placed<'_>], faults: &mut Vec<String>) {
    placed.sort_by_key(|(operation, ..)| operation.from);
    let mut answered: Vec<_> = placed.iter().filter(|(o, ..)| o.to < u64::MAX).collect();
    answered.sort_by_key(|(operation, ..)| operation.to);
    let mut answered = answered.into_iter().peekable();
    let mut latest: Option<(u64, &str)> = None;
    for (operation, seq, is_write) in placed.iter() {
        while let Some((before, at, _)) = answered.next_if(|(o, ..)| o.to < operation.from) {
            latest = latest.max(Some((*at, &before.name)));
        }
        let name = &operation.name;
        if let Some((at, before)) = latest
            && *seq < at
        {
            faults.push(format!("I5: {name} at seq {seq} came after {before} at seq {at}"));
        } else if let Some((at, before)) = latest.filter(|(at, _)| *is_write && at == seq) {
            faults.push(format!("I5: {name} is seq {at}, which {before} had seen before it"));
        }
    }
}

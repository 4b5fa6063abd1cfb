//! What really happened, which no actor sees: the chain of writes, and what went wrong.

use crate::port::Effect;
use crate::protocol::{LAP_MAX, Plan};
use crate::state::{BOTH_KEYS, NOTHING, Progress, Records, Staging, Status, Store, WithoutControl};
use restow_live::Step;

/// Something that no state shows afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Fork,
    StaleRead,
    TermTwice,
    CopyBackward,
    SealedUnchecked,
    GoneUnretired,
    WrittenTwice,
    OlderEpoch,
    LongLap,
}

/// The history of the unit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Truth {
    /// What the unit held after each seq.
    pub(crate) chain: Vec<Records>,
    /// The operation behind each seq of the chain.
    pub(crate) ops: Vec<u8>,
    /// The highest seq that was answered for.
    pub(crate) answered: u8,
    /// The highest term and the highest epoch of an activation so far.
    term: u8,
    epoch: u8,
    wrong: u16,
}

impl Truth {
    /// A unit of these records, at a term; what is there from the beginning was answered for.
    pub(crate) fn new(records: Records, term: u8) -> Self {
        let mut chain = vec![NOTHING];
        if records != NOTHING {
            chain.push(records);
        }
        let last = chain.len() as u8 - 1;
        let ops = vec![0; chain.len()];
        Self { chain, ops, answered: last, term, epoch: 0, wrong: 0 }
    }

    pub(crate) fn last_seq(&self) -> u8 {
        self.chain.len() as u8 - 1
    }

    /// The seq of what was there before any write.
    pub(crate) fn first_seq(&self) -> u8 {
        self.ops.iter().take_while(|op| **op == 0).count() as u8 - 1
    }

    pub(crate) fn last(&self) -> Records {
        self.chain[self.chain.len() - 1]
    }

    pub(crate) fn at(&self, seq: u8) -> Option<Records> {
        self.chain.get(usize::from(seq)).copied()
    }

    pub(crate) fn note(&mut self, wrong: Wrong) {
        self.wrong |= 1 << wrong as u16;
    }

    pub(crate) fn has(&self, wrong: Wrong) -> bool {
        self.wrong & (1 << wrong as u16) != 0
    }

    pub(crate) fn answer(&mut self, seq: u8) {
        self.answered = self.answered.max(seq);
    }

    /// Takes note of a step that was applied at a store.
    pub(crate) fn observe(&mut self, plan: &Plan, before: &Store, after: &Store, other: &Store) {
        if let Effect::Write(op, patch, seen) = plan.apply.effect {
            let was = if before.is(Status::Live) { before.generation() } else { seen };
            let follows = was.seq == self.last_seq() && before.records == self.last();
            if !follows {
                self.note(Wrong::Fork);
            }
            if self.ops.contains(&op) {
                self.note(Wrong::WrittenTwice);
            }
            let removed = patch.keys == BOTH_KEYS && patch.records == NOTHING;
            self.chain.push(if removed { NOTHING } else { patch.onto(self.last()) });
            self.ops.push(op);
        }
        self.observe_control(plan, before, after);
        if plan.step == Step::Seal {
            self.observe_seal(after, other);
        }
    }

    fn observe_control(&mut self, plan: &Plan, before: &Store, after: &Store) {
        let (was, now) = (before.generation(), after.generation());
        let Some(control) = after.control else {
            if before.control.is_some() && before.without != WithoutControl::Retired {
                self.note(Wrong::GoneUnretired);
            }
            return;
        };
        if now < was {
            self.note(Wrong::CopyBackward);
        }
        let is_new = !before.is(Status::Live) || now.term != was.term;
        if is_new && control.status == Status::Live && now.term <= self.term {
            self.note(Wrong::TermTwice);
        }
        self.term = self.term.max(now.term);
        if plan.step == Step::Activate && control.status == Status::Live {
            if control.epoch < self.epoch {
                self.note(Wrong::OlderEpoch);
            }
            self.epoch = self.epoch.max(control.epoch);
        }
    }

    /// At the seal: a staged copy that a lap has completed is right, and little is left.
    fn observe_seal(&mut self, source: &Store, target: &Store) {
        let Some(Staging { base, progress, .. }) = target.staging() else { return };
        if matches!(progress, Progress::Copied(_)) {
            return;
        }
        if target.staged != self.at(base) {
            self.note(Wrong::SealedUnchecked);
        }
        if source.generation().seq.saturating_sub(base) > LAP_MAX {
            self.note(Wrong::LongLap);
        }
    }

    /// The home is given up for a replica that ends at a seq.
    pub(crate) fn cut(&mut self, seq: u8, term: u8) {
        self.chain.truncate(usize::from(seq) + 1);
        self.ops.truncate(usize::from(seq) + 1);
        self.term = self.term.max(term);
    }

    /// A read returned records, and began when `floor` was the last seq.
    pub(crate) fn read(&mut self, floor: u8, records: Records) {
        let seqs = usize::from(floor)..self.chain.len();
        if !self.chain[seqs].contains(&records) {
            self.note(Wrong::StaleRead);
        }
    }

    /// A client that knows no control records wrote.
    pub(crate) fn wrote_unaware(&mut self, store: &Store) {
        match self.chain.last_mut() {
            Some(last) if store.control.is_none() => *last = store.records,
            _ => self.note(Wrong::Fork),
        }
    }
}

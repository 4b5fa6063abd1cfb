//! A tool-calling agent: a sub-graph does the work, a person is asked now and then.

use std::path::Path;

use bytes::Bytes;

use super::file::File;
use super::graph::{Graph, Life, Update};
use super::message::{self, Call};
use super::{Figures, pack};

const ROOT: [&str; 5] =
    ["messages", "turn", "__start__", "branch:to:assistant", "branch:to:review"];
const BELOW: [&str; 5] = ["messages", "turn", "__start__", "branch:to:agent", "branch:to:tools"];

/// A person is asked once in so many turns.
const ASKED_ONCE_IN: u64 = 5;

/// A thread between two turns.
#[derive(Debug)]
struct Thread {
    life: Life,
    root: Graph,
    messages: Vec<Bytes>,
    turn: u64,
}

/// Writes `threads` threads of an agent, `turns` turns each, which take turns with each other.
///
/// A turn is 9 checkpoints (4 of the root, 5 of a sub-graph in a namespace of its own), 15 or 18
/// writes and 4 messages: a question, a call of a tool, its result as JSON, an answer.
/// 100 threads of 20 turns are 18,000 checkpoints, 31,000 writes and 487 MB.
pub fn agent(path: &Path, threads: u64, turns: u64, seed: u64) -> Figures {
    let mut file = File::create(path);
    let mut all: Vec<Thread> = (0..threads).map(|n| Thread::new(seed, n)).collect();
    for _ in 0..turns {
        all.iter_mut().for_each(|thread| thread.turn(&mut file));
    }
    file.finish()
}

impl Thread {
    fn new(seed: u64, number: u64) -> Self {
        let mut life = Life::of(seed, number);
        let root = Graph::root(&life.random.uuid(), &ROOT);
        Self { life, root, messages: Vec::new(), turn: 0 }
    }

    fn turn(&mut self, file: &mut File) {
        let Self { life, root, .. } = self;
        life.now.pause(&mut life.random);
        let length = life.random.between(30, 180) as usize;
        let human = message::human(&mut life.random, length);
        self.messages.push(human.clone());
        let asked = pack::list(&[human]);
        let all = pack::list(&self.messages);
        let updates =
            [Update::joined("messages", asked.clone(), all), Update::go("branch:to:assistant")];
        root.start(file, life, &[("messages", asked)], &updates);

        let task = self.root.task(&mut self.life, "assistant");
        let below = self.root.below(&task, &BELOW);
        let all = self.work(file, below);
        let Self { life, root, .. } = self;
        let counted = Update::set("turn", pack::number(self.turn));
        let updates =
            [Update::set("messages", all), counted.clone(), Update::go("branch:to:review")];
        root.run(file, life, &task, &updates);

        let task = root.task(life, "review");
        let is_asked = life.random.once_in(ASKED_ONCE_IN);
        if is_asked {
            let question = super::text::title(&mut life.random, 6);
            root.ask(file, life, &task, &question);
        }
        root.run_from(file, life, &task, i64::from(is_asked), &[counted]);
    }

    /// Runs the sub-graph: the model calls a tool, reads its result and answers.
    fn work(&mut self, file: &mut File, mut below: Graph) -> Bytes {
        let Self { life, messages, .. } = self;
        let all = pack::list(messages);
        let mut input = vec![("messages", all.clone())];
        let mut updates = vec![Update::set("messages", all)];
        if self.turn > 0 {
            input.push(("turn", pack::number(self.turn)));
            updates.push(Update::set("turn", pack::number(self.turn)));
        }
        updates.push(Update::go("branch:to:agent"));
        below.start(file, life, &input, &updates);

        let call = Call::new(&mut life.random);
        let called = message::ai(&mut life.random, 0, Some(&call));
        let mut step = |life: &mut Life, node, new: Bytes, then: Update| {
            messages.push(new.clone());
            let all = pack::list(messages);
            let task = below.task(life, node);
            let joined = Update::joined("messages", pack::list(&[new]), all.clone());
            below.run(file, life, &task, &[joined, then]);
            all
        };
        step(life, "agent", called, Update::go("branch:to:tools"));
        let length = life.random.between(100, 505) as usize;
        let found = message::tool(&mut life.random, length, &call);
        step(life, "tools", found, Update::go("branch:to:agent"));
        let length = life.random.between(60, 420) as usize;
        let answer = message::ai(&mut life.random, length, None);
        self.turn += 1;
        step(life, "agent", answer, Update::set("turn", pack::number(self.turn)))
    }
}

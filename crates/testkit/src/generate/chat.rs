//! Plain chats, and the ways in which their list of messages grows.

use std::path::Path;

use bytes::Bytes;

use super::file::File;
use super::graph::{Graph, Life, Update};
use super::{Figures, message, pack};

const CHANNELS: [&str; 3] = ["messages", "__start__", "branch:to:model"];

/// What a turn does to the messages before it.
#[derive(Clone, Copy, Debug)]
enum History {
    /// Nothing: the list grows at its end.
    Kept,
    /// Once in so many turns a message in the middle gets another text, under its id.
    Edited(u64),
    /// Only so many of the newest stay.
    Newest(usize),
}

/// Writes `threads` plain chats of `turns` turns, which take turns with each other.
///
/// A turn is 3 checkpoints, 3 writes and 2 messages of a few hundred bytes to 1 KB. 4 threads of
/// 250 turns are 567 MB, and one of 500 nearly as much.
pub fn chat(path: &Path, threads: u64, turns: u64, seed: u64) -> Figures {
    chats(path, History::Kept, threads, turns, seed)
}

/// Writes chats in which a message in the middle changes every five turns.
pub fn edits(path: &Path, threads: u64, turns: u64, seed: u64) -> Figures {
    chats(path, History::Edited(5), threads, turns, seed)
}

/// Writes chats that keep their newest 40 messages.
pub fn window(path: &Path, threads: u64, turns: u64, seed: u64) -> Figures {
    chats(path, History::Newest(40), threads, turns, seed)
}

/// Writes one chat whose checkpoints and values are `bytes` bytes together, or a turn more.
///
/// The chat is that of [`chat`], so the bytes grow with the square of its turns: 2 GB are 940.
pub fn long_thread(path: &Path, bytes: u64, seed: u64) -> Figures {
    let mut file = File::create(path);
    let mut thread = Thread::new(seed, 0);
    while file.payload() < bytes {
        thread.turn(&mut file, History::Kept);
    }
    file.finish()
}

fn chats(path: &Path, history: History, threads: u64, turns: u64, seed: u64) -> Figures {
    let mut file = File::create(path);
    let mut all: Vec<Thread> = (0..threads).map(|n| Thread::new(seed, n)).collect();
    for _ in 0..turns {
        all.iter_mut().for_each(|thread| thread.turn(&mut file, history));
    }
    file.finish()
}

/// A chat between two turns.
#[derive(Debug)]
struct Thread {
    life: Life,
    graph: Graph,
    messages: Vec<Bytes>,
    /// The id of each message; only a model's message is edited.
    ids: Vec<Option<String>>,
    turns: u64,
}

impl Thread {
    fn new(seed: u64, number: u64) -> Self {
        let mut life = Life::of(seed, number);
        let graph = Graph::root(&life.random.uuid(), &CHANNELS);
        Self { life, graph, messages: Vec::new(), ids: Vec::new(), turns: 0 }
    }

    fn turn(&mut self, file: &mut File, history: History) {
        let random = &mut self.life.random;
        self.life.now.pause(random);
        let length = random.between(60, 400) as usize;
        let asked = message::human(random, length);
        self.keep(asked.clone(), None, history);
        let asked = pack::list(&[asked]);
        let all = pack::list(&self.messages);
        let updates =
            [Update::joined("messages", asked.clone(), all), Update::go("branch:to:model")];
        self.graph.start(file, &mut self.life, &[("messages", asked)], &updates);

        self.turns += 1;
        let mut written = self.edit(history);
        let random = &mut self.life.random;
        let length = random.between(300, 1045) as usize;
        let id = format!("lc_run--{}-0", random.uuid());
        let answer = message::ai_with_id(random, length, None, &id);
        self.keep(answer.clone(), Some(id), history);
        written.push(answer);
        let all = pack::list(&self.messages);
        let task = self.graph.task(&mut self.life, "model");
        let joined = Update::joined("messages", pack::list(&written), all);
        self.graph.run(file, &mut self.life, &task, &[joined]);
    }

    fn keep(&mut self, message: Bytes, id: Option<String>, history: History) {
        self.messages.push(message);
        self.ids.push(id);
        if let History::Newest(kept) = history {
            let gone = self.messages.len().saturating_sub(kept);
            self.messages.drain(..gone);
            self.ids.drain(..gone);
        }
    }

    /// Changes a message in the middle where its turn has come, and returns what is written of it.
    fn edit(&mut self, history: History) -> Vec<Bytes> {
        let History::Edited(every) = history else { return Vec::new() };
        let middle = self.messages.len() / 2;
        let old =
            self.ids.iter().enumerate().skip(middle).find_map(|(n, id)| Some((n, id.clone()?)));
        let Some((at, id)) = old.filter(|_| self.turns.is_multiple_of(every)) else {
            return Vec::new();
        };
        let length = self.life.random.between(300, 1045) as usize;
        let edited = message::ai_with_id(&mut self.life.random, length, None, &id);
        self.messages[at] = edited.clone();
        vec![edited]
    }
}

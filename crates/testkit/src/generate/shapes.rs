//! The unkind shapes: very many threads, very large values, a list that doubles.

use std::path::Path;

use bytes::Bytes;

use super::file::File;
use super::graph::{Graph, Life, Update};
use super::{Figures, message, pack, text};

/// Writes very many threads with one or two small checkpoints and no writes.
///
/// They are those of an application that stores only the end of each run (`durability="exit"`).
/// About 1.4 KB a thread.
pub fn tiny(path: &Path, threads: u64, seed: u64) -> Figures {
    let channels = ["topic", "done", "__start__", "branch:to:work"];
    let mut file = File::create(path);
    for number in 0..threads {
        let mut life = Life::of(seed, number);
        let mut graph = Graph::root(&life.random.uuid(), &channels);
        for turn in 1..=life.random.between(1, 2) {
            let topic = pack::text(&text::title(&mut life.random, 4));
            let topic = [Update::set("topic", topic), Update::go("branch:to:work")];
            graph.skip(&mut life, "__start__", &topic);
            graph.skip(&mut life, "work", &[Update::set("done", pack::number(turn))]);
            graph.put_end(&mut file, &mut life, &["done"]);
            life.now.pause(&mut life.random);
        }
    }
    file.finish()
}

/// Writes `count` threads, each with one value of `value_bytes` bytes.
///
/// Texts, bytes and lists of messages take turns. A value stands in one write and two checkpoints.
pub fn large_values(path: &Path, value_bytes: usize, count: u64, seed: u64) -> Figures {
    const KINDS: [&str; 3] = ["document", "recording", "messages"];
    let mut file = File::create(path);
    for number in 0..count {
        let mut life = Life::of(seed, number);
        let kind = KINDS[(number % 3) as usize];
        let channels = ["name", kind, "size", "__start__", "branch:to:load", "branch:to:measure"];
        let mut graph = Graph::root(&life.random.uuid(), &channels);
        let name = pack::text(&text::title(&mut life.random, 3));
        let updates = [Update::set("name", name.clone()), Update::go("branch:to:load")];
        graph.start(&mut file, &mut life, &[("name", name)], &updates);
        let value = large(&mut life, kind, value_bytes);
        let task = graph.task(&mut life, "load");
        let size = pack::number(value.len() as u64);
        let updates = [Update::set(kind, value), Update::go("branch:to:measure")];
        graph.run(&mut file, &mut life, &task, &updates);
        let task = graph.task(&mut life, "measure");
        graph.run(&mut file, &mut life, &task, &[Update::set("size", size)]);
    }
    file.finish()
}

fn large(life: &mut Life, kind: &str, bytes: usize) -> Bytes {
    let random = &mut life.random;
    match kind {
        "document" => {
            let mut content = text::prose(random, bytes);
            let end = (0..=bytes).rev().find(|at| content.is_char_boundary(*at));
            content.truncate(end.unwrap_or(0));
            pack::text(&content)
        }
        "recording" => {
            let mut out = pack::Packer::with_capacity(bytes + 5);
            out.bytes(&text::signal(random, bytes));
            out.finish()
        }
        _ => {
            let (mut messages, mut held) = (Vec::new(), 0);
            while held < bytes {
                let length = random.between(200, 1500) as usize;
                messages.push(message::ai(random, length.min(bytes), None));
                held += messages.last().map_or(0, Bytes::len);
            }
            pack::list(&messages)
        }
    }
}

/// Writes threads with a list of short texts that doubles every turn, up to a million texts.
///
/// A turn is 3 checkpoints and 3 writes; the list is what it was, twice, as a reducer that adds
/// makes it where a node returns what it was given.
pub fn doubling(path: &Path, threads: u64, turns: u64, seed: u64) -> Figures {
    const TEXTS_MAX: usize = 1 << 20;
    let channels = ["log", "turn", "__start__", "branch:to:work"];
    let mut file = File::create(path);
    for number in 0..threads {
        let mut life = Life::of(seed, number);
        let mut graph = Graph::root(&life.random.uuid(), &channels);
        let mut log = vec![pack::text(&text::title(&mut life.random, 5))];
        graph.start(
            &mut file,
            &mut life,
            &[("log", pack::list(&log))],
            &[Update::set("log", pack::list(&log)), Update::go("branch:to:work")],
        );
        for turn in 1..=turns {
            if turn > 1 {
                let turn = pack::number(turn);
                let updates = [Update::set("turn", turn.clone()), Update::go("branch:to:work")];
                life.now.pause(&mut life.random);
                graph.start(&mut file, &mut life, &[("turn", turn)], &updates);
            }
            let before = log.clone();
            if log.len() * 2 <= TEXTS_MAX {
                log.extend_from_slice(&before);
            }
            let task = graph.task(&mut life, "work");
            let update = Update::joined("log", pack::list(&before), pack::list(&log));
            graph.run(&mut file, &mut life, &task, &[update]);
        }
    }
    file.finish()
}

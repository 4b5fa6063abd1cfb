//! The rows that LangGraph's loop writes: one namespace of one thread, step by step.
//!
//! Channels, versions, `versions_seen`, parents and task paths follow the official loop: a task's
//! writes belong to the checkpoint that it read, and one version is drawn for each step.

use bytes::Bytes;

use super::file::{CheckpointRow, File, WriteRow};
use super::moment::{Moment, version};
use super::pack::{self, NIL, Packer};
use super::random::Random;

/// The id of the task that nobody runs, under which a person's answer is stored.
const NULL_TASK: &str = "00000000-0000-0000-0000-000000000000";
const START: &str = "__start__";

/// What a thread draws from: its randomness and its time.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) random: Random,
    pub(super) now: Moment,
}

impl Life {
    /// Begins the life of one thread.
    pub(super) fn of(seed: u64, thread: u64) -> Self {
        Self { random: Random::part(seed, thread), now: Moment::start(thread) }
    }
}

/// A task of a node.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) id: String,
    node: &'static str,
}

/// What a task writes to a channel, and what the channel holds afterwards.
#[derive(Clone, Debug)]
pub(super) struct Update {
    channel: &'static str,
    written: Bytes,
    becomes: Bytes,
}

impl Update {
    /// A value that replaces the channel's.
    pub(super) fn set(channel: &'static str, value: Bytes) -> Self {
        Self { channel, written: value.clone(), becomes: value }
    }

    /// A value that a reducer joins with the channel's.
    pub(super) fn joined(channel: &'static str, written: Bytes, becomes: Bytes) -> Self {
        Self { channel, written, becomes }
    }

    /// The call of a node.
    pub(super) fn go(branch: &'static str) -> Self {
        Self::set(branch, Bytes::from_static(NIL))
    }
}

#[derive(Clone, Debug)]
struct Channel {
    name: &'static str,
    value: Option<Bytes>,
    version: Option<String>,
}

/// One namespace of one thread.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    thread: String,
    ns: String,
    /// The namespaces above, and their checkpoints, as metadata tells them.
    parents: String,
    step: i64,
    last: Option<String>,
    drawn: u64,
    /// In the order in which the graph declares them.
    channels: Vec<Channel>,
    /// Channels with a version, in the order in which they got their first.
    versioned: Vec<usize>,
    seen: Vec<(&'static str, Vec<(&'static str, String)>)>,
}

impl Graph {
    /// Begins the root of a thread.
    pub(super) fn root(thread: &str, channels: &[&'static str]) -> Self {
        let empty = |name: &&'static str| Channel { name, value: None, version: None };
        Self {
            thread: thread.to_owned(),
            ns: String::new(),
            parents: "{}".to_owned(),
            step: -2,
            last: None,
            drawn: 0,
            channels: channels.iter().map(empty).collect(),
            versioned: Vec::new(),
            seen: vec![("__input__", Vec::new())],
        }
    }

    /// Begins the sub-graph that a task of the root runs.
    pub(super) fn below(&self, task: &Task, channels: &[&'static str]) -> Self {
        let ns = format!("{}:{}", task.node, task.id);
        let parents = format!("{{\"\": \"{}\"}}", self.last());
        Self { ns, parents, ..Self::root(&self.thread, channels) }
    }

    /// Makes the next task of a node.
    pub(super) fn task(&self, life: &mut Life, node: &'static str) -> Task {
        Task { id: life.random.task_id(), node }
    }

    /// Stores the input, which waits in `__start__`, and runs the task that hands it on.
    pub(super) fn start(
        &mut self,
        file: &mut File,
        life: &mut Life,
        input: &[(&str, Bytes)],
        updates: &[Update],
    ) {
        let version = self.draw(life);
        self.store(START, pack::map(input), &version);
        self.put(file, life, "input", &[START]);
        let task = self.task(life, START);
        self.run(file, life, &task, updates);
    }

    /// Runs a task: its writes, then the checkpoint that they lead to.
    pub(super) fn run(&mut self, file: &mut File, life: &mut Life, task: &Task, with: &[Update]) {
        self.run_from(file, life, task, 0, with);
    }

    /// Runs a task whose first write has another index than 0, as behind an answer.
    pub(super) fn run_from(
        &mut self,
        file: &mut File,
        life: &mut Life,
        task: &Task,
        first: i64,
        updates: &[Update],
    ) {
        for (idx, update) in (first..).zip(updates) {
            self.write(file, task, idx, update.channel, &update.written);
        }
        self.apply(life, task, updates);
        let changed: Vec<&str> = updates.iter().map(|update| update.channel).collect();
        self.put(file, life, "loop", &changed);
    }

    /// Takes a step without storing it, as runs do that store only their end.
    pub(super) fn skip(&mut self, life: &mut Life, node: &'static str, updates: &[Update]) {
        if node == START {
            let version = self.draw(life);
            self.store(START, Bytes::from_static(NIL), &version);
            self.step += 1;
        }
        let task = self.task(life, node);
        self.apply(life, &task, updates);
        self.step += 1;
    }

    /// Stores the end of a run whose steps were skipped.
    pub(super) fn put_end(&mut self, file: &mut File, life: &mut Life, changed: &[&str]) {
        self.step -= 1;
        self.put(file, life, "loop", changed);
    }

    /// A task stops to ask, a person answers, and the task is run again up to its next write.
    pub(super) fn ask(&mut self, file: &mut File, life: &mut Life, task: &Task, question: &str) {
        let mut value = Packer::default();
        value.map(1).text("question").text(question);
        let id = life.random.uuid().replace('-', "");
        let mut inner = Packer::default();
        inner.list(3).text("langgraph.types").text("Interrupt").map(3);
        inner.text("value").raw(&value.finish()).text("id").text(&id);
        inner.text("response_schema").nil();
        let mut asked = Packer::default();
        asked.list(1).extension(2, &inner.finish());
        self.write(file, task, -3, "__interrupt__", &asked.finish());
        life.now.pause(&mut life.random);
        let nobody = Task { id: NULL_TASK.to_owned(), node: "" };
        self.write(file, &nobody, -4, "__resume__", &pack::text("yes"));
        self.write(file, task, -4, "__resume__", &pack::list(&[pack::text("yes")]));
        let known = self.channels.iter().filter_map(|c| Some((c.name, c.version.clone()?)));
        let known = known.collect();
        *self.seen_by("__interrupt__") = known;
    }

    /// Stores one write of a task at the newest checkpoint.
    pub(super) fn write(
        &self,
        file: &mut File,
        task: &Task,
        idx: i64,
        channel: &str,
        packed: &[u8],
    ) {
        let task_path = match task.node {
            "" => String::new(),
            node => format!("~__pregel_pull, {node}"),
        };
        let row = WriteRow {
            checkpoint: self.last(),
            task_id: &task.id,
            task_path: &task_path,
            idx,
            channel,
            packed,
        };
        file.write(&self.thread, &self.ns, &row);
    }

    fn last(&self) -> &str {
        self.last.as_deref().expect("a graph that has started")
    }

    fn draw(&mut self, life: &mut Life) -> String {
        self.drawn += 1;
        version(self.drawn, &mut life.random)
    }

    /// Consumes the channel that called the task, and updates the others.
    fn apply(&mut self, life: &mut Life, task: &Task, updates: &[Update]) {
        let trigger = match task.node {
            START => START,
            node => {
                let called = |c: &&Channel| c.name.strip_prefix("branch:to:") == Some(node);
                self.channels.iter().find(called).expect("a channel that calls the node").name
            }
        };
        let at = self.at(trigger);
        let read = self.channels[at].version.clone().expect("a called node");
        *self.seen_by(task.node) = vec![(trigger, read)];
        let version = self.draw(life);
        self.channels[at].value = None;
        self.channels[at].version = Some(version.clone());
        for update in updates {
            self.store(update.channel, update.becomes.clone(), &version);
        }
    }

    fn store(&mut self, channel: &'static str, value: Bytes, version: &str) {
        let at = self.at(channel);
        if self.channels[at].version.is_none() {
            self.versioned.push(at);
        }
        self.channels[at].version = Some(version.to_owned());
        self.channels[at].value = Some(value);
    }

    fn at(&self, channel: &str) -> usize {
        self.channels.iter().position(|c| c.name == channel).expect("a declared channel")
    }

    fn seen_by(&mut self, node: &'static str) -> &mut Vec<(&'static str, String)> {
        let at = self.seen.iter().position(|(name, _)| *name == node).unwrap_or_else(|| {
            self.seen.push((node, Vec::new()));
            self.seen.len() - 1
        });
        &mut self.seen[at].1
    }

    fn put(&mut self, file: &mut File, life: &mut Life, source: &str, changed: &[&str]) {
        self.step += 1;
        life.now.pass(&mut life.random);
        let id = life.now.checkpoint_id(self.step, &mut life.random);
        let packed = self.packed(&id, &life.now.iso(), changed);
        let (step, parents) = (self.step, &self.parents);
        let metadata =
            format!("{{\"source\": \"{source}\", \"step\": {step}, \"parents\": {parents}}}");
        let row = CheckpointRow {
            id: &id,
            parent: self.last.as_deref(),
            packed: &packed,
            metadata: &metadata,
        };
        file.checkpoint(&self.thread, &self.ns, &row);
        self.last = Some(id);
    }

    fn packed(&self, id: &str, ts: &str, changed: &[&str]) -> Bytes {
        let held: usize = self.channels.iter().filter_map(|c| Some(c.value.as_ref()?.len())).sum();
        let mut out = Packer::with_capacity(held + 4096);
        out.map(7).text("v").number(4).text("ts").text(ts).text("id").text(id);
        let values = || self.channels.iter().filter_map(|c| Some((c.name, c.value.as_ref()?)));
        out.text("channel_values").map(values().count());
        for (name, value) in values() {
            out.text(name).raw(value);
        }
        out.text("channel_versions").map(self.versioned.len());
        for channel in self.versioned.iter().map(|at| &self.channels[*at]) {
            out.text(channel.name).text(channel.version.as_deref().unwrap_or(""));
        }
        out.text("versions_seen").map(self.seen.len());
        for (node, versions) in &self.seen {
            out.text(node).map(versions.len());
            for (channel, version) in versions {
                out.text(channel).text(version);
            }
        }
        let mut changed = changed.to_vec();
        changed.sort_unstable();
        out.text("updated_channels").list(changed.len());
        changed.iter().for_each(|name| {
            out.text(name);
        });
        out.finish()
    }
}

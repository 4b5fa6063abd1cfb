//! Which checkpoints of a thread stay when it is pruned, as langgraph-checkpoint-postgres 3.2
//! decides it.
//!
//! Of each namespace the newest stays, and the one before it where that holds its pending sends
//! (before format 4). The namespace of a subgraph's call goes with the checkpoint of the root graph
//! that it started from, once that one was saved and is itself not kept.

use std::collections::{BTreeMap, BTreeSet};

use restow_model::{Body, Key, KeyPart, Record};

/// The format from which on pending sends stand in the checkpoint itself.
const OWN_SENDS: i64 = 4;
const SENDS: &str = "__pregel_tasks";

/// A thread's checkpoints and writes, as far as pruning asks.
#[derive(Debug, Default)]
pub(super) struct Outline {
    checkpoints: BTreeMap<String, BTreeMap<String, Seen>>,
    /// Namespace, checkpoint and key of each write.
    writes: Vec<(String, String, Key)>,
    sends: BTreeSet<(String, String)>,
    /// Whether a channel is rebuilt from earlier checkpoints.
    pub(super) has_delta: bool,
}

#[derive(Debug)]
struct Seen {
    key: Key,
    parent: Option<String>,
    /// The checkpoint of the root graph that a subgraph's call started from.
    root: Option<String>,
    has_own_sends: bool,
}

/// What pruning a thread does.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Records that go.
    pub(super) remove: Vec<Key>,
    /// Checkpoints that lose their parent.
    pub(super) orphaned: Vec<(String, String)>,
}

impl Outline {
    /// Takes note of a record.
    pub(super) fn add(&mut self, record: &Record) {
        let text = |part: Option<KeyPart>| match part {
            Some(KeyPart::Text(text)) => Some(text),
            _ => None,
        };
        let mut parts = record.key.parts().into_iter();
        let (Some(namespace), Some(id)) = (text(parts.next()), text(parts.next())) else { return };
        let body = &record.body;
        if record.key.kind() == "write" {
            if body.get("channel").and_then(Body::as_text) == Some(SENDS) {
                self.sends.insert((namespace.clone(), id.clone()));
            }
            self.writes.push((namespace, id, record.key.clone()));
            return;
        }
        let metadata = |name| body.get("metadata").and_then(|metadata| metadata.get(name));
        let marks = ["counters_since_delta_snapshot", "delta_writes_versioned"];
        self.has_delta |= marks.into_iter().any(|name| metadata(name).is_some());
        let owned = |body: Option<&Body>| body.and_then(Body::as_text).map(str::to_owned);
        let format = body.get("head").and_then(|head| head.get("v"));
        let seen = Seen {
            key: record.key.clone(),
            parent: owned(body.get("parent")),
            root: owned(metadata("parents").and_then(|parents| parents.get(""))),
            has_own_sends: !(1..OWN_SENDS).any(|v| format == Some(&Body::int(v))),
        };
        self.checkpoints.entry(namespace).or_default().insert(id, seen);
    }

    /// Returns the newest checkpoint of each namespace.
    pub(super) fn heads(&self) -> impl Iterator<Item = (&str, &str)> {
        self.checkpoints
            .iter()
            .filter_map(|(namespace, of)| Some((&**namespace, &**of.last_key_value()?.0)))
    }

    /// Decides what goes.
    pub(super) fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        let mut gone: BTreeSet<(&str, &str)> = BTreeSet::new();
        let mut calls: BTreeSet<&str> = BTreeSet::new();
        let roots = self.kept("");
        for (namespace, of) in &self.checkpoints {
            let kept = self.kept(namespace);
            if self.is_past_call(namespace, &roots) {
                calls.insert(namespace);
                plan.remove.extend(of.values().map(|seen| seen.key.clone()));
                continue;
            }
            for (id, seen) in of {
                if !kept.contains(&&**id) {
                    gone.insert((namespace, id));
                    plan.remove.push(seen.key.clone());
                } else if seen.parent.as_deref().is_some_and(|parent| !kept.contains(&parent)) {
                    plan.orphaned.push((namespace.clone(), id.clone()));
                }
            }
        }
        let goes = |(namespace, id, _): &&(String, String, Key)| {
            calls.contains(&**namespace) || gone.contains(&(&**namespace, &**id))
        };
        plan.remove.extend(self.writes.iter().filter(goes).map(|(_, _, key)| key.clone()));
        plan
    }

    fn kept(&self, namespace: &str) -> Vec<&str> {
        let newest = self.checkpoints.get(namespace).and_then(BTreeMap::last_key_value);
        let Some((id, seen)) = newest else { return Vec::new() };
        let mut kept = vec![&**id];
        if let Some(parent) = seen.parent.as_deref().filter(|_| !seen.has_own_sends)
            && self.sends.contains(&(namespace.to_owned(), parent.to_owned()))
        {
            kept.push(parent);
        }
        kept
    }

    fn is_past_call(&self, namespace: &str, kept_roots: &[&str]) -> bool {
        let newest = self.checkpoints.get(namespace).and_then(BTreeMap::last_key_value);
        let root = newest.and_then(|(_, seen)| seen.root.as_deref());
        let is_saved =
            |root: &&str| self.checkpoints.get("").is_some_and(|roots| roots.contains_key(*root));
        namespace.contains(':')
            && root.filter(is_saved).is_some_and(|root| !kept_roots.contains(&root))
    }
}

/// Returns the id in a checkpoint's key.
pub(super) fn id_of(record: &Record) -> String {
    match record.key.parts().into_iter().nth(1) {
        Some(KeyPart::Text(id)) => id,
        _ => String::new(),
    }
}

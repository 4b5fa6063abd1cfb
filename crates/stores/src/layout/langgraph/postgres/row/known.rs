//! What is known of the versions of a unit's channels.
//!
//! A version of a channel does not identify a value: LangGraph writes different bytes under one
//! version, and some checkpoints hold no value where others do. PostgreSQL keeps one blob row a
//! version. So the first content that a unit has under a version keeps it; another gets a version
//! of its own, made from the content, so that it is the same one every time.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use restow_model::{Body, Digest, write_varint};

use super::super::super::record::CheckpointView;
use super::build;

/// How many versions are kept.
const KEPT_MAX: usize = 65_536;
/// How many digits of a version LangGraph counts with.
const COUNTED_DIGITS: usize = 32;

/// What a unit has under a version of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing: no checkpoint names the version, and there is no blob row.
    Free,
    /// No blob row, and checkpoints that name the version: theirs is inline, or no value.
    NoBlob,
    /// A blob row; see [`StoredBlob::content`](super::StoredBlob::content).
    Blob(Digest),
}

/// What is known of the versions of one unit; bounded, the oldest go first.
#[derive(Debug)]
pub struct Known {
    contents: HashMap<[u8; 16], Content>,
    order: VecDeque<[u8; 16]>,
    is_complete: bool,
}

/// The version under which a content is stored.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) version: Box<str>,
    pub(super) is_there: bool,
}

impl Known {
    /// Knows that the unit is not there yet, so that nothing has to be looked up.
    pub fn complete() -> Self {
        Self { contents: HashMap::new(), order: VecDeque::new(), is_complete: true }
    }

    /// Knows nothing; what [`unknown`](Self::unknown) names has to be looked up.
    pub fn partial() -> Self {
        Self { is_complete: false, ..Self::complete() }
    }

    /// Notes what the unit has under a version.
    pub fn note(&mut self, namespace: &str, channel: &str, version: &str, content: Content) {
        match self.contents.entry(place(namespace, channel, version)) {
            Entry::Occupied(mut held) => *held.get_mut() = content,
            Entry::Vacant(free) => {
                self.order.push_back(*free.key());
                free.insert(content);
                if self.order.len() > KEPT_MAX {
                    self.is_complete = false;
                    self.order.pop_front().map(|oldest| self.contents.remove(&oldest));
                }
            }
        }
    }

    /// Returns what the unit has under a version, where that is known.
    pub fn get(&self, namespace: &str, channel: &str, version: &str) -> Option<Content> {
        let held = self.contents.get(&place(namespace, channel, version)).copied();
        held.or(self.is_complete.then_some(Content::Free))
    }

    /// Lists the (channel, version) to look up and note before the checkpoint's row is made; to be
    /// asked again until there are none.
    pub fn unknown(&self, view: &CheckpointView<'_>) -> Vec<(String, String)> {
        let mut unknown = Vec::new();
        if self.is_complete {
            return unknown;
        }
        build::each_content(view, &mut |channel, version, wanted| {
            let held = |version: &str| self.get(&view.namespace, channel, version);
            let unheld = match version {
                Body::Text(version) => {
                    candidates(version, wanted).find(|v| !is_taken(held(v), wanted))
                }
                Body::Int(version) => Some(version.as_str().into()),
                _ => None,
            };
            if let Some(version) = unheld.filter(|version| held(version).is_none()) {
                unknown.push((channel.to_owned(), version.into()));
            }
        });
        unknown
    }

    /// Finds the version for a content; what is not known counts as free.
    pub(super) fn settle(
        &self,
        namespace: &str,
        channel: &str,
        version: &str,
        wanted: Content,
    ) -> Option<Settled> {
        let held = |version: &str| self.get(namespace, channel, version);
        let version = candidates(version, wanted).find(|v| !is_taken(held(v), wanted))?;
        let is_there = held(&version) == Some(wanted);
        Some(Settled { version, is_there })
    }

    /// Says whether a version that cannot be made anew holds, or may hold, a content; and whether
    /// it does.
    pub(super) fn admits(
        &self,
        namespace: &str,
        channel: &str,
        version: &str,
        wanted: Content,
    ) -> Option<bool> {
        let held = self.get(namespace, channel, version);
        (!is_taken(held, wanted)).then_some(held == Some(wanted))
    }
}

fn is_taken(held: Option<Content>, wanted: Content) -> bool {
    held.is_some_and(|held| held != Content::Free && held != wanted)
}

fn place(namespace: &str, channel: &str, version: &str) -> [u8; 16] {
    let mut named = Vec::with_capacity(128);
    for part in [namespace, channel, version] {
        write_varint(&mut named, part.len() as u64);
        named.extend_from_slice(part.as_bytes());
    }
    let mut place = [0; 16];
    place.copy_from_slice(&Digest::of(&named).as_bytes()[..16]);
    place
}

/// Lists the versions that a content may get, its own first.
fn candidates(version: &str, content: Content) -> impl Iterator<Item = Box<str>> {
    let counted = version.split('.').next().unwrap_or(version);
    let is_counted = counted.len() == COUNTED_DIGITS && counted.bytes().all(|b| b.is_ascii_digit());
    let stem = if is_counted { counted } else { version };
    let minted = (0u64..).map(move |attempt| {
        let mut named = Vec::with_capacity(128);
        match content {
            Content::Blob(digest) => named.extend_from_slice(digest.as_bytes()),
            _ => named.extend_from_slice(b"no blob"),
        }
        named.extend_from_slice(version.as_bytes());
        write_varint(&mut named, attempt);
        let digits = Digest::of(&named).short() % 10u64.pow(18);
        format!("{stem}.0.{digits:018}").into()
    });
    std::iter::once(version.into()).chain(minted)
}

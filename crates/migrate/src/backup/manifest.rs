//! The manifest: what a backup says of itself, and by which it is known to be whole.

use bytes::Bytes;
use restow_model::{Body, Digest, Map, Sum, canonical};

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The source's address, secrets masked.
    pub source: String,
    /// Whose state it is, where the source's layout tells.
    pub application: Option<String>,
    /// When it was begun, in milliseconds since 1970.
    pub made_ms: u64,
    /// The program that made it, and its version.
    pub tool: String,
    /// How many units it holds.
    pub units: u64,
    /// How many records they have.
    pub records: u64,
    /// How many bytes of content they have.
    pub bytes: u64,
    /// How many units of the source it lacks, because they were damaged or could not be copied.
    pub lacking: u64,
    /// The sum over the names, languages and digests of all its units.
    pub sum: Sum,
    /// The migration whose state it is.
    pub origin: Option<Origin>,
}

/// The migration that a backup was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The migration's name.
    pub migration: String,
    /// The epoch of its configuration then.
    pub epoch: u64,
    /// How far it had come.
    pub phase: String,
}

/// Why a manifest cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is of a later format.
    Later,
    /// Its bytes are not those that were written.
    Damaged,
}

/// The version of [`Manifest::to_bytes`].
const FORMAT: u64 = 1;
/// How many bytes of a manifest are its own digest.
const DIGEST: usize = 32;

impl Manifest {
    /// Returns the bytes for the register: a body, and its digest.
    pub fn to_bytes(&self) -> Bytes {
        let number = |n: u64| Body::Int(n.into());
        let text = |text: &str| Body::text(text);
        let origin = self.origin.as_ref().map_or(Body::Null, |origin| {
            Body::Map(Map::from([
                ("migration", text(&origin.migration)),
                ("epoch", number(origin.epoch)),
                ("phase", text(&origin.phase)),
            ]))
        });
        let body = Body::Map(Map::from([
            ("format", number(FORMAT)),
            ("source", text(&self.source)),
            ("application", Body::text_or_null(self.application.as_deref())),
            ("made", number(self.made_ms)),
            ("tool", text(&self.tool)),
            ("units", number(self.units)),
            ("records", number(self.records)),
            ("bytes", number(self.bytes)),
            ("lacking", number(self.lacking)),
            ("sum", Body::Bytes(Bytes::copy_from_slice(&self.sum.to_bytes()))),
            ("origin", origin),
        ]));
        let mut out = Vec::with_capacity(512);
        canonical::encode(&body, &mut out);
        let digest = Digest::of(&out);
        out.extend(digest.as_bytes());
        out.into()
    }

    /// Takes a register's bytes back.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Unread> {
        let split = bytes.len().checked_sub(DIGEST).ok_or(Unread::Damaged)?;
        let (body, digest) = bytes.split_at(split);
        if Digest::of(body).as_bytes() != digest {
            return Err(Unread::Damaged);
        }
        let body = canonical::decode(body).map_err(|_| Unread::Damaged)?;
        match number(&body, "format") {
            Some(FORMAT) => Self::from_body(&body).ok_or(Unread::Damaged),
            Some(_) => Err(Unread::Later),
            None => Err(Unread::Damaged),
        }
    }

    fn from_body(body: &Body) -> Option<Self> {
        let text = |name| Some(body.get(name)?.as_text()?.to_owned());
        let Body::Bytes(sum) = body.get("sum")? else { return None };
        let origin = match body.get("origin")? {
            Body::Null => None,
            origin => Some(Origin {
                migration: origin.get("migration")?.as_text()?.into(),
                epoch: number(origin, "epoch")?,
                phase: origin.get("phase")?.as_text()?.into(),
            }),
        };
        Some(Self {
            source: text("source")?,
            application: body.get("application")?.as_text().map(Into::into),
            made_ms: number(body, "made")?,
            tool: text("tool")?,
            units: number(body, "units")?,
            records: number(body, "records")?,
            bytes: number(body, "bytes")?,
            lacking: number(body, "lacking")?,
            sum: Sum::from_bytes(sum[..].try_into().ok()?),
            origin,
        })
    }
}

fn number(body: &Body, name: &str) -> Option<u64> {
    match body.get(name)? {
        Body::Int(n) => n.as_str().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn manifest() -> Manifest {
        Manifest {
            source: "langgraph+sqlite:agent.db".into(),
            application: Some("LangGraph".into()),
            made_ms: 1_767_225_600_000,
            tool: "restow 0.1.0".into(),
            units: 19,
            records: 1056,
            bytes: u64::MAX,
            lacking: 1,
            sum: Sum::from_bytes(&[7; 32]),
            origin: Some(Origin { migration: "agent".into(), epoch: 3, phase: "move".into() }),
        }
    }

    #[test]
    fn a_manifest_is_stored_whole() {
        let with = manifest();
        let without = Manifest { application: None, origin: None, ..manifest() };
        for manifest in [with, without] {
            assert_eq!(Manifest::from_bytes(&manifest.to_bytes()), Ok(manifest));
        }
    }

    #[test]
    fn a_byte_that_changed_is_noticed() {
        let bytes = manifest().to_bytes();
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            assert_eq!(Manifest::from_bytes(&changed), Err(Unread::Damaged), "at {at}");
            assert_eq!(Manifest::from_bytes(&bytes[..at]), Err(Unread::Damaged), "{at} bytes");
        }
    }

    #[test]
    fn a_later_format_is_told_from_damage() {
        let body = Body::Map(Map::from([("format", Body::int(2))]));
        let mut bytes = Vec::new();
        canonical::encode(&body, &mut bytes);
        let digest = Digest::of(&bytes);
        bytes.extend(digest.as_bytes());
        assert_eq!(Manifest::from_bytes(&bytes), Err(Unread::Later));
    }

    /// The golden bytes come from a second encoder, made from the text of the format.
    #[test]
    fn golden_bytes_of_format_1() {
        let hex: String = manifest().to_bytes().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, include_str!("../golden/manifest_1.hex").trim());
    }
}

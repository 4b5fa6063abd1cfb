//! Where each channel of a record goes.

use bytes::Bytes;
use restow_model::{Body, Value};

use super::super::super::json;
use super::super::super::order::OrderLog;
use super::super::super::record::{CheckpointView, PayloadView};
use super::blob::{Held, MSGPACK, StoredBlob, bytes_under, content};
use super::check::{OPAQUE, refusal, unversioned};
use super::jsonb;
use super::known::Content;
use super::residue::Difference;
use super::sends::{self, TASKS};
use super::shape::{Inline, Row, Said, Shape, inline, of_stored, read, unusual_inline};

/// A channel of a row to store.
#[derive(Debug)]
pub(super) struct Planned<'r> {
    pub(super) name: &'r str,
    pub(super) version: Body,
    pub(super) has_null_version: bool,
    pub(super) inline: Option<Body>,
    pub(super) row: Option<PlannedRow>,
}

/// A blob row to store.
#[derive(Debug)]
pub(super) struct PlannedRow {
    pub(super) tag: Box<str>,
    pub(super) bytes: Option<Bytes>,
    pub(super) content: Content,
}

/// Why channels were not planned.
#[derive(Debug)]
pub(super) enum Unplanned {
    /// The difference is not one of this record's.
    Misfit,
    /// The layout cannot hold it.
    Refused(String),
}

impl From<String> for Unplanned {
    fn from(why: String) -> Self {
        Self::Refused(why)
    }
}

impl Planned<'_> {
    /// Returns what the unit has under the channel's version.
    pub(super) fn content(&self) -> Content {
        self.row.as_ref().map_or(Content::NoBlob, |row| row.content)
    }
}

/// Plans the channels of a record.
pub(super) fn plan<'r>(
    view: &CheckpointView<'r>,
    difference: &Difference,
) -> Result<Vec<Planned<'r>>, Unplanned> {
    let PayloadView::Open { head, channels } = view.payload else {
        return Err(Unplanned::Refused(OPAQUE.into()));
    };
    if difference.sends.is_some() && (view.parent.is_none() || !sends::are_of_parent(head)) {
        return Err(Unplanned::Misfit);
    }
    let mut shapes = difference.channels.iter().peekable();
    let mut planned = Vec::with_capacity(channels.len());
    for (number, (name, channel)) in channels.iter().enumerate() {
        let shape = shapes.next_if(|(of, _)| *of == number).map(|(_, shape)| shape);
        let name = name.as_text().unwrap_or_default();
        let (version, value, tag) = match channel.as_list().unwrap_or_default() {
            [version, value] => (version, value, None),
            [version, value, tag] => (version, value, tag.as_text()),
            _ => return Err(Unplanned::Refused(format!("channel {name:?} is none"))),
        };
        refusal(name, version, tag)?;
        let value = match value.as_value() {
            Some(name) => Some(view.record.value(&name).ok_or("a value is missing".to_owned())?),
            None => None,
        };
        let said = Said { version, value, tag };
        planned.extend(match (&difference.sends, shape) {
            // They stay where they are: among the parent's writes.
            (Some(held), _) if name == TASKS => without_sends(name, held),
            (_, None) => Some(canonical(name, said)),
            (_, Some(shape)) => Some(fitted(name, said, shape).ok_or(Unplanned::Misfit)?),
        });
    }
    for channel in &planned {
        if channel.version == Body::Null && channel.row.is_some() {
            return Err(Unplanned::Refused(unversioned(channel.name)));
        }
    }
    match shapes.next() {
        None => Ok(planned),
        Some(_) => Err(Unplanned::Misfit),
    }
}

fn without_sends<'r>(name: &'r str, held: &Body) -> Option<Planned<'r>> {
    (*held != Body::Null).then(|| Planned {
        name,
        version: held.clone(),
        has_null_version: false,
        inline: None,
        row: None,
    })
}

fn canonical<'r>(name: &'r str, said: Said<'_>) -> Planned<'r> {
    let shape = Shape::canonical(said);
    let row = said.value.filter(|_| shape.row != Row::Absent).map(|value| {
        let tag = said.tag.unwrap_or(MSGPACK);
        let content = content(tag, &Held::Value(value.name));
        PlannedRow { tag: tag.into(), bytes: Some(value.bytes.clone()), content }
    });
    let inline = match shape.inline {
        Inline::Value => said.value.and_then(inline),
        Inline::True => Some(Body::Bool(true)),
        Inline::Absent | Inline::Other(_) => None,
    };
    let version = said.version.clone();
    Planned { name, version, has_null_version: shape.has_null_version, inline, row }
}

/// Plans a channel as a residue says; nothing where reading it would not give the record again.
fn fitted<'r>(name: &'r str, said: Said<'_>, shape: &Shape) -> Option<Planned<'r>> {
    if *shape == Shape::canonical(said) {
        return None;
    }
    let inline = match &shape.inline {
        Inline::Absent => None,
        Inline::Value => Some(unusual_inline(said)?),
        Inline::True => Some(Body::Bool(true)),
        Inline::Other(text) => {
            let body = json::read(text.as_bytes(), &mut OrderLog::default()).ok()?;
            (jsonb::text(&body).as_deref() == Some(text)).then_some(())?;
            Some(body)
        }
    };
    let usual = said.tag.unwrap_or(MSGPACK);
    let (tag, bytes) = match &shape.row {
        Row::Absent => (None, None),
        Row::Value(None) => (Some(usual), Some(said.value?.bytes.clone())),
        Row::Value(Some(tag)) => (Some(&**tag), Some(bytes_under(tag, said.value?)?)),
        Row::Cells(tag, bytes) => (Some(&**tag), bytes.clone()),
    };
    if tag.is_some_and(|tag| tag.contains('\0')) {
        return None;
    }
    let blob = tag.map(|tag| StoredBlob::new(tag, bytes));
    let (value, read_tag) = read(inline.as_ref(), blob.as_ref()).ok()?;
    let has_place = shape.has_null_version || *said.version != Body::Null || inline.is_some();
    let is_said = has_place
        && name_of(value.as_ref()) == name_of(said.value)
        && read_tag.as_deref() == said.tag
        && of_stored(inline.as_ref(), blob.as_ref(), said.tag, shape.has_null_version) == *shape
        && (!shape.has_null_version || *said.version == Body::Null);
    is_said.then(|| Planned {
        name,
        version: said.version.clone(),
        has_null_version: shape.has_null_version,
        inline,
        row: blob.map(|blob| PlannedRow {
            tag: blob.tag().into(),
            content: blob.content(),
            bytes: blob.bytes().cloned(),
        }),
    })
}

fn name_of(value: Option<&Value>) -> Option<restow_model::ValueRef> {
    value.map(|value| value.name)
}

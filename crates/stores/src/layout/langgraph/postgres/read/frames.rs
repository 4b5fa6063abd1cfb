//! The frames of a walk, with the control records of its units.

use std::collections::HashMap;

use restow_model::{Control, Dialect, Key, UnitDigest, UnitId};
use restow_store::feed::{FrameSender, Room, Stop};
use restow_store::managed::{self, Beside};
use restow_store::{Content, Frame};

use super::Reader;
use super::units::{Found, Visitor};
use crate::engine::postgres::Fail;

/// Is told the key of each record and about how many bytes it had, and of the end of each unit.
type Sent<'s> = &'s mut dyn FnMut(&UnitId, Option<(&Key, usize)>) -> Result<(), Stop>;

/// Sends what a walk meets as frames.
pub(in super::super) struct Frames<'s> {
    sender: &'s FrameSender,
    content: Content,
    pub(super) room: Option<Room>,
    sent: Sent<'s>,
    weight: usize,
    controls: HashMap<UnitId, (Control, Option<UnitDigest>)>,
}

impl<'s> Frames<'s> {
    /// Sends so much of each record.
    pub(in super::super) fn new(sender: &'s FrameSender, content: Content, sent: Sent<'s>) -> Self {
        Self { sender, content, room: None, sent, weight: 0, controls: HashMap::new() }
    }

    /// Learns the control records of the units that come next, and the digests to tell; returns the
    /// units that can be told of. A control record that cannot be read is damage.
    pub(in super::super) fn learn(
        &mut self,
        reader: &mut Reader<'_, '_>,
        units: &[UnitId],
        is_staged: bool,
    ) -> Result<Vec<UnitId>, Fail> {
        self.controls.clear();
        let mut left = units.to_vec();
        for (unit, beside) in reader.control(&units.iter().collect::<Vec<_>>())? {
            let Some(control) = told(self.sender, reader, &unit, &beside)? else {
                left.retain(|other| *other != unit);
                continue;
            };
            let digest = match is_staged {
                true => beside.staged.as_deref().and_then(UnitDigest::from_slice),
                false => Some(control.digest),
            };
            self.controls.insert(unit, (control, digest));
        }
        Ok(left)
    }
}

/// Reads a control record; one that cannot be read is told as damage.
pub(super) fn told(
    sender: &FrameSender,
    reader: &Reader<'_, '_>,
    unit: &UnitId,
    beside: &Beside,
) -> Result<Option<Control>, Fail> {
    match managed::control(&beside.record, unit) {
        Ok(control) => Ok(Some(control)),
        Err(error) => {
            let place = format!("table {}, thread {unit}", reader.tables.control);
            let (unit, why) = (Some(unit.clone()), error.message().to_owned());
            sender.send(Frame::Damaged { unit, place, why })?;
            Ok(None)
        }
    }
}

impl Visitor for Frames<'_> {
    fn begin(&mut self, unit: &UnitId, dialect: Dialect) -> Result<(), Fail> {
        let control = self.controls.get(unit).map(|(control, _)| control.clone());
        Ok(self.sender.send(Frame::Begin { unit: unit.clone(), dialect, control })?)
    }

    fn reserve(&mut self, bytes: usize) -> Result<(), Fail> {
        self.weight = bytes + 4096;
        self.room = Some(self.sender.reserve(self.weight)?);
        Ok(())
    }

    fn found(&mut self, unit: &UnitId, found: Found) -> Result<(), Fail> {
        let mut record = match found {
            Found::Record(record) => record,
            Found::Damaged(place, why) => {
                let unit = Some(unit.clone());
                return Ok(self.sender.send(Frame::Damaged { unit, place, why })?);
            }
        };
        if self.content != Content::All {
            record.values.clear();
        }
        let key = record.key.clone();
        match self.room.take() {
            Some(room) => self.sender.record(Frame::Record(record), room)?,
            None => self.sender.send(Frame::Record(record))?,
        }
        Ok((self.sent)(unit, Some((&key, self.weight)))?)
    }

    fn end(&mut self, unit: &UnitId) -> Result<(), Fail> {
        let (control, digest) = self.controls.remove(unit).unzip();
        let (unit_end, digest) = (unit.clone(), digest.flatten());
        self.sender.send(Frame::End { unit: unit_end, control, digest })?;
        Ok((self.sent)(unit, None)?)
    }
}

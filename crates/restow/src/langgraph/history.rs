//! The history of channels that keep only what changed.

use futures::StreamExt;
use restow_model::UnitId;
use restow_store::{Content, Result};

use super::told::channels_of;
use super::{PendingWrite, Saver, Typed};

/// What a channel is rebuilt from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelHistory {
    /// Its writes, oldest first, without those that wait for the checkpoint itself.
    pub writes: Vec<PendingWrite>,
    /// The nearest value that is stored; `None` where there is none up to the root.
    pub seed: Option<Typed>,
}

impl Saver {
    /// Returns the history of channels up to a checkpoint, or to the newest of a namespace.
    ///
    /// `None` where a checkpoint on the way is not ours to open, so that its values are not known.
    pub async fn history(
        &self,
        thread: &str,
        namespace: &str,
        id: Option<&str>,
        channels: &[String],
    ) -> Result<Option<Vec<ChannelHistory>>> {
        let mut histories = vec![ChannelHistory::default(); channels.len()];
        let thread = UnitId::new(thread);
        let id = match id {
            Some(id) => id.to_owned(),
            None => match self.find(&thread, namespace, None, Content::Bodies).await? {
                Some(newest) => super::keep::id_of(&newest.checkpoint),
                None => return Ok(Some(histories)),
            },
        };
        let mut ancestors = self.query().ancestors(&thread, namespace, &id).await?.skip(1);
        while histories.iter().any(|history| history.seed.is_none()) {
            let Some(found) = ancestors.next().await.transpose()? else { break };
            if found.checkpoint.body.get("channels").is_none() {
                return Ok(None);
            }
            let values = channels_of(&found.checkpoint)?;
            for (name, history) in channels.iter().zip(&mut histories) {
                if history.seed.is_some() {
                    continue;
                }
                for record in found.writes.iter().rev() {
                    let write = PendingWrite::of(record)?;
                    if *write.channel == **name {
                        history.writes.push(write);
                    }
                }
                let channel = values.iter().find(|channel| *channel.name == **name);
                history.seed = channel.and_then(|channel| {
                    Some(Typed::of_channel(channel.value.as_ref()?, channel.tag.as_deref()))
                });
            }
        }
        histories.iter_mut().for_each(|history| history.writes.reverse());
        Ok(Some(histories))
    }
}

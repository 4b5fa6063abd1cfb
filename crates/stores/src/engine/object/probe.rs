//! What is asked of object storage before anything is trusted to it: that it keeps conditions.

use bytes::Bytes;
use futures::future::join_all;
use restow_store::{Error, ErrorKind, Etag, Result};

use super::{Objects, Written};

const OPERATION: &str = "try the storage";
/// Where the objects of a trial lie.
const FOLDER: &str = "restow-probe";
/// How many write at once.
const RACERS: usize = 8;

impl Objects {
    /// Tries whether the storage keeps the conditions of writes, and refuses one that does not.
    ///
    /// An id tells this trial from others; its objects are removed again.
    pub async fn probe(&self, id: &str) -> Result<()> {
        let names = ["once", "race"].map(|name| format!("{FOLDER}/{id}/{name}"));
        let found = self.try_conditions(&names[0], &names[1]).await;
        let removed = self.remove(&names).await;
        found.and(removed)
    }

    async fn try_conditions(&self, once: &str, race: &str) -> Result<()> {
        let first = done(self.create(once, text("first")).await?)?;
        if self.create(once, text("second")).await? != Written::Lost {
            return Err(unfit("it creates an object that is there (If-None-Match is ignored)"));
        }
        let second = done(self.update(once, &first, text("third")).await?)?;
        if self.update(once, &first, text("fourth")).await? != Written::Lost {
            return Err(unfit("it updates an object that has changed (If-Match is ignored)"));
        }

        let created = join_all((0..RACERS).map(|n| self.create(race, racer("create", n)))).await;
        if winners(created)? != 1 {
            return Err(unfit("of several who create an object at once, not exactly one does"));
        }
        let writes = (0..RACERS).map(|n| self.update(once, &second, racer("update", n)));
        if winners(join_all(writes).await)? != 1 {
            return Err(unfit("of several who update an object at once, not exactly one does"));
        }
        Ok(())
    }
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// What one alone writes.
fn racer(what: &str, number: usize) -> Bytes {
    format!("{what} {number}").into()
}

fn done(written: Written) -> Result<Etag> {
    match written {
        Written::Done(etag) => Ok(etag),
        Written::Lost => Err(unfit("it refuses a write whose condition holds")),
    }
}

fn winners(writes: Vec<Result<Written>>) -> Result<usize> {
    let mut winners = 0;
    for written in writes {
        winners += usize::from(matches!(written?, Written::Done(_)));
    }
    Ok(winners)
}

fn unfit(why: &str) -> Error {
    let message = format!(
        "this object storage does not keep the conditions of writes, without which state is \
         lost: {why}; use another"
    );
    Error::new(ErrorKind::Unsupported, OPERATION, message)
}

//! Object storage, S3 and what speaks as it does: named bytes, written under conditions.
//!
//! Invariant: nothing is overwritten without a condition. A write whose answer was lost is resolved
//! by reading back.

mod connect;
mod error;
mod probe;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    Error as Cause, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion,
};
use restow_store::{Address, Environment, Error, ErrorKind, Etag, Result};

use error::failed;

/// Objects below a prefix of a bucket.
#[derive(Clone, Debug)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

/// What became of a conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The object holds what was written.
    Done(Etag),
    /// The condition did not hold, and nothing was changed.
    Lost,
}

/// An object, as a listing tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name below the prefix.
    pub name: String,
    /// The length in bytes.
    pub len: u64,
}

impl Objects {
    /// Opens `BUCKET/PREFIX?endpoint=URL&region=NAME`, the place of an address; what it leaves out
    /// is taken from the environment, under the names that AWS gives. No request is made.
    pub fn open(address: &Address, environment: &Environment) -> Result<Self> {
        let (store, prefix) = connect::open(&address.place, environment)?;
        Ok(Self { store: Arc::new(store), prefix })
    }

    /// Makes storage in memory, which is empty and ends with this.
    pub fn memory() -> Self {
        Self { store: Arc::new(InMemory::new()), prefix: Path::default() }
    }

    /// Writes an object that is not there yet.
    ///
    /// One that holds the same bytes already is as good: whoever has to know that it was they
    /// writes what nobody else would.
    pub async fn create(&self, name: &str, bytes: Bytes) -> Result<Written> {
        self.write("create an object", name, PutMode::Create, bytes).await
    }

    /// Writes an object that has not changed since it was read.
    ///
    /// One that holds the same bytes already is as good, as with [`Self::create`]. S3 calls all
    /// states of the same bytes the same: what comes back to an earlier state carries a counter.
    pub async fn update(&self, name: &str, was: &Etag, bytes: Bytes) -> Result<Written> {
        let was = String::from_utf8_lossy(&was.0).into_owned();
        let was = UpdateVersion { e_tag: Some(was), version: None };
        self.write("update an object", name, PutMode::Update(was), bytes).await
    }

    async fn write(
        &self,
        operation: &'static str,
        name: &str,
        mode: PutMode,
        bytes: Bytes,
    ) -> Result<Written> {
        let path = self.path(name)?;
        let options = PutOptions::from(mode);
        match self.store.put_opts(&path, bytes.clone().into(), options).await {
            Ok(put) => etag(put.e_tag).map(Written::Done),
            // An answer may have been lost, and the request made again since.
            Err(Cause::AlreadyExists { .. } | Cause::Precondition { .. }) => {
                let ours = self.read(name).await?.filter(|(_, held)| *held == bytes);
                Ok(ours.map_or(Written::Lost, |(etag, _)| Written::Done(etag)))
            }
            Err(Cause::Generic { store, source }) => {
                // What failed on its way back was done all the same.
                let held = self.read(name).await;
                match held.ok().flatten().filter(|(_, held)| *held == bytes) {
                    Some((etag, _)) => Ok(Written::Done(etag)),
                    None => Err(failed(operation, name)(Cause::Generic { store, source })),
                }
            }
            Err(cause) => Err(failed(operation, name)(cause)),
        }
    }

    /// Reads an object with what its state is called; nothing where there is none.
    pub async fn read(&self, name: &str) -> Result<Option<(Etag, Bytes)>> {
        let failed = failed("read an object", name);
        let found = match self.store.get(&self.path(name)?).await {
            Err(Cause::NotFound { .. }) => return Ok(None),
            found => found.map_err(&failed)?,
        };
        let etag = etag(found.meta.e_tag.clone())?;
        Ok(Some((etag, found.bytes().await.map_err(&failed)?)))
    }

    /// Reads a range of an object's bytes; nothing where there is no object.
    pub async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        match self.store.get_range(&self.path(name)?, range).await {
            Err(Cause::NotFound { .. }) => Ok(None),
            found => found.map(Some).map_err(failed("read an object", name)),
        }
    }

    /// Lists the objects of a folder, with those of the folders in it, by name.
    pub fn list(&self, folder: &str) -> Result<impl Stream<Item = Result<Listed>> + Send + use<>> {
        let listed = self.store.list(Some(&self.path(folder)?));
        let prefix = self.prefix.clone();
        let folder = folder.to_owned();
        let listed = listed.map_err(move |cause| failed("list objects", &folder)(cause));
        Ok(listed.map_ok(move |found| {
            let parts = found.location.prefix_match(&prefix).map(Path::from_iter);
            Listed { name: parts.unwrap_or(found.location).to_string(), len: found.size }
        }))
    }

    /// Removes objects, whether they are there or not.
    pub async fn remove(&self, names: &[String]) -> Result<()> {
        let paths = names.iter().map(|name| self.path(name)).collect::<Result<Vec<_>>>()?;
        let paths = futures::stream::iter(paths.into_iter().map(Ok)).boxed();
        let mut removed = self.store.delete_stream(paths);
        while let Some(result) = removed.next().await {
            match result {
                Ok(_) | Err(Cause::NotFound { .. }) => {}
                Err(cause) => return Err(failed("remove objects", "")(cause)),
            }
        }
        Ok(())
    }

    fn path(&self, name: &str) -> Result<Path> {
        let below =
            Path::parse(name).map_err(|cause| failed("name an object", name)(cause.into()))?;
        Ok(self.prefix.parts().chain(below.parts()).collect())
    }
}

fn etag(told: Option<String>) -> Result<Etag> {
    told.map(|etag| Etag(etag.into())).ok_or_else(|| {
        let message = "the storage tells no ETag of its objects, and no write can be conditional";
        Error::new(ErrorKind::Unsupported, "read an object's state", message)
    })
}

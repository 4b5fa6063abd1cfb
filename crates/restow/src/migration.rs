//! Migrations as `restow.toml` names them: which stores, and how writes are answered.
//!
//! ```toml
//! [migration]
//! name = "agent"
//! source = "langgraph+sqlite:agent.db"
//! target = "parts+sqlite:agent.restow"
//! acknowledge = "both"   # or "one", which is the default
//! mirror = true          # keep the store that is not the home up to date; the default
//! shadow = 100           # compare one in so many reads with the mirror; 0, none, by default
//! ```

use std::path::Path;
use std::sync::Arc;

use restow_live::config::{Acknowledge, Config};
use restow_live::{Pair, Router, RouterOptions};
use restow_store::{Address, Clock, Environment, Error, ErrorKind, Result};
use restow_stores::registry::{Access, Opened, open};
use serde::Deserialize;

/// A migration: its name, its stores, and how writes are answered in it.
#[derive(Clone, Debug)]
pub struct Migration {
    /// The name, by which control records know it.
    pub name: String,
    /// Where the units live before.
    pub source: Address,
    /// Where they are to live.
    pub target: Address,
    /// When a write is answered.
    pub acknowledge: Acknowledge,
    /// Whether the store that is not the home is kept up to date.
    pub mirrors: bool,
    /// One in so many reads of a client is compared with the unit's replica; none where it is 0.
    pub shadow_every: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    migration: Entry,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    source: String,
    target: String,
    #[serde(default)]
    acknowledge: Word,
    #[serde(default = "yes")]
    mirror: bool,
    #[serde(default)]
    shadow: u64,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    #[default]
    One,
    Both,
}

fn yes() -> bool {
    true
}

impl Migration {
    /// Reads a file; paths in it are relative to the current folder.
    pub fn read(path: &Path) -> Result<Self> {
        let named = |error: Error| error.with("file", path.display().to_string());
        let text = std::fs::read_to_string(path).map_err(|error| {
            let kind = match error.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Invalid,
            };
            let message = "the file that describes the migration cannot be read";
            named(Error::new(kind, "read a migration", message).because(error))
        })?;
        Self::parse(&text).map_err(named)
    }

    /// Takes the text of a file.
    pub fn parse(text: &str) -> Result<Self> {
        let file: File = toml::from_str(text).map_err(|error| {
            // The library's own words repeat the line, and with it what may be a password.
            let message = format!("not a description of a migration: {}", error.message());
            Error::new(ErrorKind::Invalid, "read a migration", message)
        })?;
        let Entry { name, source, target, acknowledge, mirror, shadow } = file.migration;
        if name.is_empty() || name.chars().any(char::is_whitespace) {
            let message = "a migration's name is one word";
            return Err(Error::new(ErrorKind::Invalid, "read a migration", message));
        }
        Ok(Self {
            name,
            source: Address::parse(&source)?,
            target: Address::parse(&target)?,
            acknowledge: match acknowledge {
                Word::One => Acknowledge::One,
                Word::Both => Acknowledge::Both,
            },
            mirrors: mirror,
            shadow_every: shadow,
        })
    }

    /// Returns the configuration that the migration begins with.
    pub fn begins(&self) -> Config {
        let (acknowledge, mirrors) = (self.acknowledge, self.mirrors);
        Config { acknowledge, mirrors, ..Config::default() }
    }

    /// Makes both stores ready, and joins them.
    ///
    /// `seed` is what this process names things after; no other process may have it.
    ///
    /// A target that was given up for lost is not opened.
    pub async fn open(&self, environment: &Environment, seed: &str) -> Result<Pair> {
        let (source, target) = self.stores_left(environment).await?;
        let ids = [format!("{seed}-source"), format!("{seed}-target")];
        let source = (source.store, &*ids[0]);
        match target {
            Some(target) => Pair::open(&self.name, source, (target.store, &ids[1])).await,
            None => Pair::without_target(&self.name, source, self.target.to_string()).await,
        }
    }

    /// Makes the source ready, and takes the target for lost.
    pub async fn open_alone(&self, environment: &Environment, seed: &str) -> Result<Pair> {
        let source = open(&self.source, Access::Write, environment).await?;
        let id = format!("{seed}-source");
        Pair::without_target(&self.name, (source.store, &id), self.target.to_string()).await
    }

    /// Opens the stores that are left, to write to them, and makes nothing ready in them: a target
    /// that was given up for lost is none.
    pub(crate) async fn stores_left(
        &self,
        environment: &Environment,
    ) -> Result<(Opened, Option<Opened>)> {
        let source = open(&self.source, Access::Write, environment).await?;
        let target = match self.without_target(&source).await? {
            Some(_) => None,
            None => {
                // To open it for writing makes what is missing; a migration that has begun misses
                // its target, and no empty store is to be found in its place. Whatever else is
                // wrong with it is told then.
                let found = open(&self.target, Access::Read, environment).await;
                if found.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
                    self.never_had_a_target(&source).await?;
                }
                Some(open(&self.target, Access::Write, environment).await?)
            }
        };
        Ok((source, target))
    }

    /// Refuses that the target is not there where units may live in it.
    async fn never_had_a_target(&self, source: &Opened) -> Result<()> {
        Pair::without_its_target(&self.name, &*source.store, &self.target.to_string()).await
    }

    /// Joins the opened source with the place of a target that was given up for lost.
    pub(crate) async fn without_target(&self, source: &Opened) -> Result<Option<Pair>> {
        let (store, target) = (Arc::clone(&source.store), self.target.to_string());
        Pair::find_without_target(&self.name, store, target).await
    }

    /// Joins the stores to look at them, and changes nothing; `None` before the migration began.
    pub async fn look(&self, environment: &Environment) -> Result<Option<Pair>> {
        let source = open(&self.source, Access::Read, environment).await?;
        let target = match open(&self.target, Access::Read, environment).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return self.never_had_a_target(&source).await.map(|()| None);
            }
            target => target?,
        };
        Pair::find(&self.name, source.store, target.store).await
    }

    /// Makes a router over the migration's stores.
    pub async fn router(
        &self,
        environment: &Environment,
        clock: Arc<dyn Clock>,
        seed: &str,
    ) -> Result<Router> {
        let pair = self.open(environment, seed).await?;
        Router::open(pair, self.client(clock, seed)).await
    }

    /// Returns how a client of the migration routes.
    pub(crate) fn client(&self, clock: Arc<dyn Clock>, seed: &str) -> RouterOptions {
        RouterOptions { shadow_every: self.shadow_every, ..RouterOptions::new(seed, clock) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[migration]\nname = \"agent\"\nsource = \"langgraph+sqlite:a.db\"\n\
                        target = \"parts+sqlite:a.restow\"\n";

    #[test]
    fn a_file_names_a_migration() {
        let migration = Migration::parse(TEXT).expect("a migration");
        assert_eq!((&*migration.name, migration.mirrors), ("agent", true));
        assert_eq!(migration.acknowledge, Acknowledge::One);
        let both = format!("{TEXT}acknowledge = \"both\"\nmirror = false\n");
        let migration = Migration::parse(&both).expect("a migration");
        assert_eq!((migration.acknowledge, migration.mirrors), (Acknowledge::Both, false));
        let shadowed = Migration::parse(&format!("{TEXT}shadow = 7\n")).expect("a migration");
        assert_eq!((migration.shadow_every, shadowed.shadow_every), (0, 7));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_line() {
        for wrong in [
            "",
            "[migration]\nname = 1\n",
            &TEXT.replace("agent", "two words"),
            &format!("{TEXT}acknowledge = \"soon\"\n"),
            &format!("{TEXT}tarjet = \"x\"\n"),
        ] {
            let error = Migration::parse(wrong).expect_err(wrong);
            assert_eq!(error.kind(), ErrorKind::Invalid);
        }
        let secret = "[migration]\nsource = \"langgraph+postgres://u:secret@h/d\nname = 1";
        let error = Migration::parse(secret).expect_err("an open quote");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

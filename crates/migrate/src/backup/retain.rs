//! Which backups stay: the newest of each source, those that are young, and those of a migration
//! that may still need them.

use std::collections::HashMap;
use std::time::Duration;

use super::{Manifest, Origin};

/// Which backups stay; what either rule keeps is kept, and without a rule everything is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retain {
    /// So many of each source, the newest.
    pub newest: Option<usize>,
    /// Those that are not older.
    pub within: Option<Duration>,
}

/// What becomes of a backup, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays: it is of a migration that may need it.
    Pinned,
    /// It stays: it is one of the newest of its source.
    Newest,
    /// It stays: it is not old enough.
    Young,
    /// It goes.
    Goes,
}

impl Retain {
    /// Judges backups, in the order given; `is_open` says whether a migration may need one.
    pub fn judge(
        &self,
        backups: &[&Manifest],
        now: Duration,
        is_open: impl Fn(&Origin) -> bool,
    ) -> Vec<Verdict> {
        let mut newest_first: Vec<usize> = (0..backups.len()).collect();
        newest_first.sort_by_key(|n| std::cmp::Reverse(backups[*n].made_ms));
        let mut verdicts = vec![Verdict::Goes; backups.len()];
        let mut kept: HashMap<&str, usize> = HashMap::new();
        for n in newest_first {
            let backup = backups[n];
            let rank = kept.entry(&backup.source).or_default();
            let age = now.saturating_sub(Duration::from_millis(backup.made_ms));
            verdicts[n] = if backup.origin.as_ref().is_some_and(&is_open) {
                Verdict::Pinned
            } else if self.newest.is_some_and(|newest| *rank < newest) || self.has_no_rule() {
                Verdict::Newest
            } else if self.within.is_some_and(|within| age <= within) {
                Verdict::Young
            } else {
                Verdict::Goes
            };
            *rank += 1;
        }
        verdicts
    }

    fn has_no_rule(&self) -> bool {
        self.newest.is_none() && self.within.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::manifest;
    use super::Verdict::{Goes, Newest, Pinned, Young};
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    /// Backups of `a`, so many days old.
    fn aged(days: &[u32]) -> Vec<Manifest> {
        let made = |days: &u32| {
            let made = (DAY * 100 - DAY * *days).as_millis() as u64;
            Manifest { source: "a".into(), made_ms: made, origin: None, ..manifest() }
        };
        days.iter().map(made).collect()
    }

    fn judged(retain: Retain, backups: &[Manifest], open: &str) -> Vec<Verdict> {
        let backups: Vec<&Manifest> = backups.iter().collect();
        retain.judge(&backups, DAY * 100, |origin| origin.migration == open)
    }

    #[test]
    fn what_either_rule_keeps_is_kept() {
        let backups = aged(&[9, 1, 5, 3]);
        let newest = Retain { newest: Some(2), within: None };
        assert_eq!(judged(newest, &backups, ""), [Goes, Newest, Goes, Newest]);
        let within = Retain { newest: None, within: Some(DAY * 5) };
        assert_eq!(judged(within, &backups, ""), [Goes, Young, Young, Young]);
        let both = Retain { newest: Some(1), within: Some(DAY * 3) };
        assert_eq!(judged(both, &backups, ""), [Goes, Newest, Goes, Young]);
        assert!(!judged(Retain::default(), &backups, "").contains(&Goes));
    }

    #[test]
    fn each_source_keeps_its_own() {
        let mut backups = aged(&[9, 1, 2]);
        backups[0].source = "b".into();
        let newest = Retain { newest: Some(1), within: None };
        assert_eq!(judged(newest, &backups, ""), [Newest, Newest, Goes]);
    }

    #[test]
    fn an_open_migration_keeps_its_own() {
        let mut backups = aged(&[9, 8]);
        backups[0].origin = manifest().origin;
        let none = Retain { newest: Some(0), within: None };
        assert_eq!(judged(none, &backups, "agent"), [Pinned, Goes]);
        assert_eq!(judged(none, &backups, "other"), [Goes, Goes]);
    }
}

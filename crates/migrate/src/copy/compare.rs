//! Large units that the target may hold already: compared record by record, then settled.

use restow_model::{UnitDigest, UnitId};
use restow_store::failpoint::{self, Point};
use restow_store::{Guard, Result, Selection, Stamp, Then, UnitOps};

use super::account::Judged;
use super::batch::named;
use super::current::{Current, Mode, Written};
use super::lane::Lane;
use super::shared::Became;
use super::stage::count_of;
use crate::Relation;
use crate::look::{CLAIM, Seen, look};

impl Lane {
    /// Settles a large unit that was compared with what the target holds.
    pub(super) async fn finish_comparing(
        &mut self,
        current: Current,
        kept: Option<UnitDigest>,
    ) -> Result<()> {
        let Mode::Compare(join) = current.mode else { return Ok(()) };
        let joined = join.finish().await?;
        let (unit, shared) = (current.unit, self.shared.clone());
        self.due = true;
        let claim = kept.filter(|kept| *kept != joined.source).map(|_| CLAIM.to_owned());
        if let Some(why) = joined.source_damage.clone().or(claim) {
            self.account.failed(Some(unit), "damaged", why);
            return Ok(());
        }
        let found =
            Seen { digest: joined.target, control: None, damage: joined.target_damage.clone() };
        if self.account.is_closed(&unit, Some(&found)) {
            return Ok(());
        }
        let known = shared.ledger.watermarks(shared.migration, std::slice::from_ref(&unit)).await?;
        let watermark = known.into_iter().next().flatten();
        let relation = Relation::of(&joined.source, Seen::there(Some(&found)), watermark.as_ref());
        match relation {
            Relation::New => self.account.again.push((unit, Some(Guard::Absent))),
            Relation::Unchanged => {
                self.account.settled(unit, joined.source, Written::of(&[]), Became::Unchanged);
            }
            Relation::Adopted => {
                self.account.settled(unit, joined.source, Written::of(&[]), Became::Adopted);
            }
            Relation::SourceMoved => {
                let guard = Guard::Exactly(Stamp::Content(joined.target));
                let Some(ops) = joined.ops else {
                    self.account.again.push((unit, Some(guard)));
                    return Ok(());
                };
                let written = Written::of(&ops);
                let ops =
                    UnitOps::new(unit.clone(), current.dialect, guard.clone(), ops, Then::Keep);
                match self.account.apply_one(ops).await? {
                    Judged::Applied => {
                        self.compare_back(unit, joined.source, written).await?;
                    }
                    Judged::Lost => self.account.again.push((unit, None)),
                    Judged::TooLarge => self.account.again.push((unit, Some(guard))),
                    Judged::Failed => {}
                }
            }
            _ => {
                let why = relation.refusal().unwrap_or_default();
                self.account.failed(Some(unit), "refused", format!("{why} ({})", named(&joined)));
            }
        }
        Ok(())
    }

    async fn compare_back(
        &mut self,
        unit: UnitId,
        sum: UnitDigest,
        written: Written,
    ) -> Result<()> {
        let seen = look(&*self.shared.target, vec![unit.clone()], Selection::all()).await?;
        let found = seen.get(&unit);
        if found.is_some_and(|s| s.damage.is_none() && s.digest == sum) {
            self.account.settled(unit, sum, written, Became::Updated);
        } else {
            let damage = found.and_then(|s| s.damage.clone());
            let why = damage.unwrap_or_else(|| count_of(found, &sum));
            let why = format!("what was written reads back differently: {why}");
            self.account.failed(Some(unit), "mismatch", why);
        }
        failpoint::pass(Point::ReadBack)
    }
}

//! Cases of `Store::units`.

use futures::TryStreamExt as _;
use restow_model::{Control, HomeState, Progress, Token, UnitId};

use super::Fixture;
use super::fixture::unit;
use super::live::live_at;
use crate::{Batch, Guard, Op, Result, Then, UnitHead};

/// More than a store lists at once.
const MANY: usize = 600;

impl Fixture {
    /// Lists all units, none of which is damaged.
    pub(super) async fn listed(&self) -> Result<Vec<(UnitId, Option<Control>)>> {
        let heads: Vec<UnitHead> = self.store.units().await?.try_collect().await?;
        heads.into_iter().map(|(unit, control)| Ok((unit, control?))).collect()
    }

    async fn names(&self) -> Result<Vec<UnitId>> {
        Ok(self.listed().await?.into_iter().map(|(unit, _)| unit).collect())
    }

    /// Puts a record into each of some units; what is applied twice is applied once.
    async fn fill(&self, units: &[UnitId]) -> Result<()> {
        let put = |unit: &UnitId| {
            let ops = vec![Op::put(self.record(0, 1))];
            self.ops(unit, Guard::Unmanaged, ops, Then::Keep)
        };
        for units in units.chunks(100) {
            let batch = Batch { units: units.iter().map(put).collect() };
            for (unit, outcome) in units.iter().zip(self.store.apply(batch).await?) {
                if !outcome.is_applied() {
                    self.write(unit, &[self.record(0, 1)]).await?;
                }
            }
        }
        Ok(())
    }
}

/// The list has each unit that is there, and no copy that is only staged.
pub async fn each_that_is_there_is_listed(f: &Fixture) -> Result<()> {
    f.ready().await?;
    assert_eq!(f.listed().await?, []);
    let units: Vec<_> = (0..4).map(unit).collect();
    f.fill(&units).await?;
    if f.can().staging {
        let stage = Then::Stage(Token::new("t"));
        f.done(&unit(9), Guard::Absent, vec![Op::put(f.record(1, 1))], stage).await?;
    }
    let there: Vec<_> = units.into_iter().map(|unit| (unit, None)).collect();
    assert_eq!(f.listed().await?, there);
    Ok(())
}

/// Names ascend by their bytes, whatever the order that a language would have.
pub async fn names_ascend_by_bytes(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let names =
        ["Z", "a", "ä", "A-b", "a_B", "ab", "é", "𝄞", "A", "aB", "a-b", "\u{ffff}", "10", "9"];
    let mut units: Vec<_> = names.into_iter().map(UnitId::new).collect();
    f.fill(&units).await?;
    units.sort_by(|a, b| a.as_str().as_bytes().cmp(b.as_str().as_bytes()));
    assert_eq!(f.names().await?, units);
    Ok(())
}

/// A list longer than what is read at once has each unit once.
pub async fn a_long_list_is_whole(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let units: Vec<_> = (0..MANY).map(unit).collect();
    f.fill(&units).await?;
    assert_eq!(f.names().await?, units);
    Ok(())
}

/// Each unit comes with its control record, also one that was removed and one that only a control
/// record tells of; so does a retired store list them.
pub async fn control_records_are_listed(f: &Fixture) -> Result<()> {
    f.ready().await?;
    f.fill(&[unit(2)]).await?;
    if !f.ready_live().await? {
        return Ok(());
    }
    for n in [0, 3] {
        f.managed(&unit(n), HomeState::Live, (1, 4)).await?;
    }
    f.done(&unit(3), live_at(1, 4), vec![], Then::Tombstone).await?;
    let (opened, put) = (f.staging("t", Progress::Copying([].into())), Op::put(f.record(1, 1)));
    let stage = Then::Stage(Token::new("t"));
    assert!(f.replace(&unit(1), Guard::Absent, vec![put], stage, opened).await?.is_applied());
    let mut there = Vec::new();
    for n in 0..4 {
        there.push((unit(n), if n == 2 { None } else { Some(f.held(&unit(n)).await?) }));
    }
    assert_eq!(f.listed().await?, there);
    f.retire().await?;
    assert_eq!(f.listed().await?, there);
    Ok(())
}

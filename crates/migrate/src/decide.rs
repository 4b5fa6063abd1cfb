//! What a re-run does with a unit: decided by both sides' digests and the watermark alone.

use restow_model::UnitDigest;
use restow_store::ledger::Watermark;

/// How the two sides of a unit stand to each other and to the last copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// The target does not hold it: it is copied.
    New,
    /// Neither side moved since the last copy.
    Unchanged,
    /// Both sides are equal, and no watermark says so yet: one is written, nothing else.
    Adopted,
    /// The source moved on since the last copy: the differences are applied.
    SourceMoved,
    /// The target moved on since the last copy: refused.
    TargetMoved,
    /// Both moved on, apart from each other: refused.
    BothMoved,
    /// They differ, and nothing was ever copied: refused.
    Unrelated,
}

impl Relation {
    /// Decides by digests; `target` is `None` where the target does not hold the unit.
    ///
    /// A unit that is gone at the target is copied again whatever the watermark says: nothing can
    /// be overwritten, and a lost target is filled again by the same command.
    pub fn of(
        source: &UnitDigest,
        target: Option<&UnitDigest>,
        watermark: Option<&Watermark>,
    ) -> Self {
        let Some(target) = target else { return Self::New };
        match watermark {
            Some(w) if w.source == *source && w.target == *target => Self::Unchanged,
            _ if source == target => Self::Adopted,
            None => Self::Unrelated,
            Some(w) if w.target == *target => Self::SourceMoved,
            Some(w) if w.source == *source => Self::TargetMoved,
            Some(_) => Self::BothMoved,
        }
    }

    /// Says why such a unit is refused and what to do, where it is refused.
    pub fn refusal(self) -> Option<&'static str> {
        match self {
            Self::TargetMoved => Some(
                "the target moved on since it was copied and was left as it is; copy it the other \
                 way, or remove it at the target and run this again",
            ),
            Self::BothMoved => Some(
                "source and target both moved on since it was copied and neither was changed; \
                 remove it on the side that is to give way and run this again",
            ),
            Self::Unrelated => Some(
                "the target holds another unit of this name that this migration never copied; \
                 remove it there and run this again, or leave it out",
            ),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_re_runs() {
        let digest = |records| UnitDigest { records, ..UnitDigest::default() };
        let (old, new, other) = (digest(1), digest(2), digest(3));
        let mark = Watermark { source: old, target: old };
        let table = [
            (old, None, None, Relation::New),
            (old, None, Some(&mark), Relation::New),
            (old, Some(&old), None, Relation::Adopted),
            (old, Some(&new), None, Relation::Unrelated),
            (old, Some(&old), Some(&mark), Relation::Unchanged),
            (new, Some(&old), Some(&mark), Relation::SourceMoved),
            (old, Some(&new), Some(&mark), Relation::TargetMoved),
            (new, Some(&other), Some(&mark), Relation::BothMoved),
            (new, Some(&new), Some(&mark), Relation::Adopted),
        ];
        for (source, target, watermark, expected) in table {
            assert_eq!(Relation::of(&source, target, watermark), expected);
        }
    }
}

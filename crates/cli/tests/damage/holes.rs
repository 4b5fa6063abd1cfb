//! What is not caught, and why: each missed cell of a table belongs to one of these.

use crate::section::{MISSED, Section};

/// A reason for which damage is not reported.
#[derive(Debug)]
pub(crate) struct Hole {
    pub(crate) title: &'static str,
    pub(crate) why: &'static str,
    covers: &'static [Cover],
}

/// Cells: how the table's title ends, which kinds, and how the checks' names begin.
#[derive(Debug)]
struct Cover(&'static str, Kinds, &'static [&'static str]);

#[derive(Debug)]
enum Kinds {
    /// All that the file alone does not show.
    Sound,
    Named(&'static [&'static str]),
}

const COPIES: &[&str] = &["first copy", "copy again"];
const ALL: &[&str] = &["first copy", "copy again", "verify"];
const UNREAD: Kinds = Kinds::Named(&["page wiped", "page type altered"]);

/// All reasons.
pub(crate) const HOLES: &[Hole] = &[
    Hole {
        title: "Another content in a sound source",
        why: "Rows that an application could have written are what it wrote, as far as anybody \
              can tell. A copy carries them, and a later one follows them; `verify` says before \
              that the source moved on, or that units are gone from it.",
        covers: &[
            Cover("Rows of a `langgraph+sqlite` source", Kinds::Sound, COPIES),
            Cover("Rows of a `parts+sqlite` source", Kinds::Sound, COPIES),
            Cover("Rows of a `langgraph+postgres` source", Kinds::Sound, COPIES),
        ],
    },
    Hole {
        title: "A blob row that is missing from a source",
        why: "PostgresSaver reads a version without a blob row as a channel without a value, and \
              writes none for some; nothing in the database tells a lost row from one that never \
              was. Likewise a checkpoint whose version was altered has lost its value, and a blob \
              row that no checkpoint names is carried as what it is.",
        covers: &[],
    },
    Hole {
        title: "Payloads that are not opened",
        why: "The bytes of a write, metadata that is no JSON, and payloads under an unknown tag \
              are carried as they stand: restow does not judge what it does not open. LangGraph \
              refuses such rows before the copy and after it. The return trip gives the same rows \
              to the byte and the storage class, which the test compares.",
        covers: &[
            Cover(
                "Rows of a `langgraph+sqlite` source",
                Kinds::Named(&[
                    "write cut short",
                    "write null",
                    "metadata cut short",
                    "metadata not UTF-8",
                    "tag of a checkpoint unknown",
                    "tag of a write unknown",
                ]),
                COPIES,
            ),
            Cover(
                "Rows of a `langgraph+postgres` source",
                Kinds::Named(&[
                    "metadata no object",
                    "blob null",
                    "tag of a blob unknown",
                    "write cut short",
                    "tag of a write unknown",
                ]),
                COPIES,
            ),
        ],
    },
    Hole {
        title: "Bytes behind a checkpoint",
        why: "LangGraph reads one msgpack item and asks for nothing behind it, so the checkpoint \
              is whole for its application. restow copies it and keeps the bytes as residue: they \
              are compared by `verify` (residue differs) and come back on the return trip, which \
              a test of its own shows.",
        covers: &[Cover(
            "Rows of a `langgraph+sqlite` source",
            Kinds::Named(&["bytes behind a checkpoint"]),
            COPIES,
        )],
    },
    Hole {
        title: "Whole units that are lost at the target",
        why: "Nothing can be overwritten, so the next copy fills them in again; `verify` names \
              them before. Under its new name a renamed unit stays, as one that only the target \
              holds.",
        covers: &[
            Cover("target", Kinds::Named(&["thread missing", "unit missing"]), &["copy again"]),
            Cover("target", Kinds::Named(&["unit renamed", "file emptied"]), &["copy again"]),
        ],
    },
    Hole {
        title: "The digest that a parts file keeps of a unit",
        why: "`verify` adds up the records themselves and does not look at the sum that is kept \
              beside them, so it calls the stores equal, which their records are. The copy \
              compares that sum and names the unit.",
        covers: &[
            Cover("`parts+sqlite` source", Kinds::Named(&["digest of a unit"]), &["verify"]),
            Cover("`parts+sqlite` target", Kinds::Named(&["digest of a unit"]), &["verify"]),
        ],
    },
    Hole {
        title: "Pages of SQLite's own",
        why: "One of the three places is the page of `sqlite_sequence`, where SQLite keeps the \
              last row number. No record lies there and no reading comes there; SQLite's own \
              `PRAGMA integrity_check` looks at it.",
        covers: &[
            Cover("Bytes of a `parts+sqlite` source", UNREAD, ALL),
            Cover("Bytes of a `parts+sqlite` target", UNREAD, ALL),
        ],
    },
    Hole {
        title: "Extra units",
        why: "What only the target holds and no copy put there is counted and named, and is no \
              failure; `--extra delete` removes it.",
        covers: &[],
    },
];

impl Cover {
    fn covers(&self, title: &str, kind: &str, structural: bool, check: &str) -> bool {
        let Self(table, kinds, checks) = self;
        let is_kind = match kinds {
            Kinds::Sound => !structural,
            Kinds::Named(names) => names.iter().any(|name| kind.starts_with(name)),
        };
        title.ends_with(table) && is_kind && checks.iter().any(|c| check.starts_with(c))
    }
}

/// Panics unless each missed cell has one reason, and each reason a missed cell.
pub(crate) fn assert_explained(sections: &[Section]) {
    let covers: Vec<&Cover> = HOLES.iter().flat_map(|hole| hole.covers).collect();
    let mut used = vec![false; covers.len()];
    let mut wrong = Vec::new();
    for section in sections {
        for (kind, structural, cells) in &section.rows {
            for (check, cell) in section.checks.iter().zip(cells) {
                let is_it = |n: &usize| covers[*n].covers(&section.title, kind, *structural, check);
                let reasons: Vec<usize> = (0..covers.len()).filter(is_it).collect();
                reasons.iter().for_each(|n| used[*n] = true);
                let missed = cell.iter().any(|said| said.starts_with(MISSED));
                if reasons.len() != usize::from(missed) {
                    wrong.push(format!("{}: {kind}, {check}: {cell:?}", section.title));
                }
            }
        }
    }
    let wrong = wrong.join("\n");
    assert!(wrong.is_empty(), "missed without a reason, or a reason too many:\n{wrong}");
    assert!(used.iter().all(|used| *used), "a reason that covers nothing: {used:?}");
}

//! What a process was asked and told, in a file of its own that outlives it.
//!
//! One event a line, fields between tabs: the number of the operation, the nanoseconds of the
//! clock that all processes share, then `ask` with the unit and what is asked, or what came of it.
//! A line is written in one piece before the process goes on, so that a killed process leaves
//! every question of its behind, and at most one line cut short.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::clock::now_ns;

/// What a client asks of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// All its elements.
    Read,
    /// To add an element, and to be the last that did so alone.
    Add,
    /// To add an element together with others.
    AddBeside,
    /// To remove all.
    Remove,
}

impl Asked {
    const NAMES: [(Self, &'static str); 4] = [
        (Self::Read, "read"),
        (Self::Add, "add"),
        (Self::AddBeside, "add-beside"),
        (Self::Remove, "remove"),
    ];

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(asked, _)| *asked == self).expect("a name").1
    }

    fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(asked, _)| *asked)
    }
}

/// What came of an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Came {
    /// Nobody was told.
    #[default]
    Unknown,
    /// A write was made, as the write of this seq.
    Made(u64),
    /// A write was refused, and never made.
    Refused(String),
    /// What a read found: the seq of its moment, where the unit has one, and the elements with what
    /// was added last alone.
    Read(Option<u64>, Vec<String>, Option<String>),
    /// What must never happen.
    Broken(String),
}

/// One operation of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Which operation: the process, its life, and a number.
    pub name: String,
    /// The unit.
    pub unit: String,
    /// What was asked.
    pub asked: Asked,
    /// When it was asked.
    pub from: u64,
    /// When the answer came; the end of time where none did.
    pub to: u64,
    /// The answer.
    pub came: Came,
}

/// The file that a process writes its history to.
#[derive(Debug)]
pub struct Recorder {
    file: Mutex<File>,
    process: String,
}

impl Recorder {
    /// Begins the history of one life of a process.
    pub fn new(folder: &Path, process: &str) -> Self {
        let path = folder.join(format!("{process}.history"));
        let file = OpenOptions::new().create_new(true).append(true).open(path);
        Self { file: Mutex::new(file.expect("a history")), process: process.to_owned() }
    }

    /// Returns the name of an operation.
    pub fn name(&self, number: u64) -> String {
        format!("{}-{number}", self.process)
    }

    /// Notes a question, before it is asked.
    pub fn ask(&self, number: u64, unit: &str, asked: Asked) {
        self.write(number, &format!("ask\t{unit}\t{}", asked.name()));
    }

    /// Notes an answer, after it came.
    pub fn answer(&self, number: u64, came: &Came) {
        self.write(
            number,
            &match came {
                Came::Unknown => "unknown".to_owned(),
                Came::Made(seq) => format!("made\t{seq}"),
                Came::Refused(why) => format!("refused\t{}", flat(why)),
                Came::Broken(why) => format!("broken\t{}", flat(why)),
                Came::Read(seq, elements, last) => {
                    let seq = seq.map(|seq| seq.to_string()).unwrap_or_default();
                    format!(
                        "read\t{seq}\t{}\t{}",
                        elements.join(","),
                        last.as_deref().unwrap_or("")
                    )
                }
            },
        );
    }

    fn write(&self, number: u64, event: &str) {
        let line = format!("{number}\t{}\t{event}\n", now_ns());
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes()).expect("write a history");
    }
}

fn flat(text: &str) -> String {
    text.replace(['\t', '\n'], " ")
}

/// Reads the histories of all processes.
pub fn read(folder: &Path) -> Vec<Operation> {
    let mut all = Vec::new();
    for entry in folder.read_dir().expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|ending| ending == "history") {
            let process = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).expect("a history");
            all.extend(parse(&process, &text));
        }
    }
    all
}

/// Reads one history; a last line that was cut short says nothing.
pub fn parse(process: &str, text: &str) -> Vec<Operation> {
    let mut operations: BTreeMap<u64, Operation> = BTreeMap::new();
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [number, time, event, rest @ ..] = &fields[..] else { continue };
        let (number, time) = (number.parse().expect("a number"), time.parse().expect("a time"));
        if let ("ask", [unit, asked]) = (*event, rest) {
            operations.insert(
                number,
                Operation {
                    name: format!("{process}-{number}"),
                    unit: (*unit).to_owned(),
                    asked: Asked::named(asked).expect("a question"),
                    from: time,
                    to: u64::MAX,
                    came: Came::Unknown,
                },
            );
        } else if let Some(operation) = operations.get_mut(&number) {
            operation.came = came(event, rest);
            if operation.came != Came::Unknown {
                operation.to = time;
            }
        }
    }
    operations.into_values().collect()
}

fn came(event: &str, rest: &[&str]) -> Came {
    match (event, rest) {
        ("made", [seq]) => Came::Made(seq.parse().expect("a seq")),
        ("refused", [why]) => Came::Refused((*why).to_owned()),
        ("broken", [why]) => Came::Broken((*why).to_owned()),
        ("read", [seq, elements, last]) => {
            let elements = elements.split(',').filter(|e| !e.is_empty()).map(str::to_owned);
            let last = Some(*last).filter(|last| !last.is_empty()).map(str::to_owned);
            Came::Read(seq.parse().ok(), elements.collect(), last)
        }
        _ => Came::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let recorder = Recorder::new(folder.path(), "client-0-1");
        let found = Came::Read(Some(7), vec!["a".into(), "b".into()], Some("b".into()));
        let came = [Came::Made(3), Came::Refused("a b".into()), found, Came::Unknown];
        for (number, came) in came.iter().enumerate() {
            recorder.ask(number as u64, "u", Asked::Add);
            recorder.answer(number as u64, came);
        }
        recorder.ask(9, "u", Asked::Remove);
        let read = read(folder.path());
        assert_eq!(read.iter().map(|o| o.came.clone()).collect::<Vec<_>>()[..4], came);
        let last = read.last().expect("an operation");
        assert_eq!((&*last.name, last.asked, last.to), ("client-0-1-9", Asked::Remove, u64::MAX));
    }

    #[test]
    fn a_line_that_was_cut_short_says_nothing() {
        let text = "0\t5\task\tu\tadd\n0\t9\tmade\t1";
        assert_eq!(parse("p", text)[0].came, Came::Unknown);
    }
}

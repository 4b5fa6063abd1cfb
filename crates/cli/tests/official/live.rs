//! Beside an application that goes on: what it has open, what it wrote since, what it wrote to the
//! target.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::Judge;
use crate::common::{APP, Folder, World, number};

const HOME: &str = "langgraph+sqlite:home.sqlite";
const ROWS: &str = "SELECT (SELECT count(*) FROM checkpoints) + (SELECT count(*) FROM writes)";

/// The application, which has its file open.
struct Application {
    child: Child,
    asked: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Application {
    fn start(judge: &Judge, world: &World) -> Self {
        let mut command = Command::new(&judge.python);
        command.arg(&judge.script).arg("hold").arg(world.cli.path(APP));
        command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (asked, said) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut this = Self { child, asked, said: BufReader::new(said) };
        this.hears("ready");
        this
    }

    fn hears(&mut self, word: &str) {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), word);
    }

    /// Runs a turn of its one thread.
    fn goes_on(&mut self) {
        self.asked.write_all(b"write\n").unwrap();
        self.asked.flush().unwrap();
        self.hears("wrote");
    }

    fn ends(self) {
        let Self { mut child, asked, said } = self;
        drop(asked);
        assert!(child.wait().unwrap().success());
        drop(said);
    }
}

#[test]
fn a_file_that_its_application_has_open_is_copied_as_it_is() {
    let Some(judge) = Judge::find() else { return };
    let world = World::example("agent.sqlite");
    let mut application = Application::start(&judge, &world);
    let folder = Folder::look(&world.cli.path("app"));
    assert_eq!(folder.names(), ["agent.db", "agent.db-shm", "agent.db-wal"]);
    let held = "SELECT count(*) FROM checkpoints WHERE thread_id = 'chat-held'";

    let first = world.json(&["copy", APP, "agent.restow"], 0);
    assert_eq!(first["units"]["copied"], 20);
    world.run(&["copy", "agent.restow", HOME]).expect(0);
    let before = number(&world.cli.path("home.sqlite"), held);
    assert!(before > 0);

    application.goes_on();
    let second = world.json(&["copy", APP, "agent.restow"], 0);
    assert_eq!(
        (&second["units"]["updated"], &second["units"]["unchanged"]),
        (&1.into(), &19.into())
    );
    world.run(&["verify", APP, "agent.restow"]).expect(0);
    world.run(&["copy", "agent.restow", HOME]).expect(0);
    assert!(number(&world.cli.path("home.sqlite"), held) > before, "the newest turn");
    judge.asked("rows", &[&world.cli.path(APP), &world.cli.path("home.sqlite")], &[]);
    application.ends();
    judge.asked("equal", &[&world.cli.path(APP), &world.cli.path("home.sqlite")], &[]);
}

#[test]
fn a_second_copy_copies_what_changed() {
    let Some(judge) = Judge::find() else { return };
    let world = World::example("agent.sqlite");
    let app = world.cli.path(APP);
    judge.asked("write", &[&app], &["--threads", "3", "--turns", "2"]);
    let first = world.json(&["copy", APP, "agent.restow"], 0);
    assert_eq!(first["units"]["copied"], 22);
    let before = number(&app, ROWS);
    assert_eq!(first["records"], before);

    judge.asked("write", &[&app], &["--threads", "2"]);
    judge.asked("write", &[&app], &["--first", "7"]);
    let second = world.json(&["copy", APP, "agent.restow"], 0);
    let units = &second["units"];
    assert_eq!(units["updated"], 2, "{second}");
    assert_eq!(units["copied"], 1, "{second}");
    assert_eq!(units["unchanged"], 20, "{second}");
    assert_eq!(second["records"], number(&app, ROWS) - before, "{second}");
    world.run(&["verify", APP, "agent.restow"]).expect(0);
}

#[test]
fn a_target_that_moved_on_is_refused_by_name() {
    let Some(judge) = Judge::find() else { return };
    let world = World::example("agent.sqlite");
    let (app, home) = (world.cli.path(APP), world.cli.path("home.sqlite"));
    judge.asked("write", &[&app], &["--threads", "2"]);
    world.run(&["copy", APP, HOME]).expect(0);
    judge.asked("write", &[&home], &["--threads", "1"]);
    let moved = number(&home, ROWS);

    let again = world.json(&["copy", APP, HOME], 3);
    assert_eq!(again["units"]["unchanged"], 20, "{again}");
    let failures = again["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 1, "{again}");
    assert_eq!(failures[0]["unit"], "chat-w00000");
    let why = failures[0]["why"].as_str().unwrap();
    assert!(why.starts_with("the target moved on since it was copied"), "{why}");
    assert_eq!(number(&home, ROWS), moved, "it was left as it is");

    // The source moves on, too.
    judge.asked("write", &[&app], &["--threads", "2"]);
    let again = world.json(&["copy", APP, HOME], 3);
    assert_eq!(again["units"]["updated"], 1, "{again}");
    let why = again["failures"][0]["why"].as_str().unwrap();
    assert!(why.starts_with("source and target both moved on"), "{why}");
}

//! A child process: what it says while it runs, how much memory it takes, how it ends.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// How often the child's peak of memory is looked at while it is silent.
///
/// The system keeps the peak but forgets it with the process, so only what the child takes in its
/// last moment can be missed.
const LOOK: Duration = Duration::from_millis(2);

/// A child that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    heard: Receiver<(Stream, Vec<u8>)>,
    out: Vec<u8>,
    err: Vec<u8>,
    peak: u64,
}

#[derive(Clone, Copy, Debug)]
enum Stream {
    Out,
    Err,
}

/// What a child did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// The most memory it held at once, in bytes (the peak of its resident set).
    pub peak_memory: u64,
}

impl Running {
    /// Starts a command whose outputs are collected.
    pub fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("start {command:?}: {e}"));
        let (tell, heard) = channel();
        listen(child.stdout.take().expect("its output"), Stream::Out, tell.clone());
        listen(child.stderr.take().expect("its error output"), Stream::Err, tell);
        Self { child, heard, out: Vec::new(), err: Vec::new(), peak: 0 }
    }

    /// Waits until either output holds a text; panics where the child ends without it.
    pub fn wait_for(&mut self, text: &str) {
        let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|w| w == text.as_bytes());
        while !holds(&self.out) && !holds(&self.err) {
            if !self.hear() {
                let said = [&self.out[..], &self.err].map(String::from_utf8_lossy).concat();
                panic!("the child ended without {text:?}; it said:\n{said}");
            }
        }
    }

    /// Waits until something holds, such as that a file has grown; says whether it ever did.
    pub fn wait_until(&mut self, mut holds: impl FnMut() -> bool) -> bool {
        loop {
            if holds() {
                return true;
            }
            if !self.hear() {
                return holds();
            }
        }
    }

    /// Kills the child with the signal that it cannot handle, and returns what it had said.
    pub fn kill(mut self) -> Outcome {
        self.child.kill().expect("kill the child");
        self.finish()
    }

    /// Waits for the child's end.
    pub fn finish(mut self) -> Outcome {
        while self.hear() {}
        let status: ExitStatus = self.child.wait().expect("wait for the child");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Outcome {
            code: status.code(),
            out: text(&self.out),
            err: text(&self.err),
            peak_memory: self.peak,
        }
    }

    /// Takes what the child says next, or looks at its memory; false where it says no more.
    fn hear(&mut self) -> bool {
        if let Some(peak) = peak_of(self.child.id()) {
            self.peak = self.peak.max(peak);
        }
        match self.heard.recv_timeout(LOOK) {
            Ok((Stream::Out, bytes)) => self.out.extend(bytes),
            Ok((Stream::Err, bytes)) => self.err.extend(bytes),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        true
    }
}

impl Outcome {
    /// Panics, with all that was said, unless the exit code is the expected one.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        let Self { out, err, .. } = &self;
        assert!(self.code == Some(code), "exit {:?}, not {code}\n{out}{err}", self.code);
        self
    }

    /// Shows command, outputs and exit code as one text.
    pub(super) fn shown(&self, args: &[&str]) -> String {
        let quoted = |arg: &&str| match arg.is_empty() || arg.contains([' ', '*', '?', '\'']) {
            true => format!("'{}'", arg.replace('\'', "'\\''")),
            false => (*arg).to_owned(),
        };
        let args: Vec<String> = args.iter().map(quoted).collect();
        let mut shown = format!("$ restow {}\n{}", args.join(" "), self.out);
        if !self.err.is_empty() {
            shown += &format!("--- standard error\n{}", self.err);
        }
        match self.code {
            Some(code) => shown += &format!("--- exit {code}\n"),
            None => shown += "--- killed\n",
        }
        shown
    }
}

fn listen(mut stream: impl Read + Send + 'static, from: Stream, tell: Sender<(Stream, Vec<u8>)>) {
    thread::spawn(move || {
        let mut piece = vec![0; 1 << 16];
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            if tell.send((from, piece[..count].to_vec())).is_err() {
                return;
            }
        }
    });
}

/// The peak of a process's resident set, in bytes, as Linux tells it.
fn peak_of(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

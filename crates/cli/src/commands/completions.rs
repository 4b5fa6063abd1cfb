//! `restow completions`: a script that completes commands and flags in a shell.

use clap::CommandFactory;

use crate::args::{Args, Completions};
use crate::exit::Exit;

/// Prints the script.
pub(crate) fn run(args: &Completions) -> Exit {
    clap_complete::generate(args.shell, &mut Args::command(), "restow", &mut std::io::stdout());
    Exit::Ok
}

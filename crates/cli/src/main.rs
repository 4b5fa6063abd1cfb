//! `restow`: moves the state of AI applications between storage engines and layouts.
//!
//! This crate reads arguments and the environment, and shows what the library says; it decides
//! nothing about data.

mod args;
mod clock;
mod commands;
mod exit;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod memory;
mod out;
mod progress;
mod words;

use std::process::ExitCode;

use clap::Parser;

use args::Args;
use exit::Exit;
use out::Out;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    let out = Out::new(args.common.json);
    let code = match run(args, &out) {
        Ok(exit) => exit,
        Err(error) => {
            out.error(&error);
            Exit::of(&error)
        }
    };
    code.into()
}

/// Shows what clap has to say: help and version on standard output, mistakes on standard error.
fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    let ours = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("RESTOW_");
    let variables = std::env::vars_os().filter(|(name, _)| ours(name)).map(|(_, value)| value);
    let masked = masked(&text, std::env::args_os().chain(variables));
    if masked == text {
        // A closed pipe while showing help is nobody's failure.
        let _ = error.print();
    } else {
        Out::new(false).note(masked.trim_end());
    }
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() }
}

/// Masks what is secret in arguments and variables, where a text repeats them.
fn masked(text: &str, args: impl Iterator<Item = std::ffi::OsString>) -> String {
    args.fold(text.to_string(), |text, arg| {
        let arg = arg.to_string_lossy();
        let value = arg.split_once('=').map_or("", |(_, value)| value);
        [&*arg, value]
            .iter()
            .filter(|part| part.contains("//") || part.contains('='))
            .fold(text, |text, part| text.replace(part, &restow::Address::mask(part)))
    })
}

fn run(args: Args, out: &Out) -> restow::Result<Exit> {
    if let args::Command::Completions(shell) = &args.command {
        return Ok(commands::completions::run(shell));
    }
    logging(args.common.verbose);
    #[cfg(feature = "failpoints")]
    let counts = {
        let armed = args.common.failpoint.as_deref().unwrap_or_default();
        restow::failpoint::arm(armed)?;
        armed == restow::failpoint::COUNT
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| {
            restow::Error::new(restow::ErrorKind::Failed, "start", "no thread").because(e)
        })?;
    let exit = runtime.block_on(commands::run(args, out));
    // Streams that nobody reads any more end by themselves; nothing is waited for twice.
    runtime.shutdown_background();
    #[cfg(feature = "failpoints")]
    if counts {
        for point in restow::failpoint::Point::ALL {
            out.note(format!("{} {}", point.name(), restow::failpoint::passed(*point)));
        }
    }
    exit
}

fn logging(verbose: bool) {
    // What AWS's library found no credentials in is told by the error that it returns.
    let level = if verbose { "restow=debug" } else { "warn,aws_config=error" };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(std::io::stderr)
        .init();
}

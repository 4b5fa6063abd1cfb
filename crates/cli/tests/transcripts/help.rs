//! What it says of itself, and to whoever uses it wrongly.

use insta::assert_snapshot;

use crate::common::{RESTOW, World, folded};

fn said(args: &[&str]) -> String {
    folded(&restow_testkit::cli::Cli::new(RESTOW).transcript(args))
}

#[test]
fn version() {
    assert_snapshot!(said(&["--version"]), @r"
    $ restow --version
    restow 0.1.0
    --- exit 0
    ");
}

#[test]
fn help() {
    assert_snapshot!(said(&["--help"]), @r"
    $ restow --help
    Moves the state of AI applications between storage engines and layouts, verified record \
        by record.

    An address is `<layout>+<engine>:<place>`, such as `langgraph+sqlite:agent.db` or \
        `parts+sqlite:agent.restow`. A bare path is recognised by looking inside it; one that \
        does not exist yet goes by its ending (`.restow` is `parts+sqlite`).

    Exit codes: 0 ok · 1 failed · 2 usage · 3 finished, with units that did not match, failed \
        or were skipped · 10 migration not found · 11 held by another attempt · 12 credentials · \
        13 refused by a precondition, or unconfirmed · 130 interrupted, can be resumed.

    Usage: restow [OPTIONS] <COMMAND>

    Commands:
      assess       Say what a store holds, how large it is, and what any target would make of \
        it
      copy         Copy a store into another, checking every record; run again to bring it up \
        to date
      verify       Compare two stores record by record and name what differs
      status       Show what a ledger knows: progress, attempts, failures
      schema       Make, check, count or remove LangGraph's tables in PostgreSQL
      migrate      Move units while the application reads and writes them, a share at a time, \
        and back
      backup       Keep a whole store in one file: make backups, check, restore and prune them
      parts        Remove parts that nothing points at, or write records whole again where \
        they fit
      doctor       Try a store: read an old record, write a large one, list and delete it, \
        with times
      completions  Print a completion script for a shell
      help         Print this message or the help of the given subcommand(s)

    Options:
          --json
              Print one JSON object per line instead of text

      -v, --verbose
              Say on standard error what is being done in detail

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version
    --- exit 0
    ");
    assert_snapshot!(said(&["copy", "-h"]), @r"
    $ restow copy -h
    Copy a store into another, checking every record; run again to bring it up to date

    Usage: restow copy [OPTIONS] <SOURCE> <TARGET>

    Arguments:
      <SOURCE>  The store to read; it is never written to
      <TARGET>  The store to fill; made if it is not there

    Options:
          --dry-run                    Report everything that would be done, and do nothing
          --json                       Print one JSON object per line instead of text
          --jobs <JOBS>                How many workers copy at once [env: RESTOW_JOBS=]
      -v, --verbose                    Say on standard error what is being done in detail
          --max-rate <BYTES>           How many bytes a second to read at most, such as 50MB \
        [env: RESTOW_MAX_RATE=]
          --units <FILE|PATTERN>       Only these units: a file with one name a line, or a \
        pattern with `*` and `?`
          --extra <EXTRA>              What to do with units at the target that the source \
        does not hold and no copy put there [default: keep] [possible values: keep, delete]
          --confirm <NAME>             The target's name, to confirm what deletes (`--extra \
        delete`)
          --unsupported <UNSUPPORTED>  What to do with units that the target cannot hold or \
        that are damaged [default: refuse] [possible values: refuse, aside]
          --ledger <PATH>              Where to keep the account of the copy; beside a target \
        file by default [env: RESTOW_LEDGER=]
      -h, --help                       Print help (see more with '--help')
    --- exit 0
    ");
}

#[test]
fn completions() {
    let script = restow_testkit::cli::Cli::new(RESTOW).run(&["completions", "bash"]).expect(0).out;
    let first: Vec<&str> = script.lines().take(6).collect();
    assert_snapshot!(first.join("\n"), @r#"
    _restow() {
        local i cur prev opts cmd
        COMPREPLY=()
        if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
            cur="$2"
        else
    "#);
    assert!(script.contains("--max-rate"), "{script}");
    for shell in ["zsh", "fish", "powershell", "elvish"] {
        assert!(!restow_testkit::cli::Cli::new(RESTOW).run(&["completions", shell]).out.is_empty());
    }
}

#[test]
fn wrong_usage() {
    assert_snapshot!(said(&[]), @r"
    $ restow
    --- standard error
    Moves the state of AI applications between storage engines and layouts, verified record \
        by record

    Usage: restow [OPTIONS] <COMMAND>

    Commands:
      assess       Say what a store holds, how large it is, and what any target would make of \
        it
      copy         Copy a store into another, checking every record; run again to bring it up \
        to date
      verify       Compare two stores record by record and name what differs
      status       Show what a ledger knows: progress, attempts, failures
      schema       Make, check, count or remove LangGraph's tables in PostgreSQL
      migrate      Move units while the application reads and writes them, a share at a time, \
        and back
      backup       Keep a whole store in one file: make backups, check, restore and prune them
      parts        Remove parts that nothing points at, or write records whole again where \
        they fit
      doctor       Try a store: read an old record, write a large one, list and delete it, \
        with times
      completions  Print a completion script for a shell
      help         Print this message or the help of the given subcommand(s)

    Options:
          --json     Print one JSON object per line instead of text
      -v, --verbose  Say on standard error what is being done in detail
      -h, --help     Print help (see more with '--help')
      -V, --version  Print version
    --- exit 2
    ");
}

#[test]
fn wrong_arguments() {
    assert_snapshot!(said(&["copy"]), @r"
    $ restow copy
    --- standard error
    error: the following required arguments were not provided:
      <SOURCE>
      <TARGET>

    Usage: restow copy <SOURCE> <TARGET>

    For more information, try '--help'.
    --- exit 2
    ");
    assert_snapshot!(said(&["move", "a", "b"]), @r"
    $ restow move a b
    --- standard error
    error: unrecognized subcommand 'move'

    Usage: restow [OPTIONS] <COMMAND>

    For more information, try '--help'.
    --- exit 2
    ");
    assert_snapshot!(said(&["copy", "a", "b", "--jobs", "0"]), @r"
    $ restow copy a b --jobs 0
    --- standard error
    error: invalid value '0' for '--jobs <JOBS>': 0 is not in 1..=64

    For more information, try '--help'.
    --- exit 2
    ");
    assert_snapshot!(said(&["copy", "a", "b", "--max-rate", "5 apples"]), @r"
    $ restow copy a b --max-rate '5 apples'
    --- standard error
    error: invalid value '5 apples' for '--max-rate <BYTES>': unknown unit `apples`; use kB, \
        MB or GB

    For more information, try '--help'.
    --- exit 2
    ");
    assert_snapshot!(said(&["copy", "a", "b", "--extra", "remove"]), @r"
    $ restow copy a b --extra remove
    --- standard error
    error: invalid value 'remove' for '--extra <EXTRA>'
      [possible values: keep, delete]

    For more information, try '--help'.
    --- exit 2
    ");
}

#[test]
fn wrong_variables_are_told_like_wrong_options() {
    let mut world = World::example("agent.sqlite");
    world.cli.set("RESTOW_JOBS", "many");
    assert_snapshot!(world.transcript(&["copy", "app/agent.db", "agent.restow"]), @r"
    $ restow copy app/agent.db agent.restow
    --- standard error
    error: invalid value 'many' for '--jobs <JOBS>': invalid digit found in string

    For more information, try '--help'.
    --- exit 2
    ");
}

//! The environment of the command line, tried on a shell in the binary's place.

use restow_testkit::cli::Cli;

fn shell() -> Cli {
    Cli::new("/bin/sh")
}

#[test]
fn a_child_sees_its_own_folders_and_no_variable_of_ours() {
    let mut cli = shell();
    cli.set("EXTRA", "1");
    let script = "echo $HOME $XDG_STATE_HOME; pwd; echo ${CARGO_PKG_NAME:-none} $EXTRA; \
                  touch made; echo took 1.5 s >&2; exit 3";
    let shown = cli.transcript(&["-c", script]);
    let (command, said) = shown.split_once('\n').unwrap();
    assert!(command.starts_with("$ restow -c 'echo $HOME"), "{command}");
    let expected = "$HOME $HOME/.local/state\n$DIR\nnone 1\n\
                    --- standard error\ntook [time]\n--- exit 3\n";
    assert_eq!(said, expected);
    assert_eq!(cli.files(), ["made"]);
}

#[test]
fn a_child_is_killed_when_it_has_said_something() {
    let cli = shell();
    let mut running = cli.spawn(&["-c", "echo ready; read forever < /dev/zero; echo never"]);
    running.wait_for("ready");
    let outcome = running.kill();
    assert_eq!((outcome.code, outcome.out.as_str()), (None, "ready\n"));
}

#[test]
#[should_panic(expected = "ended without \"ready\"")]
fn a_child_that_ends_too_early_is_told() {
    shell().spawn(&["-c", "echo no"]).wait_for("ready");
}

#[test]
fn the_peak_of_memory_is_seen() {
    let cli = shell();
    let grow = "a=x; i=0; while [ $i -lt 24 ]; do a=$a$a; i=$((i + 1)); done; echo ${#a}";
    let outcome = cli.run(&["-c", grow]).expect(0);
    assert_eq!(outcome.out, "16777216\n");
    assert!(outcome.peak_memory > 16 << 20, "{} bytes", outcome.peak_memory);
    assert!(cli.run(&["-c", "echo"]).peak_memory < 16 << 20);
}

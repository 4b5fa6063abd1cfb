"""Judges SQLite files with the official LangGraph packages.

Each command prints one JSON object per line and ends with a summary; `hold` prints plain words.
Exit code 0: as it should be. 1: a difference, named by thread, namespace and checkpoint id.
2: no judgement, for example because a file is not there.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

import scratch  # isort: skip  (puts the examples on the path)
import equal
import live
import resume
import rows


def parser() -> argparse.ArgumentParser:
    """Describes the command line."""
    top = argparse.ArgumentParser(description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    for name, text in [("equal", "compare what the official saver reads"),
                       ("rows", "compare both tables byte by byte, and the schema")]:
        command = commands.add_parser(name, help=text)
        command.add_argument("left", type=Path)
        command.add_argument("right", type=Path)
    commands.choices["rows"].add_argument("--schema", choices=["fresh", "source"], default="fresh")
    command = commands.add_parser("resume", help="resume what waits in a file, on a copy of it")
    command.add_argument("file", type=Path)
    command.add_argument("--reference", type=Path)
    command.add_argument("--require", default="", help="kinds that must occur, comma-separated")
    command.add_argument("--limit", type=int, default=3, help="threads of each kind and graph")
    command = commands.add_parser("loop", help="copy naively over the official savers")
    command.add_argument("source", type=Path)
    command.add_argument("target", type=Path)
    command.add_argument("--relaxed", action="store_true", help="with synchronous=OFF")
    command = commands.add_parser("write", help="write native threads, or continue them")
    command.add_argument("file", type=Path)
    command.add_argument("--threads", type=int, default=1)
    command.add_argument("--turns", type=int, default=1)
    command.add_argument("--graph", default="chat")
    command.add_argument("--first", type=int, default=0, help="the number of the first thread")
    command = commands.add_parser("hold", help="keep a file open until the input ends")
    command.add_argument("file", type=Path)
    return top


def run(options: argparse.Namespace) -> int:
    """Runs one command."""
    if options.command == "equal":
        return equal.run(options.left, options.right)
    if options.command == "rows":
        return rows.run(options.left, options.right, options.schema)
    if options.command == "resume":
        required = [kind for kind in options.require.split(",") if kind]
        return resume.run(options.file, options.reference, required, options.limit)
    if options.command == "loop":
        return live.loop(options.source, options.target, options.relaxed)
    if options.command == "write":
        return live.write(options.file, options.graph, options.first, options.threads,
                          options.turns)
    return live.hold(options.file)


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line; what cannot be judged is exit code 2."""
    options = parser().parse_args(arguments)
    try:
        return run(options)
    except (OSError, sqlite3.Error) as error:
        scratch.emit({"command": options.command, "ok": False, "error": str(error)})
        return 2


if __name__ == "__main__":
    sys.exit(main())

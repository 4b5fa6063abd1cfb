"""Judges SQLite files and databases of PostgreSQL with the official LangGraph packages.

A place is the path of a file or a `postgresql://…` URL; `hold` wants a file.
Each command prints one JSON object per line and ends with a summary; `hold` prints plain words.
Exit code 0: as it should be. 1: a difference, named by thread, namespace and checkpoint id.
2: no judgement, for example because a place is not there.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

import psycopg

import scratch  # isort: skip  (puts the examples on the path)
import equal
import live
import resume
import rows
import server_rows
from places import is_server


def parser() -> argparse.ArgumentParser:
    """Describes the command line."""
    top = argparse.ArgumentParser(description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    for name, text in [("equal", "compare what the official savers read"),
                       ("rows", "compare the tables byte by byte, and the schema")]:
        command = commands.add_parser(name, help=text)
        command.add_argument("left", metavar="place")
    commands.choices["equal"].add_argument("right", metavar="place", nargs="+")
    commands.choices["rows"].add_argument("right", metavar="place")
    commands.choices["rows"].add_argument("--schema", choices=["fresh", "source"], default="fresh")
    command = commands.add_parser("resume", help="resume what waits in a place, on a copy of it")
    command.add_argument("place", nargs="+")
    command.add_argument("--reference", metavar="place")
    command.add_argument("--require", default="", help="kinds that must occur, comma-separated")
    command.add_argument("--limit", type=int, default=3, help="threads of each kind and graph")
    command.add_argument("--in-place", action="store_true", help="live on there, not on a copy")
    command = commands.add_parser("loop", help="copy naively over the official savers")
    command.add_argument("source", metavar="place")
    command.add_argument("target", metavar="place")
    command.add_argument("--relaxed", action="store_true", help="without waiting for the disk")
    command = commands.add_parser("write", help="write native threads, or continue them")
    command.add_argument("place")
    command.add_argument("--threads", type=int, default=1)
    command.add_argument("--turns", type=int, default=1)
    command.add_argument("--graph", default="chat")
    command.add_argument("--first", type=int, default=0, help="the number of the first thread")
    command.add_argument("--encrypted", action="store_true", help="under a cipher")
    command = commands.add_parser("examples", help="write the threads of the examples natively")
    command.add_argument("place")
    command = commands.add_parser("hold", help="keep a file open until the input ends")
    command.add_argument("file", type=Path)
    return top


def run(options: argparse.Namespace) -> int:
    """Runs one command."""
    if options.command == "equal":
        return max(equal.run(options.left, right) for right in options.right)
    if options.command == "rows":
        return run_rows(options.left, options.right, options.schema)
    if options.command == "resume":
        required = [kind for kind in options.require.split(",") if kind]
        return resume.run(options.place, options.reference, required, options.limit,
                          options.in_place)
    if options.command == "loop":
        return live.loop(options.source, options.target, options.relaxed)
    if options.command == "write":
        return live.write(options.place, options.graph, options.first, options.threads,
                          options.turns, options.encrypted)
    if options.command == "examples":
        return live.examples(options.place)
    return live.hold(options.file)


def run_rows(left: str, right: str, schema: str) -> int:
    """Compares rows, which only one and the same engine has."""
    if is_server(left) != is_server(right):
        raise OSError("rows of a file and of a database cannot be compared")
    if is_server(left):
        return server_rows.run(left, right, schema)
    return rows.run(Path(left), Path(right), schema)


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line; what cannot be judged is exit code 2."""
    options = parser().parse_args(arguments)
    try:
        return run(options)
    except (OSError, sqlite3.Error, psycopg.Error) as error:
        scratch.emit({"command": options.command, "ok": False, "error": str(error)})
        return 2


if __name__ == "__main__":
    sys.exit(main())

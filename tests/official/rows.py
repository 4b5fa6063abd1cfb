"""Judges two files row by row, and the target's schema by a file that the official saver made."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver

from scratch import Report, scratch_copy

KEYS = {
    "checkpoints": ("thread_id", "checkpoint_ns", "checkpoint_id"),
    "writes": ("thread_id", "checkpoint_ns", "checkpoint_id", "task_id", "idx"),
}
DEFAULTS = {("writes", "task_path"): ("text", b"")}
Row = dict[str, tuple[str, Any]]


def run(left_path: Path, right_path: Path, schema: str) -> int:
    """Compares both tables and the schema."""
    report = Report("rows")
    counts = {}
    with scratch_copy(left_path) as left_copy, scratch_copy(right_path) as right_copy:
        with closing(raw(left_copy)) as left, closing(raw(right_copy)) as right:
            for table in KEYS:
                counts[table] = compare_table(left, right, table, report)
            compare_schema(left if schema == "source" else None, right, report)
    return report.finish(**counts)


def raw(path: Path) -> sqlite3.Connection:
    """Opens a file so that text is read as its bytes."""
    connection = sqlite3.connect(path)
    connection.text_factory = bytes
    return connection


def columns_of(connection: sqlite3.Connection, table: str) -> list[str]:
    """Gives the names of a table's columns."""
    return [row[1].decode() for row in connection.execute(f"PRAGMA table_info({table})")]


def rows_of(connection: sqlite3.Connection, table: str) -> Iterator[Row]:
    """Yields rows in the order of their keys: name -> (storage class, value)."""
    columns = columns_of(connection, table)
    if not columns:
        return
    picked = ", ".join(f"typeof({name}), {name}" for name in columns)
    query = f"SELECT {picked} FROM {table} ORDER BY {', '.join(KEYS[table])}"
    for values in connection.execute(query):
        pairs = zip(values[::2], values[1::2])
        yield {name: (kind.decode(), value) for name, (kind, value) in zip(columns, pairs)}


def key_of(row: Row, table: str) -> tuple[Any, ...]:
    """Gives a key that sorts as SQLite sorts it."""
    return tuple(row[name][1] for name in KEYS[table])


def compare_table(
    left: sqlite3.Connection, right: sqlite3.Connection, table: str, report: Report
) -> int:
    """Walks both tables at once; gives the number of rows on the left."""
    ours, theirs = rows_of(left, table), rows_of(right, table)
    one, other, count = next(ours, None), next(theirs, None), 0
    while one is not None or other is not None:
        before = other is None or (one is not None and key_of(one, table) < key_of(other, table))
        after = one is None or (other is not None and key_of(one, table) > key_of(other, table))
        if before:
            report.differ(f"{table}: row missing on the right", **named(one, table))
        elif after:
            report.differ(f"{table}: row missing on the left", **named(other, table))
        else:
            compare_row(one, other, table, report)
        count += not after
        one = one if after else next(ours, None)
        other = other if before else next(theirs, None)
    return count


def compare_row(one: Row, other: Row, table: str, report: Report) -> None:
    """Compares the columns of one row by name."""
    for name in dict.fromkeys(chain(one, other)):
        absent = DEFAULTS.get((table, name), ("absent", None))
        left, right = one.get(name, absent), other.get(name, absent)
        if left != right:
            report.differ(f"{table}.{name}", **named(one, table), left=shown(left, right),
                          right=shown(right, left))


def shown(value: tuple[str, Any], against: tuple[str, Any]) -> str:
    """Shows a value where it first differs."""
    kind, content = value
    if not isinstance(content, bytes):
        return f"{kind} {content!r}"
    other = against[1] if isinstance(against[1], bytes) else b""
    pairs = enumerate(zip(content, other))
    place = next((i for i, (a, b) in pairs if a != b), min(len(content), len(other)))
    return f"{kind} of {len(content)} bytes, at {place}: {content[place:place + 24]!r}"


def named(row: Row, table: str) -> dict[str, Any]:
    """Names a row in a difference."""
    names = ("thread", "ns", "checkpoint_id", "task_id", "idx")
    key = key_of(row, table)
    return {n: k.decode("utf-8", "replace") if isinstance(k, bytes) else k
            for n, k in zip(names, key)}


def compare_schema(
    source: sqlite3.Connection | None, target: sqlite3.Connection, report: Report
) -> None:
    """Compares the target's schema with the source's or with a fresh one."""
    expected = schema_of(source) if source is not None else fresh_schema()
    found = schema_of(target)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            report.differ(f"schema: {name}", left=expected.get(name), right=found.get(name))


def fresh_schema() -> dict[str, Any]:
    """Gives the schema that the official saver makes in a fresh file."""
    with SqliteSaver.from_conn_string(":memory:") as saver:
        saver.setup()
        saver.conn.text_factory = bytes
        return schema_of(saver.conn)


def schema_of(connection: sqlite3.Connection) -> dict[str, Any]:
    """Gives what there is by name: columns in order with type, default and key, and indexes."""
    found: dict[str, Any] = {"user_version": pragma(connection, "user_version")}
    for kind, name in connection.execute("SELECT type, name FROM sqlite_master").fetchall():
        kind, name = kind.decode(), name.decode()
        found[f"{kind} {name}"] = True
        if kind == "table":
            found[f"columns of {name}"] = pragma(connection, f"table_info({name})")
        if kind == "index":
            found[f"columns of {name}"] = pragma(connection, f"index_xinfo({name})")
    return found


def pragma(connection: sqlite3.Connection, call: str) -> list[list[Any]]:
    """Gives the rows of a pragma as text."""
    found = connection.execute(f"PRAGMA {call}").fetchall()
    return [[v.decode() if isinstance(v, bytes) else v for v in row] for row in found]

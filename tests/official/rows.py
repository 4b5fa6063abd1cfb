"""Judges two files row by row, and the target's schema by a file that the official saver made."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
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
NAMES = ("thread", "ns", "checkpoint_id", "task_id", "idx")
Row = dict[str, tuple[str, Any]]
KeyOf = Callable[[Row, str], tuple[Any, ...]]


def run(left_path: Path, right_path: Path, schema: str) -> int:
    """Compares both tables and the schema."""
    report = Report("rows")
    counts = {}
    with scratch_copy(left_path) as left_copy, scratch_copy(right_path) as right_copy:
        with closing(raw(left_copy)) as left, closing(raw(right_copy)) as right:
            for table in KEYS:
                both = rows_of(left, table), rows_of(right, table)
                counts[table] = compare_table(*both, table, key_of, report)
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
    ours: Iterator[Row], theirs: Iterator[Row], table: str, key_of: KeyOf, report: Report,
    names: tuple[str, ...] = NAMES,
) -> int:
    """Walks both tables at once; gives the number of rows on the left."""
    one, other, count = next(ours, None), next(theirs, None), 0
    while one is not None or other is not None:
        before = other is None or (one is not None and key_of(one, table) < key_of(other, table))
        after = one is None or (other is not None and key_of(one, table) > key_of(other, table))
        if before:
            report.differ(f"{table}: row missing on the right", **named(key_of(one, table), names))
        elif after:
            report.differ(f"{table}: row missing on the left", **named(key_of(other, table), names))
        else:
            compare_row(one, other, table, named(key_of(one, table), names), report)
        count += not after
        one = one if after else next(ours, None)
        other = other if before else next(theirs, None)
    return count


def compare_row(
    one: Row, other: Row, table: str, where: dict[str, Any], report: Report
) -> None:
    """Compares the columns of one row by name."""
    for name in dict.fromkeys(chain(one, other)):
        absent = DEFAULTS.get((table, name), ("absent", None))
        left, right = one.get(name, absent), other.get(name, absent)
        if left != right:
            report.differ(f"{table}.{name}", **where, left=shown(left, right),
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


def named(key: tuple[Any, ...], names: tuple[str, ...]) -> dict[str, Any]:
    """Names a row in a difference."""
    return {n: k.decode("utf-8", "replace") if isinstance(k, bytes) else k
            for n, k in zip(names, key)}


def compare_schema(
    source: sqlite3.Connection | None, target: sqlite3.Connection, report: Report
) -> None:
    """Compares the target's schema with the source's or with a fresh one."""
    expected = schema_of(source) if source is not None else fresh_schema()
    compare_named(expected, schema_of(target), report)


def compare_named(expected: dict[str, Any], found: dict[str, Any], report: Report) -> None:
    """Compares the parts of a schema by name."""
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

"""Judges two databases of PostgreSQL row by row, JSONB as its text, and the target's schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
from langgraph.checkpoint.postgres import PostgresSaver

from places import new_database
from rows import Row, compare_named, compare_table
from scratch import Report

KEYS = {
    "checkpoints": ("thread_id", "checkpoint_ns", "checkpoint_id"),
    "checkpoint_blobs": ("thread_id", "checkpoint_ns", "channel", "version"),
    "checkpoint_writes": ("thread_id", "checkpoint_ns", "checkpoint_id", "task_id", "idx"),
    "checkpoint_migrations": ("v",),
}
NAMES = {"thread_id": "thread", "checkpoint_ns": "ns"}
COLUMNS = """
    SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name = %s ORDER BY ordinal_position"""
INDEXES = """
    SELECT indexname, replace(indexdef, schemaname || '.', '') FROM pg_indexes
    WHERE schemaname = current_schema() AND tablename = %s ORDER BY indexname"""


def run(left_url: str, right_url: str, schema: str) -> int:
    """Compares all tables and the schema."""
    report = Report("rows")
    counts = {}
    with psycopg.connect(left_url) as left, psycopg.connect(right_url) as right:
        for table, keys in KEYS.items():
            both = rows_of(left, table), rows_of(right, table)
            names = tuple(NAMES.get(key, key) for key in keys)
            counts[table] = compare_table(*both, table, key_of, report, names)
        expected = schema_of(left) if schema == "source" else fresh_schema(left_url)
        compare_named(expected, schema_of(right), report)
    return report.finish(**counts)


def key_of(row: Row, table: str) -> tuple[Any, ...]:
    """Gives a key that sorts as the rows are asked for."""
    return tuple(row[name][1] for name in KEYS[table])


def rows_of(connection: psycopg.Connection, table: str) -> Iterator[Row]:
    """Yields rows in the order of their keys' bytes: name -> (type, value)."""
    columns = [row[:2] for row in connection.execute(COLUMNS, (table,)).fetchall()]
    kinds = dict(columns)
    order = [f'{name} COLLATE "C"' if kinds.get(name) == "text" else name for name in KEYS[table]]
    picked = [read(name, kind) for name, kind in columns]
    with connection.cursor(name=f"judge_{table}", binary=True) as cursor:
        cursor.itersize = 100
        query = f"SELECT {', '.join(picked)} FROM {table} ORDER BY {', '.join(order)}"
        for values in cursor.execute(query):
            yield {name: ("null" if value is None else kind, value)
                   for (name, kind), value in zip(columns, values)}


def read(name: str, kind: str) -> str:
    """Reads a column so that its bytes are compared, and text sorts by them."""
    if kind == "jsonb":
        return f"convert_to({name}::text, 'UTF8')"
    return f"convert_to({name}, 'UTF8')" if kind == "text" else name


def fresh_schema(url: str) -> dict[str, Any]:
    """Gives the schema that the official saver makes in a fresh database."""
    with new_database(url) as fresh:
        with PostgresSaver.from_conn_string(fresh) as saver:
            saver.setup()
        with psycopg.connect(fresh) as connection:
            return schema_of(connection)


def schema_of(connection: psycopg.Connection) -> dict[str, Any]:
    """Gives the columns, in order, and the indexes of each table."""
    found: dict[str, Any] = {}
    for table in KEYS:
        found[f"columns of {table}"] = connection.execute(COLUMNS, (table,)).fetchall()
        for name, definition in connection.execute(INDEXES, (table,)).fetchall():
            found[f"index {name}"] = definition
    return found

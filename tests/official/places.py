"""Where state lies: a SQLite file, or a database of PostgreSQL; a judge never changes either."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row, tuple_row

from scratch import saver_on_copy as saver_on_copied_file

Saver = SqliteSaver | PostgresSaver

COPIES = itertools.count()


def is_server(place: str) -> bool:
    """Says whether a place is a database of PostgreSQL."""
    return place.startswith(("postgresql://", "postgres://"))


def name_of(place: str) -> str:
    """Names a place without what its address says of a user."""
    return str(conninfo_to_dict(place)["dbname"]) if is_server(place) else Path(place).name


def named(url: str, database: str) -> str:
    """Gives the URL of another database on the same server."""
    return urlsplit(url)._replace(path=f"/{database}").geturl()


@contextmanager
def copied_database(url: str) -> Iterator[str]:
    """Gives the URL of a scratch copy, which nobody else may be connected to."""
    name = conninfo_to_dict(url)["dbname"]
    with new_database(url, f'TEMPLATE "{name}"') as copy:
        yield copy


@contextmanager
def new_database(url: str, options: str = "") -> Iterator[str]:
    """Gives the URL of a database on the same server, which is dropped afterwards."""
    name = f"restow_judge_{os.getpid()}_{next(COPIES)}"
    with psycopg.connect(named(url, "postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name} {options}")
        try:
            yield named(url, name)
        finally:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def server_saver(url: str, setting: str, serde: Any = None) -> Iterator[PostgresSaver]:
    """Opens a database with the official saver, as its own constructor does, under a setting."""
    connection = psycopg.connect(url, autocommit=True, prepare_threshold=0, row_factory=dict_row)
    with closing(connection):
        connection.execute(f"SET {setting}")
        yield PostgresSaver(connection, serde=serde)


@contextmanager
def saver_on_copy(place: str) -> Iterator[Saver]:
    """Opens a scratch copy with the official saver."""
    if is_server(place):
        with copied_database(place) as url, server_saver(url, "synchronous_commit = off") as saver:
            yield saver
    else:
        with saver_on_copied_file(Path(place)) as saver:
            yield saver


@contextmanager
def saver_to_read(place: str) -> Iterator[Saver]:
    """Opens a place with the official saver, which cannot write to it."""
    if is_server(place):
        with server_saver(place, "default_transaction_read_only = on") as saver:
            yield saver
    else:
        with saver_on_copied_file(Path(place)) as saver:
            yield saver


@contextmanager
def saver_to_write(place: str, durable: bool = False, serde: Any = None) -> Iterator[Saver]:
    """Opens a place itself with the official saver, and prepares it."""
    if is_server(place):
        setting = f"synchronous_commit = {'on' if durable else 'off'}"
        with server_saver(place, setting, serde) as saver:
            saver.setup()
            yield saver
    else:
        with SqliteSaver.from_conn_string(place) as saver:
            saver.serde = serde or saver.serde
            saver.setup()
            if not durable:
                saver.conn.execute("PRAGMA synchronous=OFF")
            yield saver


def ask(saver: Saver, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """Asks past the saver; `%s` stands for a value."""
    if isinstance(saver, PostgresSaver):
        with saver.conn.cursor(row_factory=tuple_row) as cursor:
            return cursor.execute(query, values).fetchall()
    with saver.cursor(transaction=False) as cursor:
        return cursor.execute(query.replace("%s", "?"), values).fetchall()

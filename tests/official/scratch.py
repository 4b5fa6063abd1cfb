"""Opens files without changing them: each judge works on a scratch copy.

The official saver alters what it opens (`setup()` adds a column to old tables), so no judge may let
it near an original.
"""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
logging.getLogger("langgraph").setLevel(logging.ERROR)

from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: E402


class Report:
    """Prints one JSON object per line and counts the differences."""

    def __init__(self, command: str, shown_max: int = 50) -> None:
        self.command = command
        self.shown_max = shown_max
        self.differences = 0
        self.declared: Counter[str] = Counter()

    def differ(self, what: str, **where: Any) -> None:
        """Names one difference; after the first ones they are only counted."""
        self.differences += 1
        if self.differences <= self.shown_max:
            emit({"difference": what, **where})

    def declare(self, what: str, count: int = 1) -> None:
        """Counts a difference that one saver makes by its nature."""
        self.declared[what] += count

    def finish(self, **counts: Any) -> int:
        """Prints the summary and gives the exit code."""
        ok = self.differences == 0
        declared = {"declared": dict(+self.declared)} if +self.declared else {}
        emit({"command": self.command, "ok": ok, **counts, **declared,
              "differences": self.differences})
        return 0 if ok else 1


def emit(line: dict[str, Any]) -> None:
    """Prints one line at once, so that a reader of a pipe sees it."""
    print(json.dumps(line, default=repr), flush=True)


@contextmanager
def scratch_copy(path: Path) -> Iterator[Path]:
    """Gives a private copy that holds what a reader of `path` would see now."""
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.sqlite"
        if Path(f"{path}-wal").exists():
            with closing(connect_read_only(path)) as source, closing(sqlite3.connect(copy)) as to:
                source.backup(to)
        else:
            shutil.copyfile(path, copy)
        yield copy


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Opens a file that an application may be using."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


@contextmanager
def saver_on_copy(path: Path) -> Iterator[SqliteSaver]:
    """Opens a scratch copy of a file with the official saver."""
    with scratch_copy(path) as copy, SqliteSaver.from_conn_string(str(copy)) as saver:
        saver.conn.execute("PRAGMA synchronous=OFF")
        yield saver

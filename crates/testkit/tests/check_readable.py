"""Says of each file whether the official saver reads all of it: `read` or `refused`, one a line."""

from __future__ import annotations

import sys

from langgraph.checkpoint.sqlite import SqliteSaver


def look(path: str) -> str:
    """Reads every checkpoint and write of a file."""
    with SqliteSaver.from_conn_string(path) as saver:
        try:
            list(saver.list(None))
        except Exception:  # noqa: BLE001 - whatever it raises, it did not read the file
            return "refused"
    return "read"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(look(name))

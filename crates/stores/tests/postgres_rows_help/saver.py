"""PostgresSaver writes odd values, and tells what it reads."""

import enum
import math
import sys

import psycopg
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.types import Send

THREAD = "thread"


class Colour(str, enum.Enum):
    RED = "red"


VALUES = {
    "none": None,
    "true": True,
    "int": -7,
    "large": 2**63,
    "float": 0.1,
    "whole": 3.0,
    "small": 1.5e-7,
    "huge": 1e22,
    "minus": -0.0,
    "text": 'größe 😀 "\\\n\x01\x7f',
    "colour": Colour.RED,
    "bytes": b"\xff\x00",
    "bytearray": bytearray(b"ab"),
    "list": [1, "a\0b", math.nan, {1: 2}],
    "set": {1},
    "empty": {},
    "snapshot": _DeltaSnapshot([1, 2]),
}


def version(n):
    return f"{n:032}.0.7811799413394841"


def put(saver, n, values, parent, **entries):
    config = {"configurable": {"thread_id": THREAD, "checkpoint_ns": ""}}
    if parent:
        config["configurable"]["checkpoint_id"] = parent
    versions = {channel: version(n) for channel in values}
    versions["cleared"] = version(n)
    checkpoint = empty_checkpoint() | {
        "id": f"1ef4f797-8335-6428-8001-{n:012}",
        "channel_values": values,
        "channel_versions": versions,
        "versions_seen": {"node": versions},
        "updated_channels": sorted(versions),
    }
    metadata = {"source": "loop", "step": n, "parents": {}, "score": 1.10, "zero": -0.0, "n": 1e22}
    saver.put(config, checkpoint | entries, metadata, versions)
    return checkpoint["id"]


def write(url):
    with PostgresSaver.from_conn_string(url) as saver:
        saver.setup()
        first = put(saver, 1, VALUES, None)
        second = put(saver, 2, VALUES | {"list": [2]}, first)
        config = {"configurable": {"thread_id": THREAD, "checkpoint_ns": ""}}
        config["configurable"]["checkpoint_id"] = second
        sends = [("__pregel_tasks", Send("node", {"n": n})) for n in range(3)]
        saver.put_writes(config, [*sends, ("list", None), ("bytes", b"x")], "task", "~path, a")
        saver.put_writes(config, [("__error__", "wrong")], "task")
        put(saver, 3, {"list": [3]}, second, v=3)
    with psycopg.connect(url, autocommit=True) as connection:
        row = "INSERT INTO checkpoint_blobs VALUES (%s, '', %s, %s, %s, %s)"
        for channel, tag, blob in [("cleared", "empty", None), ("sealed", "json+aes", b"x")]:
            connection.execute(row, (THREAD, channel, version(1), tag, blob))


def setup(url):
    with PostgresSaver.from_conn_string(url) as saver:
        saver.setup()


def told(url):
    with PostgresSaver.from_conn_string(url) as saver:
        for found in saver.list({"configurable": {"thread_id": THREAD}}):
            values = sorted(found.checkpoint["channel_values"].items())
            print("id", found.checkpoint["id"])
            for channel, value in values:
                print(" ", channel, repr(value))
            versions = found.checkpoint["channel_versions"]
            seen = found.checkpoint["versions_seen"].get("node", {})
            print("  node", sorted(c for c in seen if seen[c] == versions[c]))
            print("  metadata", sorted(found.metadata.items()))
            print("  writes", found.pending_writes)


if __name__ == "__main__":
    {"setup": setup, "write": write, "told": told}[sys.argv[1]](sys.argv[2])

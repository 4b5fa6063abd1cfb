"""Writes with the official saver: native threads, a live application, the naive copy."""

from __future__ import annotations

import sys
import time
from itertools import groupby
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver

from scratch import emit, saver_on_copy
import graphs


def write(path: Path, graph: str, first: int, threads: int, turns: int) -> int:
    """Runs `turns` more turns of each thread `<graph>-w<number>`."""
    started = time.perf_counter()
    with SqliteSaver.from_conn_string(str(path)) as saver:
        saver.setup()
        saver.conn.execute("PRAGMA synchronous=OFF")
        for number in range(first, first + threads):
            for _ in range(turns):
                run_turn(saver, graph, f"{graph}-w{number:05}")
        count = saver.conn.execute("SELECT count(*) FROM checkpoints").fetchone()[0]
    seconds = round(time.perf_counter() - started, 3)
    emit({"command": "write", "ok": True, "threads": threads, "turns": turns,
          "checkpoints_in_file": count, "seconds": seconds})
    return 0


def run_turn(saver: SqliteSaver, name: str, thread: str) -> None:
    """Runs one turn; its input depends only on the thread and on how far it is."""
    graph = graphs.BUILDERS[name]().compile(checkpointer=saver)
    config = {"configurable": {"thread_id": thread}}
    step = graph.get_state(config).metadata
    graph.invoke(graphs.next_input(name, f"{thread} from {(step or {}).get('step', -1)}"), config)


def hold(path: Path) -> int:
    """Keeps the file open as a live application does; each input line `write` runs a turn."""
    with SqliteSaver.from_conn_string(str(path)) as saver:
        run_turn(saver, "chat", "chat-held")
        print("ready", flush=True)
        for line in sys.stdin:
            if line.strip() == "write":
                run_turn(saver, "chat", "chat-held")
                print("wrote", flush=True)
    return 0


def loop(source: Path, target: Path, relaxed: bool) -> int:
    """Copies as a user's script would: `list`, then `put` and `put_writes`."""
    if target.exists():
        raise FileExistsError(f"the target exists: {target}")
    with saver_on_copy(source) as old, SqliteSaver.from_conn_string(str(target)) as new:
        new.setup()
        if relaxed:
            new.conn.execute("PRAGMA synchronous=OFF")
        started = time.perf_counter()
        checkpoints = writes = 0
        for item in old.list(None):
            writes += copy_one(new, item)
            checkpoints += 1
        seconds = time.perf_counter() - started
    emit({"command": "loop", "ok": True, "checkpoints": checkpoints, "writes": writes,
          "seconds": round(seconds, 4), "relaxed": relaxed})
    return 0


def copy_one(new: SqliteSaver, item: Any) -> int:
    """Puts one checkpoint and its writes; gives the number of writes."""
    own = item.config["configurable"]
    parent = item.parent_config or {"configurable": {
        "thread_id": own["thread_id"], "checkpoint_ns": own["checkpoint_ns"]}}
    versions = item.checkpoint["channel_versions"]
    stored = new.put(parent, item.checkpoint, item.metadata, versions)
    pending = item.pending_writes or []
    for task, group in groupby(pending, key=lambda write: write[0]):
        new.put_writes(stored, [(channel, value) for _, channel, value in group], task)
    return len(pending)

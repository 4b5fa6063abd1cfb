"""Writes with the official savers: native threads, a live application, the naive copy."""

from __future__ import annotations

import sys
import time
from itertools import groupby
from pathlib import Path
from typing import Any

from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

import graphs
import make_agent
from places import Saver, ask, is_server, saver_on_copy, saver_to_write
from scratch import emit


class Exclusive:
    """A cipher as an application plugs one in; it keeps nothing secret."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        """Gives the name of the cipher and what it makes."""
        return "xor", bytes(byte ^ 0x5A for byte in plaintext)

    def decrypt(self, _name: str, ciphertext: bytes) -> bytes:
        """Undoes it."""
        return self.encrypt(ciphertext)[1]


def write(place: str, graph: str, first: int, threads: int, turns: int, encrypted: bool) -> int:
    """Runs `turns` more turns of each thread `<graph>-w<number>`."""
    started = time.perf_counter()
    serde = EncryptedSerializer(Exclusive(), JsonPlusSerializer()) if encrypted else None
    with saver_to_write(place, serde=serde) as saver:
        for number in range(first, first + threads):
            for _ in range(turns):
                run_turn(saver, graph, f"{graph}-w{number:05}")
        count = count_of(saver)
    seconds = round(time.perf_counter() - started, 3)
    emit({"command": "write", "ok": True, "threads": threads, "turns": turns,
          "checkpoints_in_file": count, "seconds": seconds})
    return 0


def examples(place: str) -> int:
    """Writes the threads of the examples natively, as far as both savers can hold them."""
    with saver_to_write(place) as saver:
        make_agent.turns(saver, "chat-long", 0, 3)
        make_agent.turns(saver, "chat-exit", 0, 2, durability="exit")
        make_agent.stage_interrupts(saver)
        make_agent.stage_fanout(saver)
        make_agent.fork(saver, "chat-fork")
        make_agent.turns(saver, "delta-long", 0, 5)
        make_agent.turns(saver, "delta-exit", 0, 3, durability="exit")
        make_agent.fork(saver, "delta-fork")
        emit({"command": "examples", "ok": True, "checkpoints": count_of(saver)})
    return 0


def count_of(saver: Saver) -> int:
    """Counts the checkpoints."""
    return ask(saver, "SELECT count(*) FROM checkpoints")[0][0]


def run_turn(saver: Saver, name: str, thread: str) -> None:
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


def loop(source: str, target: str, relaxed: bool) -> int:
    """Copies as a user's script would: `list`, then `put` and `put_writes`."""
    if not is_server(target) and Path(target).exists():
        raise FileExistsError(f"the target exists: {target}")
    with saver_on_copy(source) as old, saver_to_write(target, durable=not relaxed) as new:
        if count_of(new):
            raise FileExistsError("the target holds checkpoints")
        started = time.perf_counter()
        checkpoints = writes = 0
        for item in old.list(None):
            writes += copy_one(new, item)
            checkpoints += 1
        seconds = time.perf_counter() - started
    emit({"command": "loop", "ok": True, "checkpoints": checkpoints, "writes": writes,
          "seconds": round(seconds, 4), "relaxed": relaxed})
    return 0


def copy_one(new: Saver, item: Any) -> int:
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

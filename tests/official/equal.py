"""Judges two files by what the official saver reads from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver

from deep import differences
from scratch import Report, saver_on_copy

Key = tuple[str, str, str]


def run(left_path: Path, right_path: Path) -> int:
    """Compares every checkpoint and the order of every listing."""
    report = Report("equal")
    with saver_on_copy(left_path) as left, saver_on_copy(right_path) as right:
        keys = compare_keys(left, right, report)
        writes = sum(compare_checkpoint(left, right, key, report) for key in keys)
        threads = sorted({key[0] for key in keys})
        for thread in [*threads, None]:
            compare_listing(left, right, thread, report)
    return report.finish(threads=len(threads), checkpoints=len(keys), writes=writes)


def keys_of(saver: SqliteSaver) -> set[Key]:
    """Gives the key of every checkpoint."""
    with saver.cursor(transaction=False) as cursor:
        cursor.execute("SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints")
        return set(cursor.fetchall())


def compare_keys(left: SqliteSaver, right: SqliteSaver, report: Report) -> list[Key]:
    """Names the checkpoints that one side lacks; gives those that both have."""
    on_left, on_right = keys_of(left), keys_of(right)
    for key in sorted(on_left - on_right):
        report.differ("checkpoint missing on the right", **named(key))
    for key in sorted(on_right - on_left):
        report.differ("checkpoint missing on the left", **named(key))
    return sorted(on_left & on_right)


def named(key: Key) -> dict[str, str]:
    """Names a checkpoint in a difference."""
    return dict(zip(("thread", "ns", "checkpoint_id"), key))


def config_of(key: Key) -> dict[str, Any]:
    """Gives the configuration that reads one checkpoint."""
    return {"configurable": dict(zip(("thread_id", "checkpoint_ns", "checkpoint_id"), key))}


def compare_checkpoint(left: SqliteSaver, right: SqliteSaver, key: Key, report: Report) -> int:
    """Compares one checkpoint with its writes; gives the number of writes."""
    one, other = left.get_tuple(config_of(key)), right.get_tuple(config_of(key))
    if one is None or other is None:
        report.differ("checkpoint cannot be read", **named(key))
        return 0
    for part in ("checkpoint", "metadata", "parent_config", "config", "pending_writes"):
        for path, before, after in differences(getattr(one, part), getattr(other, part), part):
            report.differ(path, **named(key), left=repr(before)[:200], right=repr(after)[:200])
    return len(one.pending_writes or [])


def compare_listing(
    left: SqliteSaver, right: SqliteSaver, thread: str | None, report: Report
) -> None:
    """Compares the order of one thread's checkpoints, or of all when there is no thread."""
    one, other = listing(left, thread), listing(right, thread)
    if one == other:
        return
    place = next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), len(other))
    key = (one + other)[place] if place < len(one) else other[place]
    scope = "list(thread)" if thread is not None else "list(None)"
    report.differ(f"{scope} differs at place {place}", **named(key), left=len(one),
                  right=len(other))


def listing(saver: SqliteSaver, thread: str | None) -> list[Key]:
    """Gives the keys in the order in which the saver lists them."""
    config = None if thread is None else {"configurable": {"thread_id": thread}}
    found = (item.config["configurable"] for item in saver.list(config))
    return [(c["thread_id"], c["checkpoint_ns"], c["checkpoint_id"]) for c in found]

"""Judges two places by what the official saver reads from them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.sqlite import SqliteSaver

import declared
import graphs
from deep import differences
from places import Saver, ask, saver_to_read
from scratch import Report

Key = tuple[str, str, str]
Pair = tuple[CheckpointTuple, CheckpointTuple]
Settle = Callable[[CheckpointTuple, CheckpointTuple], Pair]


def run(left_place: str, right_place: str) -> int:
    """Compares every checkpoint and the order of every listing."""
    report = Report("equal")
    with saver_to_read(left_place) as left, saver_to_read(right_place) as right:
        keys = compare_keys(left, right, report)
        settle = settling(left, right, report)
        writes = 0
        for key in keys:
            writes += compare_checkpoint(left, right, key, settle, report)
            compare_state(left, right, key, report)
        threads = sorted({key[0] for key in keys})
        for thread in [*threads, None]:
            compare_listing(left, right, thread, report)
    return report.finish(threads=len(threads), checkpoints=len(keys), writes=writes)


def settling(left: Saver, right: Saver, report: Report) -> Settle:
    """Gives what takes declared differences from two checkpoints; none between equal engines."""
    if type(left) is type(right):
        return lambda one, other: (one, other)
    file = left if isinstance(left, SqliteSaver) else right
    contents = declared.Contents.of(file)
    if file is left:
        return lambda one, other: declared.settle(one, other, contents, report)
    return lambda one, other: declared.settle(other, one, contents, report)[::-1]


def keys_of(saver: Saver) -> set[Key]:
    """Gives the key of every checkpoint."""
    return set(ask(saver, "SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints"))


def compare_keys(left: Saver, right: Saver, report: Report) -> list[Key]:
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


def compare_checkpoint(
    left: Saver, right: Saver, key: Key, settle: Settle, report: Report
) -> int:
    """Compares one checkpoint with its writes; gives the number of writes."""
    one, other = left.get_tuple(config_of(key)), right.get_tuple(config_of(key))
    if one is None or other is None:
        report.differ("checkpoint cannot be read", **named(key))
        return 0
    one, other = settle(one, other)
    for part in ("checkpoint", "metadata", "parent_config", "config", "pending_writes"):
        for path, before, after in differences(getattr(one, part), getattr(other, part), part):
            report.differ(path, **named(key), left=repr(before)[:200], right=repr(after)[:200])
    return len(one.pending_writes or [])


def compare_state(left: Saver, right: Saver, key: Key, report: Report) -> None:
    """Compares what the application sees where a channel is made from its ancestors' writes."""
    if graphs.graph_of(key[0]) != "delta" or key[1]:
        return
    one, other = state_of(left, key), state_of(right, key)
    for path, before, after in differences(one, other, "state"):
        report.differ(path, **named(key), left=repr(before)[:200], right=repr(after)[:200])


def state_of(saver: Saver, key: Key) -> Any:
    """Gives the values of one checkpoint, or why there are none."""
    try:
        graph = graphs.BUILDERS["delta"]().compile(checkpointer=saver)
        return graph.get_state(config_of(key)).values
    except Exception as error:  # any failure of the graph is a finding
        return repr(error)


def compare_listing(
    left: Saver, right: Saver, thread: str | None, report: Report
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


def listing(saver: Saver, thread: str | None) -> list[Key]:
    """Gives the keys in the order in which the saver lists them; it leaves equal ids unordered."""
    config = None if thread is None else {"configurable": {"thread_id": thread}}
    found = (item.config["configurable"] for item in saver.list(config))
    keys = ((c["thread_id"], c["checkpoint_ns"], c["checkpoint_id"]) for c in found)
    return [key for _, same in groupby(keys, key=lambda key: key[2]) for key in sorted(same)]

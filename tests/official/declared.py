"""What PostgresSaver shows differently from SqliteSaver by its nature: each is declared by name,
counted, and allowed only as far as it is exactly that.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import ormsgpack
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.sqlite import SqliteSaver

from deep import differences
from places import ask
from scratch import Report

VERSION = "another value under one version has a version of its own"
METADATA = "metadata is the nearest that JSON can say"

BUMPS = "__snapshot_bumps__"
UNPACK = ormsgpack.OPT_NON_STR_KEYS
Held = dict[tuple[str, str, str, Any], set[str]]


@dataclass
class Contents:
    """What a file holds under each version of a channel; nothing counts as a content too."""

    held: Held = field(default_factory=lambda: defaultdict(set))

    @classmethod
    def of(cls, saver: SqliteSaver) -> Contents:
        """Reads the bytes of every checkpoint."""
        this = cls()
        query = ("SELECT thread_id, checkpoint_ns, checkpoint FROM checkpoints"
                 " WHERE type = 'msgpack'")
        for thread, namespace, packed in ask(saver, query):
            found = ormsgpack.unpackb(packed, ext_hook=lambda *ext: ext, option=UNPACK)
            for channel, version in found["channel_versions"].items():
                value = found["channel_values"].get(channel, "(nothing)")
                this.held[thread, namespace, channel, version].add(repr(value))
        return this

    def count(self, own: dict[str, Any], channel: str, version: Any) -> int:
        """Counts the different contents under a version."""
        return len(self.held[own["thread_id"], own["checkpoint_ns"], channel, version])


def settle(file: CheckpointTuple, server: CheckpointTuple, contents: Contents, report: Report
           ) -> tuple[CheckpointTuple, CheckpointTuple]:
    """Takes from both what is declared, so that all else can be compared as it stands."""
    compare_triggers(file, server, report)
    metadata = nearest(file.metadata)
    report.declare(METADATA, sum(1 for _ in differences(file.metadata, metadata)))
    checkpoint = {**server.checkpoint}
    made = versions_made(file, server, contents)
    report.declare(VERSION, len(made))
    checkpoint["channel_versions"] = {
        channel: made.get((channel, version), version)
        for channel, version in checkpoint["channel_versions"].items()}
    checkpoint["versions_seen"] = {
        node: {key: made.get((channel_of(node, key), version), version)
               for key, version in seen.items()}
        for node, seen in checkpoint["versions_seen"].items()}
    return file._replace(metadata=metadata), server._replace(checkpoint=checkpoint)


def channel_of(node: str, key: str) -> str:
    """Names the channel of an entry of what was seen."""
    return key.replace(":", "|").split("|", 1)[-1] if node == BUMPS else key


def versions_made(
    file: CheckpointTuple, server: CheckpointTuple, contents: Contents
) -> dict[tuple[str, Any], Any]:
    """Leads from (channel, the server's version) to the file's, where a new one was needed."""
    made = {}
    for channel, version in file.checkpoint["channel_versions"].items():
        other = server.checkpoint["channel_versions"].get(channel)
        if other == version or not (isinstance(version, str) and isinstance(other, str)):
            continue
        several = contents.count(file.config["configurable"], channel, version) > 1
        if several and other.split(".")[0] == version.split(".")[0]:
            made[channel, other] = version
    return made


def compare_triggers(file: CheckpointTuple, server: CheckpointTuple, report: Report) -> None:
    """Compares what is newer than each node has seen: that is what resuming asks."""
    if (one := newer(file)) != (other := newer(server)):
        own = file.config["configurable"]
        report.differ("what is newer than seen", thread=own["thread_id"], ns=own["checkpoint_ns"],
                      checkpoint_id=own["checkpoint_id"], left=sorted(one - other),
                      right=sorted(other - one))


def newer(item: CheckpointTuple) -> set[tuple[str, str]]:
    """Gives (node, channel) where the channel changed since the node saw it."""
    versions = item.checkpoint["channel_versions"]
    return {(node, channel) for node, seen in item.checkpoint["versions_seen"].items()
            for channel, version in seen.items()
            if channel in versions and versions[channel] > version}


def nearest(value: Any) -> Any:
    """Gives the nearest to metadata that JSONB can say."""
    if isinstance(value, dict):
        return {nearest(key): nearest(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [nearest(inner) for inner in value]
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if not isinstance(value, float):
        return value
    if value != value or value in (float("inf"), float("-inf")):
        return None
    return value or 0.0

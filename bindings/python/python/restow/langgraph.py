"""A LangGraph checkpointer that keeps its state in a store of restow's.

    from restow.langgraph import Saver

    graph = builder.compile(checkpointer=Saver("agent.restow"))
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import json
import os
import random
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from restow import _native

__all__ = ["Saver"]

_T = TypeVar("_T")
_Writes = list[tuple[str, str, Any]]

# What is awaited runs here: the application's own threads may all be busy with its nodes.
_THREADS = ThreadPoolExecutor(max_workers=16, thread_name_prefix="restow")
# What is no channel's value is read and written in one way, whatever serializer values have.
_PLAIN = JsonPlusSerializer()


class Saver(BaseCheckpointSaver[str]):
    """Keeps checkpoints in the store of an address.

    Every method may be called from any thread; the awaited twins never block the event loop.

    Args:
        address: Where the store is, such as `agent.restow`, `parts+sqlite:agent.restow`,
            `parts+postgres://user@host/db`, `langgraph+sqlite:agent.db` or
            `langgraph+postgres://user@host/db`. It is made where it is not there.
        serde: The serializer of values; LangGraph's own unless given.

    Raises:
        restow.RestowError: From every method, in a class of `restow.errors`.
    """

    def __init__(self, address: str, *, serde: SerializerProtocol | None = None) -> None:
        self._init(_native.Saver.open(address), serde)

    @classmethod
    def migration(
        cls, config: str | os.PathLike[str], *, serde: SerializerProtocol | None = None
    ) -> Saver:
        """Keeps checkpoints in the stores of a migration, each thread where it lives by then.

        It may be opened before the migration starts; until then everything is in the source. A
        thread that is to live in the other store moves there when it is used, beside the calls of
        the application. What cannot be moved stays where it is, and the log `restow` says why.

        Args:
            config: The file that describes the migration, such as `restow.toml`.
            serde: The serializer of values; LangGraph's own unless given.
        """
        saver = cls.__new__(cls)
        # No two savers name their operations alike, not even behind a fork.
        saver._init(_native.Saver.migration(config, uuid.uuid4().hex), serde)
        return saver

    def _init(self, native: _native.Saver, serde: SerializerProtocol | None) -> None:
        super().__init__(serde=serde)
        self._native = native
        self._is_whole = False

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint, or the newest of a thread's namespace."""
        thread, namespace = _place(config)
        found = self._native.get(thread, namespace, get_checkpoint_id(config))
        return self._tuple(found) if found is not None else None

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """List checkpoints, newest first, of one thread or of all."""
        for found in self._list(config, filter, before, limit):
            yield self._tuple(found)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint.

        Only values of channels with a new version, and those that the checkpoint before does not
        have, are serialised.
        """
        thread, namespace = _place(config)
        parent = get_checkpoint_id(config)
        text = json.dumps(get_checkpoint_metadata(config, metadata), ensure_ascii=False)
        about = (thread, namespace, checkpoint["id"], parent, text.encode("utf-8", "ignore"))
        if not self._is_whole and not self._put_values(about, checkpoint, new_versions):
            self._is_whole = True
        if self._is_whole:
            self._native.put_whole(about, *self.serde.dumps_typed(checkpoint))
        return _config(thread, namespace, checkpoint["id"])

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task wrote, until the next checkpoint takes it in."""
        place = (*_place(config), str(config["configurable"]["checkpoint_id"]))
        given = [(channel, *self.serde.dumps_typed(value)) for channel, value in writes]
        self._native.put_writes(place, task_id, task_path, given)

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread."""
        self._native.delete_thread(str(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints of runs, with the writes that wait for them."""
        self._native.delete_for_runs([str(run) for run in run_ids])

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread, with every checkpoint and every write."""
        self._native.copy_thread(str(source_thread_id), str(target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keep only the newest checkpoint of each namespace, or nothing (`"delete"`).

        Raises:
            restow.errors.Unsupported: If a channel of a thread is rebuilt from earlier
                checkpoints (`DeltaChannel`), so that they have to stay; nothing is pruned.
        """
        if isinstance(thread_ids, str):
            raise TypeError("thread_ids must be a sequence of thread IDs, not a str")
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"Unknown prune strategy: {strategy!r}")
        self._native.prune([str(thread) for thread in thread_ids], strategy == "keep_latest")

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return what channels that keep only changes are rebuilt from."""
        thread, namespace = _place(config)
        names = [*channels]
        found = self._native.history(thread, namespace, get_checkpoint_id(config), names)
        if found is None:
            return super().get_delta_channel_history(config=config, channels=channels)
        histories: dict[str, DeltaChannelHistory] = {}
        for name, history in zip(names, found):
            histories[name] = {"writes": self._writes(history.writes)}
            if (seed := history.seed) is not None:
                histories[name]["seed"] = self.serde.loads_typed(cast(Any, seed))
        return histories

    def get_next_version(self, current: str | None, channel: None) -> str:
        """Return the version of a channel that follows another."""
        number = int(str(current).split(".")[0]) if current is not None else 0
        return f"{number + 1:032}.{random.random():016}"

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await _awaited(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        found = self.list(config, filter=filter, before=before, limit=limit)
        while (checkpoint := await _awaited(next, found, None)) is not None:
            yield checkpoint

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await _awaited(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        await _awaited(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        await _awaited(self.delete_thread, thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await _awaited(self.delete_for_runs, run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await _awaited(self.copy_thread, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        await _awaited(self.prune, thread_ids, strategy=strategy)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        return await _awaited(self.get_delta_channel_history, config=config, channels=channels)

    def _put_values(
        self, about: tuple[Any, ...], checkpoint: Checkpoint, new_versions: ChannelVersions
    ) -> bool:
        """Store a checkpoint value by value; says whether the store has a place for them."""
        values = checkpoint["channel_values"]
        rest = {name: entry for name, entry in checkpoint.items() if name != "channel_values"}
        _, head = _PLAIN.dumps_typed(rest)
        wanted = [name for name in values if about[3] is None or name in new_versions]
        given: dict[str, tuple[str, bytes]] = {}
        while True:
            given |= {name: self.serde.dumps_typed(values[name]) for name in wanted}
            stored, wanted = self._native.put(
                cast(Any, about),
                head,
                [(name, *typed) for name, typed in given.items()],
                [name for name in values if name not in given],
            )
            if stored or not wanted:
                return stored

    def _list(
        self,
        config: RunnableConfig | None,
        filter: dict[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> _native.Tuples:
        at = config["configurable"] if config is not None else {}
        which = (
            str(at["thread_id"]) if "thread_id" in at else None,
            at.get("checkpoint_ns"),
            at.get("checkpoint_id"),
            get_checkpoint_id(before) if before is not None else None,
        )
        return self._native.list(which, json.dumps(filter or {}).encode(), limit)

    def _tuple(self, found: _native.Tuple) -> CheckpointTuple:
        if (head := found.head) is None:
            checkpoint = self.serde.loads_typed(cast(Any, found.whole))
        else:
            checkpoint = _PLAIN.loads_typed(("msgpack", head))
            load = self.serde.loads_typed
            values = {name: load(cast(Any, (tag, value))) for name, tag, value in found.values}
            checkpoint["channel_values"] = values
        thread, namespace, parent = found.thread, found.namespace, found.parent
        return CheckpointTuple(
            config=_config(thread, namespace, found.id),
            checkpoint=checkpoint,
            metadata=cast(CheckpointMetadata, json.loads(found.metadata) or {}),
            parent_config=_config(thread, namespace, parent) if parent is not None else None,
            pending_writes=self._writes(found.writes),
        )

    def _writes(self, writes: Sequence[_native._ToldWrite]) -> _Writes:
        load = self.serde.loads_typed
        return [(task, name, load(cast(Any, (tag, value)))) for task, name, tag, value in writes]


def _place(config: RunnableConfig) -> tuple[str, str]:
    at = config["configurable"]
    return str(at["thread_id"]), at.get("checkpoint_ns", "")


def _config(thread: str, namespace: str, id: str) -> RunnableConfig:
    at = {"thread_id": thread, "checkpoint_ns": namespace, "checkpoint_id": id}
    return {"configurable": at}


async def _awaited(call: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
    context = contextvars.copy_context()
    work = functools.partial(context.run, call, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work)

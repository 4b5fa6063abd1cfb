"""What the published suite does not ask of a saver."""

from __future__ import annotations

import asyncio
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, TypedDict

from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint, uuid6
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, StateGraph
from places import PlacesTest, kinds

from restow import RestowError, errors
from restow.langgraph import Saver

KEY = b"0123456789abcdef"


def config(thread: str, **at: str) -> Any:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": "", **at}}


def checkpoint(values: dict[str, Any], versions: dict[str, str]) -> Any:
    made = {**empty_checkpoint(), "id": str(uuid6())}
    return {**made, "channel_values": values, "channel_versions": versions}


class Counting(JsonPlusSerializer):
    """Counts what it serialises."""

    def __init__(self) -> None:
        super().__init__()
        self.dumped: list[Any] = []

    def dumps_typed(self, value: Any) -> tuple[str, bytes]:
        self.dumped.append(value)
        return super().dumps_typed(value)


class Reversing:
    """A serializer of an application's own, which has tags of its own too."""

    def dumps_typed(self, value: Any) -> tuple[str, bytes]:
        return "bytes", repr(value).encode()[::-1]

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        return eval(data[1][::-1].decode())


def join(state: list[str], writes: list[list[str]]) -> list[str]:
    return [*state, *(item for write in writes for item in write)]


class State(TypedDict):
    said: Annotated[list[str], DeltaChannel(join, snapshot_frequency=3)]
    turns: int


def delta_graph(saver: BaseCheckpointSaver[str]) -> Any:
    """A graph with a channel that keeps only what changed."""

    def turn(state: State) -> Any:
        turns = state.get("turns", 0) + 1
        return {"said": [f"turn {turns}"], "turns": turns}

    builder = StateGraph(State)
    builder.add_node("turn", turn)
    builder.add_edge(START, "turn")
    builder.add_edge("turn", END)
    return builder.compile(checkpointer=saver)


class SaverTest(PlacesTest):
    def each(self, **arguments: Any) -> Any:
        for kind in kinds():
            with self.subTest(kind):
                yield Saver(self.address(kind), **arguments)

    def test_an_unchanged_value_is_serialised_once(self) -> None:
        serde = Counting()
        for saver in self.each(serde=serde):
            serde.dumped.clear()
            at = config("a")
            for n in range(4):
                values = {"long": "unchanged", "short": n}
                versions = {"long": "1.0", "short": f"{n + 1}.0"}
                new = versions if n == 0 else {"short": f"{n + 1}.0"}
                at = saver.put(at, checkpoint(values, versions), {"step": n}, new)
            self.assertEqual(serde.dumped, ["unchanged", 0, 1, 2, 3])
            found = saver.get_tuple(config("a"))
            self.assertEqual(found.checkpoint["channel_values"], values)

    def test_another_saver_finds_unchanged_values(self) -> None:
        for kind in kinds():
            with self.subTest(kind):
                address, serde = self.address(kind), Counting()
                values, versions = {"long": "unchanged", "short": 0}, {"long": "1", "short": "1"}
                first = checkpoint(values, versions)
                at = Saver(address).put(config("a"), first, {}, versions)
                second = checkpoint({**values, "short": 1}, {**versions, "short": "2"})
                saver = Saver(address, serde=serde)
                saver.put(at, second, {}, {"short": "2"})
                self.assertEqual(serde.dumped, [1])
                found = saver.get_tuple(config("a")).checkpoint["channel_values"]
                self.assertEqual(found, {"long": "unchanged", "short": 1})

    def test_serializers_are_passed_through(self) -> None:
        values = {"text": "x" * 100, "none": None, "bytes": b"\x00\xff", "number": 1, "list": [1]}
        versions = {name: "1.0" for name in values}
        encrypted = EncryptedSerializer.from_pycryptodome_aes(key=KEY)
        for serde in (encrypted, JsonPlusSerializer(pickle_fallback=True), Reversing()):
            for saver in self.each(serde=serde):
                stored = saver.put(config("a"), checkpoint(values, versions), {}, versions)
                saver.put_writes(stored, [("text", values), ("none", None)], "task")
                found = saver.get_tuple(config("a"))
                self.assertEqual(found.checkpoint["channel_values"], values)
                waiting = [("task", "text", values), ("task", "none", None)]
                self.assertEqual(found.pending_writes, waiting)
                again = {**values, "number": 2}
                new = {"number": "2.0"}
                saver.put(stored, checkpoint(again, {**versions, **new}), {}, new)
                found = saver.get_tuple(config("a"))
                self.assertEqual(found.checkpoint["channel_values"], again)

    def test_the_history_of_deltas_is_that_of_the_memory_saver(self) -> None:
        turns = 11
        expected = InMemorySaver()
        for n in range(turns):
            delta_graph(expected).invoke({"said": [f"user {n}"]}, config("a"))
        wanted = delta_graph(expected).get_state(config("a")).values
        for saver in self.each():
            for n in range(turns):
                delta_graph(saver).invoke({"said": [f"user {n}"]}, config("a"))
            self.assertEqual(delta_graph(saver).get_state(config("a")).values, wanted)
            tuples = [list(s.list(config("a"))) for s in (saver, expected)]
            for mine, theirs in zip(*tuples, strict=True):
                told = [
                    s.get_delta_channel_history(config=t.config, channels=["said", "turns"])
                    for s, t in ((saver, mine), (expected, theirs))
                ]
                self.assertEqual(*[strip(history) for history in told])
            with self.assertRaises(NotImplementedError):
                saver.prune(["a"])

    def test_many_threads_of_python_lose_nothing(self) -> None:
        for saver in self.each():
            first = saver.put(config("a"), checkpoint({}, {}), {}, {})

            def write(n: int) -> None:
                saver.put_writes(first, [("channel", n), ("other", n)], f"task {n:03}")
                saver.put(config("a"), checkpoint({"n": n}, {"n": "1"}), {"n": n}, {"n": "1"})

            with ThreadPoolExecutor(8) as pool:
                list(pool.map(write, range(64)))
            self.assertEqual(len(saver.get_tuple(first).pending_writes), 128)
            found = {t.metadata.get("n") for t in saver.list(config("a"))}
            self.assertEqual(found, {None, *range(64)})

    def test_a_list_may_be_written_to_while_it_is_read(self) -> None:
        for saver in self.each():
            for n in range(40):
                saver.put(config("a"), checkpoint({"n": n}, {"n": "1"}), {}, {"n": "1"})
            for n, found in enumerate(saver.list(None)):
                if n % 10 == 0:
                    saver.put_writes(found.config, [("channel", n)], "task")
            self.assertEqual(n, 39)

    def test_the_event_loop_goes_on(self) -> None:
        for saver in self.each():

            async def run() -> int:
                turns = 0
                entered, held = threading.Event(), threading.Event()

                class Slow(JsonPlusSerializer):
                    def dumps_typed(self, value: Any) -> tuple[str, bytes]:
                        entered.set()
                        held.wait()
                        return super().dumps_typed(value)

                saver.serde = Slow()
                put = saver.aput(config("a"), checkpoint({"n": 1}, {"n": "1"}), {}, {"n": "1"})
                task = asyncio.create_task(put)
                while not entered.is_set():
                    await asyncio.sleep(0)
                    turns += 1
                held.set()
                await task
                return turns

            self.assertGreater(asyncio.run(run()), 0)
            self.assertIsNotNone(saver.get_tuple(config("a")))

    def test_errors_have_a_class_and_words(self) -> None:
        with self.assertRaises(errors.Unsupported) as raised:
            Saver("crawl4ai+sqlite:/nowhere")
        self.assertIn("no store of this layout on this engine is known", str(raised.exception))
        with self.assertRaises(errors.Invalid):
            Saver("there-is-no-such-file")
        with self.assertRaises(errors.Unavailable) as raised:
            Saver("parts+postgres://nobody:hunter2@127.0.0.1:1/none")
        self.assertTrue(raised.exception.is_retryable)
        self.assertNotIn("hunter2", str(raised.exception))
        self.assertIsInstance(raised.exception, RestowError)
        self.assertIsNotNone(raised.exception.__cause__)

    def test_a_filter_and_a_limit_hold_together(self) -> None:
        for saver in self.each():
            for n in range(10):
                metadata = {"step": n, "source": "loop" if n % 2 else "input", "tags": ["a", n]}
                saver.put(config("a"), checkpoint({}, {}), metadata, {})
            loops = list(saver.list(None, filter={"source": "loop"}, limit=3))
            self.assertEqual([t.metadata["step"] for t in loops], [9, 7, 5])
            last = {"source": "loop", "step": 1}
            self.assertEqual(len(list(saver.list(config("a"), filter=last))), 1)
            before = list(saver.list(config("a"), before=loops[1].config))
            self.assertEqual([t.metadata["step"] for t in before], [6, 5, 4, 3, 2, 1, 0])
            self.assertEqual(list(saver.list(config("b"))), [])


def strip(history: Any) -> Any:
    """Leaves out what names a task, which differs from run to run."""
    for entry in history.values():
        entry["writes"] = [(channel, value) for _, channel, value in entry["writes"]]
    return history


if __name__ == "__main__":
    unittest.main()

"""LangGraph's own savers go on with what ours wrote in their tables, and ours with theirs."""

from __future__ import annotations

import operator
import re
import unittest
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send, interrupt
from places import PlacesTest, kinds
from test_saver import delta_graph

from restow.langgraph import Saver

Serde = EncryptedSerializer | None
KEY = b"0123456789abcdef"


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    done: Annotated[list[str], operator.add]
    count: int
    blob: bytes
    nothing: None
    odd: dict[Any, Any]


def graph(saver: BaseCheckpointSaver[str]) -> Any:
    """A graph that fans out, asks a human in the middle, and keeps values of many kinds."""

    def answer(state: State) -> Any:
        odd = {1: "one", "nan": float("nan"), "text": "\u0000", "set": {1}}
        count = state.get("count", 0) + 1
        said = [AIMessage(f"answer {count}", id=f"answer-{count}")]
        return {"messages": said, "count": count, "blob": b"\x00", "nothing": None, "odd": odd}

    def fan(state: State) -> list[Send]:
        return [Send("work", {"n": n}) for n in range(12)]

    def work(state: dict[str, int]) -> Any:
        return {"done": [f"work {state['n']}"]}

    def ask(state: State) -> Any:
        return {"done": [interrupt("go on?")]}

    builder = StateGraph(State)
    builder.add_node("answer", answer)
    builder.add_node("work", work)
    builder.add_node("ask", ask)
    builder.add_edge(START, "answer")
    builder.add_conditional_edges("answer", fan, ["work"])
    builder.add_edge("work", "ask")
    builder.add_edge("ask", END)
    return builder.compile(checkpointer=saver)


def config(thread: str) -> Any:
    return {"configurable": {"thread_id": thread}}


def shown(saver: BaseCheckpointSaver[str], thread: str) -> list[str]:
    """Everything that a saver tells of a thread, whatever the order of dictionaries.

    Of versions the numbers: `PostgresSaver` tags bytes in another way than they stand inside of a
    checkpoint, and what then is a second value of one version has a fraction of its own there.
    """
    told = [repr(ordered(checkpoint)) for checkpoint in saver.list(config(thread))]
    return [re.sub(r"(\d{32})\.0\.\d+", r"\1", checkpoint) for checkpoint in told]


def ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted((repr(key), ordered(entry)) for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        return [ordered(item) for item in value]
    return value


class OfficialTest(PlacesTest):
    def each(self, encrypts: bool = False) -> Iterator[tuple[str, Callable[[], Any], Any]]:
        """Gives ways to open both savers on the same tables."""
        serde = EncryptedSerializer.from_pycryptodome_aes(key=KEY) if encrypts else None

        @contextmanager
        def in_file(place: Any) -> Any:
            with SqliteSaver.from_conn_string(str(place)) as saver:
                yield SqliteSaver(saver.conn, serde=serde)

        @contextmanager
        def on_server(place: Any) -> Any:
            with PostgresSaver.from_conn_string(place) as saver:
                saver.setup()
                saver.serde = serde or saver.serde
                yield saver

        if "langgraph+sqlite" in kinds():
            place = self.file()
            ours = lambda: Saver(f"langgraph+sqlite:{place}", serde=serde)  # noqa: E731
            yield "sqlite", ours, lambda: in_file(place)
        if "langgraph+postgres" in kinds():
            database = self.database()
            address = f"langgraph+postgres:{database.partition(':')[2]}"
            ours = lambda: Saver(address, serde=serde)  # noqa: E731
            yield "postgres", ours, lambda: on_server(database)

    def test_theirs_resumes_what_ours_wrote(self) -> None:
        for encrypts in (False, True):
            for kind, ours, theirs in self.each(encrypts):
                with self.subTest(kind, encrypts=encrypts):
                    self.resume(ours(), theirs)

    def resume(self, saver: Saver, theirs: Any) -> None:
        first = graph(saver).invoke({"messages": [("user", "hello")]}, config("a"))
        self.assertIn("__interrupt__", first)
        with theirs() as official:
            self.assertEqual(shown(official, "a"), shown(saver, "a"))
            resumed = graph(official).invoke(Command(resume="yes"), config("a"))
            self.assertEqual(resumed["done"], [f"work {n}" for n in range(12)] + ["yes"])
            self.assertEqual(shown(saver, "a"), shown(official, "a"))

    def test_ours_resumes_what_theirs_wrote(self) -> None:
        for encrypts in (False, True):
            for kind, ours, theirs in self.each(encrypts):
                with self.subTest(kind, encrypts=encrypts), theirs() as official:
                    graph(official).invoke({"messages": [("user", "hello")]}, config("a"))
                    saver = ours()
                    self.assertEqual(shown(saver, "a"), shown(official, "a"))
                    resumed = graph(saver).invoke(Command(resume="yes"), config("a"))
                    self.assertEqual(resumed["done"][-1], "yes")
                    # Values that did not change are found again also behind theirs.
                    graph(saver).update_state(config("a"), {"count": 7}, as_node="ask")
                    self.assertEqual(shown(saver, "a"), shown(official, "a"))
                    again = graph(official).invoke({"messages": [("user", "more")]}, config("a"))
                    self.assertEqual(again["count"], 8)

    def test_a_history_of_deltas_is_theirs(self) -> None:
        for kind, ours, theirs in self.each():
            with self.subTest(kind), theirs() as official:
                savers = (ours(), official)
                for turn in range(8):
                    said = {"said": [f"user {turn}"]}
                    delta_graph(savers[turn // 2 % 2]).invoke(said, config("a"))
                found = list(official.list(config("a")))
                self.assertGreater(len(found), 8)
                for at in [tuple.config for tuple in found]:
                    for channels in (["said"], ["said", "turns", "nothing"]):
                        told = [
                            saver.get_delta_channel_history(config=at, channels=channels)
                            for saver in savers
                        ]
                        self.assertEqual(*told)


if __name__ == "__main__":
    unittest.main()

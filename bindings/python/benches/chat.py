"""Measures a long chat: this saver beside LangGraph's own, on the same engine, in one run.

    python chat.py [--turns N] [--postgres postgresql://user@host/db]

Times are above those of the saver in memory; medians of the runs, which alternate. The database
given must be empty, and is not tidied up.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph

from restow.langgraph import Saver

WORDS = "a thread of messages grows with every turn and is stored as it was said before".split()


def graph(saver: BaseCheckpointSaver[str]) -> Any:
    """A chat with answers of about 600 bytes."""

    def answer(state: MessagesState) -> Any:
        number = len(state["messages"])
        words = random.Random(number)
        text = " ".join(words.choice(WORDS) + str(words.randrange(1000)) for _ in range(64))
        return {"messages": [AIMessage(text, id=f"answer-{number}")]}

    builder = StateGraph(MessagesState)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    return builder.compile(checkpointer=saver)


def chat(saver: BaseCheckpointSaver[str], thread: str, turns: int) -> list[float]:
    """Runs a chat; gives the seconds of each turn."""
    compiled, seconds = graph(saver), []
    config = {"configurable": {"thread_id": thread}}
    for turn in range(turns):
        said = {"messages": [("user", f"question {turn}: and what came before?")]}
        begun = time.perf_counter()
        compiled.invoke(said, config)
        seconds.append(time.perf_counter() - begun)
    return seconds


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


@contextmanager
def sqlite(folder: Path) -> Iterator[BaseCheckpointSaver[str]]:
    with SqliteSaver.from_conn_string(str(folder / "agent.db")) as saver:
        yield saver


@contextmanager
def ours(address: str) -> Iterator[BaseCheckpointSaver[str]]:
    yield Saver(address)


@contextmanager
def postgres(url: str) -> Iterator[BaseCheckpointSaver[str]]:
    with PostgresSaver.from_conn_string(url) as saver:
        saver.setup()
        yield saver


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--postgres")
    arguments = parser.parse_args()
    url = arguments.postgres
    savers: dict[str, Callable[[Path], Any]] = {
        "SqliteSaver": sqlite,
        "langgraph+sqlite": lambda folder: ours(f"langgraph+sqlite:{folder / 'agent.db'}"),
        "parts+sqlite": lambda folder: ours(f"parts+sqlite:{folder / 'agent.restow'}"),
    }
    if url:
        rest = url.partition(":")[2]
        savers["PostgresSaver"] = lambda _: postgres(url)
        savers["langgraph+postgres"] = lambda _: ours(f"langgraph+postgres:{rest}")
        savers["parts+postgres"] = lambda _: ours(f"parts+postgres:{rest}")

    chat(InMemorySaver(), "warm", 20)
    memory: list[list[float]] = []
    taken: dict[str, list[list[float]]] = {name: [] for name in savers}
    stored: dict[str, int] = {}
    for run in range(arguments.runs):
        memory.append(chat(InMemorySaver(), "a", arguments.turns))
        for name, opened in savers.items():
            with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
                folder = Path(place)
                with opened(folder) as saver:
                    taken[name].append(chat(saver, f"{name} {run}", arguments.turns))
                    del saver
                gc.collect()
                stored[name] = folder_bytes(folder)

    def above(runs: list[list[float]], turns: slice) -> float:
        extra = [sum(r[turns]) - sum(m[turns]) for r, m in zip(runs, memory)]
        return statistics.median(extra)

    whole = statistics.median(sum(run) for run in memory)
    print(f"{arguments.turns} turns in memory: {whole * 1000:.0f} ms")
    print(f"{'':20} {'above':>9} {'first 20':>9} {'last 20':>9} {'stored':>12}")
    for name, runs in taken.items():
        parts = [above(runs, part) for part in (slice(None), slice(20), slice(-20, None))]
        figures = " ".join(f"{part * 1000:6.0f} ms" for part in parts)
        print(f"{name:20} {figures} {stored[name] or '':>12}")


if __name__ == "__main__":
    main()

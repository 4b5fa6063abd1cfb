"""An agent that answers all the time while `restow migrate` moves its threads, and moves them back.

    python migrate.py langgraph+sqlite:agent.db langgraph+postgres://user@host/agent

Under load every thread moves to the target, a share at a time, and back. Further pairs of source
and target go on with what the pair before left: where that one's target is their source, its
migration is completed, and its threads stay there; otherwise `restow copy` takes them home. No
answered turn may be lost, and a thread that waits for a human is resumed wherever it is by then.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from restow.langgraph import Saver

WORKERS = 4
THREADS = 8
# So many per cent of the threads live in the target, one after the other.
SHARES = (5, 100, 37.5, 0, 100, 0)


def agent(saver: Saver) -> Any:
    """Numbers what it is told; before it answers a request, a human has to allow it."""

    def answer(state: MessagesState) -> Any:
        said = state["messages"][-1].content
        allowed = interrupt("May I?") if said.startswith("request") else "yes"
        return {"messages": [AIMessage(f"{len(state['messages'])}: {said} ({allowed})")]}

    builder = StateGraph(MessagesState)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    return builder.compile(checkpointer=saver)


def at(thread: str) -> Any:
    return {"configurable": {"thread_id": thread}}


def said(graph: Any, thread: str) -> list[str]:
    messages = graph.get_state(at(thread)).values["messages"]
    return [message.content for message in messages if message.type == "human"]


class Load:
    """Users of the agent, each with threads of its own, who remember what was answered."""

    def __init__(self, graph: Any, answered: dict[str, list[str]]) -> None:
        self.graph, self.answered = graph, answered
        self.turns, self.over = 0, threading.Event()
        self.failed: list[BaseException] = []
        self.lock = threading.Lock()
        self.workers = [threading.Thread(target=self.talk, args=[n]) for n in range(WORKERS)]

    def talk(self, worker: int) -> None:
        threads = [name for n, name in enumerate(self.answered) if n % WORKERS == worker]
        try:
            while not self.over.is_set():
                for thread in threads:
                    turn = f"turn {len(self.answered[thread])}"
                    state = self.graph.invoke({"messages": [("user", turn)]}, at(thread))
                    assert turn in state["messages"][-1].content
                    self.answered[thread].append(turn)
                    with self.lock:
                        self.turns += 1
        except BaseException as error:
            self.failed.append(error)

    def __enter__(self) -> Load:
        for worker in self.workers:
            worker.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.over.set()
        for worker in self.workers:
            worker.join()
        if self.failed:
            raise self.failed[0]


def leg(
    restow: str, source: str, target: str, answered: dict[str, list[str]], stays: bool
) -> int:
    """Moves every thread to the target and back, and for good where it stays there; gives how many
    turns were answered meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "restow.toml"
        entries = {"name": "agent", "source": source, "target": target}
        lines = [f'{name} = "{value}"' for name, value in entries.items()]
        file.write_text("\n".join(["[migration]", *lines]) + "\n")

        def migrate(*arguments: str) -> None:
            command = [restow, "migrate", *arguments, "--config", str(file)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

        graph = agent(Saver.migration(file))
        waits = f"waits on the way to {target.partition(':')[0]}"
        # It starts while the agent answers already.
        with Load(graph, answered) as load:
            migrate("start", "--confirm", "agent")
            for share in SHARES:
                state = graph.invoke({"messages": [("user", f"request {share}")]}, at(waits))
                assert "__interrupt__" in state
                migrate("rollout", str(share))
                state = graph.invoke(Command(resume=f"yes, at {share} %"), at(waits))
                assert state["messages"][-1].content.endswith(f"(yes, at {share} %)")
        if stays:
            backup = str(Path(folder) / "agent.backup")
            create = [restow, "backup", "create", "--config", str(file), backup]
            migrate("rollout", "100")
            subprocess.run(create, check=True, stdout=subprocess.DEVNULL)
            migrate("complete", "--backup", backup, "--confirm", "agent")
            migrate("cleanup", "--confirm", "agent")
            graph = agent(Saver(target))
        assert said(graph, waits) == [f"request {share}" for share in SHARES]
        for thread, turns in answered.items():
            assert said(graph, thread) == turns, thread
        return load.turns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("addresses", nargs="+", metavar="ADDRESS")
    parser.add_argument("--restow", default="restow", help="the program")
    arguments = parser.parse_args()
    restow, addresses = arguments.restow, arguments.addresses
    answered: dict[str, list[str]] = {f"thread {n}": [] for n in range(THREADS)}
    pairs = [*zip(addresses[::2], addresses[1::2], strict=True)]
    home = pairs[0][0]
    for number, (source, target) in enumerate(pairs):
        if home != source:
            subprocess.run([restow, "copy", home, source], check=True, stdout=subprocess.DEVNULL)
        stays = pairs[number + 1 : number + 2] and pairs[number + 1][0] == target
        turns = leg(restow, source, target, answered, bool(stays))
        home = target if stays else source
        way = "completed" if stays else "and back"
        print(f"{source} → {target}, {way}: {turns} turns answered, none lost")


if __name__ == "__main__":
    main()

"""Makes agent.sqlite and agent-old.sqlite with the official SqliteSaver.

Each stage runs in a Python of its own with a hash seed of its own, so the second stage saves the
sets that the first one wrote in another order, as a restarted application does.
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def run_stage(python: str, stage: str, path: Path, hash_seed: int) -> None:
    """Runs one stage in another process."""
    env = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [python, str(HERE / "make_agent.py"), "--stage", stage, "--file", str(path)]
    subprocess.run(command, check=True, env=env)


def old_python(folder: Path) -> str:
    """Makes a venv with the packages of requirements-old.txt."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    needs = str(HERE / "requirements-old.txt")
    subprocess.run([python, "-m", "pip", "install", "-q", "-r", needs], check=True)
    return python


def fresh(path: Path) -> Path:
    """Removes a file and what SQLite left beside it."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    return path


def settle(path: Path) -> None:
    """Brings everything into the one file and checks that nothing stays beside it."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    beside = [s for s in ("-wal", "-shm") if Path(f"{path}{s}").exists()]
    if beside:
        raise SystemExit(f"{path.name}: left {beside}")


def config_of(thread: str, **extra: Any) -> dict[str, Any]:
    """Gives the configuration of a thread."""
    return {"configurable": {"thread_id": thread}, **extra}


def turns(saver: Any, thread: str, first: int, count: int, **options: Any) -> None:
    """Runs ordinary turns of a thread."""
    import graphs

    name = graphs.graph_of(thread)
    graph = graphs.BUILDERS[name]().compile(checkpointer=saver)
    config = config_of(thread, **options.pop("config", {}))
    for turn in range(first, first + count):
        graph.invoke(graphs.next_input(name, f"{thread} turn {turn}"), config, **options)


def stage_chat(saver: Any) -> None:
    """Agents with tools, some with metadata of their own."""
    turns(saver, "chat-short", 0, 1)
    turns(saver, "chat-long", 0, 9)
    turns(saver, "chat-exit", 0, 3, durability="exit")
    metadata = {"user": "Zo\u00eb \U0001f600", "plan": 3, "score": 1e22, "zero": -0.0, "beta": True}
    turns(saver, "chat-metadata", 0, 1, config={"metadata": metadata})
    turns(saver, "chat-metadata", 1, 1, config={"metadata": {"score": float("nan")}})


def fork(saver: Any, thread: str) -> None:
    """Leaves three branches: the original and two siblings of one older checkpoint."""
    import graphs

    name = graphs.graph_of(thread)
    graph = graphs.BUILDERS[name]().compile(checkpointer=saver)
    turns(saver, thread, 0, 3)
    history = list(graph.get_state_history(config_of(thread)))
    older = [state for state in history if not state.next][-1]
    for branch in ("left", "right"):
        values = graphs.next_input(name, f"{thread} {branch}")
        head = graph.update_state(older.config, values, as_node="__start__")
        graph.invoke(None, head)
    graph.invoke(graphs.next_input(name, f"{thread} retry"), older.config)


def stage_interrupts(saver: Any) -> None:
    """Threads that wait for a person, at each point of the wait."""
    import graphs
    from langgraph.types import Command

    approval = graphs.build_approval().compile(checkpointer=saver)
    for thread, answers in [("approval-open", []), ("approval-half", ["yes"]),
                            ("approval-done", ["no", "too late"])]:
        approval.invoke({"request": thread}, config_of(thread))
        for answer in answers:
            approval.invoke(Command(resume=answer), config_of(thread))
    nested = graphs.build_nested().compile(checkpointer=saver)
    turns(saver, "nested-done", 0, 2)
    turns(saver, "nested-open", 0, 1)
    nested.invoke({"topic": "caves", "ask": True}, config_of("nested-open"))
    nested.invoke({"topic": "wells", "ask": True}, config_of("nested-answered"))
    nested.invoke(Command(resume="yes"), config_of("nested-answered"))


def stage_fanout(saver: Any) -> None:
    """A finished fan-out, one that waits in the middle, and one with a failed task."""
    import graphs

    graph = graphs.build_fanout().compile(checkpointer=saver)
    turns(saver, "fanout-done", 0, 2)
    turns(saver, "fanout-open", 0, 1)
    graph.invoke({"job": "open", "mode": "ask"}, config_of("fanout-open"))
    one_worker = config_of("fanout-failed", max_concurrency=1)
    try:
        graph.invoke({"job": "failed", "mode": "fail"}, one_worker)
    except ValueError:
        return
    raise SystemExit("fanout-failed did not fail")


def first(saver: Any) -> None:
    """Everything that one process can write."""
    stage_chat(saver)
    stage_interrupts(saver)
    stage_fanout(saver)
    fork(saver, "chat-fork")
    turns(saver, "values-types", 0, 2)
    turns(saver, "values-set", 0, 1)
    turns(saver, "delta-long", 0, 5)
    turns(saver, "delta-exit", 0, 3, durability="exit")
    fork(saver, "delta-fork")


def second(saver: Any) -> None:
    """Another process continues the thread with a set."""
    turns(saver, "values-set", 1, 2)


def old(saver: Any) -> None:
    """Threads of an old application."""
    import graphs

    turns(saver, "chat-old", 0, 3)
    turns(saver, "fanout-old", 0, 1)
    graphs.build_fanout().compile(checkpointer=saver).invoke(
        {"job": "open", "mode": "ask"}, config_of("fanout-open"))
    graphs.build_approval().compile(checkpointer=saver).invoke(
        {"request": "approval-open"}, config_of("approval-open"))
    graphs.build_nested().compile(checkpointer=saver).invoke(
        {"topic": "caves", "ask": True}, config_of("nested-open"))


def in_stage(stage: str, path: Path) -> None:
    """Is the child process: runs one stage with the saver that is installed."""
    from langgraph.checkpoint.sqlite import SqliteSaver

    random.seed(stage)
    with SqliteSaver.from_conn_string(str(path)) as saver:
        {"first": first, "second": second, "old": old}[stage](saver)
    settle(path)


def make(old: str | None) -> None:
    """Makes both files."""
    agent = fresh(HERE / "agent.sqlite")
    run_stage(sys.executable, "first", agent, 1)
    run_stage(sys.executable, "second", agent, 2)
    target = fresh(HERE / "agent-old.sqlite")
    with tempfile.TemporaryDirectory() as folder:
        run_stage(old or old_python(Path(folder)), "old", target, 1)
    for path in (agent, target):
        print(path.name, path.stat().st_size)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old-python", help="a Python with the packages of requirements-old.txt")
    parser.add_argument("--stage", choices=["first", "second", "old"], help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        in_stage(options.stage, options.file)
    else:
        make(options.old_python)


if __name__ == "__main__":
    main()

"""Lets official software read a generated file: `check_generated.py agent|chat|other FILE`.

Every checkpoint and every write is read by the official saver and packed again, which must give the
stored bytes; then the graph that the file imitates continues each thread by one turn.
"""

from __future__ import annotations

import sqlite3
import sys
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

THREADS_CONTINUED = 5


class State(MessagesState, total=False):
    """State of both graphs."""

    turn: int


def answer(state: State) -> dict[str, Any]:
    """Is the model."""
    return {"messages": [AIMessage("continued")], "turn": state.get("turn", 0) + 1}


def review(state: State) -> dict[str, Any]:
    """Asks a person."""
    return {"turn": state["turn"] + interrupt({"question": "continue?"})}


def build(kind: str) -> StateGraph:
    """Makes the graph that a file imitates; of the agent's tools only the name is needed."""
    graph = StateGraph(State)
    if kind == "chat":
        graph = StateGraph(MessagesState)
        graph.add_node("model", lambda state: {"messages": [AIMessage("continued")]})
        return graph.add_edge(START, "model")
    below = StateGraph(State)
    below.add_node("agent", answer)
    below.add_node("tools", answer)
    below.add_edge(START, "agent")
    graph.add_node("assistant", below.compile())
    graph.add_node("review", review)
    graph.add_edge(START, "assistant")
    return graph.add_edge("assistant", "review")


def read_all(saver: SqliteSaver, connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Reads everything and compares it with the stored bytes; counts rows and message objects."""
    checkpoints = writes = messages = 0
    # The saver holds its lock while it lists, so nothing else may ask it in between.
    for found in list(saver.list(None)):
        configurable = found.config["configurable"]
        key = tuple(configurable[name] for name in ("thread_id", "checkpoint_ns", "checkpoint_id"))
        where = " WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?"
        row = connection.execute("SELECT type, checkpoint FROM checkpoints" + where, key).fetchone()
        assert saver.serde.dumps_typed(found.checkpoint) == row, f"packed differently: {key}"
        assert found.checkpoint["id"] == key[2], key
        rows = connection.execute(
            "SELECT task_id, channel, type, value FROM writes" + where
            + " ORDER BY task_path, task_id, idx", key).fetchall()
        again = [(task, channel, *saver.serde.dumps_typed(value))
                 for task, channel, value in found.pending_writes]
        assert again == rows, f"writes packed differently: {key}"
        if found.parent_config:
            assert saver.get_tuple(found.parent_config) is not None, f"no parent: {key}"
        held = found.checkpoint["channel_values"].get("messages", [])
        assert all(isinstance(message, BaseMessage) for message in held), key
        checkpoints, writes, messages = checkpoints + 1, writes + len(rows), messages + len(held)
    return checkpoints, writes, messages


def go_on(saver: SqliteSaver, connection: sqlite3.Connection, kind: str) -> int:
    """Continues threads by one turn."""
    graph = build(kind).compile(checkpointer=saver)
    threads = connection.execute("SELECT DISTINCT thread_id FROM checkpoints LIMIT ?",
                                 (THREADS_CONTINUED,)).fetchall()
    for (thread,) in threads:
        config = {"configurable": {"thread_id": thread}}
        before = graph.get_state(config)
        assert before.next == (), f"not at its end: {thread}"
        graph.invoke({"messages": [HumanMessage("go on")]}, config)
        after = graph.get_state(config, subgraphs=True)
        kept = after.values["messages"][: len(before.values["messages"])]
        assert kept == before.values["messages"], f"lost messages: {thread}"
        assert after.values["messages"][-1].content == "continued", thread
        if kind == "agent":
            assert after.next == ("review",) and after.interrupts, f"did not ask: {thread}"
    return len(threads)


def main(kind: str, path: str) -> None:
    """Checks one file."""
    with SqliteSaver.from_conn_string(path) as saver:
        saver.setup()
        connection = sqlite3.connect(path)
        checkpoints, writes, messages = read_all(saver, connection)
        total = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                 for table in ("checkpoints", "writes")]
        assert [checkpoints, writes] == total, (checkpoints, writes, total)
        continued = 0 if kind == "other" else go_on(saver, connection, kind)
        connection.close()
    print(f"{checkpoints} checkpoints, {writes} writes, {messages} messages, "
          f"{continued} threads continued")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

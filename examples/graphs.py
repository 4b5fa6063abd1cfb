"""Deterministic LangGraph graphs: no network, no model, the same answers on every run.

A thread id is `<graph>-<what it shows>`, so a thread tells which graph continues it. Message ids of
the pretended model derive from the conversation; only ids that LangGraph itself makes are random.
"""

from __future__ import annotations

import operator
from typing import Annotated, Any, Callable, TypedDict
from uuid import NAMESPACE_URL, uuid5

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt

import graph_values
from graph_chat import build_chat, text_for

try:
    from langgraph.channels import DeltaChannel
except ImportError:  # before langgraph 1.2
    DeltaChannel = None

FANOUT_WIDTH = 14
FANOUT_STOP_AT = 6


# --- nested: subgraphs with checkpoints of their own, with and without an interrupt -------------


def add_new(left: list[str], right: list[str]) -> list[str]:
    """Reducer of lists: a subgraph gives back what it was given, which is not added again."""
    return left + [line for line in right if line not in left]


class NestedState(TypedDict, total=False):
    """State shared by the graph and its subgraphs."""

    topic: str
    ask: bool
    log: Annotated[list[str], add_new]
    memory: Annotated[list[str], add_new]


def logger(name: str) -> Callable[[NestedState], dict[str, Any]]:
    """Makes a node that notes its name and how much was logged before it."""
    return lambda state: {"log": [f"{name}:{state.get('topic')}:{len(state.get('log', []))}"]}


def confirm(state: NestedState) -> dict[str, Any]:
    """Asks a person when the input says so."""
    if not state.get("ask"):
        return {"log": ["confirm:not asked"]}
    answer = interrupt({"question": f"dig into {state['topic']}?", "options": ["yes", "no"]})
    return {"log": [f"confirm:{answer}"]}


def build_nested() -> StateGraph:
    """A graph in a graph in a graph; `diary` keeps its own thread (`checkpointer=True`)."""
    dig = StateGraph(NestedState)
    dig.add_node("probe", logger("probe"))
    dig.add_node("confirm", confirm)
    dig.add_edge(START, "probe")
    dig.add_edge("probe", "confirm")
    research = StateGraph(NestedState)
    research.add_node("read", logger("read"))
    research.add_node("dig", dig.compile())
    research.add_edge(START, "read")
    research.add_edge("read", "dig")
    diary = StateGraph(NestedState)
    diary.add_node("note", lambda state: {"memory": [f"{state['topic']}#{len(state['memory'])}"]})
    diary.add_edge(START, "note")
    graph = StateGraph(NestedState)
    graph.add_node("plan", logger("plan"))
    graph.add_node("research", research.compile())
    graph.add_node("diary", diary.compile(checkpointer=True))
    graph.add_node("finish", logger("finish"))
    for left, right in [(START, "plan"), ("plan", "research"), ("research", "diary"),
                        ("diary", "finish"), ("finish", END)]:
        graph.add_edge(left, right)
    return graph


# --- approval: two questions in one node, then a jump -------------------------------------------


class ApprovalState(TypedDict, total=False):
    """State of a request that a person approves."""

    request: str
    answers: list[Any]
    log: Annotated[list[str], operator.add]


def decide(state: ApprovalState) -> Command:
    """Asks twice; the second question is asked again after a resume answers the first."""
    first = interrupt({"question": "approve?", "request": state["request"]})
    second = interrupt("why?")
    update = {"answers": [first, second], "log": [f"decided:{first}"]}
    return Command(update=update, goto="carry_out" if first == "yes" else "refuse")


def build_approval() -> StateGraph:
    """prepare -> decide -> carry_out or refuse."""
    graph = StateGraph(ApprovalState)
    graph.add_node("prepare", lambda state: {"log": [f"prepared:{state['request']}"]})
    graph.add_node("decide", decide, destinations=("carry_out", "refuse"))
    graph.add_node("carry_out", lambda state: {"log": [f"done:{state['answers']}"]})
    graph.add_node("refuse", lambda state: {"log": [f"refused:{state['answers']}"]})
    graph.add_edge(START, "prepare")
    graph.add_edge("prepare", "decide")
    return graph


# --- fanout: more than ten tasks, one of which asks or fails ------------------------------------


class FanoutState(TypedDict, total=False):
    """State of the fan-out; `results` keeps the order of the tasks."""

    job: str
    mode: str
    results: Annotated[list[str], operator.add]
    count: int


def fan_out(state: FanoutState) -> list[Send]:
    """One task per part."""
    return [Send("work", {"part": n, "job": state["job"], "mode": state.get("mode", "")})
            for n in range(FANOUT_WIDTH)]


def work(task: dict[str, Any], config: RunnableConfig) -> dict[str, Any]:
    """Does one part; one part asks or fails when the input says so."""
    note = ""
    if task["part"] == FANOUT_STOP_AT and task["mode"] == "ask":
        note = f"={interrupt({'part': task['part']})}"
    if task["part"] == FANOUT_STOP_AT and task["mode"] == "fail":
        if not config["configurable"].get("healthy"):
            raise ValueError(f"part {task['part']} failed")
    return {"results": [f"{task['job']}/{task['part']:02d}{note}"]}


def build_fanout() -> StateGraph:
    """split -> many `work` -> join."""
    graph = StateGraph(FanoutState)
    graph.add_node("split", lambda state: {"count": 0})
    graph.add_node("work", work)
    graph.add_node("join", lambda state: {"count": len(state["results"])})
    graph.add_edge(START, "split")
    graph.add_conditional_edges("split", fan_out, ["work"])
    graph.add_edge("work", "join")
    return graph


# --- values: many types, and a channel that is changed in place ---------------------------------


class ValuesState(TypedDict, total=False):
    """State with one channel for each kind of value."""

    turn: int
    ratio: float
    label: str
    level: graph_values.Level
    raw: bytes
    buffer: bytearray
    nothing: None
    tags: set[str]
    scalars: dict[str, Any]
    maps: dict[Any, Any]
    objects: dict[str, Any]
    scratch: dict[str, Any]
    trail: list[int]


def fill(state: ValuesState) -> dict[str, Any]:
    """Sets every channel on the first turn; later turns leave them as they were read."""
    if state.get("turn", 0):
        return {"turn": state["turn"] + 1}
    return {"turn": 1, "ratio": -0.0, "label": "nul\x00 \U0001f600", "nothing": None,
            "level": graph_values.Level.HIGH, "raw": b"\x00\xff\x80", "buffer": bytearray(b"b"),
            "tags": graph_values.tags(),
            "scalars": graph_values.scalars(), "maps": graph_values.maps(),
            "objects": graph_values.objects(), "scratch": {"touched": 0}, "trail": []}


def touch(state: ValuesState) -> dict[str, Any]:
    """Changes two channels in place without returning them: a new value, an old version."""
    state["scratch"]["touched"] += 1
    state["trail"].append(state["turn"])
    return {"ratio": state["turn"] / 3}


def build_values() -> StateGraph:
    """fill -> touch -> touch_again."""
    graph = StateGraph(ValuesState)
    graph.add_node("fill", fill)
    graph.add_node("touch", touch)
    graph.add_node("touch_again", touch)
    graph.add_edge(START, "fill")
    graph.add_edge("fill", "touch")
    graph.add_edge("touch", "touch_again")
    return graph


# --- delta: channels that store a snapshot now and then -----------------------------------------


def append_all(state: list[str], writes: list[list[str]]) -> list[str]:
    """Delta reducer of lists."""
    return state + [line for write in writes for line in write]


def merge_all(state: dict[str, str], writes: list[dict[str, str]]) -> dict[str, str]:
    """Delta reducer of maps."""
    for write in writes:
        state = {**state, **write}
    return state


def build_delta() -> StateGraph:
    """Writes lines and files, in parallel, to two channels with different snapshot rates."""

    class DeltaState(TypedDict, total=False):
        lines: Annotated[list[str], DeltaChannel(append_all, snapshot_frequency=4)]
        files: Annotated[dict[str, str], DeltaChannel(merge_all, snapshot_frequency=3)]
        turn: int

    def draft(state: DeltaState) -> dict[str, Any]:
        turn = state.get("turn", 0) + 1
        return {"turn": turn, "lines": [f"draft {turn} after {len(state['lines'])}"]}

    def save(state: DeltaState) -> dict[str, Any]:
        return {"files": {f"f{state['turn'] % 3}.txt": state["lines"][-1]}, "lines": ["saved"]}

    graph = StateGraph(DeltaState)
    graph.add_node("draft", draft)
    graph.add_node("save", save)
    graph.add_node("review", lambda state: {"lines": [f"review {len(state['files'])}"]})
    graph.add_edge(START, "draft")
    graph.add_edge("draft", "save")
    graph.add_edge("draft", "review")
    return graph


BUILDERS: dict[str, Callable[[], StateGraph]] = {
    "chat": build_chat, "nested": build_nested, "approval": build_approval,
    "fanout": build_fanout, "values": build_values,
}
if DeltaChannel is not None:
    BUILDERS["delta"] = build_delta


def graph_of(thread: str) -> str | None:
    """Names the graph that continues a thread, or None for a thread of someone else."""
    name = thread.split("-", 1)[0]
    return name if name in BUILDERS else None


def next_input(graph: str, turn: str) -> dict[str, Any]:
    """Gives the input of one more turn, the same for the same words."""
    ident = str(uuid5(NAMESPACE_URL, turn))
    human = HumanMessage(content=f"{turn}: {text_for(turn, 14)}?", id=ident)
    return {
        "chat": {"messages": [human]},
        "nested": {"topic": turn, "ask": False},
        "approval": {"request": turn},
        "fanout": {"job": turn, "mode": ""},
        "values": {"label": turn},
        "delta": {"lines": [f"asked {turn}"]},
    }[graph]

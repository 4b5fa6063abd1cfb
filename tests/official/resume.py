"""Resumes what a place holds with real LangGraph, on a scratch copy, and compares the outcome.

What a run makes at random (ids of tool messages) is ignored; everything else is deterministic.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import ToolMessage
from langgraph.types import Command

from deep import differences
from places import Saver, ask, is_server, name_of, saver_on_copy, saver_to_write
from scratch import Report
import graphs

ROUNDS_MAX = 5
IN_PLACE = "what a node changes without returning it is kept by SqliteSaver alone"
CHANGED = re.compile(r"outcome\['(resumed|final)'\]\['(scratch|trail)'\]")


@dataclass(frozen=True)
class Case:
    """One point from which a thread is continued."""

    kind: str
    thread: str
    checkpoint_id: str | None = None

    def config(self) -> dict[str, Any]:
        """Gives the configuration that continues from here."""
        own = {"thread_id": self.thread, "checkpoint_ns": "", "healthy": True}
        if self.checkpoint_id:
            own["checkpoint_id"] = self.checkpoint_id
        return {"configurable": own}

    def named(self) -> dict[str, Any]:
        """Names the case in a line of output."""
        return {"kind": self.kind, "thread": self.thread, "ns": "",
                "checkpoint_id": self.checkpoint_id}


def run(
    places: list[str], reference: str | None, required: list[str], limit: int, in_place: bool
) -> int:
    """Resumes every case of each place, and of the reference if there is one."""
    report = Report("resume")
    kinds: Counter[str] = Counter()
    theirs = None
    if reference is not None:
        theirs = resume_all(reference, saver_on_copy(reference), limit, report)
    for place in places:
        opened = saver_to_write(place) if in_place else saver_on_copy(place)
        outcomes = resume_all(place, opened, limit, report)
        found = Counter(case.kind for case in outcomes)
        kinds += found
        for kind in sorted(set(required) - set(found)):
            report.differ(f"nothing of kind {kind} to resume", place=name_of(place))
        if not outcomes:
            report.differ("nothing could be resumed", place=name_of(place))
        if reference is not None:
            is_other = is_server(place) != is_server(reference)
            compare(outcomes, theirs, name_of(place), is_other, report)
    return report.finish(resumed=sum(kinds.values()), kinds=dict(kinds))


def resume_all(
    place: str, opened: AbstractContextManager[Saver], limit: int, report: Report
) -> dict[Case, dict[str, Any]]:
    """Continues each case and gives the outcomes."""
    outcomes = {}
    with opened as saver:
        for case in find_cases(saver, limit):
            named = {"place": name_of(place), **case.named()}
            try:
                outcomes[case] = outcome(saver, case)
            except Exception as error:  # any failure of the graph is a finding
                report.differ("resume failed", **named, error=repr(error))
                continue
            if outcomes[case]["next"]:
                report.differ("still waiting after resume", **named)
    return outcomes


def compile_for(saver: Saver, thread: str) -> Any:
    """Compiles the graph that continues a thread."""
    return graphs.BUILDERS[graphs.graph_of(thread)]().compile(checkpointer=saver)


def find_cases(saver: Saver, limit: int) -> list[Case]:
    """Finds where the threads of a place can be continued, a few of each kind and graph."""
    found = sorted(row[0] for row in ask(saver, "SELECT DISTINCT thread_id FROM checkpoints"))
    threads = [thread for thread in found if graphs.graph_of(thread)]
    chosen: list[Case] = []
    used: Counter[tuple[frozenset[str], str | None]] = Counter()
    for thread in threads:
        cases = cases_of(saver, thread)
        group = (frozenset(case.kind for case in cases), graphs.graph_of(thread))
        if used[group] < limit:
            used[group] += 1
            chosen += cases
    return chosen


def cases_of(saver: Saver, thread: str) -> list[Case]:
    """Finds the cases of one thread."""
    state = compile_for(saver, thread).get_state({"configurable": {"thread_id": thread}})
    if state.next:
        return [Case(waiting_kind(state), thread)]
    kind = "delta" if graphs.graph_of(thread) == "delta" else "continue"
    return [Case(kind, thread), *branch_cases(saver, thread)]


def waiting_kind(state: Any) -> str:
    """Says what a thread waits for."""
    if len(state.tasks) > 10:
        return "fanout" if state.interrupts else "failed"
    if not state.interrupts:
        return "unfinished"
    return "subgraph" if any(task.state for task in state.tasks) else "interrupt"


def branch_cases(saver: Saver, thread: str) -> list[Case]:
    """Finds the heads of a forked thread and the checkpoint at which it forks."""
    query = ("SELECT checkpoint_id, parent_checkpoint_id FROM checkpoints"
             " WHERE thread_id = %s AND checkpoint_ns = ''")
    rows = sorted(ask(saver, query, thread), key=lambda row: row[0])
    parents = Counter(parent for _, parent in rows if parent)
    forks = [checkpoint for checkpoint, _ in rows if parents[checkpoint] > 1]
    if not forks:
        return []
    heads = [checkpoint for checkpoint, _ in rows if not parents[checkpoint]]
    return [*(Case("fork-head", thread, head) for head in heads[:4]),
            Case("old-checkpoint", thread, forks[0])]


def outcome(saver: Saver, case: Case) -> dict[str, Any]:
    """Continues one case until nothing waits, then runs one more turn."""
    graph = compile_for(saver, case.thread)
    name = str(graphs.graph_of(case.thread))
    config = case.config()
    found = stable(graph.get_state(config).values)
    before = len(list(saver.list({"configurable": {"thread_id": case.thread}})))
    if case.kind in ("failed", "unfinished"):
        graph.invoke(None, config)
    elif case.kind in ("fanout", "subgraph", "interrupt"):
        answer_all(graph, config)
    else:
        graph.invoke(graphs.next_input(name, f"judge {case.kind}"), config)
    latest = {"configurable": {"thread_id": case.thread, "healthy": True}}
    answer_all(graph, latest)
    middle = graph.get_state(latest)
    graph.invoke(graphs.next_input(name, "judge again"), latest)
    answer_all(graph, latest)
    final = graph.get_state(latest)
    history = [(dict(state.metadata or {}).get("source"), state.next)
               for state in graph.get_state_history(latest)]
    after = len(list(saver.list({"configurable": {"thread_id": case.thread}})))
    return {"found": found, "resumed": stable(middle.values), "final": stable(final.values),
            "next": final.next, "history": history, "written": after - before}


def answer_all(graph: Any, config: dict[str, Any]) -> None:
    """Answers every question until none is left."""
    for _ in range(ROUNDS_MAX):
        waiting = graph.get_state(config).interrupts
        if not waiting:
            return
        graph.invoke(Command(resume={question.id: "yes" for question in waiting}), config)


def stable(value: Any) -> Any:
    """Drops the random ids that a run gives to tool messages."""
    if isinstance(value, ToolMessage):
        return value.model_copy(update={"id": None})
    if isinstance(value, dict):
        return {key: stable(inner) for key, inner in value.items()}
    return [stable(inner) for inner in value] if isinstance(value, list) else value


def compare(
    ours: dict[Case, dict[str, Any]], theirs: dict[Case, dict[str, Any]], place: str,
    is_other: bool, report: Report,
) -> None:
    """Compares the outcomes of the same cases, maybe on another engine."""
    for case in sorted(ours.keys() ^ theirs.keys(), key=repr):
        side = place if case in theirs else "reference"
        report.differ(f"case not resumed in the {side}", **case.named())
    for case in ours.keys() & theirs.keys():
        for path, left, right in differences(ours[case], theirs[case], "outcome"):
            if is_other and is_changed_in_place(case, path):
                report.declare(IN_PLACE)
                continue
            report.differ(path, place=place, **case.named(), left=repr(left)[:200],
                          right=repr(right)[:200])


def is_changed_in_place(case: Case, path: str) -> bool:
    """Says whether a node changed a value without returning it, after the thread was resumed."""
    return graphs.graph_of(case.thread) == "values" and bool(CHANGED.match(path))

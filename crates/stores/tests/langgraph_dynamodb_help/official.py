"""The official DynamoDB saver at work, beside the one on SQLite.

    official.py write ENDPOINT TABLE           threads of every graph, some of them waiting
    official.py equal FILE ENDPOINT TABLE      compares what both savers read
    official.py resume FILE ENDPOINT TABLE     continues every case on both, and compares
    official.py large ENDPOINT TABLE           writes until the saver fails at its own limit
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

OFFICIAL = Path(__file__).resolve().parents[4] / "tests" / "official"
sys.path.insert(0, str(OFFICIAL))

import scratch  # noqa: E402, F401  # isort: skip  (puts the examples on the path)
import boto3  # noqa: E402
import graphs  # noqa: E402
from deep import differences  # noqa: E402
from langgraph.checkpoint.base import empty_checkpoint  # noqa: E402
from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: E402
from langgraph_checkpoint_aws import DynamoDBSaver  # noqa: E402
from places import ask  # noqa: E402
from resume import cases_of, compare, outcome  # noqa: E402
from scratch import Report  # noqa: E402

KEYS = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "us-east-1"}


def saver_of(endpoint: str, table: str) -> DynamoDBSaver:
    """Opens a table with the official saver."""
    return DynamoDBSaver(table, session=boto3.Session(**KEYS), endpoint_url=endpoint)


def threads_of(saver: SqliteSaver) -> list[str]:
    """Lists the threads of a file."""
    return sorted(row[0] for row in ask(saver, "SELECT DISTINCT thread_id FROM checkpoints"))


def write(saver: DynamoDBSaver) -> None:
    """Writes threads, as an application does."""
    for name, build in graphs.BUILDERS.items():
        for n in range(2):
            graph = build().compile(checkpointer=saver)
            config = {"configurable": {"thread_id": f"{name}-{n}", "healthy": True}}
            for turn in range(n + 1):
                graph.invoke(graphs.next_input(name, f"turn {turn}"), config)


def seen(saver: Any, thread: str) -> dict[Any, Any]:
    """Reads what a saver shows of a thread; versions count in other types."""
    shown = {}
    for found in saver.list({"configurable": {"thread_id": thread}}):
        place = found.config["configurable"]
        versions = ("channel_versions", "versions_seen")
        checkpoint = {k: v for k, v in found.checkpoint.items() if k not in versions}
        parent = (found.parent_config or {}).get("configurable", {}).get("checkpoint_id")
        channels = sorted(found.checkpoint["channel_versions"])
        writes = sorted(found.pending_writes, key=repr)
        key = (place["checkpoint_ns"], place["checkpoint_id"])
        shown[key] = (checkpoint, channels, dict(found.metadata), parent, writes)
    return shown


def equal(file: SqliteSaver, table: DynamoDBSaver) -> int:
    """Compares what both savers read."""
    report, count = Report("equal"), 0
    for thread in threads_of(file):
        theirs, ours = seen(file, thread), seen(table, thread)
        count += len(ours)
        for path, left, right in differences(theirs, ours, thread):
            report.differ(path, left=repr(left)[:200], right=repr(right)[:200])
    return report.finish(checkpoints=count)


def folded(outcome: dict[str, Any]) -> dict[str, Any]:
    """Leaves aside in which order two nodes of one step wrote a delta.

    DynamoDBSaver hands out the writes of a step by task id, and not by task path.
    """
    for state in ("found", "resumed", "final"):
        if "lines" in outcome[state]:
            outcome[state]["lines"] = sorted(outcome[state]["lines"])
    return outcome


def resume(file: SqliteSaver, table: DynamoDBSaver) -> int:
    """Continues every case of the file on both, and compares how it ends."""
    report = Report("resume")
    ours, theirs = {}, {}
    used: set[tuple[Any, ...]] = set()
    for thread in filter(graphs.graph_of, threads_of(file)):
        cases = cases_of(file, thread)
        group = (graphs.graph_of(thread), *sorted({case.kind for case in cases}))
        if group in used:
            continue
        used.add(group)
        for case in cases:
            for saver, outcomes in [(file, theirs), (table, ours)]:
                try:
                    outcomes[case] = folded(outcome(saver, case))
                except Exception as error:  # any failure of the graph is a finding
                    named = {"saver": type(saver).__name__, **case.named()}
                    report.differ("resume failed", **named, error=repr(error))
    compare(ours, theirs, table.table_name, True, report)
    kinds = sorted({case.kind for case in ours})
    return report.finish(resumed=len(ours), kinds=kinds)


def large(saver: DynamoDBSaver) -> None:
    """Writes checkpoints that grow, until the saver fails and leaves a pointer that dangles."""
    config: Any = {"configurable": {"thread_id": "large", "checkpoint_ns": ""}}
    for size in [10_000, 200_000, 500_000]:
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = {"text": "x" * size}
        checkpoint["channel_versions"] = {"text": size}
        try:
            config = saver.put(config, checkpoint, {"step": size}, {})
        except Exception as error:
            print(type(error).__name__, checkpoint["id"])


def main(command: str, *rest: str) -> int:
    """Runs one command."""
    table = saver_of(*rest[-2:])
    if command in ("write", "large"):
        {"write": write, "large": large}[command](table)
        return 0
    with SqliteSaver.from_conn_string(rest[0]) as file:
        return {"equal": equal, "resume": resume}[command](file, table)


sys.exit(main(*sys.argv[1:]))

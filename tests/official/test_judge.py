"""Tests the judges, on files here, on PostgreSQL in test_judge_server.py.

A byte copy passes, and each altered copy fails by name.

Run with `python test_judge.py` in an environment with the packages of examples/requirements.txt and
of requirements.txt.
"""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

import judge as program

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "examples"
AGENT, OLD = EXAMPLES / "agent.sqlite", EXAMPLES / "agent-old.sqlite"
KINDS = "interrupt,subgraph,fanout,failed,fork-head,old-checkpoint,delta,continue"
PICK = "SELECT rowid FROM {} WHERE thread_id = 'fanout-open' ORDER BY rowid DESC LIMIT 1"


def judge(*arguments: Any) -> tuple[int, list[dict[str, Any]]]:
    """Runs the judge; gives its exit code and its lines."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        code = program.main([str(argument) for argument in arguments])
    return code, [json.loads(line) for line in printed.getvalue().splitlines()]


class JudgeTest(unittest.TestCase):
    """Gives each test a folder and copies."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def copy(self, path: Path = AGENT, change: str = "") -> Path:
        """Copies a file and changes one row of the copy."""
        target = self.folder / "copy.sqlite"
        shutil.copyfile(path, target)
        if change:
            connection = sqlite3.connect(target)
            changed = connection.execute(change).rowcount
            self.assertEqual(changed, 1)
            connection.commit()
            connection.close()
        return target

    def passes(self, *arguments: Any) -> dict[str, Any]:
        """Checks that the judge passes; gives the summary."""
        code, lines = judge(*arguments)
        self.assertEqual(code, 0, lines)
        self.assertTrue(lines[-1]["ok"])
        return lines[-1]

    def fails(self, *arguments: Any, thread: str = "fanout-open") -> list[str]:
        """Checks that the judge fails and names the thread; gives what differs."""
        code, lines = judge(*arguments)
        self.assertEqual(code, 1, lines)
        named = [line for line in lines if line.get("thread") == thread and "difference" in line]
        self.assertTrue(named, lines)
        self.assertTrue(all("ns" in line and "checkpoint_id" in line for line in named))
        return [line["difference"] for line in named]


class ByteCopy(JudgeTest):
    """A byte copy passes every judge, and no judge changes what it reads."""

    def test_equal_and_rows(self) -> None:
        for path in (AGENT, OLD):
            copy = self.copy(path)
            self.assertGreater(self.passes("equal", path, copy)["checkpoints"], 20)
            rows = self.passes("rows", path, copy, "--schema", "source")
            self.assertGreater(rows["writes"], 100)
            self.assertEqual(path.read_bytes(), copy.read_bytes())
        self.assertEqual(judge("rows", OLD, self.copy(OLD))[0], 1)  # not the newest schema

    def test_resume(self) -> None:
        before = AGENT.read_bytes()
        self.passes("resume", self.copy(), "--reference", AGENT, "--require", KINDS)
        self.passes("resume", self.copy(OLD), "--reference", OLD, "--require", "interrupt,fanout")
        self.assertEqual(before, AGENT.read_bytes())
        self.assertFalse(Path(f"{AGENT}-wal").exists() or Path(f"{AGENT}-shm").exists())


class Altered(JudgeTest):
    """One altered or missing row is found by name."""

    def both_fail(self, change: str, thread: str = "fanout-open") -> list[str]:
        """Checks that `equal` and `rows` find a change."""
        copy = self.copy(change=change)
        found = self.fails("rows", AGENT, copy, thread=thread)
        return found + self.fails("equal", AGENT, copy, thread=thread)

    def test_missing_rows(self) -> None:
        self.both_fail(f"DELETE FROM checkpoints WHERE rowid = ({PICK.format('checkpoints')})")
        self.both_fail(f"DELETE FROM writes WHERE rowid = ({PICK.format('writes')})")

    def test_added_row(self) -> None:
        picked = PICK.format("writes")
        found = self.both_fail(
            "INSERT INTO writes SELECT thread_id, checkpoint_ns, checkpoint_id, task_id, task_path,"
            f" 99, channel, type, value FROM writes WHERE rowid = ({picked})")
        self.assertIn("writes: row missing on the left", found)

    def test_task_path(self) -> None:
        found = self.both_fail(
            "UPDATE writes SET task_path = '' WHERE task_path LIKE '%0000000003, 0000000000'"
            " AND idx = 0 AND thread_id = 'fanout-open' AND checkpoint_id ="
            " (SELECT max(checkpoint_id) FROM writes WHERE thread_id = 'fanout-open')")
        self.assertIn("writes.task_path", found)

    def test_storage_class(self) -> None:
        copy = self.copy(change="UPDATE checkpoints SET metadata = CAST(metadata AS TEXT)"
                         f" WHERE rowid = ({PICK.format('checkpoints')})")
        self.assertEqual(self.fails("rows", AGENT, copy), ["checkpoints.metadata"])

    def test_parent(self) -> None:
        found = self.both_fail("UPDATE checkpoints SET parent_checkpoint_id = NULL"
                               f" WHERE rowid = ({PICK.format('checkpoints')})")
        self.assertIn("parent_config", found)

    def test_negative_zero(self) -> None:
        change = ("UPDATE checkpoints SET checkpoint = CAST(replace(checkpoint, "
                  "x'cb8000000000000000', x'cb0000000000000000') AS BLOB) WHERE rowid = "
                  "(SELECT max(rowid) FROM checkpoints WHERE thread_id = 'values-types')")
        found = self.both_fail(change, thread="values-types")
        self.assertTrue(any("floats" in what for what in found), found)

    def test_resume_with_integer_versions(self) -> None:
        copy = self.copy()
        connection = sqlite3.connect(copy)
        serde = JsonPlusSerializer()
        query = "SELECT rowid, type, checkpoint FROM checkpoints WHERE thread_id = 'approval-open'"
        for row, kind, blob in connection.execute(query).fetchall():
            checkpoint = serde.loads_typed((kind, blob))
            versions = checkpoint["channel_versions"]
            checkpoint["channel_versions"] = {k: int(v.split(".")[0]) for k, v in versions.items()}
            changed = (serde.dumps_typed(checkpoint)[1], row)
            connection.execute("UPDATE checkpoints SET checkpoint = ? WHERE rowid = ?", changed)
        connection.commit()
        connection.close()
        self.fails("equal", AGENT, copy, thread="approval-open")
        self.fails("resume", copy, "--reference", AGENT, thread="approval-open")

    def test_resume_without_a_write(self) -> None:
        copy = self.copy(change="DELETE FROM writes WHERE thread_id = 'delta-long' AND rowid ="
                         " (SELECT max(rowid) FROM writes WHERE thread_id = 'delta-long'"
                         " AND channel = 'lines')")
        self.fails("resume", copy, "--reference", AGENT, thread="delta-long")

    def test_nothing_to_resume(self) -> None:
        path = self.folder / "new.sqlite"
        sqlite3.connect(path).close()
        code, lines = judge("resume", path)
        self.assertEqual((code, lines[0]["difference"]), (1, "nothing could be resumed"))
        self.assertEqual(judge("equal", path, self.folder / "absent")[0], 2)


class Live(JudgeTest):
    """The commands that write."""

    def test_write_and_loop(self) -> None:
        path, target = self.folder / "w.sqlite", self.folder / "t.sqlite"
        first = self.passes("write", path, "--threads", 2, "--turns", 2)["checkpoints_in_file"]
        more = self.passes("write", path, "--threads", 1, "--turns", 1)["checkpoints_in_file"]
        self.assertGreater(more, first)
        self.assertEqual(self.passes("loop", path, target)["checkpoints"], more)

    def test_hold(self) -> None:
        path = self.copy()
        command = [sys.executable, str(HERE / "judge.py"), "hold", str(path)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
            assert process.stdin and process.stdout
            self.assertEqual(process.stdout.readline(), "ready\n")
            self.assertTrue(Path(f"{path}-wal").exists())
            self.fails("equal", AGENT, path, thread="chat-held")
            process.stdin.write("write\n")
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), "wrote\n")
            process.stdin.close()
            self.assertEqual(process.wait(), 0)
        self.assertFalse(Path(f"{path}-wal").exists())


if __name__ == "__main__":
    unittest.main(module=None, argv=[sys.argv[0], "discover", "-s", str(HERE), *sys.argv[1:]])

"""Tests the judges on PostgreSQL: a copy passes, and each altered copy fails by name.

RESTOW_TEST_POSTGRES names a superuser's URL; RESTOW_TEST_WITHOUT=postgres does without.
"""

from __future__ import annotations

import os
import sqlite3
import unittest
from contextlib import ExitStack, closing
from typing import Any

import psycopg

from places import copied_database, new_database, saver_to_write
from test_judge import AGENT, JudgeTest, judge
import graphs
import make_agent

FORK = "delta-fork"
CHANGES = {
    "checkpoints": "UPDATE checkpoints SET checkpoint = jsonb_set(checkpoint, '{ts}', '\"x\"')",
    "checkpoint_blobs": "UPDATE checkpoint_blobs SET blob = set_byte(blob, length(blob) - 1, 33)",
    "checkpoint_writes": "UPDATE checkpoint_writes SET task_path = '~x'",
}
LAST = " WHERE ctid = (SELECT max(ctid) FROM {} WHERE thread_id = 'delta-fork')"


def without_server() -> bool:
    """Says whether this run was told to do without."""
    return "postgres" in os.environ.get("RESTOW_TEST_WITHOUT", "").split(",")


@unittest.skipIf(without_server(), "RESTOW_TEST_WITHOUT=postgres")
class ServerTest(JudgeTest):
    """Gives all tests one native database, and each test copies of it."""

    stack: ExitStack
    native: str

    @classmethod
    def setUpClass(cls) -> None:
        cls.stack = ExitStack()
        cls.addClassCleanup(cls.stack.close)
        cls.native = cls.stack.enter_context(new_database(os.environ["RESTOW_TEST_POSTGRES"]))
        with saver_to_write(cls.native) as saver:
            make_agent.fork(saver, FORK)
            graph = graphs.build_fanout().compile(checkpointer=saver)
            graph.invoke({"job": "open", "mode": "ask"}, make_agent.config_of("fanout-open"))

    def altered(self, change: str = "SELECT 1") -> str:
        """Copies the database and changes one row of the copy."""
        url = self.enterContext(copied_database(self.native))
        with psycopg.connect(url) as connection:
            self.assertEqual(connection.execute(change).rowcount, 1)
        return url

    def file(self) -> Any:
        """Gives a file that holds what the database does: a naive copy, and the paths it loses."""
        path = self.folder / "copy.sqlite"
        self.passes("loop", self.native, path)
        self.fails("equal", self.native, path, thread=FORK)
        query = "SELECT DISTINCT task_path, task_id FROM checkpoint_writes"
        with psycopg.connect(self.native) as server, closing(sqlite3.connect(path)) as file:
            paths = server.execute(query).fetchall()
            file.executemany("UPDATE writes SET task_path = ? WHERE task_id = ?", paths)
            file.commit()
        return path


class Databases(ServerTest):
    """Two databases."""

    def test_a_copy_passes(self) -> None:
        copy = self.altered()
        rows = self.passes("rows", self.native, copy)
        self.assertGreater(rows["checkpoint_blobs"], 10)
        self.assertEqual(rows["checkpoint_migrations"], 10)
        self.assertNotIn("declared", self.passes("equal", self.native, copy))
        self.passes("resume", copy, "--reference", self.native, "--require", "fanout,fork-head")
        self.passes("rows", self.native, copy)

    def test_an_altered_row(self) -> None:
        for table, change in CHANGES.items():
            found = self.fails_in("rows", self.native, self.altered(change + LAST.format(table)))
            self.assertTrue(all(what.startswith(table) for what in found), found)

    def test_a_missing_row(self) -> None:
        for table in CHANGES:
            copy = self.altered(f"DELETE FROM {table}" + LAST.format(table))
            self.fails_in("equal", self.native, copy)
        self.assertEqual(self.fails_in("rows", copy, self.native),
                         ["checkpoint_writes: row missing on the left"])

    def test_a_schema(self) -> None:
        copy = self.altered()
        with psycopg.connect(copy) as connection:
            connection.execute("DROP INDEX checkpoints_thread_id_idx")
        code, lines = judge("rows", self.native, copy)
        self.assertEqual((code, lines[0]["difference"]),
                         (1, "schema: index checkpoints_thread_id_idx"))

    def test_resume_without_a_write(self) -> None:
        copy = self.altered("DELETE FROM checkpoint_writes WHERE ctid = (SELECT max(ctid) FROM"
                            " checkpoint_writes WHERE channel = 'results')")
        self.fails("resume", copy, "--reference", self.native)

    def test_what_cannot_be_judged(self) -> None:
        self.assertEqual(judge("rows", self.native, AGENT)[0], 2)
        self.assertEqual(judge("equal", self.native, self.native + "_absent")[0], 2)
        self.assertEqual(judge("loop", AGENT, self.native)[0], 2)

    def fails_in(self, *arguments: Any) -> list[str]:
        """Checks that the judge fails in the thread that was altered."""
        code, lines = judge(*arguments)
        self.assertEqual(code, 1, lines)
        named = [line for line in lines if line.get("thread") == FORK]
        self.assertTrue(named, lines)
        return [line["difference"] for line in named]


class FileAndDatabase(ServerTest):
    """A file and a database, through both official savers."""

    def test_versions(self) -> None:
        path = self.file()
        self.passes("equal", path, self.native)
        # A fraction made anew is declared only where the file holds two values under the version.
        seen = "checkpoint -> 'channel_versions' ->> 'turn'"
        copy = self.altered(
            "UPDATE checkpoints SET checkpoint = jsonb_set(checkpoint,"
            f" '{{channel_versions,turn}}', to_jsonb(left({seen}, 32) || '.0.5'))"
            f" WHERE checkpoint_id = (SELECT max(checkpoint_id) FROM checkpoints"
            f" WHERE thread_id = '{FORK}')")
        found = self.fails("equal", path, copy, thread=FORK)
        self.assertIn("checkpoint['channel_versions']['turn']", found)

    def test_what_is_newer_than_seen(self) -> None:
        path = self.file()
        copy = self.altered(
            "UPDATE checkpoints SET checkpoint = jsonb_set(checkpoint,"
            " '{channel_versions,__start__}', to_jsonb(repeat('0', 32) || '.0.5'))"
            f" WHERE checkpoint_id = (SELECT max(checkpoint_id) FROM checkpoints"
            f" WHERE thread_id = '{FORK}')")
        self.assertIn("what is newer than seen", self.fails("equal", path, copy, thread=FORK))

    def test_metadata_and_values(self) -> None:
        path = self.file()
        for column, change in [("metadata", "jsonb_set(metadata, '{step}', '77')"),
                               ("checkpoint", "jsonb_set(checkpoint, '{channel_values,turn}', '7')")
                               ]:
            copy = self.altered(f"UPDATE checkpoints SET {column} = {change}"
                                f" WHERE checkpoint_id = (SELECT max(checkpoint_id)"
                                f" FROM checkpoints WHERE thread_id = '{FORK}')")
            found = self.fails("equal", path, copy, thread=FORK)
            self.assertTrue(any(what.startswith(column) for what in found), found)

    def test_the_naive_loop(self) -> None:
        url = self.enterContext(new_database(self.native))
        self.passes("loop", self.native, url, "--relaxed")
        self.assertEqual(judge("loop", self.native, url)[0], 2, "the target is not empty")

    def test_write_and_examples(self) -> None:
        url = self.enterContext(new_database(self.native))
        self.passes("write", url, "--threads", 1, "--turns", 1)
        self.passes("write", url, "--graph", "approval", "--encrypted")
        with psycopg.connect(url) as connection:
            tags = {row[0] for row in connection.execute("SELECT type FROM checkpoint_blobs")}
        self.assertEqual(tags, {"msgpack", "msgpack+xor"})


if __name__ == "__main__":
    unittest.main()

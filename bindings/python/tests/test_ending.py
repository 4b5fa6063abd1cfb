"""What outlives a migration, and what a saver does without: a target, a mirror that is right."""

from __future__ import annotations

import sqlite3
import subprocess
import unittest
from contextlib import AbstractContextManager
from pathlib import Path

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command
from moving import ON_FILES, Migration, pairs, program
from places import PlacesTest, kinds
from test_migration import config, ids, put
from test_official import graph, shown

from restow.langgraph import Saver


def official(address: str) -> AbstractContextManager[SqliteSaver | PostgresSaver]:
    """Opens LangGraph's own saver on a store of its own layout."""
    kind, _, place = address.partition(":")
    if kind == "langgraph+sqlite":
        return SqliteSaver.from_conn_string(place)
    return PostgresSaver.from_conn_string(f"postgresql:{place}")


def ask(saver: BaseCheckpointSaver[str], thread: str) -> None:
    """Runs a thread until it waits for a human."""
    said = graph(saver).invoke({"messages": [("user", "hello")]}, config(thread))
    assert "__interrupt__" in said


def answer(saver: BaseCheckpointSaver[str], thread: str) -> list[str]:
    resumed = graph(saver).invoke(Command(resume=f"yes, {thread}"), config(thread))
    return resumed["done"][-1:]


class EndingTest(PlacesTest):
    def test_a_thread_that_waits_for_an_answer_outlives_the_migration(self) -> None:
        for pair in pairs():
            with self.subTest(pair):
                self.outlive(Migration(self, *pair))

    def outlive(self, migration: Migration) -> None:
        with official(migration.source) as saver:
            saver.setup()
            told = {}
            for thread in ("behind the move", "behind the end", "at home again"):
                ask(saver, thread)
                told[thread] = shown(saver, thread)
        migration.start()
        migration.rollout(100)
        ours = migration.saver()
        self.assertEqual(answer(ours, "behind the move"), ["yes, behind the move"])
        self.assertEqual(shown(ours, "behind the end"), told["behind the end"])
        migration.complete()
        migration.run("cleanup", "--confirm", "moving")
        if migration.target.startswith("parts+"):
            # Who goes back to LangGraph's own saver copies its store home.
            self.assertEqual(answer(Saver(migration.target), "behind the end")[-1][:3], "yes")
            kind = "langgraph+postgres" if "langgraph+postgres" in kinds() else "langgraph+sqlite"
            home = self.address(kind)
            copy = [program(), "copy", migration.target, home]
            subprocess.run(copy, check=True, capture_output=True)
        else:
            home = migration.target
            with official(home) as saver:
                self.assertEqual(shown(saver, "behind the end"), told["behind the end"])
                self.assertEqual(answer(saver, "behind the end"), ["yes, behind the end"])
        with official(home) as saver:
            self.assertEqual(shown(saver, "at home again"), told["at home again"])
            self.assertEqual(answer(saver, "at home again"), ["yes, at home again"])

    def test_a_saver_goes_on_without_a_target_that_was_lost(self) -> None:
        migration = Migration(self, *ON_FILES, acknowledge="both")
        migration.start()
        saver = migration.saver()
        for number, thread in enumerate("abcd"):
            put(saver, thread, number)
        migration.rollout(100)
        for number, thread in enumerate("abcd", 4):
            put(saver, thread, number)
        made = ids(saver.list(None))
        del saver
        lost = Path(migration.target.partition(":")[2])
        for file in lost.parent.glob(f"{lost.name}*"):
            file.unlink()
        migration.run("rollback", "--target-lost", "--confirm", "moving")
        saver = migration.saver()
        self.assertEqual(ids(saver.list(None)), made)
        made.insert(0, put(saver, "a", 8))
        made.insert(0, put(saver, "begun alone", 9))
        self.assertEqual(ids(saver.list(None)), made)
        self.assertEqual(ids([saver.get_tuple(config("a"))]), made[1:2])
        saver.delete_for_runs(["run 9"])
        self.assertEqual(ids(saver.list(None)), made[1:])
        self.assertFalse(lost.exists())
        migration.run("cancel", "--confirm", "moving")
        migration.run("cleanup", "--confirm", "moving")
        self.assertEqual(ids(Saver(migration.source).list(None)), made[1:])

    def test_a_mirror_that_differs_is_told_by_who_reads_and_stops_the_next_step(self) -> None:
        migration = Migration(self, *ON_FILES, shadow=1)
        source = Saver(migration.source)
        for number in range(12):
            put(source, f"thread {number}", number)
        migration.start()
        migration.rollout(50)
        saver = migration.saver()
        there = Saver(migration.target).list(None)
        moved = [tuple.config["configurable"]["thread_id"] for tuple in there]
        self.assertNotIn(len(moved), (0, 12))
        with sqlite3.connect(migration.source.partition(":")[2]) as source:
            change = "UPDATE checkpoints SET metadata = '{}' WHERE thread_id = ?"
            source.executemany(change, [(thread,) for thread in moved])
        with self.assertLogs("restow", "WARNING") as log:
            for _ in range(1000):
                for thread in moved:
                    self.assertIsNotNone(saver.get_tuple(config(thread)))
                if log.output:
                    break
        self.assertIn("a replica differs from its home", log.output[0])
        with self.assertRaisesRegex(AssertionError, "a replica is not what its home holds"):
            migration.rollout(100)


if __name__ == "__main__":
    unittest.main()

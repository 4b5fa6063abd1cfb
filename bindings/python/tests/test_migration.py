"""A saver on a migration: what is asked across stores, and threads that move as they are used."""

from __future__ import annotations

import unittest
from collections.abc import Iterator
from typing import Any

from langgraph.checkpoint.base import empty_checkpoint, uuid6
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.types import Command
from moving import ON_FILES, Migration, pairs
from places import PlacesTest
from test_official import KEY, graph, shown
from test_saver import delta_graph

from restow import errors
from restow.langgraph import Saver


def config(thread: str, **at: str) -> Any:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": "", **at}}


def put(saver: Saver, thread: str, number: int) -> str:
    """Stores a checkpoint; gives its id."""
    made = {**empty_checkpoint(), "id": str(uuid6())}
    made |= {"channel_values": {"n": number}, "channel_versions": {"n": str(number)}}
    metadata: Any = {"number": number, "odd": number % 2 == 1, "run_id": f"run {number}"}
    saver.put(config(thread), made, metadata, {"n": str(number)})
    return made["id"]


def ids(found: Any) -> list[str]:
    return [tuple.checkpoint["id"] for tuple in found]


class MigrationTest(PlacesTest):
    def each(self, **options: Any) -> Iterator[Migration]:
        for pair in pairs():
            with self.subTest(pair):
                yield Migration(self, *pair, **options)

    def test_a_saver_may_be_there_before_the_migration(self) -> None:
        for migration in self.each():
            saver = migration.saver()
            first = put(saver, "a", 1)
            self.assertEqual(ids(Saver(migration.source).list(config("a"))), [first])
            migration.start()
            # This saver has not been told, and the other one knows.
            other = migration.saver()
            second = put(other, "a", 2)
            third = put(saver, "a", 3)
            self.assertEqual(ids(saver.list(None)), [third, second, first])
            migration.rollout(100)
            fourth = put(saver, "a", 4)
            self.assertEqual(ids(other.list(None)), [fourth, third, second, first])
            self.assertEqual(migration.status()["at_target"], 1)
            with self.assertRaises(errors.Refused):
                put(Saver(migration.source), "a", 5)

    def test_a_thread_moves_when_it_is_used(self) -> None:
        for migration in self.each():
            migration.start()
            migration.rollout(100)
            saver = migration.saver()
            wanted = [put(saver, thread, 1) for thread in "abcdefgh"]
            for _ in range(1000):
                for thread in "abcdefgh":
                    self.assertIn(saver.get_tuple(config(thread)).checkpoint["id"], wanted)
                if migration.status()["at_target"] == 8:
                    break
            self.assertEqual(migration.status()["misplaced"], 0)
            self.assertEqual(ids(saver.list(None)), sorted(wanted, reverse=True))

    def test_a_list_across_stores_tells_what_stands_at_home(self) -> None:
        for migration in self.each(mirror=False):
            migration.start()
            saver = migration.saver()
            threads = [f"thread {n}" for n in range(12)]
            made = [put(saver, thread, n) for n, thread in enumerate(threads)]
            migration.rollout(100)
            # What the source holds from here on is old.
            made += [put(saver, thread, n) for n, thread in enumerate(threads, 12)]
            again = saver.get_tuple(config("thread 0", checkpoint_id=made[0]))
            saver.put(config("thread 0"), again.checkpoint, {"number": 100, "odd": True}, {})
            saver.delete_thread("thread 11")
            saver.delete_for_runs(["run 10"])
            gone = {made[10], made[11], made[23]}
            newest = [id for id in reversed(made) if id not in gone]
            for share in (100, 37, 0, 37):
                migration.rollout(share)
                self.assertEqual(ids(saver.list(None)), newest)
                self.assertEqual(ids(saver.list(None, limit=5)), newest[:5])
                odd = list(saver.list(None, filter={"odd": True}, limit=100))
                numbers = [tuple.metadata["number"] for tuple in odd]
                self.assertEqual(numbers, [21, 19, 17, 15, 13, 9, 7, 5, 3, 1, 100])
                before = config("", checkpoint_id=newest[7])
                self.assertEqual(ids(saver.list(None, before=before)), newest[8:])
                self.assertEqual([*saver.list(config("thread 11"))], [])
                # What was erased is nowhere.
                for address in (migration.source, migration.target):
                    self.assertEqual([*Saver(address).list(config("thread 11"))], [])

    def test_an_interrupted_thread_is_resumed_behind_its_move(self) -> None:
        for migration in self.each():
            migration.start()
            saver = migration.saver()
            for thread in "ab":
                said = graph(saver).invoke({"messages": [("user", "hello")]}, config(thread))
                self.assertIn("__interrupt__", said)
            before = shown(saver, "a")
            migration.rollout(100)
            self.assertEqual(shown(saver, "a"), before)
            resumed = graph(saver).invoke(Command(resume="yes"), config("a"))
            self.assertEqual(resumed["done"][-1], "yes")
            before = shown(saver, "a")
            migration.rollout(0)
            self.assertEqual(shown(saver, "a"), before)
            resumed = graph(saver).invoke(Command(resume="back"), config("b"))
            self.assertEqual(resumed["done"][-1], "back")

    def test_a_history_of_deltas_is_the_same_at_either_store(self) -> None:
        def told(saver: Saver) -> list[Any]:
            return [
                saver.get_delta_channel_history(config=tuple.config, channels=["said", "turns"])
                for tuple in saver.list(config("a"))
            ]

        for migration in self.each():
            migration.start()
            saver = migration.saver()
            for turn in range(7):
                delta_graph(saver).invoke({"said": [f"user {turn}"]}, config("a"))
            before, values = told(saver), delta_graph(saver).get_state(config("a")).values
            migration.rollout(100)
            self.assertEqual(told(saver), before)
            self.assertEqual(delta_graph(saver).get_state(config("a")).values, values)

    def test_what_cannot_move_stays_in_use(self) -> None:
        serde = EncryptedSerializer.from_pycryptodome_aes(key=KEY)
        for migration in self.each():
            if not migration.target.startswith("langgraph+postgres"):
                continue
            migration.start()
            saver = migration.saver(serde=serde)
            first = put(saver, "a", 1)
            with self.assertRaises(AssertionError):
                migration.rollout(100)
            with self.assertLogs("restow", "WARNING") as log:
                other = migration.saver(serde=serde)
                for number in range(1000):
                    self.assertEqual(ids(other.list(config("a"))), [first])
                    if log.output:
                        break
            self.assertIn("a thread was not moved", log.output[0])
            self.assertEqual(migration.status()["at_source"], 1)
            second = put(saver, "a", 2)
            self.assertEqual(ids(other.list(None)), [second, first])

    def test_errors_name_what_is_wrong(self) -> None:
        with self.assertRaises(errors.NotFound):
            Saver.migration(self.file())
        migration = Migration(self, *ON_FILES)
        text = migration.config.read_text()
        migration.config.write_text(text.replace("parts+sqlite", "crawl4ai+sqlite"))
        with self.assertRaises(errors.Unsupported):
            migration.saver()


if __name__ == "__main__":
    unittest.main()

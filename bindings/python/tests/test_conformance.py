"""LangGraph's published conformance suite, on every kind of store and while threads move."""

from __future__ import annotations

import asyncio
import unittest
from collections.abc import AsyncGenerator, Callable

from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from moving import Migration, pairs
from places import ON_TABLES, PlacesTest, kinds

from restow.langgraph import Saver

# As many cases as langgraph-checkpoint-conformance 0.0.2 has: 58, and 23 of what is optional.
CASES = {
    "put": 17,
    "put_writes": 10,
    "get_tuple": 10,
    "list": 16,
    "delete_thread": 5,
    "delete_for_runs": 7,
    "copy_thread": 8,
    "prune": 8,
}
# Where threads are to live, and where movers take them meanwhile, again and again.
SHARES = {0: (100, 0), 37: (100, 37, 0), 100: (0, 100)}


class ConformanceTest(PlacesTest):
    def passes(self, name: str, opened: Callable[[], Saver]) -> None:
        @checkpointer_test(name=name)
        async def saver() -> AsyncGenerator[Saver, None]:
            yield opened()

        report = asyncio.run(validate(saver))
        for part, result in report.results.items():
            self.assertEqual(result.failures, [], f"{name}, {part}")
        passed = {part: result.tests_passed for part, result in report.results.items()}
        self.assertEqual(passed, CASES)

    def test_the_published_suite(self) -> None:
        for kind in kinds():
            with self.subTest(kind):
                self.passes(kind, lambda: Saver(self.address(kind)))

    def test_the_published_suite_while_threads_move(self) -> None:
        for source, target in pairs():
            for mirror in (True, False):
                for share, shares in SHARES.items():
                    with self.subTest(f"{source} {target}", share=share, mirror=mirror):
                        self.passes_moving(source, target, mirror, share, shares)

    def test_the_published_suite_while_threads_move_to_tables(self) -> None:
        # Servers made for tests take their time: one run each, of threads on both sides.
        for target in set(ON_TABLES) & set(kinds()):
            with self.subTest(target):
                self.passes_moving("parts+sqlite", target, True, 37, SHARES[37])

    def passes_moving(
        self, source: str, target: str, mirror: bool, share: int, shares: tuple[int, ...]
    ) -> None:
        migration = Migration(self, source, target, mirror=mirror)
        migration.start()
        saver = migration.saver()
        # The suite counts versions in numbers, by which tables alone would be JavaScript's.
        versions = {"channel": saver.get_next_version(None, None)}
        for n in range(20):
            at = {"configurable": {"thread_id": f"!{n}", "checkpoint_ns": ""}}
            saver.put(at, {**empty_checkpoint(), "channel_versions": versions}, {}, versions)
        for first in (100, share):
            migration.rollout(first)
        with migration.movers(*shares) as moved:
            self.passes(f"{source} to {target}", migration.saver)
        self.assertGreater(sum(moved), 0)
        self.assertEqual(migration.status()["damaged"], 0)


if __name__ == "__main__":
    unittest.main()

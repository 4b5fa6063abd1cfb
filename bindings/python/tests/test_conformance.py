"""LangGraph's published conformance suite, on every kind of store."""

from __future__ import annotations

import asyncio
import unittest
from collections.abc import AsyncGenerator

from langgraph.checkpoint.conformance import checkpointer_test, validate
from places import PlacesTest, kinds

from restow.langgraph import Saver

# As many cases as langgraph-checkpoint-conformance 0.0.2 has.
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


class ConformanceTest(PlacesTest):
    def test_the_published_suite(self) -> None:
        for kind in kinds():
            with self.subTest(kind):

                @checkpointer_test(name=kind)
                async def saver() -> AsyncGenerator[Saver, None]:
                    yield Saver(self.address(kind))

                report = asyncio.run(validate(saver))
                for name, result in report.results.items():
                    self.assertEqual(result.failures, [], f"{kind}, {name}")
                passed = {name: result.tests_passed for name, result in report.results.items()}
                self.assertEqual(passed, CASES)


if __name__ == "__main__":
    unittest.main()

"""Migrations for tests, and movers: the program `restow`, over and over, beside the test."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

from places import PlacesTest, kinds

from restow.langgraph import Saver

PAIRS = (("langgraph+sqlite", "langgraph+postgres"), ("langgraph+postgres", "parts+sqlite"))
ON_FILES = ("langgraph+sqlite", "parts+sqlite")


def pairs() -> tuple[tuple[str, str], ...]:
    """Names every pair of stores that is to be tested."""
    found = tuple(pair for pair in PAIRS if set(pair) <= set(kinds()))
    return found or (ON_FILES,)


def program() -> str:
    """Names the program `restow`."""
    found = os.environ.get("RESTOW_TEST_CLI")
    assert found, "RESTOW_TEST_CLI names no program"
    return found


class Migration:
    """A migration between two empty places."""

    def __init__(self, test: PlacesTest, source: str, target: str, **options: Any) -> None:
        self.source, self.target = test.address(source), test.address(target)
        self.config = Path(test.file()).with_name("restow.toml")
        entries = {"name": "moving", "source": self.source, "target": self.target, **options}
        lines = [f"{name} = {json.dumps(value)}" for name, value in entries.items()]
        self.config.write_text("\n".join(["[migration]", *lines]) + "\n")

    def run(self, *arguments: str) -> list[dict[str, Any]]:
        """Runs `restow migrate`; gives what it says."""
        command = [program(), "--json", "migrate", *arguments, "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def start(self) -> None:
        self.run("start", "--confirm", "moving")

    def rollout(self, share: float) -> dict[str, Any]:
        """Moves so many per cent; tells where everything is then."""
        return self.run("rollout", str(share))[-1]

    def complete(self) -> None:
        """Ends it at the target, behind a backup."""
        backup = str(self.config.with_name("agent.backup"))
        create = [program(), "backup", "create", "--config", str(self.config), backup]
        subprocess.run(create, check=True, capture_output=True)
        self.run("complete", "--backup", backup, "--confirm", "moving")

    def status(self) -> dict[str, Any]:
        return self.run("status")[-1]

    def saver(self, **arguments: Any) -> Saver:
        return Saver.migration(self.config, **arguments)

    @contextmanager
    def movers(self, *shares: float) -> Iterator[list[int]]:
        """Moves threads to and fro from here on; gives how many, sweep by sweep."""
        moved: list[int] = []
        failed: list[BaseException] = []
        over = threading.Event()

        def move() -> None:
            try:
                for share in cycle(shares):
                    swept = self.run("rollout", str(share))[0]
                    moved.append(swept["moved"])
                    if over.is_set():
                        return
            except BaseException as error:
                failed.append(error)

        mover = threading.Thread(target=move)
        mover.start()
        try:
            yield moved
        finally:
            over.set()
            mover.join()
        if failed:
            raise failed[0]

"""Places for stores, each empty, and gone when the test is over."""

from __future__ import annotations

import os
import tempfile
import unittest
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

ON_FILES = ("parts+sqlite", "langgraph+sqlite")
ON_SERVERS = ("parts+postgres", "langgraph+postgres")
ON_TABLES = ("split+dynamodb",)
# The server of tests takes any credentials.
os.environ.setdefault("AWS_ACCESS_KEY_ID", "any")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "any")


def kinds() -> tuple[str, ...]:
    """Names every pair of layout and engine that is to be tested."""
    left_out = os.environ.get("RESTOW_TEST_WITHOUT", "").split(",")
    servers = () if "postgres" in left_out else ON_SERVERS
    return ON_FILES + servers + (() if "dynamodb" in left_out else ON_TABLES)


class PlacesTest(unittest.TestCase):
    """Gives tests places."""

    def file(self) -> Path:
        """Names a file that is not there yet."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return Path(folder.name) / "store"

    def database(self) -> str:
        """Makes a database; gives its address for libpq."""
        server = os.environ.get("RESTOW_TEST_POSTGRES")
        self.assertTrue(server, "RESTOW_TEST_POSTGRES names no server")
        name = f"restow_python_{uuid.uuid4().hex}"

        def execute(statement: str) -> None:
            with psycopg.connect(server, autocommit=True) as connection:
                connection.execute(statement)

        execute(f'CREATE DATABASE "{name}"')
        self.addCleanup(execute, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        return urlsplit(server)._replace(path=f"/{name}").geturl()

    def address(self, kind: str) -> str:
        """Gives the address of a store that is not there yet."""
        if kind in ON_FILES:
            return f"{kind}:{self.file()}"
        if kind in ON_TABLES:
            server = os.environ.get("RESTOW_TEST_DYNAMODB")
            self.assertTrue(server, "RESTOW_TEST_DYNAMODB names no server")
            return f"{kind}:restow-python-{uuid.uuid4().hex}?endpoint={server}"
        return f"{kind}:{self.database().partition(':')[2]}"

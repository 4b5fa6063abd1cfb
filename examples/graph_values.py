"""Values that a state can hold and that are easy to lose on the way to another store.

The classes live in a module of their own because a checkpoint embeds the module path of each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel


class Colour(Enum):
    """A plain enum."""

    RED = "red"
    BLUE = "blue"


class Level(str, Enum):
    """An enum that is also a str; a careless store gives back the str."""

    LOW = "low"
    HIGH = "high"


@dataclass
class Point:
    """The inner dataclass."""

    x: int
    y: float


@dataclass
class Shape:
    """A dataclass that holds dataclasses."""

    name: str
    points: list[Point] = field(default_factory=list)
    colour: Colour = Colour.RED


class Address(BaseModel):
    """The inner pydantic model."""

    street: str
    codes: list[int]


class Customer(BaseModel):
    """A pydantic model that holds a model and a type of its own."""

    name: str
    address: Address
    joined: datetime


def scalars() -> dict[str, Any]:
    """Gives numbers and texts at the edges of their types."""
    return {
        "floats": [math.nan, math.inf, -math.inf, -0.0, 0.1, 1e22, 5e-324, 1.0],
        "integers": [0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1],
        "texts": ["", "nul\x00inside", "\U0001f600 \U00020000", "e\u0301 \u00e9", "line\r\n\u2028"],
        "flags": [True, False, None],
    }


def maps() -> dict[str, Any]:
    """Gives maps whose keys are not text."""
    return {
        "by_integer": {1: "one", -2: "minus two", 2**40: "big"},
        "by_tuple": {(0, 1): "a", (2, 3): "b"},
        "mixed": {"1": "text key", 1: "integer key"},
        "deep": {"a": {"b": {"c": [{"d": {}}, [], [[]]]}}},
    }


def objects() -> dict[str, Any]:
    """Gives values of library types and of the classes in this module."""
    zone = timezone(timedelta(hours=5, minutes=30))
    return {
        "moments": [datetime(2024, 2, 29, 23, 59, 59, 999999, timezone.utc),
                    datetime(2024, 1, 1, 12, 0, tzinfo=zone), datetime(2024, 1, 1, 12, 0)],
        "day": date(2024, 2, 29),
        "span": timedelta(days=-1, microseconds=1),
        "amounts": [Decimal("1.10"), Decimal("1.1"), Decimal("-0"), Decimal("1E+30")],
        "uuid": UUID("12345678-1234-5678-1234-567812345678"),
        "enums": [Colour.BLUE, Level.HIGH],
        "frozen": frozenset({3, 1, 2}),
        "bytes": [b"", b"\x00\xff\x80", bytes(range(256))],
        "shape": Shape("triangle", [Point(0, 0.0), Point(2**40, -0.0), Point(-1, math.inf)]),
        "customer": Customer(
            name="Zo\u00eb",
            address=Address(street="Rue de l'\u00c9cole", codes=[1, 2]),
            joined=datetime(2023, 5, 6, tzinfo=timezone.utc),
        ),
    }


def tags() -> set[str]:
    """Gives a set of text; its order in bytes depends on PYTHONHASHSEED."""
    return {"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"}

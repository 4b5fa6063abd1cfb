"""Compares two values deeply: types count, NaN equals NaN, and -0.0 is not 0.0."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

Difference = tuple[str, Any, Any]


def differences(left: Any, right: Any, path: str = "") -> Iterator[Difference]:
    """Yields the path and both sides of everything that differs."""
    if type(left) is not type(right):
        yield path, f"{type(left).__name__} {left!r}", f"{type(right).__name__} {right!r}"
    elif isinstance(left, float):
        if not same_float(left, right):
            yield path, left, right
    elif isinstance(left, dict):
        yield from of_maps(left, right, path)
    elif isinstance(left, (list, tuple)):
        yield from of_sequences(left, right, path)
    elif isinstance(left, (set, frozenset)):
        yield from of_sequences(in_order(left), in_order(right), path)
    elif (inner := attributes(left)) is not None:
        yield from of_maps(inner, attributes(right) or {}, path)
    elif left != right or repr(left) != repr(right):
        yield path, left, right


def same_float(left: float, right: float) -> bool:
    """Says whether two floats are the same value with the same sign."""
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    return left == right and math.copysign(1, left) == math.copysign(1, right)


def of_maps(left: dict[Any, Any], right: dict[Any, Any], path: str) -> Iterator[Difference]:
    """Compares maps by key; a key also has a type, so 1 is not True."""
    left_typed = {(type(key), key): value for key, value in left.items()}
    right_typed = {(type(key), key): value for key, value in right.items()}
    for key, value in left_typed.items():
        inner = f"{path}[{key[1]!r}]"
        if key in right_typed:
            yield from differences(value, right_typed[key], inner)
        else:
            yield inner, value, "(missing)"
    for key in right_typed.keys() - left_typed.keys():
        yield f"{path}[{key[1]!r}]", "(missing)", right_typed[key]


def of_sequences(left: Any, right: Any, path: str) -> Iterator[Difference]:
    """Compares sequences by place."""
    if len(left) != len(right):
        yield f"{path}.length", len(left), len(right)
    for place, (one, other) in enumerate(zip(left, right)):
        yield from differences(one, other, f"{path}[{place}]")


def in_order(values: set[Any] | frozenset[Any]) -> list[Any]:
    """Gives the members of a set in an order that does not depend on hashes."""
    return sorted(values, key=lambda value: (type(value).__name__, repr(value)))


def attributes(value: Any) -> dict[str, Any] | None:
    """Gives what an object holds, or None when only `==` can tell."""
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if hasattr(type(value), "model_fields"):
        extra = getattr(value, "__pydantic_extra__", None)
        return {**value.__dict__, "(extra)": extra, "(set)": set(value.__pydantic_fields_set__)}
    if type(value).__module__.startswith("langgraph") and hasattr(type(value), "__slots__"):
        return {name: getattr(value, name, None) for name in type(value).__slots__}
    return None

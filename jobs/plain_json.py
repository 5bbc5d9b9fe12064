"""Frozen dataclasses as plain JSON and back: the one form in which they cross a process or reach a file."""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

T = TypeVar("T")


def to_json(value: object) -> Any:
    """Turn a spec object into plain JSON values.

    Args:
        value: a dataclass, or a plain value inside one.
    Returns:
        dicts, lists, strings, numbers, booleans and None.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return value


def from_json(kind: type[T], data: Any) -> T:
    """Rebuild a spec object from plain JSON values.

    Args:
        kind: the dataclass to build.
        data: what `to_json` gave.
    Returns:
        an equal object.
    Raises:
        ValueError: unknown or missing field.
    """
    return typing.cast(T, _build(kind, data, kind.__name__))


def dumps(value: object) -> str:
    """Canonical JSON text of a spec object: sorted keys, no NaN, no spaces."""
    return json.dumps(to_json(value), sort_keys=True, allow_nan=False, separators=(",", ":"), ensure_ascii=False)


def loads(kind: type[T], text: str) -> T:
    """Rebuild a spec object from `dumps` text."""
    return from_json(kind, json.loads(text))


def _build(kind: Any, data: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        inner = [option for option in typing.get_args(kind) if option is not type(None)]
        return None if data is None else _build(inner[0], data, where)
    if origin is tuple:
        return tuple(_build(typing.get_args(kind)[0], item, where) for item in data)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(data)
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, data, where)
    return float(data) if kind is float else data


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    # Evaluating annotations is slow, and a result holds many metrics.
    return typing.get_type_hints(kind)


def _build_dataclass(kind: Any, data: Any, where: str) -> Any:
    hints = _hints(kind)
    unknown = sorted(set(data) - set(hints))
    if unknown:
        raise ValueError(f"{where}: unknown fields {', '.join(unknown)}")
    values = {name: _build(hints[name], item, f"{where}.{name}") for name, item in data.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from error

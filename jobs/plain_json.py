"""Frozen dataclasses as plain JSON and back: the one form in which they cross a process or reach a file."""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Callable, Mapping
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
    if type(value) in _PLAIN:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: to_json(getattr(value, name)) for name in _names(type(value))}
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
    read = _reader(typing.cast(Any, kind))
    return typing.cast(T, data if read is None else read(data, kind.__name__))


def dumps(value: object) -> str:
    """Canonical JSON text of a spec object: sorted keys, no NaN, no spaces."""
    return _ENCODER.encode(to_json(value))


_ENCODER = json.JSONEncoder(sort_keys=True, allow_nan=False, separators=(",", ":"), ensure_ascii=False)


def loads(kind: type[T], text: str) -> T:
    """Rebuild a spec object from `dumps` text."""
    return from_json(kind, json.loads(text))


@functools.cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


_PLAIN = frozenset({str, int, float, bool, type(None)})
Reader = Callable[[Any, str], Any]
"""Turns plain JSON values, found at a place that errors name, into what a field holds."""


@functools.cache
def _reader(kind: Any) -> Reader | None:
    """How to read values of a declared type; None: as they are. Found once a type, because annotations are slow."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        inner = [option for option in typing.get_args(kind) if option is not type(None)]
        read = _reader(inner[0])
        return read and (lambda data, where: None if data is None else read(data, where))
    if origin is tuple:
        read_item = _reader(typing.get_args(kind)[0]) or (lambda item, where: item)
        return lambda data, where: tuple(read_item(item, where) for item in data)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return lambda data, where: kind(data)
    if dataclasses.is_dataclass(kind):
        return functools.partial(_build_dataclass, kind)
    return (lambda data, where: float(data)) if kind is float else None


@functools.cache
def _readers(kind: type) -> dict[str, Reader | None]:
    return {name: _reader(hint) for name, hint in typing.get_type_hints(kind).items()}


def _build_dataclass(kind: Any, data: Any, where: str) -> Any:
    readers = _readers(kind)
    unknown = sorted(set(data) - set(readers))
    if unknown:
        raise ValueError(f"{where}: unknown fields {', '.join(unknown)}")
    values = {
        name: item if (read := readers[name]) is None else read(item, f"{where}.{name}") for name, item in data.items()
    }
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from error

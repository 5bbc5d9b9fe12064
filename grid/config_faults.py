"""Faults that pydantic found, in the words of a person: path, value, rule, nearest legal name."""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from grid.suggest import nearest
from jobs.errors import Problem, one_line

_UNION_MEMBER = re.compile(r"constrained-\w+$|literal\[|\[key\]$")


def problems_of(model: type[BaseModel], error: ValidationError, prefix: str) -> list[Problem]:
    """Turn pydantic's errors into problems, one a key.

    Args:
        model: the model that refused.
        error: what it raised.
        prefix: dotted path of the refused value.

    Returns:
        one problem a key, in the order of the model's fields.
    """
    # A union reports one fault a member, all under one key: they become one sentence.
    grouped: dict[tuple[str | int, ...], list[ErrorDetails]] = {}
    for details in error.errors(include_url=False, include_context=True):
        grouped.setdefault(_key_path(details["loc"]), []).append(details)
    return [_problem(model, path, faults, prefix) for path, faults in grouped.items()]


def _key_path(location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Drop what pydantic appends for the members of a union and for mapping keys."""
    return tuple(part for part in location if not _UNION_MEMBER.match(str(part)))


def _problem(model: type[BaseModel], path: tuple[str | int, ...], faults: list[ErrorDetails], prefix: str) -> Problem:
    dotted = join_path(prefix, path)
    first = faults[0]
    if first["type"] == "extra_forbidden":
        return Problem(dotted, "unknown key", suggestion=nearest(str(path[-1]), _fields_at(model, path[:-1])))
    if first["type"] == "missing":
        return Problem(dotted, "is required", suggestion=_required_hint(dotted))
    rules = list(dict.fromkeys(_rule(fault) for fault in faults))
    value = first["input"]
    legal = [name for fault in faults for name in _legal_names(fault)]
    suggestion = nearest(value, legal) if isinstance(value, str) and legal else _hint(value)
    return Problem(dotted, f"must be {' or '.join(rules)}", show_value(dotted, value), suggestion)


def _fields_at(model: type[BaseModel], path: Iterable[str | int]) -> list[str]:
    current: Any = model
    for part in path:
        if part in current.model_fields:
            current = current.model_fields[part].annotation
            current = typing.get_args(current)[1] if typing.get_origin(current) is dict else current
            current = next((one for one in typing.get_args(current) if hasattr(one, "model_fields")), current)
        else:
            continue  # a name chosen by the person, such as a variant's
    return list(current.model_fields)


def _required_hint(dotted: str) -> str | None:
    return {
        "axes": "such as axes: {model: [bert-base-uncased], seed: [0]}",
        "name": "a short name for this grid",
        "dataset": "such as dataset: {source: builtin}",
        "dataset.source": "hub, files or builtin",
    }.get(dotted)


_RULES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of a sensible size",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "list_type": "a list",
    "none_required": "null",
    "finite_number": "a finite number",
}


def _rule(fault: ErrorDetails) -> str:
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        words = {"greater_than": ("above", "gt"), "greater_than_equal": ("at least", "ge")}
        words |= {"less_than": ("below", "lt"), "less_than_equal": ("at most", "le")}
        word, key = words[kind]
        return f"{word} {context[key]:g}"
    if kind in ("too_short", "string_too_short"):
        return f"at least {context['min_length']} {'items' if kind == 'too_short' else 'characters'} long"
    if kind in ("too_long", "string_too_long"):
        return f"at most {context['max_length']} {'items' if kind == 'too_long' else 'characters'} long"
    if kind == "string_pattern_mismatch":
        return "a plain name (letters, digits, . _ -; no leading . or -; a hub id is owner/name)"
    return _RULES.get(kind, fault["msg"])


def _legal_names(fault: ErrorDetails) -> list[str]:
    return re.findall(r"'([^']*)'", str(fault.get("ctx", {}).get("expected", "")))


def _hint(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true and false are no numbers or names: quote text"
    if isinstance(value, int | float):
        return None
    if isinstance(value, str) and _is_number(value):
        return "remove the quotes" if math.isfinite(float(value)) else "a finite one"
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_SECRET_NAME = re.compile(r"token|secret|passw|credential|api_?key", re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"hf_[A-Za-z0-9]{8,}|://[^/\s]*@|AKIA[0-9A-Z]{12,}|gh[pousr]_[A-Za-z0-9]{8,}|sk-[A-Za-z0-9]{8,}"
)


def show_value(path: str, value: Any) -> str | None:
    """Shorten a value for a message; None where it could be a secret."""
    text = (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else one_line(str(value), limit=60)
    )
    if _SECRET_NAME.search(path) or _SECRET_VALUE.search(str(value)):
        return None
    return text


def join_path(prefix: str, parts: Iterable[str | int]) -> str:
    """Write a path as people do: `axes.seed[2]`."""
    text = prefix
    for part in parts:
        text = f"{text}[{part}]" if isinstance(part, int) else f"{text}.{part}" if text else str(part)
    return text

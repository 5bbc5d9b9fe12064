"""Strict YAML: 1.2 values, every fault with its line, and nothing that grows, runs code or hides a value."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from grid.config_yaml import MAX_CHARACTERS, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E-4", 1e-4),
        ("5.", 5.0),
        ("010", 10),
        ("no", "no"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2001-01-01", "2001-01-01"),
        ("=", "="),
        ("true", True),
        ("~", None),
        ("'1e-4'", "1e-4"),
        ("[1, two]", [1, "two"]),
    ],
)
def test_values_follow_yaml_1_2(text: str, value: Any) -> None:
    parsed, problems = parse_yaml(f"key: {text}", "file")
    assert problems == []
    assert parsed == {"key": value}
    assert type(parsed["key"]) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "rule"),
    [
        ("a: 1\nb: 2\na: 3", 3, "duplicate key"),
        ("a:\n  b: 1\n  b: 2", 3, "duplicate key"),
        ("1: x", 1, "must be text"),
        ("[a]: x", 1, "must be text"),
        ('"\\e[2J": x', 1, "printable"),
        ("<<: {a: 1}", 1, "must be text"),
        ("a: &x 1", 1, "anchors"),
        ("a: !!python/object/apply:os.system [ls]", 1, "tags"),
        ("a: !include x", 1, "tags"),
        ("%YAML 1.1\n---\na: no", 2, "directives"),
        ("a: 1\n---\nb: 2", 2, "only one"),
        ("a: [1", 1, "not valid YAML"),
        ("a: 1\n\tb: 2", 2, "not valid YAML"),
    ],
)
def test_refused_with_its_line(text: str, line: int, rule: str) -> None:
    _, problems = parse_yaml(text, "my.yaml")
    assert [problem.path for problem in problems] == [f"my.yaml:{line}"]
    assert rule in problems[0].rule


def test_all_duplicates_are_named_and_the_first_value_stays() -> None:
    value, problems = parse_yaml("a: 1\na: 2\nb: {c: 3, c: 4}\n", "f")
    assert value == {"a": 1, "b": {"c": 3}}
    assert [problem.value for problem in problems] == ["a", "c"]


@pytest.mark.parametrize("text", ["a: " + "9" * 5000, "a: \x00", "a: '\ud800'"])
def test_unreadable_values_are_a_problem_not_a_crash(text: str) -> None:
    value, problems = parse_yaml(text, "f")
    assert value is None
    assert len(problems) == 1


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: &d [*c, *c]\ne: &e [*d, *d]\nf: [*e, *e]",
        "[" * 100_000,
        "{a: " * 50_000,
        "x" * 50_000_000,
    ],
    ids=["aliases", "lists", "mappings", "size"],
)
def test_attacks_are_refused_fast(text: str) -> None:
    start = time.monotonic()
    value, problems = parse_yaml(text, "f")
    assert value is None
    assert problems
    assert time.monotonic() - start < 2.0


def test_size_limit_is_where_it_says() -> None:
    assert parse_yaml("#" * MAX_CHARACTERS, "f") == (None, [])
    assert "larger than" in parse_yaml("#" * (MAX_CHARACTERS + 1), "f")[1][0].rule


_PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Co"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), inner),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(_PLAIN)
def test_plain_values_survive_a_round_trip(value: Any) -> None:
    import io

    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump({"key": value}, stream)
    parsed, problems = parse_yaml(stream.getvalue(), "f")
    assert problems == []
    assert parsed == {"key": value}

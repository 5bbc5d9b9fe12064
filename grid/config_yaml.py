"""YAML as strict as a config needs: one document of plain values, or a list of everything that is wrong.

YAML 1.2 rules (`1e-4` is a number, `no` and `1:30` are text, `010` is ten). Refused, because they
hide faults or attack the reader: duplicate keys, anchors and aliases, merge keys, tags, directives, several
documents, keys that are not text, deep nesting, large files.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    NodeEvent,
)
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from jobs.errors import Problem, one_line

MAX_CHARACTERS = 256 * 1024
"""A config of 40 axes is below 10,000; ruamel reads about 100,000 characters a second."""

MAX_DEPTH = 12
_MAX_PROBLEMS = 20
_TAG = "tag:yaml.org,2002:"


def parse_yaml(text: str, where: str) -> tuple[Any, list[Problem]]:
    """Read one YAML document of mappings, lists and plain values.

    Args:
        text: the document.
        where: its file name or option, for messages.

    Returns:
        the value (None when it could not be read at all) and every fault found; of a duplicate key the first
        value stays.
    """
    if len(text) > MAX_CHARACTERS:
        return None, [Problem(where, f"larger than {MAX_CHARACTERS:,} characters: this is no configuration")]
    try:
        problems = _check_events(text, where)
        if problems:
            return None, problems
        node = _reader().compose(text)
        return (None, []) if node is None else _build(node, where)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        return None, [Problem(f"{where}{line}", f"not valid YAML: {one_line(str(error.problem or error.context))}")]
    except (YAMLError, ValueError, RecursionError) as error:
        return None, [Problem(where, f"not valid YAML: {one_line(str(error), limit=200)}")]


def _reader() -> YAML:
    return YAML(typ="safe", pure=True)


def _check_events(text: str, where: str) -> list[Problem]:
    """Find what must not even be composed: aliases can grow without bound, depth exhausts the stack."""
    problems: list[Problem] = []
    depth = documents = 0
    for event in _reader().parse(text):
        place = f"{where}:{event.start_mark.line + 1}"
        if isinstance(event, DocumentStartEvent):
            documents += 1
            if documents > 1:
                problems.append(Problem(place, "only one YAML document is allowed", suggestion="remove the `---` line"))
            if event.version or event.tags:
                problems.append(Problem(place, "YAML directives are not allowed", suggestion="remove the % line"))
        if isinstance(event, NodeEvent):
            problems += _check_node_event(event, place)
        depth += isinstance(event, CollectionStartEvent)
        depth -= isinstance(event, CollectionEndEvent)
        if depth > MAX_DEPTH:
            return [*problems, Problem(place, f"nested deeper than {MAX_DEPTH} levels")]
        if len(problems) >= _MAX_PROBLEMS:
            break
    return problems


def _check_node_event(event: NodeEvent, place: str) -> list[Problem]:
    if isinstance(event, AliasEvent) or event.anchor is not None:
        return [Problem(place, "YAML anchors and aliases (& and *) are not allowed", suggestion="write the value out")]
    tag = getattr(event, "tag", None)
    if tag is not None:
        return [Problem(place, "YAML tags (!) are not allowed", one_line(str(tag), limit=60), "quote the text")]
    return []


def _build(root: Node, where: str) -> tuple[Any, list[Problem]]:
    problems: list[Problem] = []
    constructor = _reader().constructor

    def build(node: Node) -> Any:
        if isinstance(node, MappingNode):
            return build_mapping(node)
        if isinstance(node, SequenceNode):
            return [build(item) for item in node.value]
        if node.tag in (f"{_TAG}int", f"{_TAG}float", f"{_TAG}bool", f"{_TAG}null"):
            return constructor.construct_object(node)
        return node.value  # text; dates and `=` stay text as well, as in the YAML 1.2 core schema

    def build_mapping(node: MappingNode) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = f"{where}:{key_node.start_mark.line + 1}"
            key = key_node.value
            if key_node.tag != f"{_TAG}str":
                shown = one_line(str(key), limit=40) if isinstance(key_node, ScalarNode) else None
                problems.append(Problem(place, "a key must be text", shown, "quote it"))
                continue
            if not key.isprintable():
                problems.append(Problem(place, "a key must be printable text", one_line(key, limit=40)))
                continue
            value = build(value_node)
            if key in result:
                problems.append(Problem(place, "duplicate key", one_line(str(key), limit=60), "remove one of the two"))
                continue
            result[key] = value
        return result

    return build(root), problems

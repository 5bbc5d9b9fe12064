"""F48: errors with escape sequences and lines of their own: one event is one line, and no terminal obeys."""

from __future__ import annotations

import json

import pytest

from tests.fakes.leaky_trial import FORGED
from tests.faults.conftest import MakeToy
from tests.faults.harness import Finished

pytestmark = pytest.mark.faults
OBEYED = "\x1b\x07\x9b\r\u2028\x00"


def harmless(finished: Finished) -> bool:
    return not set(OBEYED) & set(finished.stdout + finished.stderr)


def test_f48_what_a_trial_raises_is_shown_and_not_obeyed(make_toy: MakeToy) -> None:
    toy = make_toy(scripts=("forge", "done"), seeds=(0,))
    grid = toy.elsewhere(toy.folder, trial_module="tests.fakes.leaky_trial")
    ran = grid.run()
    assert ran.returncode == 1 and harmless(ran), repr(ran.stderr)
    assert not any(line.startswith("9 done") for line in (ran.stdout + ran.stderr).splitlines())
    for command in (("status",), ("logs", "forge"), ("doctor",)):
        said = grid.command(*command, str(grid.folder))
        assert harmless(said), (command, repr(said.stdout))
    for path in grid.layout.logs.glob("*.jsonl"):
        content = path.read_text("ascii")  # JSON of plain ASCII: nothing in it can be a line of its own
        events = [json.loads(line) for line in content.splitlines()]
        assert all(event["event"] != "cell_finished" or event["cell_id"] for event in events)
    assert FORGED[:8] in grid.command("logs", "forge", str(grid.folder)).stdout, "the words themselves are told"

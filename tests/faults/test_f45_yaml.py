"""F45: YAML that executes, grows without bound or is enormous: refused within a second and 100 MB."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.harness import ROOT

pytestmark = pytest.mark.faults
LEVELS = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" if n else "a0: &a0 [x, x]" for n in range(10))
ATTACKS = {
    "python": "name: !!python/object/apply:os.mkdir [MARK]\n",
    "aliases": LEVELS,
    "deep": "a: " + "[" * 50_000,
    "large": "name: x\n" + "# filler\n" * 6_000_000,
    "long": "name: " + "x" * 50_000_000,
    "merge": "a: &a {b: 1}\nc: {<<: *a}\n",
}
MEASURE = """
import resource, sys, time
from grid.config import load_config
from jobs.errors import ConfigError
kib, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
try:
    load_config(sys.argv[1])
    print("accepted")
except ConfigError as error:
    seconds = time.process_time() - began
    print("refused", seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - kib) // 1024)
"""


@pytest.mark.parametrize("name", ATTACKS)
def test_f45_refused_fast_and_small(tmp_path: Path, name: str) -> None:
    mark = tmp_path / "executed"
    config = tmp_path / "attack.yaml"
    config.write_text(ATTACKS[name].replace("MARK", str(mark)), encoding="utf-8")
    said = subprocess.run(
        [sys.executable, "-c", MEASURE, str(config)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    ).stdout.split()
    assert said[0] == "refused"
    assert float(said[1]) < 1.0 and int(said[2]) < 100, said
    assert not mark.exists()

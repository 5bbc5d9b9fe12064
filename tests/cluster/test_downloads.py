"""Workers of one machine share what they fetch: two that start together make one download of a file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.fakes.hub import FakeHub

WORKER = """
import sys
from huggingface_hub import hf_hub_download
print(len(open(hf_hub_download(sys.argv[1], "model.safetensors", revision=sys.argv[2]), "rb").read()))
"""


def test_two_workers_of_a_machine_download_a_file_once(tmp_path: Path) -> None:
    """As transformers does when a trial loads its base; held back, so that the downloads would overlap."""
    content = os.urandom(1 << 20)
    with FakeHub() as hub:
        commit = hub.add_repo("model", "owner/base", {"model.safetensors": content})
        hub.delay_s = 0.4
        environment = {**os.environ, **hub.environment(tmp_path / "huggingface")}
        command = [sys.executable, "-c", WORKER, "owner/base", commit]
        workers = [
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        said = [worker.communicate(timeout=60) for worker in workers]
        fetched = [seen for seen in hub.requests if seen.method == "GET" and seen.path.endswith("model.safetensors")]
    assert [out.strip() for out, _ in said] == [str(len(content))] * 2, said
    assert len(fetched) == 1

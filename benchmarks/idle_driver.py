"""`python -m grid.run` with the trial that trains nothing, and a record of its time, memory and processor use.

python idle_driver.py RECORD.json CONFIG [options of grid.run]

Nothing of the product is replaced but the trial module; two of its functions are called through a stop-watch.
"""

from __future__ import annotations

import functools
import json
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

SAMPLE_EVERY_S = 0.25


class Watch:
    """What happened when, in seconds since this process started."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._process = psutil.Process()
        self.record: dict[str, Any] = {"samples": []}

    def now_s(self) -> float:
        """Seconds since the kernel started this process."""
        return time.time() - float(self._process.create_time())

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its start and end in the record."""

        def call(*arguments: Any, **options: Any) -> Any:
            began_s = self.now_s()
            try:
                return function(*arguments, **options)
            finally:
                self.record[name] = [began_s, self.now_s()]

        return call

    def sampled_work(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """`grid.passes.work`, with samples of finished cells and memory meanwhile."""

        def call(runner: Any, recorder: Any, *arguments: Any, **options: Any) -> Any:
            is_over = threading.Event()
            sampler = threading.Thread(target=self._sample, args=(recorder.queue, is_over), daemon=True)
            before_s = _cpu_s(self._process)
            sampler.start()
            try:
                return work(runner, recorder, *arguments, **options)
            finally:
                is_over.set()
                sampler.join()
                self.record["driver_cpu_s"] = _cpu_s(self._process) - before_s
                self.record["children_cpu_s"] = self._children_cpu_s()

        return call

    def _sample(self, queue: Any, is_over: threading.Event) -> None:
        is_last = False
        while True:
            memory = self._process.memory_info().rss
            self.record["samples"].append([self.now_s(), queue.num_finished, memory, _cpu_s(self._process)])
            if is_last:
                return
            is_last = is_over.wait(SAMPLE_EVERY_S)

    def _children_cpu_s(self) -> dict[str, float]:
        """Processor time of Ray's processes, by name: our workers are called ray::PackTrainable."""
        spent: dict[str, float] = {}
        for child in self._process.children(recursive=True):
            with suppress(psutil.Error):
                name = child.name().partition(".")[0]
                spent[name] = spent.get(name, 0.0) + _cpu_s(child)
        return spent


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    """Run, and leave the record whatever the exit code."""
    watch = Watch()
    out, arguments = Path(sys.argv[1]), sys.argv[2:]
    import grid.run
    from grid.cli import main as finegrid

    run: Any = grid.run
    run.run = functools.partial(run.run, trial_module="idle_trial")
    run.work = watch.timed("work", watch.sampled_work(run.work))
    run.finish_pictures = watch.timed("pictures", run.finish_pictures)
    try:
        finegrid(["run", *arguments])
    finally:
        watch.record["end"] = watch.now_s()
        watch.record["ray_imported"] = "ray" in sys.modules
        out.write_text(json.dumps(watch.record), "utf-8")


if __name__ == "__main__":
    main()

"""Fixtures shared by all tests: a cache that outlives a test run's folders, and the tiny members in it."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from jobs.work_messages import AskedCell

# Tiny models gain nothing from threads, and threads that wait for busy cores cost a hundredfold.
os.environ["OMP_NUM_THREADS"] = "1"
# Plans measure this machine for some seconds; tests of that say so themselves.
os.environ.setdefault("FINEGRID_GAUGE_S", "0")
# Started in the background or by nohup, the tests would hand ignored signals on to what they start, and wait in vain.
for _number, _default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _default)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep captured text in characters that may travel between the processes of a run: paths can be any bytes."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """FineGrid's cache: the user's own when named, so that tiny members are built once, else a fresh one.

    Processes that share the tests share it: whoever wants a member waits for the one who builds it.
    """
    named = os.environ.get("FINEGRID_CACHE")
    if named:
        yield Path(named)
    elif "PYTEST_XDIST_WORKER" in os.environ:
        shared = tmp_path_factory.getbasetemp().parent / "cache"
        shared.mkdir(exist_ok=True)
        yield shared
    else:
        yield tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def explained(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, AskedCell]:
    """Finished cells by name, in one results folder that nobody changes."""
    from tests.fakes.finished_cells import finished_cells  # trains: torch is imported for those who ask

    return finished_cells(tmp_path_factory.mktemp("explained"), cache)


@pytest.fixture(scope="session")
def s3_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real S3 server on loopback, with one bucket."""
    from tests.object_store import s3_server

    with s3_server(tmp_path_factory.mktemp("s3") / "log") as address:
        yield address

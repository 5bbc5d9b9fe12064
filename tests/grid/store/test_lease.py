"""Leases: one holder, judged by the observer's own clock, fenced once somebody else has taken over."""

import json
import os
import threading
from dataclasses import asdict

import pytest

from grid.store import lease as module
from grid.store.lease import Lease, Timing, read_lease
from grid.store.lock import Holder
from jobs.errors import EnvironmentProblem, StoreBusy, UserError

ELSEWHERE = {"host": "elsewhere", "pid": 7, "boot_id": "b", "start_tick": 1, "started_at": "2026-01-01T00:00:00+00:00"}
TIMING = Timing(stale_after_s=90.0)


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        self.on_sleep = lambda: None
        monkeypatch.setattr(module.time, "sleep", self.sleep)

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.on_sleep()


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "lease"


@pytest.fixture
def make(folder, clock):
    made = []

    def make(timing=TIMING):
        made.append(Lease(folder, timing=timing, clock=clock))
        return made[-1]

    yield make
    for lease in made:
        lease.release()


def plant(folder, token, *, beat=1, released=False, holder=ELSEWHERE):
    folder.mkdir(exist_ok=True)
    (folder / str(token)).write_text(json.dumps({"holder": holder, "beat": beat, "released": released}))


def test_the_first_token_is_1_and_the_next_higher(make, folder):
    for token in (1, 2, 3):
        lease = make()
        assert lease.acquire() == token == lease.token
        assert read_lease(folder).holder == Holder.this_process() or read_lease(folder).holder.is_here()
        lease.release()
        assert read_lease(folder).released and lease.token is None
    assert [path.name for path in folder.iterdir()] == ["3"]


def test_a_living_holder_of_this_machine_is_named_at_once(make, clock):
    make().acquire()
    began = clock.now
    with pytest.raises(StoreBusy, match=r"in use by process \d+ on"):
        make().acquire()
    assert clock.now == began


def test_a_dead_holder_of_this_machine_is_followed_at_once(make, folder, clock):
    plant(folder, 5, holder=asdict(Holder.this_process()) | {"start_tick": 1})
    began = clock.now
    assert make().acquire() == 6
    assert clock.now == began


def test_another_host_is_refused_as_soon_as_it_shows_life(make, folder, clock):
    plant(folder, 5)
    clock.on_sleep = lambda: plant(folder, 5, beat=2) if clock.now > 1009 else None
    with pytest.raises(StoreBusy, match=r"process 7 on elsewhere.*renewed its lease just now"):
        make().acquire()
    assert clock.now < 1011


def test_a_silent_host_is_waited_for_then_followed(make, folder, clock, caplog):
    plant(folder, 5)
    assert make().acquire() == 6
    assert 1090 < clock.now < 1093
    assert "held by process 7 on elsewhere" in caplog.text and "waiting up to 90 s" in caplog.text


def test_a_file_without_content_is_a_holder_that_has_just_begun(make, folder, clock):
    folder.mkdir()
    (folder / "5").touch()
    clock.on_sleep = lambda: plant(folder, 5)
    with pytest.raises(StoreBusy):
        make().acquire()


def test_of_two_that_see_a_stale_lease_one_gets_it(make, folder, clock, monkeypatch):
    plant(folder, 5, released=True)
    real_open = os.open

    def other_was_quicker(path, flags, *mode):
        if flags & os.O_EXCL and not (folder / "6").exists():
            plant(folder, 6, holder=asdict(Holder.this_process()))
        return real_open(path, flags, *mode)

    monkeypatch.setattr(os, "open", other_was_quicker)
    with pytest.raises(StoreBusy):
        make().acquire()
    assert sorted(path.name for path in folder.iterdir()) == ["5", "6"]


def test_a_holder_that_was_taken_over_is_told_by_whom_and_never_writes_its_file_again(make, folder):
    lease = make()
    lease.acquire()
    lease.check()
    plant(folder, 2)
    (folder / "1").unlink()
    with pytest.raises(StoreBusy, match=r"was taken over by process 7 on elsewhere"):
        lease.check()
    lease.release()
    assert [path.name for path in folder.iterdir()] == ["2"]
    assert not read_lease(folder).released


def test_a_holder_that_could_not_renew_for_long_does_so_before_it_writes(make, folder, clock):
    lease = make()
    lease.acquire()
    beat = read_lease(folder).beat
    clock.now += 44
    lease.check()
    assert read_lease(folder).beat == beat
    clock.now += 2
    lease.check()
    assert read_lease(folder).beat == beat + 1


def test_a_folder_that_vanished_stops_the_writer(make, folder):
    lease = make()
    lease.acquire()
    (folder / "1").unlink()
    folder.rmdir()
    with pytest.raises(EnvironmentProblem, match="lease"):
        lease.check()
    folder.mkdir()


def test_a_thread_renews_the_lease_until_it_is_released(folder):
    lease = Lease(folder, timing=Timing(stale_after_s=0.09))
    lease.acquire()
    beat = read_lease(folder).beat
    waited = threading.Event()
    while read_lease(folder) is None or read_lease(folder).beat < beat + 3:
        waited.wait(0.01)
    lease.release()
    assert not any(thread.name == "finegrid-lease" for thread in threading.enumerate())


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"holder": {}, "beat": 1, "released": false}'])
def test_what_cannot_be_read_is_no_record(folder, text):
    folder.mkdir()
    (folder / "1").write_text(text)
    assert read_lease(folder) is None
    assert read_lease(folder / "none") is None


def test_the_waiting_time_comes_from_the_environment(monkeypatch):
    assert Timing.usual().stale_after_s == 90.0
    monkeypatch.setenv("FINEGRID_LEASE_S", "9")
    assert (Timing.usual().stale_after_s, Timing.usual().beat_s, Timing.usual().fence_s) == (9.0, 1.0, 4.5)
    for text in ("nine", "0", "-1", "inf", "nan"):
        monkeypatch.setenv("FINEGRID_LEASE_S", text)
        with pytest.raises(UserError, match="FINEGRID_LEASE_S"):
            Timing.usual()


def test_without_a_lease_there_is_nothing_to_check_or_release(make):
    lease = make()
    lease.check()
    lease.release()

"""Starting a private Ray on this machine, or joining the cluster that RAY_ADDRESS names."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import TracebackType

import psutil
import ray
from ray._private import services
from ray._private.utils import read_ray_address

from grid.deadlines import CLUSTER_SILENCE, LEAVE_RAY
from grid.devices import Devices, cluster_capacity, ray_devices
from grid.processes import ProcessName
from grid.signals import leave_now
from grid.tune_runner.cluster_end import how_to_end
from grid.tune_runner.environment import ADDRESS_VARIABLE
from grid.tune_runner.machines import declared_machines, wait_for_machines
from grid.tune_runner.private_ray import PrivateRay
from grid.tune_runner.process_record import FILE_NAME, end_recorded
from grid.tune_runner.ray_log import RayLog
from grid.tune_runner.watchdog import Pulse, RayLost, Watchdog
from jobs.errors import EnvironmentProblem

_ANSWER_TIMEOUT_S = 10.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class RayConnection:
    """The Ray that trials run on, for as long as the context lasts."""

    def __init__(self, local: Devices, logs: Path, *, on_stuck: Callable[[str], None] = leave_now) -> None:
        """Remember what a private Ray may use.

        Args:
            local: devices of this machine.
            logs: folder for `ray.log`, where Ray's own warnings go, and for the names of a private Ray's processes.
            on_stuck: ends this process; called in another thread when Ray is lost and the main thread does not come
                out of it.
        """
        self._local = local
        self._logs = logs
        self._on_stuck = on_stuck
        self._log = RayLog(logs)
        self._private: PrivateRay | None = None
        self._pulse: Pulse | None = None
        self._dashboard = ""
        """Address of the cluster's own pages; empty: it has none."""
        self.watchdog: Watchdog | None = None
        """Between `__enter__` and `__exit__`: knows whether Ray is lost."""
        self.is_private = not os.environ.get(ADDRESS_VARIABLE)

    @property
    def can_grow(self) -> bool:
        """True on a cluster that starts machines by itself."""
        return not self.is_private and _bootstrap().is_file()

    def check(self) -> None:
        """Refuse, before anything is created, what `__enter__` would refuse.

        Raises:
            EnvironmentProblem: a cluster runs here and nobody said whether to use it, or nobody answers at
                the address that was named.
        """
        if self.is_private:
            refuse_beside_cluster()
        else:
            check_answers(os.environ[ADDRESS_VARIABLE])

    def __enter__(self) -> RayConnection:
        """Start or join; must be called in the main thread.

        Raises:
            EnvironmentProblem: a cluster runs here and nobody said whether to use it, or Ray does not start.
        Side effects:
            ends processes that a killed run of this store left on this machine.
        """
        self.check()
        self._log.open()
        try:
            with _SignalsKept():
                self._connect()
            self._log.silence_console()
        except (ConnectionError, OSError, RuntimeError, ValueError, EnvironmentProblem) as error:
            self.__exit__(None, None, None)
            where = "a local Ray" if self.is_private else f"{ADDRESS_VARIABLE}={os.environ[ADDRESS_VARIABLE]}"
            raise EnvironmentProblem(
                f"Ray: cannot use {where} ({error}). See {self._logs / 'ray.log'}; --local runs without Ray."
            ) from error
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect; a private Ray ends and its files are removed."""
        if self._pulse is not None:
            self._pulse.stop()
        if self.watchdog is not None:
            self.watchdog.__exit__(kind, error, trace)
        _disconnect()
        if self._private is not None:
            self._private.end()
        self._log.close()

    def describe(self) -> str:
        """One line for people: which Ray this is."""
        devices = self.devices()
        shape = f"{devices.cpus} CPUs, {devices.gpus} GPUs"
        if self.is_private:
            return f"Ray: a private one on this machine ({shape})"
        dashboard = f", dashboard http://{self._dashboard}" if self._dashboard else ""
        return f"Ray: the cluster at {ADDRESS_VARIABLE}={os.environ[ADDRESS_VARIABLE]} ({shape}{dashboard})"

    def farewell(self) -> str:
        """What remains to be done by hand after a run: to end a cluster that `ray up` started."""
        return how_to_end(_read_yaml(_bootstrap())) if self.can_grow else ""

    def devices(self) -> Devices:
        """What packs can be given: of a cluster that grows by itself, what it can grow to.

        Raises:
            EnvironmentProblem: Ray is lost.
        """
        if self.is_private:
            return self._local
        with self._guarded():
            present = ray_devices(node["Resources"] for node in ray.nodes() if node["Alive"])
        if not self.can_grow:
            return present
        possible = cluster_capacity(_read_yaml(_bootstrap()))
        return possible if (possible.gpus, possible.cpus) > (present.gpus, present.cpus) else present

    def _connect(self) -> None:
        if self.is_private:
            end_recorded(self._logs / FILE_NAME)
            self._private = PrivateRay(self._local, self._logs / FILE_NAME)
            address = self._private.wait()
        else:
            address = os.environ[ADDRESS_VARIABLE]
        context = ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
        self._dashboard = str(context.dashboard_url or "")
        if not self.is_private:
            wait_for_machines(declared_machines())
        control = ray._private.worker.global_worker.gcs_client
        self._pulse = Pulse(
            lambda: control.internal_kv_exists(b"finegrid", b"finegrid", timeout=_ANSWER_TIMEOUT_S),
            name="control service (GCS)",
            deadline_s=CLUSTER_SILENCE.seconds,
        )
        own_server = self._private.loss if self._private is not None else raylet_probe()
        self.watchdog = Watchdog((own_server, self._pulse.loss), on_stuck=self._on_stuck).__enter__()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            with self.watchdog.inside_ray() if self.watchdog is not None else nullcontext():
                yield
        except RayLost as loss:
            raise EnvironmentProblem(f"Ray is lost: {loss}.") from None


def _disconnect() -> None:
    """Leave Ray; one that is lost may keep the caller waiting, and is left behind."""
    thread = threading.Thread(target=ray.shutdown, name="ray-shutdown", daemon=True)
    thread.start()
    thread.join(LEAVE_RAY.seconds)


def raylet_probe() -> Callable[[], str | None]:
    """A probe for the raylet of this machine, through which a driver speaks with its cluster."""
    socket_name = ray._private.worker._global_node.raylet_socket_name
    found = _raylet(socket_name)

    def probe() -> str | None:
        if found is None or found.is_alive():
            return None
        return f"the raylet of this machine (process {found.pid}) ended"

    return probe


def _raylet(socket_name: str) -> ProcessName | None:
    """The raylet behind a socket; None when it lives where this process cannot see it."""
    for process in psutil.process_iter(["name", "cmdline"]):
        arguments = process.info["cmdline"] or ()
        if process.info["name"] == "raylet" and any(socket_name in argument for argument in arguments):
            return ProcessName.of(process.pid)
    return None


def refuse_beside_cluster() -> None:
    """Stop when a cluster made by `ray start` or `ray up` runs on this machine.

    A private Ray beside it would take the head's cores and leave the cluster idle: hardly what was meant.

    Raises:
        EnvironmentProblem: there is one, with both ways out.
    """
    address = read_ray_address()
    if address and address in services.find_gcs_addresses():
        raise EnvironmentProblem(
            f"A Ray cluster runs on this machine ({address}) and {ADDRESS_VARIABLE} is not set. "
            f"Set {ADDRESS_VARIABLE}=auto to run on the cluster, or give --local to run in this process alone."
        )


def check_answers(address: str) -> None:
    """Make sure that somebody listens: Ray itself would try for minutes.

    Args:
        address: value of RAY_ADDRESS; only HOST:PORT is looked at, Ray finds `auto` by itself.
    Raises:
        EnvironmentProblem: nobody does.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or "/" in address:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise EnvironmentProblem(
            f"Ray: nobody answers at {ADDRESS_VARIABLE}={address} ({error}). Start the cluster, correct the variable, "
            "or unset it to use a Ray on this machine."
        ) from error


class _SignalsKept:
    """Keeps our signal handlers through ray.init, which replaces one of them.

    SIGHUP is ignored meanwhile: Ray's processes inherit that, and a closed terminal then ends the run
    in order instead of tearing Ray down under it.
    """

    def __enter__(self) -> None:
        self._is_main = threading.current_thread() is threading.main_thread()
        if self._is_main:
            self._kept = {number: signal.getsignal(number) for number in _SIGNALS}
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_main:
            for number, handler in self._kept.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _bootstrap() -> Path:
    """What `ray up` leaves on a head: the cluster file."""
    return Path.home() / "ray_bootstrap_config.yaml"


def _read_yaml(path: Path) -> dict[str, object]:
    from ruamel.yaml import YAML

    return dict(YAML(typ="safe").load(path.read_text("utf-8")) or {})

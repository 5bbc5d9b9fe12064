"""Starting a private Ray on this machine, or joining the cluster that RAY_ADDRESS names."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import threading
from contextlib import redirect_stdout
from io import TextIOBase, TextIOWrapper
from pathlib import Path
from types import TracebackType

import ray
from ray._private import services
from ray._private.utils import read_ray_address

from grid.devices import Devices, cluster_capacity, ray_devices
from grid.tune_runner.environment import ADDRESS_VARIABLE
from grid.tune_runner.temporary import temporary_folder
from jobs.errors import EnvironmentProblem

_OBJECT_STORE_BYTES = 80 * 2**20
"""Nothing large travels through Ray: packs and events are short JSON."""
_ANSWER_TIMEOUT_S = 10.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class RayConnection:
    """The Ray that trials run on, for as long as the context lasts."""

    def __init__(self, local: Devices, logs: Path) -> None:
        """Remember what a private Ray may use.

        Args:
            local: devices of this machine.
            logs: folder for `ray.log`, where Ray's own warnings go.
        """
        self._local = local
        self._logs = logs
        self._temporary: Path | None = None
        self._log = RayLog(logs)
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
        """Start or join.

        Raises:
            EnvironmentProblem: a cluster runs here and nobody said whether to use it, or Ray does not start.
        """
        self.check()
        self._log.open()
        try:
            with _SignalsKept():
                self._connect()
            self._log.silence_console()
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            self.__exit__(None, None, None)
            where = "a local Ray" if self.is_private else f"{ADDRESS_VARIABLE}={os.environ[ADDRESS_VARIABLE]}"
            raise EnvironmentProblem(
                f"Ray: cannot use {where} ({error}). See {self._logs / 'ray.log'}; --local runs without Ray."
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect; a private Ray ends and its files are removed."""
        ray.shutdown()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
        self._log.close()

    def describe(self) -> str:
        """One line for people: which Ray this is."""
        devices = self.devices()
        shape = f"{devices.cpus} CPUs, {devices.gpus} GPUs"
        if self.is_private:
            return f"Ray: a private one on this machine ({shape})"
        return f"Ray: the cluster at {ADDRESS_VARIABLE}={os.environ[ADDRESS_VARIABLE]} ({shape})"

    def devices(self) -> Devices:
        """What packs can be given: of a cluster that grows by itself, what it can grow to."""
        if self.is_private:
            return self._local
        present = ray_devices(ray.cluster_resources(), nodes=len(ray.nodes()))
        if not self.can_grow:
            return present
        possible = cluster_capacity(_read_yaml(_bootstrap()))
        return possible if (possible.gpus, possible.cpus) > (present.gpus, present.cpus) else present

    def _connect(self) -> None:
        quiet = {"log_to_driver": False, "logging_level": logging.WARNING}
        if not self.is_private:
            ray.init(address=os.environ[ADDRESS_VARIABLE], **quiet)
            return
        self._temporary = temporary_folder()
        ray.init(
            address="local",
            num_cpus=self._local.cpus,
            num_gpus=self._local.gpus,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            _temp_dir=str(self._temporary),
            **quiet,
        )


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


class _LateFile(logging.FileHandler):
    """Makes file and folder with the first line only: a run that is refused leaves nothing behind."""

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()


class _LogStream(TextIOBase):
    """Writes lines to a logger."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def write(self, text: str) -> int:
        for line in text.splitlines():
            if line.strip():
                self._logger.warning("%s", line.rstrip())
        return len(text)


class RayLog:
    """Ray's own warnings go to a file; the console belongs to the progress view, standard output to results.

    Ray prints what raylets report (a worker died) to standard output, from a thread of its own.
    """

    def __init__(self, folder: Path) -> None:
        """Remember the folder."""
        self._folder = folder
        self._logger = logging.getLogger("ray")
        self._file: logging.Handler | None = None
        self._silenced: list[logging.Handler] = []
        self._redirected = redirect_stdout(_LogStream(self._logger))

    def open(self) -> None:
        """Begin to write; the file is made with the first line."""
        self._logger.setLevel(logging.WARNING)
        # It misses the result files of every trial, which we told Tune not to write.
        logging.getLogger("ray.tune.analysis").setLevel(logging.ERROR)
        self.silence_console()
        self._file = _LateFile(self._folder / "ray.log", encoding="utf-8", delay=True)
        self._file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        self._file.setLevel(logging.WARNING)
        self._logger.addHandler(self._file)
        self._redirected.__enter__()

    def silence_console(self) -> None:
        """Take out the handler that Ray writes to standard error with."""
        consoles = [item for item in self._logger.handlers if isinstance(item, logging.StreamHandler)]
        for handler in consoles:
            if not isinstance(handler, logging.FileHandler):
                self._logger.removeHandler(handler)
                self._silenced.append(handler)

    def close(self) -> None:
        """Leave streams and handlers as they were."""
        self._redirected.__exit__(None, None, None)
        for handler in self._silenced:
            self._logger.addHandler(handler)
        if self._file is not None:
            self._logger.removeHandler(self._file)
            self._file.close()


def _bootstrap() -> Path:
    """What `ray up` leaves on a head: the cluster file."""
    return Path.home() / "ray_bootstrap_config.yaml"


def _read_yaml(path: Path) -> dict[str, object]:
    from ruamel.yaml import YAML

    return dict(YAML(typ="safe").load(path.read_text("utf-8")) or {})

"""The way from the driver to running trials: a tiny named actor that holds commands until they are fetched."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import ray

from jobs.spec import Command, dumps, loads

NAMESPACE = "finegrid"
_FETCH_TIMEOUT_S = 10.0


class _Box:
    """Commands by pack, as JSON."""

    def __init__(self) -> None:
        self._commands: defaultdict[str, list[str]] = defaultdict(list)

    def put(self, pack_id: str, command: str) -> None:
        self._commands[pack_id].append(command)

    def take(self, pack_id: str) -> list[str]:
        return self._commands.pop(pack_id, [])


class Mailbox:
    """The driver's end."""

    def __init__(self) -> None:
        """Start the actor; does not wait for it."""
        self.name = f"mailbox-{uuid.uuid4().hex}"
        actor = ray.remote(num_cpus=0, max_restarts=-1)(_Box)
        self._actor: Any = actor.options(name=self.name, namespace=NAMESPACE).remote()

    def send(self, pack_id: str, command: Command) -> None:
        """Leave a command for a pack; does not wait."""
        self._actor.put.remote(pack_id, dumps(command))

    def close(self) -> None:
        """End the actor."""
        ray.kill(self._actor)


def fetcher(name: str, pack_id: str) -> Callable[[], list[Command]]:
    """The trial's end: a function that fetches the commands waiting for its pack.

    A mailbox that cannot be reached has no commands: the trial goes on and the driver, if it lives,
    sees its events.
    """
    try:
        actor: Any = ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return list

    def fetch() -> list[Command]:
        try:
            texts = ray.get(actor.take.remote(pack_id), timeout=_FETCH_TIMEOUT_S)
        except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):
            return []
        return [loads(Command, text) for text in texts]

    return fetch

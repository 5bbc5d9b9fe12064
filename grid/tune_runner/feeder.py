"""Hands Tune the queue's next pack whenever it asks."""

from __future__ import annotations

from typing import Any

from ray.tune.search import Searcher

from grid.tune_runner.pass_state import PassState
from grid.tune_runner.trainable import order


class Feeder(Searcher):  # type: ignore[misc]
    """A Searcher that suggests packs; it can neither raise nor be pickled with what it holds."""

    def __init__(self, state: PassState) -> None:
        """Feed from this pass."""
        super().__init__()
        self._pass = state

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next pack, None for `ask again`, FINISHED when this pass hands out nothing more."""
        state = self._pass
        if state.is_stopping() or state.queue.is_finished:
            return str(Searcher.FINISHED)
        with state.guard():
            pack = state.queue.next_pack(state.warm_base)
            if pack is not None:
                return order(pack, state.site, state.mailbox.name)
        return None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: the listener counts, because this call can repeat or never come."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store is what a run resumes from."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, see `save`."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing, see `save`."""

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the pass: it holds the driver's open connections."""
        return {}

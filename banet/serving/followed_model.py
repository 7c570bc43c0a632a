"""The model that is served: one that stays, or a champion that is followed when it moves."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from banet.model.network import BANet
from banet.model.weights import load_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a model is from; plain texts, as it is sent to other processes."""

    model: str | None  # a folder, a models:/ address, None: the champion last promoted
    store: str | None = None  # address of the tracking store of such a model

    def newest(self) -> tuple[str, Callable[[], BANet]]:
        """Return the address of the model that is meant now, and what loads it.

        Raises:
            BanetError: there is none, or the store does not answer.
        """
        if self.model is not None and not self.model.startswith("models:"):
            folder = Path(self.model)
            return self.model, lambda: load_weights(folder)

        from banet.tracking.load import find_registered
        from banet.tracking.registry import latest_champion, pull
        from banet.tracking.store import connect

        if self.model is None:
            store = connect(self.store)
            found = latest_champion(store)
        else:
            store, found = find_registered(self.model)

        def load() -> BANet:
            with tempfile.TemporaryDirectory() as folder:
                return load_weights(pull(store, found.name, found.version, Path(folder) / "weights", found.digest))

        return found.uri, load


def follow(source: Source, seconds: float, now: str, take: Callable[[str, BANet], None]) -> None:
    """Look for another model every so many seconds, for ever, and hand it over loaded; `now` is the one in use."""
    while True:
        time.sleep(seconds)
        try:
            address, load = source.newest()
            if address != now:
                take(address, load())
                now = address
        except Exception as error:  # whatever it is, the one in use goes on and is followed
            print(f"the model stays {now}: {error}", flush=True)  # noqa: T201  # into Ray's log of this replica

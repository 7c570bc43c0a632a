"""What determines a training run: its parameters, data, and the code that its workers run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from banet.closure import ROOT, code_digests, digest_of
from banet.config import Params

WORKER = Path("banet/train/ray_worker.py")
_SHORT = 16  # hexadecimal digits of a digest


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """Equal for two runs that would give the same weights, on whatever cluster they run."""

    inputs: str  # digest of parameters and data
    code: Mapping[str, str]  # digest of each file that decides the weights, by path

    @property
    def fingerprint(self) -> str:
        """One name for inputs and code together."""
        return digest_of({"inputs": self.inputs, **self.code})[:_SHORT]


def identify(chosen: Params, data_digest: str) -> RunIdentity:
    """Return the identity of a run with these parameters on the data with this digest."""
    deciding = [asdict(section) for section in (chosen.benchmark, chosen.model, chosen.recipe)]
    inputs = hashlib.sha256(json.dumps([deciding, data_digest], sort_keys=True).encode()).hexdigest()[:_SHORT]
    return RunIdentity(inputs=inputs, code=code_digests(ROOT / WORKER))

"""Networks that onnxruntime runs on the CPU, from the file that `banet export` writes.

It is faster than torch there, on an idle machine and beside other load (`benchmarks/engines.py`). Its results differ
from torch's by rounding; scores are always torch's.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from banet.closure import code_digests, digest_of
from banet.engines import export
from banet.engines.engine_names import NEEDS, Engine, named_version
from banet.engines.export import INPUT, export_network, smallest_side
from banet.errors import ModelError
from banet.files import cache_folder
from banet.memory import is_too_little_memory
from banet.model.network import BANet
from banet.progress import say

Run = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]

KEPT = 8  # exported networks in the user's cache


class EngineNetwork(nn.Module):
    """Restores as its network does: float32 (B, 3, H, W), RGB in [0, 1], on the CPU, not clamped.

    Torch takes the images that are smaller than an exported network allows.
    """

    def __init__(self, network: BANet, run: Run) -> None:
        super().__init__()
        self.network, self._run = network, run
        self._smallest = smallest_side(network.config)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Restore images."""
        if min(x_BCHW.shape[2:]) < self._smallest:
            return self.network(x_BCHW)  # type: ignore[no-any-return]
        return torch.from_numpy(self._run(x_BCHW.contiguous().numpy()))


def with_engine(network: BANet, engine: Engine, *, digest: str) -> nn.Module:
    """Return what restores as a network does, by an engine, with as many threads as torch uses here.

    The network is exported once, into the user's cache.

    Args:
        network: in evaluation mode; as it is returned for "torch", else it must be on the CPU in float32.
        engine: its name.
        digest: of the network's weights.

    Raises:
        ResourceError: the engine's packages are not installed.
        ModelError: the network cannot be exported, or the engine does not take the file.
    """
    if engine == "torch":
        return network
    named_version(engine)
    with tempfile.TemporaryDirectory() as unkept:
        file = _exported(network, digest, cache_folder() or Path(unkept))
        try:
            return EngineNetwork(network, _onnxruntime(file, torch.get_num_threads()))
        except Exception as error:  # of its own classes
            if is_too_little_memory(error):
                raise
            raise ModelError(f"{engine} does not take {file} ({' '.join(str(error).split())}): delete it") from None


def _exported(network: BANet, digest: str, folder: Path) -> Path:
    """Return the network's file, which is made anew where weights, options, our code or what writes it differ."""
    code = digest_of(code_digests(Path(export.__file__)))
    decides = json.dumps([digest, asdict(network.config), code, *(version(package) for package in NEEDS)])
    file = folder / "engines" / f"{hashlib.sha256(decides.encode()).hexdigest()[:32]}.onnx"
    if not file.exists():
        say("exporting the network, once")
        export_network(network, file, digest=digest, source="banet deblur")
    file.touch()
    for old in sorted(file.parent.glob("*.onnx"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        old.unlink(missing_ok=True)
    return file


def _onnxruntime(file: Path, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.enable_mem_pattern = False  # takes more memory where sizes differ, and no less time
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # slower beside other load
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda x_BCHW: session.run(None, {INPUT: x_BCHW})[0]

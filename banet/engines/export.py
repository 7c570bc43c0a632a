"""Networks as files for other runtimes: ONNX (.onnx), and torch.export's archives (.pt2).

A file takes float32 images (B, 3, H, W) of any size from `smallest_side` up, RGB in [0, 1], and returns the same,
not clamped, whatever the precision inside. It gets its name after it was run at sizes other than the example's.
"""

import copy
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from banet.errors import ConfigError, ModelError, ResourceError
from banet.files import whole_file
from banet.image import SMALLEST
from banet.model.network import BANet
from banet.model.network_config import BANetConfig

Precision = Literal["float32", "float16"]
Run = Callable[[Tensor], Tensor]

INPUT, OUTPUT = "image", "restored"  # of the ONNX graph
OPSET = 20
TOLERANCES: Mapping[Precision, float] = {"float32": 1e-4, "float16": 1 / 255}  # against torch in float32
CHECKED = ((0, 0), (0, 1), (1, 0), (7, 40), (41, 6), (25, 56), (57, 24), (88, 91))  # sides beyond the smallest
_EXAMPLE = (16, 22)
_NORMALISATION = {"colours": "RGB", "layout": "BCHW", "range": [0, 1], "mean": [0, 0, 0], "std": [1, 1, 1]}


def export_network(model: BANet, file: Path, *, digest: str, source: str, precision: Precision = "float32") -> float:
    """Write a network, whole or not at all; return the largest difference from torch in float32 at the sizes checked.

    The file holds, as ONNX metadata or as torch.export's extra files, the texts `digest`, `source`, `precision` and
    `smallest_side`, and as JSON `config`, and `normalisation`: what the input is, and that the output is to be clamped.

    Args:
        model: on the CPU, in evaluation mode.
        file: its ending says which form.
        digest: SHA-256 of weights and configuration.
        source: where the model is from.
        precision: of weights and arithmetic; input and output are float32.

    Raises:
        ConfigError: another ending.
        ResourceError: packages of the extra `export` are missing.
        ModelError: the exported network computes something else, or the file cannot be written.
    """
    write = require_exportable(file)
    smallest = smallest_side(model.config)
    facts = {
        "digest": digest,
        "source": source,
        "precision": precision,
        "smallest_side": str(smallest),
        "config": json.dumps(asdict(model.config)),
        "normalisation": json.dumps(_NORMALISATION | {"clamp_output": True}),
    }
    try:
        with whole_file(file) as partial:
            program = _traced(model, smallest, precision)
            return _largest_difference(write(program, facts, partial), model, smallest, TOLERANCES[precision])
    except OSError as error:
        raise ModelError(f"{file} cannot be written ({error.strerror}): name another file") from None
    except _DifferentError as error:
        raise ModelError(f"{file} is not written: {error}") from None


def require_exportable(file: Path) -> Callable[[torch.export.ExportedProgram, Mapping[str, str], Path], Run]:
    """Return what writes the form that a file's ending names.

    Raises:
        ConfigError: another ending.
        ResourceError: packages of the extra `export` are missing.
    """
    if file.suffix not in _FORMS:
        raise ConfigError(f"{file}: no form has the ending {file.suffix!r}: use {' or '.join(_FORMS)}")
    if file.suffix == ".onnx":
        try:
            import onnxruntime  # noqa: F401
            import onnxscript  # noqa: F401
        except ImportError as error:
            raise ResourceError(
                f"{file}: the package {error.name} is not installed: pip install 'banet[export]'"
            ) from None
    return _FORMS[file.suffix]


def smallest_side(config: BANetConfig) -> int:
    """Return the smallest side, pixels, that an exported network takes.

    Strips of Eq. (2) need as many features as strips. With local strips, an image within the window would take another
    way through the network than the one that is exported.
    """
    fixed = 2 * max(config.kernels) - 1 if config.strip_windows == "fixed" else 0
    return max(SMALLEST, fixed, 0 if config.local_crop is None else config.local_crop + 1)


class _DifferentError(Exception):
    """The file computes something else than the network."""


class _InHalf(nn.Module):
    """A network whose weights and arithmetic are float16 between a float32 input and output."""

    def __init__(self, model: BANet) -> None:
        super().__init__()
        self.network = copy.deepcopy(model).half()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        restored: Tensor = self.network(x_BCHW.half())
        return restored.float()


def _traced(model: BANet, smallest: int, precision: Precision) -> torch.export.ExportedProgram:
    network = model if precision == "float32" else _InHalf(model).eval()
    example = torch.rand(2, 3, *(smallest + more for more in _EXAMPLE))
    Dim = torch.export.Dim
    sizes = {0: Dim("batch"), 2: Dim("height", min=smallest), 3: Dim("width", min=smallest)}
    return torch.export.export(network, (example,), dynamic_shapes=(sizes,))


def _largest_difference(run: Run, model: BANet, smallest: int, tolerance: float) -> float:
    largest, generator = 0.0, torch.Generator().manual_seed(0)
    for number, more in enumerate(CHECKED):
        x_BCHW = torch.rand(1 + number % 2, 3, *(smallest + side for side in more), generator=generator)
        with torch.inference_mode():
            difference = float((run(x_BCHW) - model(x_BCHW)).abs().max())
        if not difference <= tolerance:  # NaN is not
            size = f"{x_BCHW.shape[2]}x{x_BCHW.shape[3]}"
            raise _DifferentError(f"at {size} it differs from torch by {difference:.2g}, allowed is {tolerance:.2g}")
        largest = max(largest, difference)
    return largest


def _write_onnx(program: torch.export.ExportedProgram, facts: Mapping[str, str], file: Path) -> Run:
    from onnxruntime import InferenceSession

    with _quiet():
        written = torch.onnx.export(
            program, dynamo=True, opset_version=OPSET, input_names=[INPUT], output_names=[OUTPUT], verbose=False
        )
    assert written is not None  # noqa: S101  # with dynamo
    written.model.metadata_props.update(facts)
    written.save(file, external_data=False)
    session = InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda x_BCHW: torch.from_numpy(session.run(None, {INPUT: x_BCHW.numpy()})[0])


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter, which tells of packages that it could also export, and of what it does not simplify."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(logging.NOTSET)


def _write_pt2(program: torch.export.ExportedProgram, facts: Mapping[str, str], file: Path) -> Run:
    with file.open("w+b") as stream:
        torch.export.save(program, stream, extra_files=dict(facts))
        stream.seek(0)
        return torch.export.load(stream).module()


_FORMS: Mapping[str, Callable[[torch.export.ExportedProgram, Mapping[str, str], Path], Run]] = {
    ".onnx": _write_onnx,
    ".pt2": _write_pt2,
}

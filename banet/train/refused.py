"""Batches whose gradient was not finite: kept with the weights that met them, and replayed in every precision."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal, get_args

import torch

from banet.config import LossParams, PhaseParams
from banet.errors import ModelError
from banet.files import whole_file
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.parsing import parse
from banet.train.loop import Batch, losses_of

Precision = Literal["float32", "bfloat16", "float16"]


def keep_refused(
    path: Path, model: BANet, batch: Batch, samples: Sequence[str], params: PhaseParams, loss: LossParams
) -> None:
    """Write a batch, descriptions of its samples, and the weights, completely or not at all."""
    content = {
        "model": {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()},
        "config": _plain(asdict(model.config)),
        "batch": [images.cpu() for images in batch],
        "samples": list(samples),
        "phase": _plain(asdict(params)),
        "loss": asdict(loss),
    }
    with whole_file(path) as partial:
        torch.save(content, partial)


def replay(path: Path, device: str) -> Iterator[str]:
    """Yield a line per precision and one per sample: losses, and whether the gradient is finite.

    Args:
        path: a file of `keep_refused`.
        device: e.g. cpu or cuda.

    Raises:
        ModelError: the file is missing, damaged or another.
    """
    try:
        kept = torch.load(path, map_location=device, weights_only=True)
        model = BANet(parse(BANetConfig, kept["config"], where=str(path)))
        model.load_state_dict(kept["model"])
        params = parse(PhaseParams, kept["phase"], where=str(path))
        loss = parse(LossParams, kept["loss"], where=str(path))
        (blurred, sharp), samples = kept["batch"], kept["samples"]
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): name a file that a training kept") from None
    except Exception as error:  # whatever a wrong or damaged file makes of itself
        raise ModelError(f"{path} is no batch that a training kept ({type(error).__name__}): name another") from None
    model = model.to(device)
    for precision in get_args(Precision):
        if precision == "float16" and device == "cpu":
            continue
        tried = replace(params, precision=precision)
        yield f"{precision:9}  {_outcome(model, (blurred, sharp), loss, tried)}{'  (the run)' * (tried == params)}"
    for number, sample in enumerate(samples):
        one = blurred[number : number + 1], sharp[number : number + 1]
        yield f"{sample}  {_outcome(model, one, loss, replace(params, precision='float32'))}"


def _outcome(model: BANet, batch: Batch, loss: LossParams, params: PhaseParams) -> str:
    model.zero_grad(set_to_none=True)
    losses = losses_of(model, batch, loss, params)
    losses[0].backward()  # type: ignore[no-untyped-call]
    total, pixels, frequencies = losses.tolist()
    norm = float(torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None]))
    finite = "finite" if math.isfinite(norm) else "NOT FINITE"
    parts = f"loss {total:.4g} (Charbonnier {pixels:.4g}, FFT {frequencies:.4g})"
    return f"{parts}  gradient norm {norm:.4g}, {finite}"


def _plain(values: dict[str, object]) -> dict[str, object]:
    """Lists in place of tuples, which a checkpoint without pickled code may not hold."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

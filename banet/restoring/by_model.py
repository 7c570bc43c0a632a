"""What a model does to every picture, with the options of `banet deblur`."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy.typing as npt

from banet.engines.engine_names import Engine, named_version
from banet.engines.engine_network import with_engine
from banet.inference import restore_array_in_parts
from banet.model.network import BANet
from banet.progress import OnProgress
from banet.restoring.any_size import restore_any_size
from banet.restoring.batch import Restoration, Start


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureOptions:
    """How pictures are restored; all but the memory decides about their bytes."""

    local_crop: int | None = None  # that of the model's strips, for the record
    sub_images: bool = False
    quality: int | None = None
    compare: bool = False
    engine: Engine = "torch"
    max_memory: int | None = None  # of this process, bytes


def by_model(
    network: BANet,
    options: PictureOptions,
    *,
    name: str,
    digest: str,
    folder: Path | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> Start:
    """Return what starts a model on a device; an engine other than torch keeps it on the CPU.

    Args:
        network: in evaluation mode.
        options: how pictures are restored.
        name: of the model, for the pictures' XMP.
        digest: of its weights.
        folder: see `restore_any_size`.
        on_progress: see `restore_any_size`.
    """
    precision = str(next(network.parameters()).dtype).removeprefix("torch.")
    facts = {"Model": name, "Digest": digest, "Precision": precision}
    decide: dict[str, object] = {"model": digest, "precision": precision}
    decide |= {key: getattr(options, key) for key in ("local_crop", "sub_images", "quality", "compare")}
    if options.engine != "torch":
        facts["Engine"] = decide["engine"] = named_version(options.engine)

    def start(device: str, max_memory: int | None) -> Restoration:
        network.to(device if options.engine == "torch" else "cpu")
        in_one_piece = cache(lambda: with_engine(network, options.engine, digest=digest))  # Ray's driver needs none
        most = min((limit for limit in (options.max_memory, max_memory) if limit is not None), default=None)

        def restore(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
            whole = in_one_piece()
            if options.sub_images:
                return restore_array_in_parts(whole, image)
            return restore_any_size(
                network, image, in_one_piece=whole, max_memory=most, folder=folder, on_progress=on_progress
            )

        return Restoration(
            restore=restore,
            config=network.config,
            facts=facts,
            options=decide,
            quality=options.quality,
            compare=options.compare,
        )

    return start

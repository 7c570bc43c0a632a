"""`banet pull`: weights that others released, fetched, checked and registered."""

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from banet.commands.registry import PREFIX, make_champion, register_folder
from banet.errors import ConfigError, DataError, ModelError

if TYPE_CHECKING:
    from banet.data.download.lockfile import Pin
    from banet.data.weights_manifest import WeightsManifest
    from banet.model.network import BANet

GIVEN = "BANET_WEIGHTS"  # environment: a folder of files that somebody already has
LOCK = "weights.lock"  # beside the manifests


def pull(
    name: str,
    /,
    *,
    source: Annotated[str | None, Parameter(name="--from")] = None,
    champion: bool = False,
    reason: str | None = None,
) -> None:
    """Fetch weights that others released, and make them a version of a registered model; the second time costs nothing.

    For example:
      banet pull banet-gopro --champion
      banet pull banet-plus-gopro
      banet pull banet-gopro --from downloads/BANet_GoPro.pth

    Args:
        name: a manifest in data/weights, e.g. banet-gopro.
        source: a file, or an address in the manifest's form, in place of the manifest's sources.
        champion: make it the champion of its name, which commands use that name no model.
        reason: why, with --champion; by default that it was pulled.
    """
    from banet.data.weights_manifest import RELEASED_WEIGHTS, read_weights_manifest
    from banet.model.weights import save_weights
    from banet.tracking.registry import LICENCE, ORIGIN
    from banet.tracking.store import connect

    if reason is not None and not champion:
        raise ConfigError("--reason says why a version becomes the champion: add --champion, or leave it out")
    manifest, given = read_weights_manifest(RELEASED_WEIGHTS, name), os.environ.get(GIVEN)
    if source is not None:
        manifest, given = replace(manifest, file=replace(manifest.file, sources=(source,))), None
    store = connect()  # before a download
    network, pin = _fetch(manifest, Path(given) if given else None)
    tags = {ORIGIN: pin.source, LICENCE: manifest.licence, "origin_sha256": pin.sha256, "manifest": name}
    with tempfile.TemporaryDirectory() as folder:
        save_weights(network, Path(folder))
        model, line = register_folder(store, Path(folder), f"{PREFIX}{manifest.trained_on}", tags=tags)
    print(line, f"{manifest.title}: {pin.source}, SHA-256 {pin.sha256[:12]}; licence: {manifest.licence}", sep="\n")
    if champion:
        print(make_champion(store, model, reason or f"pulled: {manifest.title}"))
    else:
        print(f"next: banet deblur photo.jpg sharp.png --model {model.uri}; --champion makes it the default")


def _fetch(manifest: "WeightsManifest", given: Path | None) -> tuple["BANet", "Pin"]:
    """Bring the file, and read the network in it."""
    from banet.data.download.pinned import DOWNLOADS, FileStore, bring
    from banet.data.download.sources import Limits
    from banet.data.weights_manifest import RELEASED_WEIGHTS
    from banet.tracking.store import main_checkout

    def check(path: Path) -> None:
        try:
            _read(manifest, path)
        except ModelError as error:
            raise DataError(str(error)) from None

    root = main_checkout(Path.cwd())
    store = FileStore(downloads=root / DOWNLOADS, lock=root / RELEASED_WEIGHTS / LOCK, given=given, variable=GIVEN)
    path, pin = bring(manifest.file, store, owner=f"the weights {manifest.name}", check=check, limits=Limits())
    return _read(manifest, path), pin


def _read(manifest: "WeightsManifest", path: Path) -> "BANet":
    from banet.model.checkpoint import import_checkpoint

    network = import_checkpoint(path, key=manifest.key)
    config = network.config
    if config.name != manifest.network:
        what = f"{config.name}, {config.modules} modules of {config.channels} channels"
        raise ModelError(f"{path} holds another network ({what}) than {manifest.network} of {manifest.name}")
    return network

"""The registry: versions of a model, each a pair of weights and code, and the aliases candidate and champion."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from banet.closure import digest_of
from banet.errors import ModelError
from banet.image import Image
from banet.model.digest import weights_digest
from banet.tracking.pyfunc_package import WEIGHTS_INSIDE, digests, open_saved, save_pyfunc, workspace_sources
from banet.tracking.runs import finish_run, open_run
from banet.tracking.store import Store, all_pages
from banet.tracking.version_files import AGAIN, RegisteredModel, fetched, is_intact, require_same_code

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.entities.model_registry import RegisteredModel as MlflowModel

T = TypeVar("T")

CANDIDATE = "candidate"  # alias: the version registered last
CHAMPION = "champion"  # alias: the version to use
DIGEST = "digest"  # tag of a version: `banet.model.weights_digest`
CODE = "code_digest"  # tag: of the code that it carries; versions without it were registered by banet 0.1
PROMOTED_AT = "promoted_at"  # tag: UTC, ISO 8601 with microseconds: sorted as text, sorted by time
REASON = "promotion_reason"
REFUSED = "not_promoted_reason"  # a tag of its own: a version may have been champion before
ORIGIN, LICENCE = "origin", "licence"  # tags: of weights that others trained
VERSIONS = "mlflow.modelVersions"  # MLflow's own tag of a logged model, by which its UI links a run to the version
RECOVERED_FROM = "recovered_from_run"  # tag of a run that replaces one unknown to this store


def register(
    store: Store, folder: Path, *, name: str, run_id: str, tags: Mapping[str, str] | None = None
) -> RegisteredModel:
    """Make the weights in `folder` a version of `name` with the alias `candidate`.

    An intact version with the same weights and the code of this workspace is used again. A run that the store does not
    know (the registry was lost, or the weights come from elsewhere) is replaced by a new one.

    Args:
        store: of runs and models.
        folder: `model.safetensors` and `config.json`; other files in it are left out.
        name: banet-<training benchmark>.
        run_id: the run that trained the weights.
        tags: commit, data digests, params, by which the version can be traced.

    Raises:
        ModelError: there are no weights in the folder.
    """
    digest = weights_digest(folder)
    client = store.client()
    same = client.search_model_versions(f"name = '{name}' and tags.{DIGEST} = '{digest}'")
    newest_first = sorted(map(as_registered, same), key=lambda model: -model.version)
    ours = digests(workspace_sources())
    model = next((held for held in newest_first if held.code and is_intact(store, held, ours)), None)
    if model is None:
        run_id, code = _known_run(store, run_id, name, digest), digest_of(ours)
        version = _create_version(client, folder, name, run_id, {**(tags or {}), DIGEST: digest, CODE: code})
        model = RegisteredModel(name=name, version=version, digest=digest, run_id=run_id, code=code)
    client.set_registered_model_alias(name, CANDIDATE, str(model.version))
    return model


def pull(
    store: Store, name: str, version: int | str, into: Path, digest: str | None = None, *, same_code: bool = False
) -> Path:
    """Fetch a version's `model.safetensors` and `config.json` into the folder `into`, replacing it; return the folder.

    `into` is complete or left as it was. The weights must have the given digest, or else the one they were registered
    with.

    Args:
        store: of runs and models.
        name: of the registered model.
        version: its number.
        into: a folder.
        digest: of the weights.
        same_code: refuse a version that carries other code than this workspace, which would not be what is scored.

    Raises:
        ModelError: no such version, its files are gone, the digest differs, or the code.
    """
    model = _find_same(store, name, version, digest)
    into.parent.mkdir(parents=True, exist_ok=True)
    with fetched(store, model, beside=into) as held:
        if same_code:
            require_same_code(held, f"{name} version {version} in {store.shown}")
        if into.exists():
            shutil.rmtree(into)
        (held / WEIGHTS_INSIDE).rename(into)
    return into


def open_version(store: Store, model: RegisteredModel, into: Path, device: str = "cpu") -> Callable[[Image], Image]:
    """Fetch a version into the new folder `into`, which must stay, and return what restores an image with it.

    It is the version's own code that runs, as in any program that pulls it.

    Raises:
        ModelError: as `pull` and `banet.tracking.pyfunc_package.open_saved`.
    """
    found = _find_same(store, model.name, model.version, model.digest)
    into.parent.mkdir(parents=True, exist_ok=True)
    with fetched(store, found, beside=into) as held:
        held.rename(into)
    try:
        return open_saved(into, device)
    except ModelError as error:
        raise ModelError(f"{model.name} version {model.version} in {store.shown}: {error}: {AGAIN}") from None


def find(store: Store, name: str, version: int | str) -> RegisteredModel:
    """Look up one version.

    Raises:
        ModelError: the store has no such version.
    """
    held = none_if_missing(lambda: store.client().get_model_version(name, str(version)))
    if held is None:
        raise ModelError(
            f"{name} version {version} is not in {store.shown}: take one that `banet models` lists, or {AGAIN}"
        )
    return as_registered(held)


def find_alias(store: Store, name: str, alias: str) -> RegisteredModel | None:
    """The version of `name` that carries the alias, None without such a model or alias."""
    held = none_if_missing(lambda: store.client().get_model_version_by_alias(name, alias))
    return None if held is None else as_registered(held)


def champion(store: Store, name: str) -> RegisteredModel | None:
    """The champion of this model, None while there is none."""
    return find_alias(store, name, CHAMPION)


def promote(store: Store, model: RegisteredModel, *, reason: str) -> None:
    """Move the alias `champion` to this version; its tags say when and why."""
    client = store.client()
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    for tag, value in ((REASON, reason), (PROMOTED_AT, now)):
        client.set_model_version_tag(model.name, str(model.version), tag, value)
    client.set_registered_model_alias(model.name, CHAMPION, str(model.version))


def note_decision(store: Store, model: RegisteredModel, *, reason: str) -> None:
    """Record in a version's tags why it did not become the champion."""
    store.client().set_model_version_tag(model.name, str(model.version), REFUSED, reason)


def latest_champion(store: Store) -> RegisteredModel:
    """The most recently promoted champion of all registered models.

    Raises:
        ModelError: there is no champion.
    """
    client = store.client()
    champions = [
        client.get_model_version(model.name, str(model.aliases[CHAMPION]))
        for model in every_model(client)
        if CHAMPION in model.aliases
    ]
    ours = [held for held in champions if DIGEST in held.tags and PROMOTED_AT in held.tags]
    if not ours:
        raise ModelError(
            f"no champion in the store {store.shown}: run `banet pull banet-gopro --champion` for released weights, "
            "or `make demo`, or name a model with --model"
        )
    return as_registered(max(ours, key=lambda held: str(held.tags[PROMOTED_AT])))


def as_registered(held: "ModelVersion") -> RegisteredModel:
    """MLflow's version as ours."""
    return RegisteredModel(
        name=held.name,
        version=int(held.version),
        digest=held.tags.get(DIGEST, ""),
        run_id=held.run_id or "",
        code=held.tags.get(CODE, ""),
    )


def every_model(client: "MlflowClient") -> Iterator["MlflowModel"]:
    """All registered models of the store."""
    return all_pages(lambda token: client.search_registered_models(page_token=token))


def _find_same(store: Store, name: str, version: int | str, digest: str | None) -> RegisteredModel:
    model = find(store, name, version)
    if digest is not None and model.digest != digest:
        raise ModelError(
            f"{name} version {version} in {store.shown} holds other weights (digest {model.digest[:12]}, "
            f"not {digest[:12]}): {AGAIN}"
        )
    return model


def _create_version(client: "MlflowClient", folder: Path, name: str, run_id: str, tags: Mapping[str, str]) -> int:
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    experiment_id = client.get_run(run_id).info.experiment_id
    logged = client.create_logged_model(experiment_id, name=name, source_run_id=run_id, tags=dict(tags))
    with tempfile.TemporaryDirectory() as temporary:
        saved = save_pyfunc(folder, Path(temporary), model_id=logged.model_id, run_id=run_id)
        client.log_model_artifacts(logged.model_id, str(saved))
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    if none_if_missing(lambda: client.get_registered_model(name)) is None:
        client.create_registered_model(name)
    # The storage address, not models:/<id>, which MLflow would look up in the process's global store.
    version = client.create_model_version(
        name, logged.artifact_location, run_id=run_id, tags=dict(tags), model_id=logged.model_id
    )
    versions = json.dumps([{"name": name, "version": version.version}])
    client.set_logged_model_tags(logged.model_id, {VERSIONS: versions})
    return int(version.version)


def _known_run(store: Store, run_id: str, name: str, digest: str) -> str:
    run = none_if_missing(lambda: store.client().get_run(run_id)) if run_id else None
    if run is not None and run.info.lifecycle_stage == "active":  # a deleted run takes no outputs
        return run_id
    new = open_run(
        store, experiment=name, name="register", fingerprint=digest, params={}, tags={RECOVERED_FROM: run_id}
    )
    finish_run(store, new)
    return new


def none_if_missing(question: Callable[[], T]) -> T | None:
    """Ask MLflow; None if it answers that there is no such thing."""
    from mlflow.exceptions import MlflowException

    try:
        return question()
    except MlflowException as error:
        # A missing alias is an INVALID_PARAMETER_VALUE, everything else RESOURCE_DOES_NOT_EXIST.
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise

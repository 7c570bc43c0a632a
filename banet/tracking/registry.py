"""The registry: versions of a model, found by the digest of their weights; `candidate` and `champion` among them."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from banet.errors import ModelError
from banet.model.digest import weights_digest
from banet.tracking.pyfunc_package import WEIGHTS_INSIDE, save_pyfunc
from banet.tracking.runs import finish_run, open_run
from banet.tracking.store import Store, no_progress_bar

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.entities.model_registry import RegisteredModel as MlflowModel

T = TypeVar("T")

CANDIDATE = "candidate"  # alias: the version registered last
CHAMPION = "champion"  # alias: the version to use
DIGEST = "digest"  # tag of a version: `banet.model.weights_digest`
PROMOTED_AT = "promoted_at"  # tag: UTC, ISO 8601 with microseconds, so that text order is time order
REASON = "promotion_reason"
REFUSED = "not_promoted_reason"  # tag of its own: a version may have been champion before
VERSIONS = "mlflow.modelVersions"  # MLflow's own tag of a logged model: its UI links a run to the version by it
RECOVERED_FROM = "recovered_from_run"  # tag of a run that stands for one that this store does not know
AGAIN = "register the weights again (dvc repro --force --single-item register, or banet register)"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel:
    """One version of a registered model."""

    name: str  # banet-<training benchmark>
    version: int
    digest: str  # SHA-256 of its weights and configuration, hexadecimal
    run_id: str  # the run that made it

    @property
    def uri(self) -> str:
        """The address that MLflow and `banet.load_model` take."""
        return f"models:/{self.name}/{self.version}"


def register(
    store: Store, folder: Path, *, name: str, run_id: str, tags: Mapping[str, str] | None = None
) -> RegisteredModel:
    """Make the weights in `folder` a version of `name` with the alias `candidate`.

    A version that has these weights already, whole, is taken instead of a second one. A run that the store does not
    know (the registry was lost, the weights were pulled from elsewhere) is replaced by a new one.

    Args:
        store: where.
        folder: `model.safetensors` and `config.json`; other files in it stay out.
        name: banet-<training benchmark>.
        run_id: the run that trained them.
        tags: what the version is traced by: commit, data digests, params.

    Raises:
        ModelError: there are no weights in the folder.
    """
    digest = weights_digest(folder)
    client = store.client()
    model = next((held for held in _versions(client, name, digest) if _is_whole(store, held)), None)
    if model is None:
        run_id = _known_run(store, run_id, name, digest)
        version = _create_version(client, folder, name, run_id, {**(tags or {}), DIGEST: digest})
        model = RegisteredModel(name=name, version=version, digest=digest, run_id=run_id)
    client.set_registered_model_alias(name, CANDIDATE, str(model.version))
    return model


def pull(store: Store, name: str, version: int | str, into: Path, digest: str | None = None) -> Path:
    """Fetch a version's weights into the folder `into`, which appears whole or stays as it was; return it.

    Args:
        store: where from.
        name: of the registered model.
        version: of the registered model.
        into: gets `model.safetensors` and `config.json`, and loses what it held.
        digest: what the weights must have; what the version was registered with if not given.

    Raises:
        ModelError: no such version, its files are gone, or the digest is another one.
    """
    model = find(store, name, version)
    if digest is not None and model.digest != digest:
        raise ModelError(
            f"{name} version {version} in {store.shown} holds other weights (digest {model.digest[:12]}, "
            f"not {digest[:12]}): {AGAIN}"
        )
    into.parent.mkdir(parents=True, exist_ok=True)
    with _fetched(store, model, beside=into) as weights:
        if into.exists():
            shutil.rmtree(into)
        weights.rename(into)
    return into


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
    """Move the alias `champion` to this version; say when and why in its tags."""
    client = store.client()
    client.set_model_version_tag(model.name, str(model.version), REASON, reason)
    client.set_model_version_tag(
        model.name, str(model.version), PROMOTED_AT, datetime.now(UTC).isoformat(timespec="microseconds")
    )
    client.set_registered_model_alias(model.name, CHAMPION, str(model.version))


def note_decision(store: Store, model: RegisteredModel, *, reason: str) -> None:
    """Say in a version's tags why it did not become the champion."""
    store.client().set_model_version_tag(model.name, str(model.version), REFUSED, reason)


def latest_champion(store: Store) -> RegisteredModel:
    """Of all registered models, the champion that was promoted most recently.

    Raises:
        ModelError: there is no champion.
    """
    client = store.client()
    champions = [client.get_model_version(name, version) for name, version in _aliased(client, CHAMPION)]
    ours = [held for held in champions if DIGEST in held.tags and PROMOTED_AT in held.tags]
    if not ours:
        raise ModelError(f"no champion in the store {store.shown}: run `make demo`, or name a model with --model")
    return as_registered(max(ours, key=lambda held: str(held.tags[PROMOTED_AT])))


def as_registered(held: "ModelVersion") -> RegisteredModel:
    """MLflow's version as ours."""
    return RegisteredModel(
        name=held.name, version=int(held.version), digest=held.tags.get(DIGEST, ""), run_id=held.run_id or ""
    )


def _versions(client: "MlflowClient", name: str, digest: str) -> list[RegisteredModel]:
    """Versions with these weights, newest first."""
    held = client.search_model_versions(f"name = '{name}' and tags.{DIGEST} = '{digest}'")
    return sorted(map(as_registered, held), key=lambda model: -model.version)


def _aliased(client: "MlflowClient", alias: str) -> Iterator[tuple[str, str]]:
    for model in every_model(client):
        if alias in model.aliases:
            yield model.name, str(model.aliases[alias])


def every_model(client: "MlflowClient") -> Iterator["MlflowModel"]:
    """All registered models of the store, page by page."""
    token = None
    while True:
        page = client.search_registered_models(page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _is_whole(store: Store, model: RegisteredModel) -> bool:
    try:
        with _fetched(store, model):
            return True
    except ModelError:
        return False


@contextmanager
def _fetched(store: Store, model: RegisteredModel, beside: Path | None = None) -> Iterator[Path]:
    """The version's weights in a temporary folder, their digest checked."""
    with tempfile.TemporaryDirectory(dir=beside and beside.parent, prefix=".weights-") as folder:
        weights = _download(store, model, Path(folder))
        found = weights_digest(weights)
        if found != model.digest:
            raise ModelError(
                f"the weights of {model.name} version {model.version} in {store.shown} have changed "
                f"(digest {found[:12]}, registered as {model.digest[:12]}): {AGAIN}"
            )
        yield weights


def _download(store: Store, model: RegisteredModel, folder: Path) -> Path:
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        # The place itself here too: MLflow looks models:/<name>/<version> up in the global store, whatever it is told.
        place = store.client().get_model_version_download_uri(model.name, str(model.version)).rstrip("/")
        with no_progress_bar():
            fetched = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{place}/{WEIGHTS_INSIDE}", dst_path=str(folder), tracking_uri=store.uri
            )
    except (MlflowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"the weights of {model.name} version {model.version} cannot be read from {store.shown} ({reason}): {AGAIN}"
        ) from error
    return Path(fetched)


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
    # The place itself, not models:/<id>, which MLflow would look up in the process's global store.
    version = client.create_model_version(
        name, logged.artifact_location, run_id=run_id, tags=dict(tags), model_id=logged.model_id
    )
    versions = json.dumps([{"name": name, "version": version.version}])
    client.set_logged_model_tags(logged.model_id, {VERSIONS: versions})
    return int(version.version)


def _known_run(store: Store, run_id: str, name: str, digest: str) -> str:
    run = none_if_missing(lambda: store.client().get_run(run_id)) if run_id else None
    if run is not None and run.info.lifecycle_stage == "active":  # a deleted run takes no outputs any more
        return run_id
    new = open_run(
        store, experiment=name, name="register", fingerprint=digest, params={}, tags={RECOVERED_FROM: run_id}
    )
    finish_run(store, new)
    return new


def none_if_missing(question: Callable[[], T]) -> T | None:
    """The answer, None where MLflow says that there is no such thing."""
    from mlflow.exceptions import MlflowException

    try:
        return question()
    except MlflowException as error:
        # A missing alias is an INVALID_PARAMETER_VALUE, everything else RESOURCE_DOES_NOT_EXIST.
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise

"""The registry: versions of a model, found by the digest of their weights, and the aliases candidate and champion."""

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
from banet.tracking.store import Store, all_pages

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.entities.model_registry import RegisteredModel as MlflowModel

T = TypeVar("T")

CANDIDATE = "candidate"  # alias: the version registered last
CHAMPION = "champion"  # alias: the version to use
DIGEST = "digest"  # tag of a version: `banet.model.weights_digest`
PROMOTED_AT = "promoted_at"  # tag: UTC, ISO 8601 with microseconds: sorted as text, sorted by time
REASON = "promotion_reason"
REFUSED = "not_promoted_reason"  # a tag of its own: a version may have been champion before
VERSIONS = "mlflow.modelVersions"  # MLflow's own tag of a logged model, by which its UI links a run to the version
RECOVERED_FROM = "recovered_from_run"  # tag of a run that replaces one unknown to this store
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

    An intact version with the same weights is used again. A run that the store does not know (the registry was lost, or
    the weights come from elsewhere) is replaced by a new one.

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
    model = next((held for held in newest_first if _is_intact(store, held)), None)
    if model is None:
        run_id = _known_run(store, run_id, name, digest)
        version = _create_version(client, folder, name, run_id, {**(tags or {}), DIGEST: digest})
        model = RegisteredModel(name=name, version=version, digest=digest, run_id=run_id)
    client.set_registered_model_alias(name, CANDIDATE, str(model.version))
    return model


def pull(store: Store, name: str, version: int | str, into: Path, digest: str | None = None) -> Path:
    """Fetch a version's `model.safetensors` and `config.json` into the folder `into`, replacing it; return the folder.

    `into` is complete or left as it was. The weights must have the given digest, or else the one they were registered
    with.

    Raises:
        ModelError: no such version, its files are gone, or the digest differs.
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
        raise ModelError(f"no champion in the store {store.shown}: run `make demo`, or name a model with --model")
    return as_registered(max(ours, key=lambda held: str(held.tags[PROMOTED_AT])))


def as_registered(held: "ModelVersion") -> RegisteredModel:
    """MLflow's version as ours."""
    return RegisteredModel(
        name=held.name, version=int(held.version), digest=held.tags.get(DIGEST, ""), run_id=held.run_id or ""
    )


def every_model(client: "MlflowClient") -> Iterator["MlflowModel"]:
    """All registered models of the store."""
    return all_pages(lambda token: client.search_registered_models(page_token=token))


def _is_intact(store: Store, model: RegisteredModel) -> bool:
    try:
        with _fetched(store, model):
            return True
    except ModelError:
        return False


@contextmanager
def _fetched(store: Store, model: RegisteredModel, beside: Path | None = None) -> Iterator[Path]:
    """The version's weights in a temporary folder, after their digest was checked."""
    import mlflow
    from mlflow.exceptions import MlflowException

    shown = f"{model.name} version {model.version}"
    with tempfile.TemporaryDirectory(dir=beside and beside.parent, prefix=".weights-") as folder:
        try:
            # The storage address, because MLflow looks models:/<name>/<version> up in the process's global store.
            address = store.client().get_model_version_download_uri(model.name, str(model.version)).rstrip("/")
            weights = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{address}/{WEIGHTS_INSIDE}", dst_path=folder, tracking_uri=store.uri
            )
        except (MlflowException, OSError) as error:
            reason = str(error).partition("\n")[0]
            raise ModelError(f"the weights of {shown} cannot be read from {store.shown} ({reason}): {AGAIN}") from error
        found = weights_digest(Path(weights))
        if found != model.digest:
            raise ModelError(
                f"the weights of {shown} in {store.shown} have changed "
                f"(digest {found[:12]}, registered as {model.digest[:12]}): {AGAIN}"
            )
        yield Path(weights)


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

"""A registered version and its files, fetched and checked: its weights, and the code that it carries."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from banet.closure import changed_files
from banet.errors import ModelError
from banet.model.digest import weights_digest
from banet.tracking.pyfunc_package import WEIGHTS_INSIDE, digests, saved_sources, workspace_sources
from banet.tracking.store import Store, require_answer

AGAIN = "register the weights again (dvc repro --force --single-item register, or banet register)"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel:
    """One version of a registered model."""

    name: str  # banet-<training benchmark>
    version: int
    digest: str  # SHA-256 of its weights and configuration, hexadecimal
    run_id: str  # the run that made it
    code: str = ""  # SHA-256 of the code that it carries, hexadecimal; empty if registered by banet 0.1

    @property
    def uri(self) -> str:
        """The address that MLflow and `banet.load_model` take."""
        return f"models:/{self.name}/{self.version}"


def require_same_code(held: Path, shown: str) -> None:
    """Refuse a version that carries other code than this workspace.

    Raises:
        ModelError: with the files that differ, or its code is gone.
    """
    # The files are compared, not the tag: digests depend on the version of Python.
    try:
        changed = changed_files(digests(saved_sources(held)), digests(workspace_sources()))
    except ModelError as error:
        raise ModelError(f"{shown}: {error}: {AGAIN}") from None
    if changed:
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise ModelError(
            f"{shown} carries other code than this workspace ({', '.join(changed[:5])}{more} differ), whose scores "
            f"would not be its own: {AGAIN}"
        )


def is_intact(store: Store, model: RegisteredModel, code: Mapping[str, str]) -> bool:
    """Whether a version has the weights that it was registered with, and this code."""
    try:
        with fetched(store, model) as held:
            return digests(saved_sources(held)) == code
    except ModelError:
        return False


@contextmanager
def fetched(store: Store, model: RegisteredModel, beside: Path | None = None) -> Iterator[Path]:
    """The version's files in a temporary folder, after the digest of the weights was checked.

    Raises:
        ModelError: they are gone, or the digest differs.
        ServiceError: the server does not answer.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    shown = f"{model.name} version {model.version}"
    with tempfile.TemporaryDirectory(dir=beside and beside.parent, prefix=".version-") as folder:
        try:
            # The storage address, because MLflow looks models:/<name>/<version> up in the process's global store.
            address = store.client().get_model_version_download_uri(model.name, str(model.version))
            held = Path(
                mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=folder, tracking_uri=store.uri)
            )
            found = weights_digest(held / WEIGHTS_INSIDE)
        except (MlflowException, OSError, ModelError) as error:
            require_answer(store.uri)
            raise ModelError(
                f"the weights of {shown} cannot be read from {store.shown} ({store.reason(error)}): {AGAIN}"
            ) from None
        if found != model.digest:
            raise ModelError(
                f"the weights of {shown} in {store.shown} have changed "
                f"(digest {found[:12]}, registered as {model.digest[:12]}): {AGAIN}"
            )
        yield held

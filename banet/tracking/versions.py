"""What the registry holds: every version with its aliases, scores, and the reason for its promotion."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from banet.tracking.registry import (
    DIGEST,
    LICENCE,
    ORIGIN,
    PROMOTED_AT,
    REASON,
    REFUSED,
    as_registered,
    every_model,
    none_if_missing,
)
from banet.tracking.store import Store, all_pages
from banet.tracking.version_files import RegisteredModel

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CARD = "MODEL_CARD.md"
DESCRIPTION = 5000  # characters, MLflow's limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version, and what is known about it."""

    model: RegisteredModel
    aliases: tuple[str, ...]
    registered_at: datetime
    promoted_at: datetime | None
    reason: str | None  # why it was promoted
    refused: str | None  # why it was not promoted when it was last a candidate
    origin: str | None  # where its weights came from, if they were not trained here
    licence: str | None  # of such weights
    scores: Mapping[str, float]  # of its run, by benchmark and name: `mini/blur/restored_psnr`


def versions(store: Store, name: str | None = None) -> tuple[Version, ...]:
    """All versions of one registered model, or of all models, by name and newest first; not those of other tools."""
    client = store.client()
    aliases = {model.name: model.aliases for model in every_model(client)}
    held = all_pages(lambda token: client.search_model_versions(page_token=token))
    ours = [one for one in held if DIGEST in one.tags and name in (None, one.name)]
    found = [_described(client, one, aliases.get(one.name, {})) for one in ours]
    return tuple(sorted(found, key=lambda one: (one.model.name, -one.model.version)))


def attach_card(store: Store, model: RegisteredModel, card: str, short: str) -> None:
    """Put a model card beside a version's files, into its run, and a short form into its description.

    MLflow keeps 5000 characters of a description.
    """
    client = store.client()
    place = client.get_model_version(model.name, str(model.version)).source
    outputs = client.get_run(model.run_id).outputs  # MLflow's databases do not keep the logged model of a version
    logged = (client.get_logged_model(output.model_id) for output in (outputs.model_outputs if outputs else ()))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / CARD
        file.write_text(card, encoding="utf-8")
        for one in logged:
            if one.artifact_location == place:
                client.log_model_artifacts(one.model_id, folder)
        client.log_artifact(model.run_id, str(file))
    more = f"\n\nThe rest is in {CARD}."
    cut = short if len(short) <= DESCRIPTION else short[: DESCRIPTION - len(more)].rpartition("\n")[0] + more
    client.update_model_version(model.name, str(model.version), description=cut)


def _described(client: "MlflowClient", held: "ModelVersion", aliases: Mapping[str, str]) -> Version:
    run = none_if_missing(lambda: client.get_run(held.run_id)) if held.run_id else None
    promoted = held.tags.get(PROMOTED_AT)
    return Version(
        model=as_registered(held),
        aliases=tuple(sorted(alias for alias, version in aliases.items() if int(version) == int(held.version))),
        registered_at=datetime.fromtimestamp(held.creation_timestamp / 1000, UTC),
        promoted_at=datetime.fromisoformat(promoted) if promoted else None,
        reason=held.tags.get(REASON),
        refused=held.tags.get(REFUSED),
        origin=held.tags.get(ORIGIN),
        licence=held.tags.get(LICENCE),
        scores={} if run is None else {key: value for key, value in run.data.metrics.items() if "/" in key},
    )

"""What the registry holds: every version with its aliases, scores, and the reason for its promotion."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from banet.tracking.registry import (
    DIGEST,
    LICENCE,
    ORIGIN,
    PROMOTED_AT,
    REASON,
    REFUSED,
    RegisteredModel,
    as_registered,
    every_model,
    none_if_missing,
)
from banet.tracking.store import Store, all_pages

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


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

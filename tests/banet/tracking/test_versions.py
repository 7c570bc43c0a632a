from collections.abc import Callable
from pathlib import Path

from banet.tracking.registry import promote, register
from banet.tracking.runs import finish_run, log_metrics, open_run
from banet.tracking.store import Store
from banet.tracking.versions import versions

Weights = Callable[[int], Path]


def test_versions_come_newest_first_with_aliases_scores_and_reasons(store: Store, weights: Weights) -> None:
    run_id = open_run(store, experiment="versions", name="r", fingerprint="versions", params={}, tags={})
    log_metrics(store, run_id, {"mini/blur/gain": 0.5, "loss": 1.0})
    finish_run(store, run_id)
    first = register(store, weights(1), name="banet-versions", run_id=run_id)
    second = register(store, weights(2), name="banet-versions", run_id="")
    promote(store, first, reason="why")
    newest, oldest = versions(store, "banet-versions")
    assert (newest.model, newest.aliases, newest.scores) == (second, ("candidate",), {})
    assert (newest.promoted_at, newest.reason) == (None, None)
    assert (oldest.model, oldest.aliases, oldest.scores) == (first, ("champion",), {"mini/blur/gain": 0.5})
    assert oldest.reason == "why"
    assert oldest.promoted_at is not None and oldest.promoted_at > oldest.registered_at
    assert {one.model.name for one in versions(store)} >= {"banet-versions"}
    assert versions(store, "banet-nothing") == ()


def test_versions_of_other_tools_are_passed_over(store: Store, weights: Weights) -> None:
    ours = register(store, weights(3), name="banet-shared", run_id="")
    client = store.client()
    client.create_model_version("banet-shared", client.get_model_version("banet-shared", "1").source)
    assert [one.model for one in versions(store, "banet-shared")] == [ours]

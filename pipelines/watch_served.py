"""The flow that looks at what is served, and raises an event if it has moved away from the shards."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.states import Completed, Failed
from pydantic import Field

from banet.config import read_params
from banet.data.served.drift import DriftReport, compare_served, format_drift
from banet.errors import BanetError
from pipelines.runs.variants import BenchmarkName

EVENT = "banet.served.moved"


@flow(name="watch-served")
def watch_served(
    served: str = "served",
    benchmark: BenchmarkName | None = None,
    days: Annotated[float, Field(gt=0, le=36500)] | None = 7,
) -> State[Any]:
    """Compare what was served with a benchmark's shards, as `banet drift` does; what has moved is an event.

    Args:
        served: The folder of `banet serve --watch`, from this checkout.
        benchmark: Whose shards. None: that of `params.yaml`.
        days: Only the pictures of the last so many. None: all.

    """
    try:
        trained = read_params(Path("params.yaml")).benchmark
        report = compare_served(
            Path(served),
            Path("data/shards") / (benchmark or trained.name),
            variant=trained.variant if benchmark in (None, trained.name) else None,
            since=datetime.now(UTC) - timedelta(days=days) if days is not None else None,
        )
    except BanetError as error:
        return Failed(message=f"error: {error}")
    get_run_logger().info(format_drift(report))
    if not report.moved:
        return Completed(message="nothing has moved")
    raise_event(report)
    return Completed(name="Moved", message=f"moved: {', '.join(report.moved)}")


def raise_event(report: DriftReport) -> None:
    """Tell Prefect's server which features have moved, each with its index."""
    emit_event(
        EVENT,
        resource={"prefect.resource.id": f"banet.served.{report.benchmark}"},
        payload={
            "moved": {feature.name: feature.index for feature in report.features if feature.verdict == "moved"},
            "served": report.served,
        },
    )

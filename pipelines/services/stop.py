"""`make stop`: end the servers of this checkout and all that they have started."""

from pipelines.services.processes import end
from pipelines.services.settings import FOLDER
from pipelines.services.start import alone, checkout
from pipelines.stages.entrypoint import run_command


def stop() -> None:
    """End the servers of this checkout: the worker and its flows first, the database last."""
    root = checkout()
    with alone(root):
        ended = sum(end(root / FOLDER, name) for name in ("worker", "prefect", "mlflow", "postgres"))
    print(f"stopped ({ended} processes)" if ended else "nothing was running")  # noqa: T201


if __name__ == "__main__":
    run_command(stop)

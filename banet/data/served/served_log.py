"""The log of what is served: a row per picture, without the picture or its name, in small Parquet files."""

import atexit
import sys
import threading
from collections import deque
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from banet.data.served.picture_features import PictureFeatures
from banet.files import whole_file

ROWS, SECONDS = 1000, 300.0  # a file is written when it has so many rows, or after so long
HELD = 10 * ROWS  # rows while a disk hangs
ENDING_S = 5.0  # for the last file
NAME_TIME = "%Y%m%dT%H%M%S"  # when a file was written, UTC; a random part follows, for all who write beside each other
SCHEMA = pa.schema(
    [
        ("time", pa.timestamp("us", "UTC")),
        ("width", pa.int32()),  # pixels; this and the next four are null for what could not be decoded
        ("height", pa.int32()),  # pixels
        ("brightness", pa.float64()),  # this and the next two as in `PictureFeatures`
        ("sharpness", pa.float64()),
        ("noise", pa.float64()),
        ("status", pa.int16()),  # of the answer, as in HTTP
        ("model", pa.string()),  # its address, or the digest of its weights
    ]
)


class ServedLog:
    """Writes rows from a thread of its own, also when the process ends in order.

    It never raises and never makes a request wait. What cannot be written is lost, and the first time said in a line.
    """

    def __init__(self, folder: Path, *, rows: int = ROWS, seconds: float = SECONDS) -> None:
        pa.array([None])  # loads pandas if it is there, which cannot be loaded any more when the process ends
        self._folder, self._rows, self._seconds = folder, rows, seconds
        self._held: deque[dict[str, Any]] = deque(maxlen=HELD)
        self._due, self._closed, self._said = threading.Event(), False, False
        self._thread = threading.Thread(target=self._write_when_due, daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def add(self, features: PictureFeatures | None, *, status: int, model: str) -> None:
        """Take the row of a picture that has been answered; without features if it could not be decoded."""
        figures = asdict(features) if features is not None else {}
        self._held.append({"time": datetime.now(UTC), "status": status, "model": model, **figures})
        if len(self._held) >= self._rows:
            self._due.set()

    def close(self) -> None:
        """Write what is held, and end; a disk that hangs is left after some seconds."""
        atexit.unregister(self.close)
        self._closed = True
        self._due.set()
        self._thread.join(ENDING_S)

    def _write_when_due(self) -> None:
        last = False
        while not last:
            self._due.wait(self._seconds)
            self._due.clear()
            last = self._closed  # before the rows are taken: none comes after it
            rows = [self._held.popleft() for _ in range(len(self._held))]
            try:
                if rows:
                    name = f"{datetime.now(UTC):{NAME_TIME}}-{uuid4().hex[:12]}.parquet"
                    with whole_file(self._folder / name) as partial:
                        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), partial)
                    self._said = False
            except Exception as error:  # whatever it is, pictures are restored
                if not self._said:
                    reason = " ".join(str(error).split())
                    print(f"what is served is not watched: {reason}", file=sys.stderr, flush=True)  # noqa: T201
                self._said = True

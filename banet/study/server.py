"""The page of a study, served to this machine alone: it shows trials, takes choices, and never names a method."""

import json
import secrets
import socket
import threading
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from banet.data.codec import encode_png, read_image
from banet.errors import BanetError, ConfigError
from banet.study.pairs import Photograph, Trial, trials
from banet.study.record import Choice, Preferred, Record, now

HOST = "127.0.0.1"
NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})  # by which a browser of this machine calls it
TOKEN_HEADER = "X-Study-Token"  # noqa: S105  # the name of the header
BODY_BYTES = 1024  # a choice takes 60
SECONDS = 30.0  # for a request to arrive
_CHOICES = ("left", "right", "none")
_SIDES = ("left", "right", "blurred")
_POLICY = (
    "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'nonce-{0}'; script-src 'nonce-{0}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class RefusedError(Exception):
    """A request that is answered with a status other than 200."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class Place(NamedTuple):
    """Where a participant stands."""

    participant: int
    done: int  # choices made
    total: int


class Questions:
    """Who has been asked what; several browsers may ask at once."""

    def __init__(self, photographs: tuple[Photograph, ...], record: Record) -> None:
        self.photographs, self.record = photographs, record
        self.token = secrets.token_urlsafe(24)  # another web page cannot read it, and so cannot post
        self._lock = threading.Lock()
        self._done = Counter(choice.participant for choice in record.choices)

    @property
    def with_blurred(self) -> bool:
        """Whether the blurred photograph is shown too."""
        return self.photographs[0].blurred is not None

    def unfinished(self) -> list[Place]:
        """Who has begun and not come to the end."""
        with self._lock:
            places = [self._place(participant) for participant in sorted(self._done)]
        return [place for place in places if 0 < place.done < place.total]

    def begin(self) -> Place:
        """Give the next participant a number."""
        with self._lock:
            participant = max(self._done, default=0) + 1
            self._done[participant] = 0
            return self._place(participant)

    def place(self, participant: int) -> Place:
        """Where this participant stands.

        Raises:
            RefusedError: nobody has this number.
        """
        with self._lock:
            return self._place(participant)

    def picture(self, participant: int, trial: int, side: str) -> bytes:
        """One image of a trial as a PNG that tells nothing but its pixels.

        Raises:
            RefusedError: there is no such trial or side.
        """
        asked = self._trial(self.place(participant), trial)
        chosen = {"left": asked.left, "right": asked.right}.get(side)
        path = asked.photograph.blurred if side == "blurred" else getattr(asked.photograph, chosen or "", None)
        if path is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "no such image")
        return _png(path)

    def choose(self, participant: int, trial: int, choice: str) -> Place:
        """Put a choice on disk; return where the participant stands then.

        Raises:
            RefusedError: it is not this participant's next trial.
            ResourceError: the disk.
        """
        with self._lock:
            place = self._place(participant)
            asked = self._trial(place, trial)
            if trial != place.done:
                raise RefusedError(HTTPStatus.CONFLICT, "this choice has been made")
            preferred: Preferred = asked.left if choice == "left" else asked.right if choice == "right" else "none"
            self.record.append(
                Choice(
                    participant=participant,
                    trial=trial,
                    image=asked.photograph.name,
                    left=asked.left,
                    right=asked.right,
                    preferred=preferred,
                    time=now(),
                )
            )
            self._done[participant] += 1
            return self._place(participant)

    def _place(self, participant: int) -> Place:
        if participant not in self._done:
            raise RefusedError(HTTPStatus.NOT_FOUND, "no such participant")
        return Place(participant, self._done[participant], len(self.photographs))

    def _trial(self, place: Place, trial: int) -> Trial:
        if not 0 <= trial < place.total:
            raise RefusedError(HTTPStatus.NOT_FOUND, "no such trial")
        return trials(self.photographs, seed=self.record.header.seed, participant=place.participant)[trial]


class StudyServer(ThreadingHTTPServer):
    """Listens on this machine's loopback; `serve_forever` answers."""

    daemon_threads = True

    def __init__(self, questions: Questions, port: int = 0) -> None:
        self.questions = questions
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise ConfigError(
                f"port {port} cannot be used ({error.strerror}): leave out --port, or name another"
            ) from None

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """A browser that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection. What a client sends are numbers and words that are looked up, never paths."""

    server: StudyServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "banet-study", ""
    timeout = SECONDS

    def do_GET(self) -> None:
        """Answer with the page or an image."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Begin, look up where a participant stands, or record a choice."""
        self._answer(self._post)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the terminal is for the study."""

    def _answer(self, handle: Callable[[], None]) -> None:
        try:
            self._require_this_machine()
            handle()
        except RefusedError as refused:
            self._send_json({"error": str(refused)}, refused.status)
        except BanetError as error:
            self._send_json({"error": str(error)}, HTTPStatus.INTERNAL_SERVER_ERROR)

    def _get(self) -> None:
        parts = urlsplit(self.path).path.strip("/").split("/")
        if parts == [""]:
            self._send_page()
        elif len(parts) == 4 and parts[0] == "image" and parts[3] in _SIDES:
            participant, trial = map(_number, parts[1:3])
            self._send(self.server.questions.picture(participant, trial, parts[3]), "image/png")
        else:
            raise RefusedError(HTTPStatus.NOT_FOUND, "no such page")

    def _post(self) -> None:
        values = self._body()
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{self.headers['Host']}":
            raise RefusedError(HTTPStatus.FORBIDDEN, "another page's request")
        if not secrets.compare_digest(
            self.headers.get(TOKEN_HEADER, "").encode(), self.server.questions.token.encode()
        ):
            raise RefusedError(HTTPStatus.FORBIDDEN, "the study was started again: load the page again")
        questions = self.server.questions
        if self.path == "/begin":
            place = questions.begin()
        elif self.path == "/place":
            place = questions.place(_number(values.get("participant")))
        elif self.path == "/choice" and values.get("choice") in _CHOICES:
            participant, trial = _number(values.get("participant")), _number(values.get("trial"))
            place = questions.choose(participant, trial, str(values["choice"]))
        else:
            raise RefusedError(HTTPStatus.NOT_FOUND, "no such page")
        self._send_json(place._asdict())

    def _body(self) -> dict[str, object]:
        """The body is read before anything is refused, else the connection could not be used again."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > BODY_BYTES:
            self.close_connection = True
            raise RefusedError(HTTPStatus.BAD_REQUEST, "no body, or too long a one")
        try:
            values = json.loads(self.rfile.read(int(length)))
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "not a JSON object")
        return values

    def _require_this_machine(self) -> None:
        """Another host's name that leads here (DNS rebinding) would let that host's pages read this one."""
        host = self.headers.get("Host", "")
        if host.rpartition(":")[0] not in NAMES and host not in NAMES:
            self.close_connection = True
            raise RefusedError(HTTPStatus.FORBIDDEN, "open it as 127.0.0.1 or localhost")

    def _send_page(self) -> None:
        questions, nonce = self.server.questions, secrets.token_urlsafe(12)
        state = {
            "token": questions.token,
            "total": len(questions.photographs),
            "blurred": questions.with_blurred,
            "unfinished": [place._asdict() for place in questions.unfinished()],
        }
        page = _template().replace("{{nonce}}", nonce).replace("{{state}}", json.dumps(state).replace("<", "\\u003c"))
        self._send(page.encode(), "text/html; charset=utf-8", policy=_POLICY.format(nonce))

    def _send_json(self, values: object, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(values).encode(), "application/json", status)

    def _send(self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, policy: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", policy or _POLICY.format("none"))
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)


def _number(value: object) -> int:
    """A number from a request, of few digits."""
    text = str(value) if isinstance(value, int | str) else ""
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise RefusedError(HTTPStatus.NOT_FOUND, "no such number")
    return int(text)


@lru_cache(maxsize=8)
def _png(path: Path) -> bytes:
    """Encoded anew: a file's ending, size on disk, and comments could tell the method."""
    return encode_png(read_image(path))


def _template() -> str:
    return files("banet.study").joinpath("page.html").read_text(encoding="utf-8")

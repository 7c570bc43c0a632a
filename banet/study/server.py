"""The page of a study, served to this machine alone: it shows trials, takes choices, and never names a method."""

import secrets
import socket
import threading
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

from flask import Flask, Response, g, jsonify, render_template, request
from werkzeug.exceptions import Conflict, Forbidden, HTTPException, NotFound
from werkzeug.serving import WSGIRequestHandler, make_server

from banet.data.images.codec import encode_png, read_image
from banet.errors import BanetError, ConfigError
from banet.parsing import parse
from banet.study.record import Choice, Preferred, Record, now
from banet.study.trials import ComparedPhotograph, Trial, trials

HOST = "127.0.0.1"
BODY_BYTES = 256  # a choice takes 60; too few for JSON so deep that it cannot be parsed
SECONDS = 30.0  # for a request to arrive
_HEADERS = {  # {0} becomes a number used once: only the page's own script and style run
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'nonce-{0}'; "
        "script-src 'nonce-{0}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """What the page sends to continue as a participant."""

    participant: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What the page sends when somebody chooses."""

    participant: int
    trial: int
    choice: Literal["left", "right", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far a participant has come."""

    participant: int
    done: int  # choices made
    total: int


class Questions:
    """Who has been asked what; several browsers may ask at once."""

    def __init__(self, photographs: tuple[ComparedPhotograph, ...], record: Record) -> None:
        self.photographs, self.record = photographs, record
        self._lock = threading.Lock()
        self._done = Counter(choice.participant for choice in record.choices)

    def unfinished(self) -> list[Place]:
        """Participants who have made some of their choices, but not all."""
        with self._lock:
            places = [self.place(participant) for participant in sorted(self._done)]
        return [place for place in places if 0 < place.done < place.total]

    def begin(self) -> Place:
        """Give the next participant a number."""
        with self._lock:
            participant = max(self._done, default=0) + 1
            self._done[participant] = 0
        return self.place(participant)

    def place(self, participant: int) -> Place:
        """How far this participant has come.

        Raises:
            NotFound: nobody has this number.
        """
        if participant not in self._done:
            raise NotFound("no such participant")
        return Place(participant=participant, done=self._done[participant], total=len(self.photographs))

    def picture(self, participant: int, trial: int, side: Literal["left", "right", "blurred"]) -> bytes:
        """One image of a trial as a PNG that tells nothing but its pixels.

        Raises:
            NotFound: there is no such participant, trial or image.
        """
        asked = self._trial(participant, trial)
        paths = {"a": asked.photograph.a, "b": asked.photograph.b}
        path = asked.photograph.blurred if side == "blurred" else paths[asked.left if side == "left" else asked.right]
        if path is None:
            raise NotFound("no such image")
        return _png(path)

    def choose(self, vote: Vote) -> Place:
        """Put a choice on disk; return how far the participant has come then.

        Raises:
            NotFound: there is no such participant or trial.
            Conflict: it is not this participant's next trial.
            ResourceError: the disk.
        """
        with self._lock:
            asked = self._trial(vote.participant, vote.trial)
            if vote.trial != self._done[vote.participant]:
                raise Conflict("this choice has been made")
            sides: dict[str, Preferred] = {"left": asked.left, "right": asked.right, "none": "none"}
            self.record.append(
                Choice(
                    participant=vote.participant,
                    trial=vote.trial,
                    image=asked.photograph.name,
                    left=asked.left,
                    right=asked.right,
                    preferred=sides[vote.choice],
                    time=now(),
                )
            )
            self._done[vote.participant] += 1
        return self.place(vote.participant)

    def _trial(self, participant: int, trial: int) -> Trial:
        if not 0 <= trial < self.place(participant).total:
            raise NotFound("no such trial")
        return trials(self.photographs, seed=self.record.header.seed, participant=participant)[trial]


class StudyServer:
    """Listens on this machine's loopback while the context lasts; `serve_forever` answers until Ctrl-C or `shutdown`.

    Args:
        questions: what to ask.
        port: from 1 to 65535, or 0 for any that is free.

    Raises:
        ConfigError: the port cannot be used.
    """

    def __init__(self, questions: Questions, port: int = 0) -> None:
        try:
            listening = socket.create_server((HOST, port))
        except OSError as error:
            what = f"port {port} cannot be used ({error.strerror})"
            raise ConfigError(f"{what}: leave out --port, or name another") from None
        with listening:  # bound here: for a port in use, make_server would print several lines and end the process
            app, number = make_app(questions), listening.fileno()
            self._server = make_server(HOST, port, app, threaded=True, request_handler=_QuietHandler, fd=number)
        self.url = f"http://{HOST}:{self._server.port}/"
        self.serve_forever, self.shutdown = self._server.serve_forever, self._server.shutdown

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()


class _QuietHandler(WSGIRequestHandler):
    timeout = SECONDS

    def log(self, type: str, message: str, *args: object) -> None:
        """Say nothing: the terminal is for the study."""


def make_app(questions: Questions) -> Flask:
    """Make the application; what a client sends are numbers and words that are looked up, never paths."""
    app = Flask("banet.study", static_folder=None, template_folder=".")
    token = secrets.token_urlsafe(24)  # another web page cannot read it, and so cannot post
    _protect(app, token)

    @app.get("/")
    def page() -> str:
        state = {
            "token": token,
            "total": len(questions.photographs),
            "blurred": questions.photographs[0].blurred is not None,
            "unfinished": questions.unfinished(),
        }
        return render_template("page.html", state=state)

    @app.get("/image/<int:participant>/<int:trial>/<any(left, right, blurred):side>")
    def image(participant: int, trial: int, side: Literal["left", "right", "blurred"]) -> Response:
        return Response(questions.picture(participant, trial, side), mimetype="image/png")

    @app.post("/begin")
    def begin() -> Response:
        return jsonify(questions.begin())

    @app.post("/place")
    def place() -> Response:
        return jsonify(questions.place(parse(Who, request.get_json(force=True), where="request").participant))

    @app.post("/choice")
    def choose() -> Response:
        return jsonify(questions.choose(parse(Vote, request.get_json(force=True), where="request")))

    return app


def _protect(app: Flask, token: str) -> None:
    """Answer this machine's browsers and the study's own page alone, with errors as JSON."""
    # Another host's name that leads here (DNS rebinding) would let that host's pages read this one.
    app.config.update(TRUSTED_HOSTS=[HOST, "localhost"], MAX_CONTENT_LENGTH=BODY_BYTES)

    @app.before_request
    def require_own_page() -> None:
        g.nonce = secrets.token_urlsafe(12)
        if request.method != "POST":
            return
        own = f"http://{request.host}"
        if request.headers.get("Origin", own) != own:
            raise Forbidden("another page's request")
        if not secrets.compare_digest(request.headers.get("X-Study-Token", "").encode(), token.encode()):
            raise Forbidden("the study was started again: load the page again")

    @app.after_request
    def add_headers(answer: Response) -> Response:
        answer.headers.update({name: value.format(g.nonce) for name, value in _HEADERS.items()})
        return answer

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> tuple[Response, int]:
        return jsonify(error=error.description), error.code or 500

    @app.errorhandler(BanetError)
    def fail(error: BanetError) -> tuple[Response, int]:
        return jsonify(error=str(error)), 400 if isinstance(error, ConfigError) else 500


@lru_cache(maxsize=8)
def _png(path: Path) -> bytes:
    """Encode anew: a file's ending, size on disk, and comments could tell the method."""
    return encode_png(read_image(path))

"""A real browser for tests of pages: headless Chromium, spoken to by the DevTools protocol through its own pipe."""

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless_shell")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
DESKTOP, PHONE = (1280, 900), (360, 740)
SECONDS = 20.0  # for a page to come to a state
CODES = {
    "ArrowLeft": 37,
    "ArrowRight": 39,
    "Home": 36,
    "End": 35,
    "PageUp": 33,
    "PageDown": 34,
    "Tab": 9,
    "ArrowDown": 40,
}

START = """
import fcntl, os, sys
ours = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for number, place in zip(ours, (3, 4)):  # where Chromium looks for its pipe
    os.dup2(number, place)
options = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --hide-scrollbars"
os.execv(sys.argv[3], [*sys.argv[3:], *options.split(), "--remote-debugging-pipe", "about:blank"])
"""


class Browser:
    """One tab; messages are JSON and end in a zero byte."""

    def __init__(self, profile: Path) -> None:
        to_read, self._out = os.pipe()
        self._in, to_write = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, str(to_read), str(to_write), str(CHROMIUM), f"--user-data-dir={profile}"],
            pass_fds=(to_read, to_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._buffer, self._number, self.session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        pages = self.send("Target.getTargets")["targetInfos"]
        target = next(page["targetId"] for page in pages if page["type"] == "page")
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def close(self) -> None:
        """End the browser."""
        self.process.terminate()
        try:
            self.process.wait(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._in)
        os.close(self._out)

    def send(self, method: str, **params: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, url: str, size: tuple[int, int] = DESKTOP, *, touch: bool = False, scheme: str = "light") -> None:
        """Load a page in a window of this width and height, and wait until it is there."""
        width, height = size
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self.send("Emulation.setTouchEmulationEnabled", enabled=touch)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.events.clear()
        self.send("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def ask(self, expression: str) -> Any:  # noqa: ANN401  # JSON
        """The value of an expression in the page."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + SECONDS
        while not self.ask(expression):
            assert time.monotonic() < end, expression
            time.sleep(0.02)

    def complaints(self) -> list[dict[str, Any]]:
        """What the page's script or policy failed in."""
        return [one for one in self.events if one.get("method") in {"Runtime.exceptionThrown", "Log.entryAdded"}]

    def centre(self, selector: str) -> tuple[float, float]:
        """The middle of an element in the window, which is scrolled to it."""
        self.ask(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center'}})")
        box = f"document.querySelector({selector!r}).getBoundingClientRect()"
        left, top, width, height = self.ask(f"(() => {{ const r = {box}; return [r.x, r.y, r.width, r.height]; }})()")
        return left + width / 2, top + height / 2

    def mouse(self, kind: str, at: tuple[float, float]) -> None:
        """`mousePressed`, `mouseMoved` or `mouseReleased`."""
        button = {"button": "left", "buttons": 1, "clickCount": 1}
        self.send("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], **button)

    def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of an element."""
        at = self.centre(selector)
        self.mouse("mousePressed", at)
        self.mouse("mouseReleased", at)

    def finger(self, kind: str, *at: tuple[float, float]) -> None:
        """`touchStart`, `touchMove` or `touchEnd`."""
        self.send("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y} for x, y in at])

    def tap(self, selector: str) -> None:
        """Touch the middle of an element."""
        self.finger("touchStart", self.centre(selector))
        self.finger("touchEnd")

    def key(self, name: str) -> None:
        """Press and release a key: a name of CODES, or a character."""
        code = CODES.get(name) or ord(name.upper())
        for kind in ("rawKeyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)

    def screenshot(self) -> np.ndarray[Any, Any]:
        """What is seen, uint8 RGB (H, W, 3)."""
        png = base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])
        return np.asarray(cv2.cvtColor(cv2.imdecode(np.frombuffer(png, np.uint8), 1), cv2.COLOR_BGR2RGB))

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._in, 1 << 20)
            assert part, "the browser has gone"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        parsed: dict[str, Any] = json.loads(message)
        return parsed

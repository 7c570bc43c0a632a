"""The page in a real browser, with true events of mouse, touch and keys by Chromium's own pipe; skipped without."""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipelines.report import ReportInputs, write_report

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless_shell")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
DESKTOP, PHONE = (1280, 900), (360, 740)
HEIGHT, WIDTH = 60, 180
RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)  # blurred, restored, sharp

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium in PATH")

START = """
import fcntl, os, sys
ours = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for number, place in zip(ours, (3, 4)):  # where Chromium looks for its pipe
    os.dup2(number, place)
options = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --hide-scrollbars"
os.execv(sys.argv[3], [*sys.argv[3:], *options.split(), "--remote-debugging-pipe", "about:blank"])
"""


class Browser:
    """One tab, spoken to by the DevTools protocol: JSON messages that end in a zero byte."""

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
        self._buffer, self._number, self.session, self.events = b"", 0, "", []  # type: ignore[var-annotated]
        pages = self.send("Target.getTargets")["targetInfos"]
        target = next(page["targetId"] for page in pages if page["type"] == "page")
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        os.write(
            self._out, json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0"
        )
        while (answer := self._receive()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._in, 1 << 20)
            assert part, "the browser has gone"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        parsed: dict[str, Any] = json.loads(message)
        return parsed

    def open(self, page: Path, size: tuple[int, int] = DESKTOP, *, touch: bool = False, scheme: str = "light") -> None:
        width, height = size
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self.send("Emulation.setTouchEmulationEnabled", enabled=touch)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.events.clear()
        self.send("Page.navigate", url=page.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def ask(self, expression: str) -> Any:  # noqa: ANN401  # JSON
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def complaints(self) -> list[Any]:
        return [e for e in self.events if e.get("method") in {"Runtime.exceptionThrown", "Log.entryAdded"}]

    def seams(self) -> list[int]:
        found: list[int] = self.ask(
            "[...document.querySelector('.compare').querySelectorAll('[role=slider]')]"
            ".map((h) => Number(h.getAttribute('aria-valuenow')))"
        )
        return found

    def area(self) -> tuple[float, float, float, float]:
        """Left, top, width, height of the first scene's picture in the window."""
        self.ask("document.querySelector('.compare').scrollIntoView({block: 'center'})")
        left, top, width, height = self.ask(
            "(() => { const r = document.querySelector('.compare img').getBoundingClientRect();"
            " return [r.x, r.y, r.width, r.height]; })()"
        )
        return left, top, width, height

    def place(self, share: float) -> tuple[float, float]:
        left, top, width, height = self.area()
        return left + share * width, top + height / 4

    def mouse(self, kind: str, at: tuple[float, float]) -> None:
        button = {"button": "left", "buttons": 1, "clickCount": 1}
        self.send("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], **button)

    def finger(self, kind: str, *at: tuple[float, float]) -> None:
        self.send("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y} for x, y in at])

    def key(self, name: str) -> None:
        codes = {"ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35, "PageUp": 33, "PageDown": 34, "Tab": 9}
        for kind in ("rawKeyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=codes[name])

    def screenshot(self) -> np.ndarray[Any, Any]:
        png = base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])
        return np.asarray(cv2.cvtColor(cv2.imdecode(np.frombuffer(png, np.uint8), 1), cv2.COLOR_BGR2RGB))

    def colours(self, *shares: float) -> list[str]:
        """Which picture is seen at these shares of the first scene's width, a little above its lower edge."""
        left, top, width, height = self.area()
        shot = self.screenshot()
        pixels = (shot[int(top + 0.9 * height), int(left + share * width)] for share in shares)
        return [("blurred", "restored", "sharp")[int(np.argmax(pixel))] for pixel in pixels]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("profile"))
    try:
        yield opened
    finally:
        opened.process.terminate()
        try:
            opened.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            opened.process.kill()
            opened.process.wait()
        os.close(opened._in)
        os.close(opened._out)


@pytest.fixture
def page(read: Callable[..., ReportInputs], reports: Path, tmp_path: Path) -> Path:
    """The report of red, green and blue pictures, so that a screenshot tells which one is seen."""
    for file in (reports / "evaluate/mini/samples").iterdir():
        colour = {"blurred": RED, "restored": GREEN, "sharp": BLUE}[file.stem.rpartition("_")[2]]
        cv2.imwrite(str(file), np.full((HEIGHT, WIDTH, 3), colour[::-1], dtype=np.uint8))
    write_report(read(), tmp_path / "out")
    return tmp_path / "out/index.html"


def test_all_three_are_seen_side_by_side_at_first(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.seams() == [33, 67]
    assert browser.colours(0.05, 0.28, 0.38, 0.62, 0.72, 0.95) == [
        *("blurred", "blurred", "restored", "restored", "sharp", "sharp")
    ]
    assert browser.complaints() == []  # the policy lets the script run, and nothing fails


def test_the_mouse_drags_the_nearer_seam(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.mouse("mousePressed", browser.place(0.3))
    for share in (0.2, 0.1):
        browser.mouse("mouseMoved", browser.place(share))
    browser.mouse("mouseReleased", browser.place(0.1))
    assert browser.seams() == [10, 67]
    browser.mouse("mouseMoved", browser.place(0.5))  # released: nothing follows any more
    assert browser.seams() == [10, 67]
    assert browser.colours(0.05, 0.2, 0.6, 0.75) == ["blurred", "restored", "restored", "sharp"]
    browser.mouse("mousePressed", browser.place(0.6))
    browser.mouse("mouseMoved", browser.place(0.02))  # takes the other along: blurred beside sharp
    browser.mouse("mouseReleased", browser.place(0.02))
    assert browser.seams() == [2, 2]
    assert browser.colours(0.1, 0.5, 0.9) == ["sharp"] * 3
    browser.mouse("mousePressed", browser.place(0.5))
    left, top, width, height = browser.area()
    browser.mouse("mouseMoved", (left + width + 60, top + height + 60))  # beyond the picture, still held
    browser.mouse("mouseReleased", (left + width + 60, top + height + 60))
    assert browser.seams() == [2, 100]
    assert browser.colours(0.1, 0.5, 0.9) == ["restored"] * 3


def test_a_finger_drags_a_seam_and_still_scrolls_the_page(browser: Browser, page: Path) -> None:
    browser.open(page, PHONE, touch=True)
    browser.finger("touchStart", browser.place(0.7))
    for share in (0.72, 0.8, 0.9):
        browser.finger("touchMove", browser.place(share))
    browser.finger("touchEnd")
    assert browser.seams() == [33, 90]
    assert browser.colours(0.1, 0.5, 0.8) == ["blurred", "restored", "restored"]
    browser.finger("touchStart", browser.place(0.2))  # a tap
    browser.finger("touchEnd")
    assert browser.seams() == [20, 90]
    x, y = browser.place(0.5)
    before = browser.ask("scrollY")
    browser.finger("touchStart", (x, y))
    for step in range(1, 9):
        browser.finger("touchMove", (x + 10, y - 25 * step))  # no finger moves quite straight
    browser.finger("touchEnd")
    assert browser.ask("scrollY") > before + 50
    assert browser.seams() == [20, 90]


def test_keys_move_the_seam_that_has_the_focus(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.ask("document.querySelector('[role=slider]').focus()")
    browser.key("ArrowRight")
    assert browser.seams() == [35, 67]
    browser.key("PageDown")
    assert browser.seams() == [25, 67]
    browser.key("Tab")
    browser.key("End")
    assert browser.seams() == [25, 100]
    browser.key("ArrowLeft")
    assert browser.seams() == [25, 98]
    browser.key("Home")
    assert browser.seams() == [0, 0]
    assert browser.colours(0.1, 0.9) == ["sharp", "sharp"]
    label, text = browser.ask(
        "['aria-label', 'aria-valuetext'].map((name) => document.activeElement.getAttribute(name))"
    )
    assert label == "coffee_long/000000: seam between restored and sharp"
    assert text == "restored up to 0 %, then sharp"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_it_fits_its_window_and_its_words_stand_out(
    browser: Browser, page: Path, size: tuple[int, int], scheme: str
) -> None:
    browser.open(page, size, touch=size == PHONE, scheme=scheme)
    assert browser.ask("document.documentElement.scrollWidth") <= size[0]
    browser.ask("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert browser.ask("document.documentElement.scrollWidth") <= size[0]
    ink, muted, accent, paper = (
        browser.ask(f"getComputedStyle(document.documentElement).getPropertyValue('--{name}')").strip()
        for name in ("ink", "muted", "accent", "paper")
    )
    shown = browser.ask("getComputedStyle(document.body).backgroundColor")
    assert [int(part) for part in shown.removeprefix("rgb(").removesuffix(")").split(",")] == rgb(paper)
    assert (sum(rgb(paper)) < 300) == (scheme == "dark")
    for colour, least in ((ink, 10.0), (muted, 4.5), (accent, 4.5)):  # WCAG asks 4.5 of text
        assert contrast(rgb(colour), rgb(paper)) >= least


def test_without_its_script_the_page_shows_the_pictures_beside_each_other(browser: Browser, page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    still = page.with_name("still.html")
    still.write_text(html[: html.index("<script>")] + html[html.index("</script>") :], encoding="utf-8")
    browser.open(still)
    lefts = browser.ask(
        "[...document.querySelector('.compare').querySelectorAll('img')].map((i) => i.getBoundingClientRect().x)"
    )
    assert lefts[0] + 100 < lefts[1] < lefts[2] - 100


def rgb(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def contrast(one: list[int], other: list[int]) -> float:
    """WCAG 2's contrast of two sRGB colours."""

    def luminance(colour: list[int]) -> float:
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in colour)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)

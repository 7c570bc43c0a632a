"""The page of a study in a real browser, with true events of keys, mouse and touch; skipped without one."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from chromium import CHROMIUM, DESKTOP, PHONE, Browser

from banet.study.record import Choice, open_record, read_study
from banet.study.server import Questions, StudyServer
from banet.study.trials import read_photographs

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium in PATH")

Folders = Callable[[int], Path]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with ExitStack() as stack:
        opened = Browser(tmp_path_factory.mktemp("profile"))
        stack.callback(opened.close)
        yield opened


@contextmanager
def serving(root: Path, port: int = 0) -> Iterator[str]:
    shown = read_photographs(root / "a", root / "b", root / "blurred")
    count = len(shown.photographs)
    record = open_record(root / "out.jsonl", a="A", b="B", images=count, digest=shown.digest, seed=1)
    with record as opened, StudyServer(Questions(shown.photographs, opened), port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


def choices(root: Path) -> tuple[Choice, ...]:
    return read_study(root / "out.jsonl").choices


def preferred(choice: Choice) -> str:
    """On which side, `none` for neither."""
    if choice.preferred == "none":
        return "none"
    return "left" if choice.preferred == choice.left else "right"


def test_keys_mouse_and_fingers_choose(browser: Browser, folders: Folders) -> None:
    root = folders(7)
    with serving(root) as url:
        browser.open(url)
        browser.click("#begin")
        browser.wait_for("ready")
        colours = [tuple(browser.screenshot()[int(y), int(x)]) for x, y in map(browser.centre, ("#left", "#right"))]
        assert {colour[0] > 200 for colour in colours} == {True, False}  # method a's is bright, b's dark
        bright = "left" if colours[0][0] > 200 else "right"
        for number, key in enumerate(("ArrowLeft", "2", "0"), start=1):
            browser.key(key)
            browser.wait_for(f"ready && place.done === {number}")
        assert choices(root)[0].left == ("a" if bright == "left" else "b")
        browser.key("ArrowDown")  # scrolls
        browser.click("[data-choice=right]")
        browser.wait_for("ready && place.done === 4")
        browser.open(url, PHONE, touch=True)  # loaded again in the middle: it goes on
        browser.wait_for("ready && place.done === 4")
        browser.tap("[data-choice=left]")
        browser.wait_for("ready && place.done === 5")
        browser.tap("#left")  # looks closer, chooses nothing
        browser.tap("[data-choice=none]")
        browser.wait_for("ready && place.done === 6")
        browser.tap("[data-choice=right]")
        browser.wait_for("!document.getElementById('end').hidden")
        assert browser.complaints() == []  # the policy lets the script run, and nothing fails
    sides = [preferred(choice) for choice in choices(root)]
    assert sides == ["left", "right", "none", "right", "left", "none", "right"]


def test_the_page_says_when_the_study_stops_and_goes_on_after_it(browser: Browser, folders: Folders) -> None:
    root = folders(3)
    with serving(root) as url:
        browser.open(url)
        browser.ask("sessionStorage.clear()")
        browser.open(url)
        browser.click("#begin")
        browser.wait_for("ready")
        browser.key("1")
        browser.wait_for("ready && place.done === 1")
    browser.key("1")
    browser.wait_for("document.getElementById('message').textContent.includes('does not answer')")
    with serving(root, int(url.rstrip("/").rpartition(":")[2])):
        browser.wait_for("ready")
        browser.key("1")
        browser.wait_for("document.getElementById('message').textContent.includes('load the page again')")
        assert len(choices(root)) == 1
        browser.open(url)
        browser.wait_for("ready && place.done === 1")
        browser.key("2")
        browser.wait_for("ready && place.done === 2")
    assert [choice.trial for choice in choices(root)] == [0, 1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_it_fits_its_window(browser: Browser, folders: Folders, size: tuple[int, int], scheme: str) -> None:
    with serving(folders(1)) as url:
        browser.open(url, size, touch=size == PHONE, scheme=scheme)
        assert browser.ask("document.documentElement.scrollWidth") <= size[0]
        browser.ask("document.getElementById('begin').click()")
        browser.wait_for("ready")
        assert browser.ask("document.documentElement.scrollWidth") <= size[0]
        lower = browser.ask("document.querySelector('.choices').getBoundingClientRect().bottom")
        assert lower <= size[1]  # the buttons are seen without scrolling
        assert (browser.screenshot()[-1, 1].sum() < 150) == (scheme == "dark")

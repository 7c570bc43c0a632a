"""The page in a real browser, with real mouse, touch and key events; skipped without Chromium."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from chromium import CHROMIUM, DESKTOP, PHONE, Browser

from pipelines.report.data.inputs import ReportInputs
from pipelines.report.page.benchmark_sections import benchmark_sections
from pipelines.report.write import write_report

HEIGHT, WIDTH = 60, 180
RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)  # blurred, restored, sharp

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium in PATH")


class Report(Browser):
    """A tab that shows the report."""

    def show(self, page: Path, size: tuple[int, int] = DESKTOP, *, touch: bool = False, scheme: str = "light") -> None:
        self.open(page.as_uri(), size, touch=touch, scheme=scheme)

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

    def colours(self, *shares: float) -> list[str]:
        """Which picture is seen at these shares of the first scene's width, a little above its lower edge."""
        left, top, width, height = self.area()
        shot = self.screenshot()
        pixels = (shot[int(top + 0.9 * height), int(left + share * width)] for share in shares)
        return [("blurred", "restored", "sharp")[int(np.argmax(pixel))] for pixel in pixels]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Report]:
    opened = Report(tmp_path_factory.mktemp("profile"))
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def page(read: Callable[..., ReportInputs], reports: Path, tmp_path: Path) -> Path:
    """The report of red, green and blue pictures: a screenshot tells which one is visible."""
    for file in (reports / "evaluate/mini/samples").iterdir():
        colour = {"blurred": RED, "restored": GREEN, "sharp": BLUE}[file.stem.rpartition("_")[2]]
        cv2.imwrite(str(file), np.full((HEIGHT, WIDTH, 3), colour[::-1], dtype=np.uint8))
    write_report(read(), tmp_path / "out")
    return tmp_path / "out/index.html"


def test_all_three_are_seen_side_by_side_at_first(browser: Report, page: Path) -> None:
    browser.show(page)
    assert browser.seams() == [33, 67]
    assert browser.colours(0.05, 0.28, 0.38, 0.62, 0.72, 0.95) == [
        *("blurred", "blurred", "restored", "restored", "sharp", "sharp")
    ]
    assert browser.complaints() == []  # the policy lets the script run, and nothing fails


def test_the_mouse_drags_the_nearer_seam(browser: Report, page: Path) -> None:
    browser.show(page)
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


def test_a_finger_drags_a_seam_and_still_scrolls_the_page(browser: Report, page: Path) -> None:
    browser.show(page, PHONE, touch=True)
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


def test_keys_move_the_seam_that_has_the_focus(browser: Report, page: Path) -> None:
    browser.show(page)
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
def test_it_fits_its_window_and_its_words_are_readable(
    browser: Report, page: Path, size: tuple[int, int], scheme: str
) -> None:
    browser.show(page, size, touch=size == PHONE, scheme=scheme)
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


@pytest.fixture
def full(
    edit: Callable[..., None], add_method: Callable[..., None], page: Path, read: Callable[..., ReportInputs]
) -> Path:
    """The same with six methods and two worst images."""
    for i in range(6):
        add_method(f"Method-{i}+", i - 3.0, size=(HEIGHT, WIDTH))
    edit("evaluate/mini/metrics.json", lambda m: m.update(worst=m["samples"]))
    write_report(read(), page.parent)
    return page


CLOSE_UPS = """[...document.querySelectorAll('SELECTOR .crops figure')].map((f) => {
    const r = f.getBoundingClientRect(), c = f.querySelector('figcaption').getBoundingClientRect();
    return [r.x, r.y, r.width, r.bottom, c.width, f.querySelector('img').naturalWidth];
})"""


@pytest.mark.parametrize(("size", "columns"), [(DESKTOP, 5), ((390, 844), 3)])
def test_close_ups_of_many_methods_are_side_by_side(
    browser: Report, full: Path, size: tuple[int, int], columns: int
) -> None:
    browser.show(full, size, touch=size != DESKTOP)
    assert browser.ask("document.documentElement.scrollWidth") <= size[0]
    for place, least in ((".scene", 130), (".worst", 110)):
        found = browser.ask(CLOSE_UPS.replace("SELECTOR", place))[:9]  # blurred, six methods, ours, sharp
        assert [round(y) for _, y, *_ in found] == sorted(round(y) for _, y, *_ in found)
        first = [figure for figure in found if abs(figure[1] - found[0][1]) < 1]
        assert len(first) == columns
        for (x, _, width, *_), (after, *_) in pairwise(first):
            assert x + width <= after
        for _, _, width, _, words, pixels in found:
            assert (least if size == DESKTOP else 90) < width < 200
            assert words <= width + 1
            assert pixels == 32  # it was decoded
    box, map_ = browser.ask(
        "['i', 'img'].map((name) => document.querySelector(`.worst .boxed ${name}`).getBoundingClientRect())"
        ".map((r) => [r.x, r.y, r.right, r.bottom])"
    )
    assert map_[0] - 1 <= box[0] < box[2] <= map_[2] + 1
    assert map_[1] - 1 <= box[1] < box[3] <= map_[3] + 1
    assert browser.complaints() == []


@pytest.mark.slow
def test_the_seams_part_webp_as_well(browser: Report, full: Path, read: Callable[..., ReportInputs]) -> None:
    inputs = read()
    exact = sum(section.size for section in benchmark_sections(inputs.benchmarks))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.report.page.benchmark_sections._PICTURE_BYTES", exact - 1)
        write_report(inputs, full.parent)
    browser.show(full)
    kinds = browser.ask("[...document.querySelectorAll('.compare img')].map((i) => i.src.slice(0, 15))")
    assert set(kinds) == {"data:image/webp"}
    assert browser.seams() == [33, 67]
    assert browser.colours(0.05, 0.5, 0.95) == ["blurred", "restored", "sharp"]
    browser.mouse("mousePressed", browser.place(0.3))
    browser.mouse("mouseMoved", browser.place(0.1))
    browser.mouse("mouseReleased", browser.place(0.1))
    assert browser.seams() == [10, 67]
    assert browser.colours(0.05, 0.2, 0.75) == ["blurred", "restored", "sharp"]
    assert browser.complaints() == []


def test_without_its_script_the_page_shows_the_pictures_beside_each_other(browser: Report, page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    still = page.with_name("still.html")
    still.write_text(html[: html.index("<script>")] + html[html.index("</script>") :], encoding="utf-8")
    browser.show(still)
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

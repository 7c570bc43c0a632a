"""The page holds everything itself, escapes what it is given, and says what it is."""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from banet.data.codec import write_image
from banet.errors import DataError
from pipelines.report import ReportInputs, write_report
from pipelines.report.page import render_page

Read = Callable[..., ReportInputs]
Edit = Callable[[str, Callable[[dict[str, Any]], None]], None]


class Tags(HTMLParser):
    """Collect start tags and check that each is closed in order."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.all if name == tag]


def words(page: str) -> str:
    """The text a reader sees, on one line."""
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL).split())


def test_writes_both_files_and_leaves_nothing_else(read: Read, tmp_path: Path) -> None:
    write_report(read(), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["index.html", "table.md", "tables"]
    assert (tmp_path / "out/index.html").read_text(encoding="utf-8") == render_page(read())


def test_a_broken_picture_leaves_the_last_report_as_it_was(read: Read, reports: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_report(read(), out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    broken = reports / "evaluate/mini/samples/1_restored.png"
    broken.write_bytes(b"GIF89a")
    with pytest.raises(DataError, match=r"1_restored\.png is no PNG: run the evaluate stage again"):
        write_report(read(), out)
    broken.unlink()
    with pytest.raises(DataError, match=r"1_restored\.png cannot be read \(No such file"):
        write_report(read(), out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_the_page_is_well_formed_and_loads_nothing(read: Read) -> None:
    page = render_page(read())
    tags = Tags(page)
    assert tags.open == []
    assert {"link", "iframe", "object", "form"}.isdisjoint(name for name, _ in tags.all)
    for _, attrs in tags.all:
        for name in ("src", "href", "xlink:href"):
            assert (attrs.get(name) or "#").startswith(("data:", "#"))
    assert "@import" not in page
    ids = Counter(attrs["id"] for _, attrs in tags.all if "id" in attrs)
    assert [name for name, count in ids.items() if count > 1] == []
    assert "prefers-color-scheme: dark" in page


def test_the_page_runs_its_own_script_and_no_other(read: Read) -> None:
    page = render_page(read())
    tags = Tags(page)
    assert [attrs for name, attrs in tags.all if name == "script"] == [{}]
    script = page[page.index("<script>") + len("<script>") : page.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = (meta["content"] or "" for meta in tags.attributes("meta") if "http-equiv" in meta)
    assert policy == (f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'")


def test_headline_and_tables(read: Read) -> None:
    text = words(render_page(read()))
    for part in (
        "banet-mini version 3",
        "banet 0.1.0 · commit a1b2c3d4e5f6 · weights 9f86d081884c",
        "+0.93 dB",
        "restored 26.05 +0.93 0.8261 0.7261",
        "restored, noise-free 26.10 +0.80 0.8261 0.7261",
        "long 12 22.00 →\u00a021.75 \u22120.25",
        "1,184,323",
    ):
        assert " ".join(part.split()) in text


def test_pictures_are_the_files_themselves(read: Read, reports: Path) -> None:
    images = {image["alt"]: image for image in Tags(render_page(read())).attributes("img")}
    assert len(images) == 2 * (3 + 3 + 2)
    sharp = images["coffee_long/000001, sharp"]
    assert (sharp["width"], sharp["height"]) == ("41", "30")
    content = (sharp["src"] or "").removeprefix("data:image/png;base64,")
    assert base64.b64decode(content) == (reports / "evaluate/mini/samples/1_sharp.png").read_bytes()


def test_each_picture_says_its_psnr(read: Read) -> None:
    assert "+0.75 dB blurred 22.50 dB restored 23.25 dB sharp ground truth" in words(render_page(read()))


def test_only_mini_is_excused(read: Read, add_benchmark: Callable[..., None]) -> None:
    add_benchmark("gopro")
    assert "not GoPro" in render_page(read())
    assert "not GoPro" not in render_page(read("gopro"))


def test_a_page_stays_small_and_says_what_it_left_out(
    read: Read, add_benchmark: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_benchmark("gopro", samples=3, size=(60, 60))
    noise = 60 * 60 * 3 * 4 // 3  # it does not compress
    monkeypatch.setattr("pipelines.report.page._PICTURE_BYTES", int(2.5 * (3 + 3 * (32 / 60) ** 2 + 2) * noise))
    page = render_page(read("gopro"))
    assert len(Tags(page).attributes("img")) == 2 * 8
    assert "Left out to keep this page small: coffee_long/000002; " in words(page)


def test_what_was_trained(read: Read) -> None:
    text = words(render_page(read()))
    for setting in ("validation.sequences coffee_short, coffee_long", "init_from none", "phases 2.crop 96"):
        assert setting in text


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, "Version 3 is now the champion. There was no champion. candidate version 3, 26.41 dB on validation"),
        (
            {"previous_version": 2, "previous_psnr": 26.3, "reason": "better by 0.11 dB."},
            "Version 3 is now the champion, in place of version 2. Better by 0.11 dB. candidate",
        ),
        (
            {"previous_version": 2, "previous_psnr": 26.5, "moved": False, "reason": "worse"},
            "Version 2 remains the champion; version 3 does not replace it. Worse. candidate",
        ),
        (
            {"previous_version": 3, "previous_psnr": 26.41, "moved": False, "reason": "it is the champion already"},
            "Version 3 remains the champion. It is the champion already. candidate",
        ),
    ],
)
def test_promotion_is_told(read: Read, edit: Edit, change: dict[str, Any], sentence: str) -> None:
    edit("promotion.json", lambda values: values.update(change))
    assert sentence in words(render_page(read()))


def test_the_interval_and_the_data_of_a_promotion(read: Read, edit: Edit) -> None:
    interval = {"mean": 0.11, "low": -0.02, "high": 0.24, "confidence": 0.95, "images": 24, "sequences": 2}
    edit("promotion.json", lambda values: values.update(difference=interval, data_digest="ab" * 32))
    text = words(render_page(read()))
    assert (
        "candidate less champion +0.110 dB (95% interval \u22120.020 to +0.240), 24 images of 2 sequences "
        f"validation data, sha256 {'ab' * 32}"
    ) in text


def test_text_from_files_is_escaped(read: Read, edit: Edit) -> None:
    edit("promotion.json", lambda values: values.update(reason="<script>alert(1)</script>"))
    edit("evaluate/mini/metrics.json", lambda m: m["samples"][0].update(key='"><b>x'))
    page = render_page(read(commit=None))
    assert page.count("<script") == 1
    assert "alert(1)</script" not in page
    assert "<b>" not in page
    assert "commit" not in words(page).split("weights")[0]


def test_the_same_inputs_give_the_same_bytes(read: Read) -> None:
    assert render_page(read()) == render_page(read())


def test_parts_without_content_are_left_out(read: Read, edit: Edit, reports: Path) -> None:
    edit("evaluate/mini/metrics.json", lambda m: m.update(noise_free=None, best_filter=None, strata={}, samples=[]))
    (reports / "training.csv").write_text("step,loss,lr,validation_psnr\n")
    page = render_page(read())
    assert "Pictures" not in page
    assert "What attention sees" not in page
    assert "Training loss" not in page
    assert page.count("<svg") == 3  # Fig. 1, and two by image
    assert "Noise-free" not in page


def test_attention_is_shown_where_its_picture_lies(read: Read, reports: Path) -> None:
    samples = reports / "evaluate/mini/samples"
    write_image(samples / "1_attention.jpg", np.zeros((30, 40, 3), dtype=np.uint8))
    page = render_page(read())
    assert "What attention sees coffee_long/000001" in words(page)
    shown = {image["alt"]: image for image in Tags(page).attributes("img")}["coffee_long/000001, attention"]
    assert base64.b64decode((shown["src"] or "").partition(",")[2]) == (samples / "1_attention.jpg").read_bytes()


def test_a_table_of_the_paper_is_open_where_something_was_measured(
    read: Read, add_benchmark: Callable[..., None]
) -> None:
    opened = [attrs for name, attrs in Tags(render_page(read())).all if name == "details"]
    assert opened == [{}] * 8
    add_benchmark("gopro")
    opened = [attrs for name, attrs in Tags(render_page(read("mini", "gopro"))).all if name == "details"]
    assert opened == [{"open": None}, *[{}] * 7]


def test_images_that_cannot_be_set_side_by_side_are_refused(read: Read, reports: Path) -> None:
    samples = reports / "evaluate/mini/samples"
    write_image(samples / "0_sharp.png", np.zeros((30, 40, 3), dtype=np.uint8))
    with pytest.raises(DataError, match=r"0_sharp\.png are not of one size: run the evaluate stage again"):
        render_page(read())
    (samples / "0_sharp.png").write_bytes((samples / "1_sharp.png").read_bytes()[:100])
    with pytest.raises(DataError, match=r"0_sharp\.png is damaged: run the evaluate stage again"):
        render_page(read())

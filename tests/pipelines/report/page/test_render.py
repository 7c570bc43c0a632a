"""The page holds everything itself, escapes what it is given, and says what it is."""

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from banet.data.images.codec import write_image
from banet.errors import DataError
from pipelines.report.data.inputs import ReportInputs
from pipelines.report.page.render import render_page
from pipelines.report.write import write_report

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


def test_writes_its_files_and_leaves_nothing_else(read: Read, tmp_path: Path) -> None:
    write_report(read(), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "index.html",
        "table.md",
        "table.txt",
        "tables",
    ]
    assert (tmp_path / "out/index.html").read_text(encoding="utf-8") == render_page(read())


def test_a_broken_picture_leaves_the_last_report_as_it_was(read: Read, reports: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_report(read(), out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    broken = reports / "evaluate/mini/samples/1_restored.png"
    broken.write_bytes(b"GIF89a")
    with pytest.raises(DataError, match=r"1_restored\.png is damaged: run the evaluate stage again"):
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


@pytest.mark.slow
def test_only_mini_is_explained_as_a_toy(read: Read, add_benchmark: Callable[..., None]) -> None:
    add_benchmark("gopro")
    assert "not GoPro" in render_page(read())
    assert "not GoPro" not in render_page(read("gopro"))


@pytest.mark.slow
def test_a_page_stays_small_and_says_what_it_left_out(
    read: Read, add_benchmark: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_benchmark("gopro", samples=3, size=(60, 60))
    page = render_page(read("gopro"))
    assert "WebP" not in words(page)
    size = sum(len(image["src"] or "") for image in Tags(page).attributes("img"))
    monkeypatch.setattr("pipelines.report.page.benchmark_sections._PICTURE_BYTES", size - 1)
    page = render_page(read("gopro"))
    assert len(Tags(page).attributes("img")) == 3 * 8
    assert (
        "The whole pictures of gopro are shown as WebP of quality 90 to keep this page small; the close-ups are exact."
        in words(page)
    )
    size = sum(len(image["src"] or "") for image in Tags(page).attributes("img"))
    monkeypatch.setattr("pipelines.report.page.benchmark_sections._PICTURE_BYTES", size - 1)
    page = render_page(read("gopro"))
    assert len(Tags(page).attributes("img")) == 2 * 8
    assert "Left out to keep this page small: coffee_long/000002; " in words(page)
    monkeypatch.setattr("pipelines.report.page.benchmark_sections._PICTURE_BYTES", 0)
    text = words(render_page(read("gopro")))
    assert "Left out to keep this page small: coffee_long/000000, coffee_long/000001, coffee_long/000002; " in text
    assert "Drag a seam" not in text
    assert "WebP" not in text


@pytest.mark.slow
def test_six_scenes_and_ten_worst_images_of_real_size_fit(
    read: Read, add_benchmark: Callable[..., None], edit: Edit, reports: Path
) -> None:
    add_benchmark("gopro")
    rows, columns = np.mgrid[:720, :1280]
    waves = np.stack([90 + 60 * np.sin(rows / a + columns / b) for a, b in ((7, 31), (90, 13), (23, 57))], axis=2)
    grain = np.random.default_rng(0).integers(-8, 9, waves.shape)  # as PNG, larger than a real frame
    folder = reports / "evaluate/gopro/samples"
    for i, role in enumerate(("blurred", "restored", "sharp")):
        (folder / f"0_{role}.png").unlink()
        image = np.roll(waves + grain, 3 * i, axis=1)
        write_image(folder / f"0_{role}.png", np.clip(image, 0, 255).astype(np.uint8))
    assert 6 * sum(path.stat().st_size for path in folder.iterdir()) > 12_000_000
    edit("evaluate/gopro/metrics.json", lambda m: m.update(samples=6 * m["samples"], worst=10 * m["samples"]))
    page = render_page(read("gopro"))
    assert len(Tags(page).attributes("img")) == 6 * (3 + 3 + 2) + 10 * (3 + 1)
    assert len(page.encode()) < 15_000_000
    assert "WebP of quality 90" in words(page)


@pytest.mark.slow
def test_the_worst_images_are_pictures_where_their_files_are(read: Read, edit: Edit) -> None:
    page = render_page(read())
    assert 'class="worst"' not in page
    assert "coffee_long/000000 long 20.00 19.75 \u22120.25" in words(page)  # the table alone
    edit("evaluate/mini/metrics.json", lambda m: m.update(worst=m["samples"][::-1]))
    page = render_page(read())
    tags = Tags(page)
    assert len([attrs for name, attrs in tags.all if name == "article" and attrs.get("class") == "worst"]) == 2
    worst = words(page[page.index('class="worst"') :])
    assert (
        "coffee_long/000001 22.50 \u2192 23.25 dB, +0.75 blurred 22.50 dB banet-mini version 3 23.25 dB sharp "
        "error, restored 0 to "
    ) in worst
    assert worst.index("coffee_long/000001") < worst.index("coffee_long/000000")
    boxes = [attrs["style"] or "" for name, attrs in tags.all if name == "i"]
    assert len(boxes) == 2 * 2 + 2
    assert boxes[4:] == [boxes[2], boxes[0]]  # the same images' places
    assert "the 10 images of lowest PSNR restored, of 36, as a table" in words(page)


@pytest.mark.slow
def test_worst_images_that_do_not_fit_are_counted(read: Read, edit: Edit, monkeypatch: pytest.MonkeyPatch) -> None:
    edit("evaluate/mini/metrics.json", lambda m: m.update(worst=m["samples"], samples=[]))
    page = render_page(read())
    assert "more would make this page too large" not in page
    size = sum(len(image["src"] or "") for image in Tags(page).attributes("img"))
    monkeypatch.setattr("pipelines.report.page.benchmark_sections._PICTURE_BYTES", size - 1)
    assert "Pictures of 1 of them; more would make this page too large." in words(render_page(read()))


@pytest.mark.slow
def test_other_methods_are_named_under_their_close_ups(read: Read, edit: Edit, add_method: Callable[..., None]) -> None:
    assert "Other methods, ordered by mean PSNR" not in render_page(read())
    add_method("<b>&", -1.0)
    add_method("MIMO-UNet+", 0.5)
    edit("evaluate/mini/metrics.json", lambda m: m.update(worst=m["samples"][:1]))
    page = render_page(read())
    text = words(page)
    line = "blurred 22.50 dB &lt;b&gt;&amp; 19.00 dB MIMO-UNet+ 20.50 dB banet-mini version 3 23.25 dB sharp error, "
    assert text.count(line) == 2  # a scene, and the worst image
    assert "Other methods, ordered by mean PSNR, are between" in text
    assert "<b>" not in page
    assert Tags(page).open == []
    assert len(Tags(page).attributes("img")) == 2 * (3 + 5 + 2) + 5 + 1
    assert "MIMO-UNet+ 25.61 +0.50" not in text  # the mean over all images, below
    assert "MIMO-UNet+ 26.25 +0.50 0.8500 0.7500 restored by banet-mini version 3 26.05" in text


def test_a_method_of_other_data_is_named_on_the_page(read: Read, edit: Edit, add_method: Callable[..., None]) -> None:
    add_method("SRN", 1.0, digest="cd" * 32)
    edit("evaluate/mini/metrics.json", lambda m: m.update(data_digest="ab" * 32))
    text = words(render_page(read()))
    assert "SRN is left out: it was scored on other data of mini" in text
    assert "SRN 26.75" not in text


def test_times_that_were_measured(
    read: Read, edit: Edit, add_benchmark: Callable[..., None], latency: dict[str, Any]
) -> None:
    add_benchmark("gopro")
    text = words(render_page(read("mini", "gopro")))
    assert "No time was measured here." in text
    assert "Filled:" not in text
    edit("evaluate/gopro/metrics.json", lambda m: m.update(latency=latency))
    page = render_page(read("mini", "gopro"))
    assert "<td>812\u00a0[3]</td>" in page  # on one line
    text = words(page)
    assert "One 720x1280 image takes 812 ms on cuda:0 (NVIDIA H100) in float32" in text
    assert "banet-mini version 3 yes 26.05 0.826 812 [3] 1.2" in text
    assert "Filled: measured here, synchronised (Table 1, note 3)." in text


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
def test_promotion_is_explained(read: Read, edit: Edit, change: dict[str, Any], sentence: str) -> None:
    edit("promotion.json", lambda values: values.update(change))
    assert sentence in words(render_page(read()))


def test_the_interval_and_the_data_of_a_promotion(read: Read, edit: Edit) -> None:
    interval = {"mean": 0.11, "low": -0.02, "high": 0.24, "confidence": 0.95, "images": 24, "sequences": 2}
    edit("promotion.json", lambda values: values.update(difference=interval, data_digest="ab" * 32))
    text = words(render_page(read()))
    assert (
        "candidate minus champion +0.110 dB (95% interval \u22120.020 to +0.240), 24 images of 2 sequences "
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


def test_attention_is_shown_if_its_picture_exists(read: Read, reports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = reports / "evaluate/mini/samples"
    write_image(samples / "1_attention.jpg", np.zeros((30, 40, 3), dtype=np.uint8))
    page = render_page(read())
    assert "What attention sees coffee_long/000001" in words(page)
    shown = {image["alt"]: image for image in Tags(page).attributes("img")}["coffee_long/000001, attention"]
    assert base64.b64decode((shown["src"] or "").partition(",")[2]) == (samples / "1_attention.jpg").read_bytes()
    monkeypatch.setattr("pipelines.report.page.benchmark_sections._PICTURE_BYTES", 3 * len(shown["src"] or "") - 1)
    assert (
        "What attention sees Left out to keep this page small: coffee_long/000001; the drawings are in the folder of "
        "the scores of mini."
    ) in words(render_page(read()))


@pytest.mark.slow
def test_a_table_of_the_paper_is_open_where_something_was_measured(
    read: Read, add_benchmark: Callable[..., None]
) -> None:
    opened = [attrs for name, attrs in Tags(render_page(read())).all if name == "details"]
    assert opened == [{}] * 8
    add_benchmark("gopro")
    opened = [attrs for name, attrs in Tags(render_page(read("mini", "gopro"))).all if name == "details"]
    assert opened == [{"open": None}, *[{}] * 7]


def test_images_of_different_sizes_and_damaged_ones_are_refused(read: Read, reports: Path) -> None:
    samples = reports / "evaluate/mini/samples"
    write_image(samples / "0_sharp.png", np.zeros((30, 40, 3), dtype=np.uint8))
    with pytest.raises(DataError, match=r"0_sharp\.png differ in size: run the evaluate stage again"):
        render_page(read())
    (samples / "0_sharp.png").write_bytes((samples / "1_sharp.png").read_bytes()[:100])
    with pytest.raises(DataError, match=r"0_sharp\.png is damaged: run the evaluate stage again"):
        render_page(read())


def test_checks_of_the_data_and_the_champions_lineage_are_sections(read: Read, reports: Path) -> None:
    plain = render_page(read())
    assert 'id="data"' not in plain
    assert 'id="lineage"' not in plain
    check = {"split": "train", "name": "blurred_psnr", "severity": "warning", "value": 50.0, "found": "median 50.00 dB"}
    table = {"benchmark": "mini", "data_digest": "", "checks": [check | {"limits": "15 to 45"}]}
    (reports / "checks").mkdir()
    (reports / "checks/mini.json").write_text(json.dumps(table))
    lineage = {"version": [("name", "banet-mini"), ("version", "3")], "code": [("commit", "missing")]}
    page = render_page(replace(read(), lineage=lineage))
    Tags(page)
    for part in ("mini: checks of the data, warning", "blurred psnr", "median 50.00 dB", "<dt>commit</dt><dd>missing"):
        assert part in page
    assert "banet lineage banet-mini@champion" in page

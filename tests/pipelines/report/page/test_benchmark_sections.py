"""Pictures fit the page: all of them exact, or else the whole ones as WebP, or else some are left out, and named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.report.data.inputs import ReportInputs
from pipelines.report.page.benchmark_sections import BenchmarkSection, benchmark_sections

Read = Callable[..., ReportInputs]
Edit = Callable[[str, Callable[[dict[str, Any]], None]], None]
Fit = Callable[..., list[BenchmarkSection]]


@pytest.fixture
def fit(read: Read, monkeypatch: pytest.MonkeyPatch) -> Fit:
    def _fit(size: int, *benchmarks: str) -> list[BenchmarkSection]:
        monkeypatch.setattr("pipelines.report.page.benchmark_sections._PICTURE_BYTES", size)
        return benchmark_sections(read(*benchmarks or ("gopro",)).benchmarks)

    return _fit


@pytest.fixture
def gopro(add_benchmark: Callable[..., None], edit: Edit) -> None:
    """Three samples of noise, which as PNG are larger than as WebP; the worst images are the same, three times each."""
    add_benchmark("gopro", samples=3, size=(120, 120))
    edit("evaluate/gopro/metrics.json", lambda m: m.update(worst=3 * m["samples"]))


@pytest.mark.usefixtures("gopro")
def test_what_fits_is_exact(fit: Fit) -> None:
    (pictures,) = fit(10_000_000)
    assert not pictures.lossy
    assert (len(pictures.scenes), len(pictures.worst)) == (3, 9)
    whole = [picture for scene in pictures.scenes for picture in scene.pictures]
    assert all(picture.uri.startswith("data:image/png;") for picture in whole)
    (just,), (short,) = fit(pictures.size), fit(pictures.size - 1)
    assert just == pictures
    assert short.lossy
    whole = [picture for scene in short.scenes for picture in scene.pictures]
    assert len(whole) == 9
    assert all(picture.uri.startswith("data:image/webp;") for picture in whole)
    assert short.worst == pictures.worst
    assert [scene.crops for scene in short.scenes] == [scene.crops for scene in pictures.scenes]
    assert short.left_out == ()


@pytest.mark.usefixtures("gopro")
def test_only_what_does_not_fit_as_webp_either_is_left_out(fit: Fit) -> None:
    lossy = fit(fit(10_000_000)[0].size - 1)[0]
    (all_of_it,), (fewer,) = fit(lossy.size), fit(lossy.size - 1)
    assert all_of_it == lossy
    assert (len(fewer.scenes), fewer.left_out) == (3, ())
    assert len(fewer.worst) == 8  # the scenes go first, beyond a third for the worst
    budget = sum(scene.size for scene in lossy.scenes)
    tight = fit(budget)[0]
    assert len(tight.worst) == budget // 3 // max(scene.size for scene in lossy.worst) > 0
    assert 0 < len(tight.scenes) < 3
    assert tight.left_out == tuple(scene.key for scene in lossy.scenes[len(tight.scenes) :])
    assert tight.size <= budget
    nothing = fit(10)[0]
    assert (nothing.scenes, nothing.worst, len(nothing.left_out)) == ((), (), 3)


@pytest.mark.usefixtures("gopro")
def test_what_a_benchmark_of_small_pictures_does_not_need_the_others_have(
    fit: Fit, add_benchmark: Callable[..., None]
) -> None:
    (mini,), (gopro,) = fit(10_000_000, "mini"), fit(10_000_000)
    assert gopro.size > 2 * mini.size
    assert fit(mini.size + gopro.size, "mini", "gopro") == [mini, gopro]
    assert fit(mini.size + gopro.size, "gopro", "mini") == [gopro, mini]
    assert fit(mini.size + gopro.size - 1, "gopro", "mini")[0].lossy
    add_benchmark("hide", samples=3, size=(120, 120))
    for budget in (gopro.size, gopro.size // 2):
        assert sum(pictures.size for pictures in fit(budget, "gopro", "hide")) <= budget


def test_without_pictures(fit: Fit, edit: Edit, reports: Path) -> None:
    edit("evaluate/mini/metrics.json", lambda m: m.update(samples=[]))
    (pictures,) = fit(10_000_000, "mini")
    assert (pictures.scenes, pictures.worst, pictures.attention, pictures.lossy, pictures.size) == (
        (),
        (),
        (),
        False,
        0,
    )

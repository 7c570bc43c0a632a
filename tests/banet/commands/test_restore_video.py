"""`banet deblur` of a video."""

from pathlib import Path

import pytest
import torch
from films import film, psnr_of, shown

from banet.cli import main
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import save_weights


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    save_weights(BANet(BANetConfig(channels=8, stem_channels=4, modules=1)), folder)
    return str(folder)


def test_a_video_is_restored_from_the_shell(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = film(tmp_path / "clip.mp4", sound=True), tmp_path / "sharp.mkv"
    assert main(["deblur", str(source), str(out), "--model", model, "--encoder", "libx264", "--crf", "10"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{out}: restored by {model}; libx264, yuv420p\n"
    assert len(shown(out)) == len(shown(source))
    assert 10 < psnr_of(source, out) < 45, "the network was used"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "sharp.mkv"]


def test_options_that_do_not_fit_and_bad_videos_are_one_line(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = film(tmp_path / "clip.mp4"), str(tmp_path / "sharp.mp4")
    (tmp_path / "broken.mp4").write_bytes(source.read_bytes()[:1000])
    for arguments, part in (
        ([str(source), out, "--sub-images"], "are for pictures"),
        ([str(source), out, "--encoder", "qqq"], "--encoder qqq"),
        ([str(tmp_path / "broken.mp4"), out], "broken.mp4 is no video"),
        ([str(source), str(source)], "is the video itself"),
        ([str(tmp_path / "photo.png"), out, "--crf", "9"], "are for videos"),
    ):
        assert main(["deblur", *arguments, "--model", model]) == 2
        said = capsys.readouterr().err
        assert part in said
        assert said.startswith("error: ")
        assert said.count("\n") == 1
    assert not Path(out).exists()

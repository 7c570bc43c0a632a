"""A model that is followed when it moves."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import save_weights
from banet.serving.followed_model import Source, follow

SMALL = BANetConfig(stem_channels=2, channels=4, modules=1, fusion_channels=2)


def test_a_folder_is_loaded_as_it_is(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = BANet(SMALL)
    save_weights(network, tmp_path / "weights")
    address, load = Source(model=str(tmp_path / "weights")).newest()
    assert address == str(tmp_path / "weights")
    assert torch.equal(load().stem[0].weight, network.stem[0].weight)  # type: ignore[arg-type]


def test_whatever_goes_wrong_once_the_next_move_is_seen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: list[tuple[str, Callable[[], BANet]] | Exception] = [
        RuntimeError("the store hiccups"),
        OSError(28, "No space left on device"),
        ("models:/x/1", lambda: pytest.fail("it is in use already")),
        ("models:/x/2", lambda: BANet(SMALL)),
    ]
    taken: list[str] = []

    def newest(_: Source) -> tuple[str, Callable[[], BANet]]:
        answer = answers.pop(0) if answers else ("models:/x/2", lambda: pytest.fail("it was taken already"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def take(address: str, _: BANet) -> None:
        taken.append(address)
        raise SystemExit  # it would look for ever

    monkeypatch.setattr(Source, "newest", newest)
    with pytest.raises(SystemExit):
        follow(Source(model=None), 0.01, "models:/x/1", take)
    assert taken == ["models:/x/2"]
    assert "the store hiccups" in capsys.readouterr().out

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from banet.data.images.codec import write_image
from banet.errors import DataError
from banet.study.trials import ComparedPhotograph, read_photographs, trials

Folders = Callable[[int], Path]

PHOTOGRAPHS = tuple(ComparedPhotograph(name=f"p{i}", a=Path("a"), b=Path("b"), blurred=None) for i in range(16))


def test_pairs_are_found_by_name_and_the_rest_is_counted(folders: Folders) -> None:
    root = folders(3)
    (root / "a" / "scene0.png").rename(root / "a" / "scene10.png")
    write_image(root / "b" / "scene2.bmp", np.zeros((12, 16, 3), dtype=np.uint8))
    (root / "b" / "scene2.png").unlink()
    shown = read_photographs(root / "a", root / "b", root / "blurred")
    assert [one.name for one in shown.photographs] == ["scene1", "scene2"]
    assert shown.photographs[1] == ComparedPhotograph(
        name="scene2", a=root / "a/scene2.png", b=root / "b/scene2.bmp", blurred=root / "blurred/scene2.png"
    )
    assert shown.left_out == 2


def test_the_digest_is_of_names_and_files(folders: Folders) -> None:
    root = folders(2)
    digest = read_photographs(root / "a", root / "b", None).digest
    assert digest == read_photographs(root / "a", root / "b", None).digest
    assert digest != read_photographs(root / "b", root / "a", None).digest
    assert digest != read_photographs(root / "a", root / "b", root / "blurred").digest
    write_image(root / "b" / "scene0.png", np.zeros((12, 16, 3), dtype=np.uint8))
    assert digest != read_photographs(root / "a", root / "b", None).digest


def test_folders_that_do_not_fit_are_named(folders: Folders) -> None:
    root = folders(2)
    with pytest.raises(DataError, match="are the same folder"):
        read_photographs(root / "a", root / "b" / ".." / "a", None)
    with pytest.raises(DataError, match="nothing is not a folder"):
        read_photographs(root / "a", root / "nothing", None)
    (root / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no images"):
        read_photographs(root / "a", root / "empty", None)
    write_image(root / "other" / "x.png", np.zeros((12, 16, 3), dtype=np.uint8))
    with pytest.raises(DataError, match=r"no names in common: .*scene0.png, scene1.png; .*other holds x.png"):
        read_photographs(root / "a", root / "other", None)
    with pytest.raises(DataError, match="lacks the blurred scene0, scene1"):
        read_photographs(root / "a", root / "b", root / "other")
    write_image(root / "b" / "scene1.png", np.zeros((12, 17, 3), dtype=np.uint8))
    with pytest.raises(DataError, match=r"scene1.png is 12x16 and .*scene1.png is 12x17"):
        read_photographs(root / "a", root / "b", None)
    write_image(root / "b" / "scene1.jpg", np.zeros((12, 16, 3), dtype=np.uint8))
    with pytest.raises(DataError, match=r"scene1\.jpg and scene1\.png.*keep one"):
        read_photographs(root / "a", root / "b", None)


@pytest.mark.parametrize("count", [1, 2, 15, 16])
def test_each_participant_sees_every_photograph_once_with_balanced_sides(count: int) -> None:
    for participant in range(1, 40):
        asked = trials(PHOTOGRAPHS[:count], seed=7, participant=participant)
        assert {one.photograph for one in asked} == set(PHOTOGRAPHS[:count])
        assert len(asked) == count
        assert all({one.left, one.right} == {"a", "b"} for one in asked)
        left = sum(one.left == "a" for one in asked)
        assert left in {count // 2, (count + 1) // 2}


def test_orders_and_sides_differ_between_people_and_seeds_and_are_kept_for_ever() -> None:
    def shown(seed: int, participant: int) -> list[str]:
        return [
            f"{one.photograph.name}{one.left}" for one in trials(PHOTOGRAPHS[:4], seed=seed, participant=participant)
        ]

    assert shown(1, 1) == shown(1, 1) == ["p3a", "p1b", "p2b", "p0a"]  # as files of studies lean on it
    assert len({tuple(shown(seed, person)) for seed in range(3) for person in range(3)}) >= 8
    first = Counter(shown(5, person)[0] for person in range(800))  # 8 answers, 100 each on average
    assert len(first) == 8
    assert all(60 < number < 145 for number in first.values())  # four standard deviations
    odd = sum(trials(PHOTOGRAPHS[:1], seed=5, participant=person)[0].left == "a" for person in range(400))
    assert 160 < odd < 240

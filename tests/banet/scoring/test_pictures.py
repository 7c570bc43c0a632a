"""Pictures of an evaluation: each image's own, whatever the images are called."""

from pathlib import Path

import numpy as np

from banet.data.images.codec import read_image
from banet.data.sharding.writer import ShardWriter
from banet.data.shards.reader import Pair, ShardFolder
from banet.image import Image
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.scoring.pictures import SHOWN, Pictures, sample_rows
from banet.scoring.scores import ImageScores, Scores

KEYS = ("a/1_2", "a_1/2")  # one name, were `/` and `_` the same


def shards(folder: Path) -> ShardFolder:
    writer = ShardWriter(folder, ("blur",), "raw")
    images = [
        {"blur": np.full((16, 16, 3), 40 * i, np.uint8), "sharp": np.full((16, 16, 3), 40 * i + 9, np.uint8)}
        for i in (1, 2)
    ]
    writer.write(
        "test",
        (
            Pair(key=key, split="test", sequence=key.partition("/")[0], images=each)
            for key, each in zip(KEYS, images, strict=True)
        ),
    )
    writer.finish("tiny")
    return ShardFolder(folder)


def test_images_whose_names_are_alike_have_pictures_of_their_own(tmp_path: Path) -> None:
    def darker(image: Image) -> Image:
        return image - 5

    data = shards(tmp_path / "shards")
    network = BANet(BANetConfig(name="tiny", stem_channels=4, channels=4, modules=1, fusion_channels=2))
    pictures = Pictures(network=network, restoring=darker, data=data, variant="blur", folder=tmp_path / "out")
    rows = data.rows("test")
    scores = [
        ImageScores(
            key=row.key,
            sequence=row.sequence,
            stratum=None,
            variant="blur",
            blurred=Scores(psnr=20, ssim_matlab3d=0, ssim_channel=0),
            restored=Scores(psnr=30 - i, ssim_matlab3d=0, ssim_channel=0),
        )
        for i, row in enumerate(rows)
    ]
    worst = pictures.worst(rows, scores)
    assert [sample.key for sample in worst] == [row.key for row in reversed(rows)]
    for sample in worst:
        level = 40 * (1 + KEYS.index(sample.key))
        found = [
            read_image(tmp_path / "out" / name)[0, 0, 0] for name in (sample.blurred, sample.restored, sample.sharp)
        ]
        assert found == [level, level - 5, level + 9]


def test_the_images_shown_are_spread_from_the_first_to_the_last() -> None:
    assert sample_rows(range(1111)) == [0, 222, 444, 666, 888, 1110]
    assert sample_rows("abc") == [0, 1, 2]
    assert len(sample_rows(range(100))) == SHOWN

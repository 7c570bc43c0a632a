import csv
import math
from pathlib import Path

import pytest

from banet.study.record import Choice, Preferred
from banet.study.statistics import preference

TABLE_4 = Path(__file__).parents[3] / "data" / "published" / "table4.csv"


def choices(*preferred: Preferred, participant: int = 1) -> list[Choice]:
    return [
        Choice(participant=participant, trial=i, image=str(i), left="a", right="b", preferred=one, time="")
        for i, one in enumerate(preferred)
    ]


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe, Statistics in Medicine 17 (1998), Table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),  # z^2 / (n + z^2) away from 1
        (5, 10, 0.2366, 0.7634),
    ],
)
def test_wilson_is_that_of_the_literature(successes: int, total: int, low: float, high: float) -> None:
    found = preference(choices(*"a" * successes, *"b" * (total - successes)))
    assert found.wilson == pytest.approx((low, high), abs=5.1e-5)
    assert found.bootstrap is None  # of one participant


def test_published_votes_come_out_as_published() -> None:
    """Table 4: 34 people, 16 images; e.g. 520 of 544 is 95.6 %."""
    with TABLE_4.open(newline="") as file:
        published = [float(row["ours_preferred_percent"]) for row in csv.DictReader(file)]
    assert len(published) == 4
    for percent in published:
        votes = round(544 * percent / 100)
        said = [
            Choice(
                participant=i // 16,
                trial=i % 16,
                image=str(i % 16),
                left="a",
                right="b",
                preferred="a" if i < votes else "b",
                time="",
            )
            for i in range(544)
        ]
        found = preference(said)
        assert (found.participants, found.images, found.a + found.b) == (34, 16, 544)
        assert round(100 * found.share, 1) == percent
        assert found.wilson is not None and found.wilson[0] < found.share < found.wilson[1]
        assert found.bootstrap is not None and found.bootstrap[0] < found.share <= found.bootstrap[1]


def test_people_who_differ_widen_the_interval_over_participants() -> None:
    """520 of 544, with all 24 other votes by a person and a half."""
    said = [one for person in range(32) for one in choices(*"a" * 16, participant=person)]
    said += choices(*"a" * 8, *"b" * 8, participant=32) + choices(*"b" * 16, participant=33)
    found = preference(said)
    assert (found.a, found.b) == (520, 24)
    assert found.wilson is not None and found.wilson == pytest.approx((0.9352, 0.9702), abs=1e-4)
    assert found.bootstrap is not None and found.bootstrap[0] < found.wilson[0]
    assert found.bootstrap[1] == 1


def test_ties_are_counted_apart() -> None:
    found = preference(choices("a", "none", "a", "b", "none", "none", "a"))
    assert (found.a, found.b, found.ties, found.left) == (3, 1, 3, 3)
    assert found.share == 0.75
    assert found.wilson == preference(choices(*"aaab")).wilson
    assert found.bootstrap is None  # of one participant


def test_without_a_choice_there_is_no_share() -> None:
    for said in ([], choices("none", "none"), choices("none") + choices("none", participant=2)):
        found = preference(said)
        assert math.isnan(found.share)
        assert (found.wilson, found.bootstrap) == (None, None)
        assert found.ties == len(said)


def test_a_participant_of_ties_alone_is_not_drawn() -> None:
    found = preference(choices("a", "b") + choices("none", participant=2))
    assert (found.participants, found.bootstrap) == (2, None)
    found = preference(choices("a", "b") + choices("none", participant=2) + choices("a", "b", participant=3))
    assert found.bootstrap == (0.5, 0.5)


@pytest.mark.parametrize(("said", "share"), [("a", 1.0), ("b", 0.0)])
def test_people_who_all_chose_alike_have_an_interval_of_one_point(said: Preferred, share: float) -> None:
    found = preference([one for person in range(5) for one in choices(said, said, participant=person)])
    assert found.bootstrap == (share, share)
    assert found.wilson is not None and share in found.wilson  # exactly, without a rest from rounding
    assert 0 <= found.wilson[0] < found.wilson[1] <= 1


def test_the_bootstrap_draws_whole_participants() -> None:
    """Two people, one for a and one for b: draws are 0, 1/2 and 1 with chances 1/4, 1/2, 1/4."""
    said = choices(*"a" * 8) + choices(*"b" * 8, participant=2)
    assert preference(said).bootstrap == (0.0, 1.0)
    agreed = choices("a", "b", "a", "a") + choices("a", "b", "a", "a", participant=2)
    assert preference(agreed).bootstrap == (0.75, 0.75)
    assert preference(said) == preference(said)


def test_the_bootstrap_draws_as_many_participants_as_there_are() -> None:
    """Sixteen people of one vote each, half for a: draws are binomial(16, 1/2) / 16, with the 2.5 % quantile 4/16."""
    said = [choices("a" if person % 2 else "b", participant=person)[0] for person in range(16)]
    assert preference(said).bootstrap == (0.25, 0.75)

"""The paper's tables as transcribed: rows, sums, figures picked by hand, and what the paper's text says of them."""

import csv
import re
from pathlib import Path

import pytest

from banet.analysis.published import PublishedTable, read_published
from banet.config import read_model_config
from banet.errors import DataError

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "data" / "published"
MODELS = ROOT / "conf" / "model"
ROWS = {1: 13, 2: 11, 3: 6, 4: 4, 5: 6, 6: 4, 7: 4, 8: 3, 9: 3}
DASHES = {1: 5, 2: 2, 3: 2, 4: 0, 5: 0, 6: 0, 7: 0, 8: 0, 9: 0}
OURS = ("BANet", "BANet+")
PARTS = ("pdc", "ar", "sp", "mksp", "cpdc")
REALBLUR = ("realblur_j_psnr_db", "realblur_j_ssim", "realblur_r_psnr_db", "realblur_r_ssim")
COLUMNS = {  # of figures
    1: ("code_released", "psnr_db", "ssim", "time_ms", "params_m", "gmacs"),
    2: ("code_released", "psnr_db", "ssim", "time_ms"),
    3: (*REALBLUR, "time_ms"),
    4: ("ours_preferred_percent",),
    5: (*PARTS, "psnr_db"),
    6: ("modules", "psnr_db"),
    7: ("psnr_db",),
    8: ("psnr_db", "params_m"),
    9: ("sub_images", "psnr_db", "time_ms"),
}
DECIMALS = {"psnr_db": r"\.[0-9]{2}", "ssim": r"\.[0-9]{3}", "percent": r"\.[0-9]"}  # by a column's ending


def table(number: int) -> PublishedTable:
    return read_published(number, FOLDER)


def figure(number: int, method: str, column: str) -> float:
    value = table(number).figure(method, column)
    assert value is not None
    return value


def column(number: int, name: str) -> dict[str, float]:
    """The figures of a column by method, dashes left out."""
    values = {row.method: table(number).figure(row.method, name) for row in table(number).rows}
    return {method: value for method, value in values.items() if value is not None}


@pytest.mark.parametrize("number", ROWS)
def test_every_table_is_whole(number: int) -> None:
    published = table(number)
    assert published.number == number
    assert published.caption
    assert published.columns == COLUMNS[number]
    assert len(published.rows) == len({row.method for row in published.rows}) == ROWS[number]
    assert sum(list(row.figures.values()).count(None) for row in published.rows) == DASHES[number]


@pytest.mark.parametrize("number", ROWS)
def test_every_cell_is_written_as_the_paper_prints_it(number: int) -> None:
    with (FOLDER / f"table{number}.csv").open(newline="", encoding="utf-8") as file:
        heading, *rows = csv.reader(file, strict=True)
    assert tuple(heading) == ("method", "model", *COLUMNS[number], "source")
    for method, model, *figures, source in rows:
        assert method
        assert (method, model) == (method.strip(), model.strip())
        assert source == f"Tsai et al. 2022, Table {number}"
        for name, text in zip(COLUMNS[number], figures, strict=True):
            decimals = next((pattern for ending, pattern in DECIMALS.items() if name.endswith(ending)), "")
            assert re.fullmatch(rf"([0-9]+{decimals})?", text), (method, name, text)


@pytest.mark.parametrize(
    ("number", "method", "name", "value"),
    [
        (1, "MSCNN", "time_ms", 943),
        (1, "DeblurGAN-v2", "params_m", 68),
        (1, "EDSD", "time_ms", 10),
        (1, "EDSD", "gmacs", None),
        (1, "RADN", "time_ms", 38),
        (1, "RADN", "params_m", None),
        (1, "MPRNet", "ssim", 0.959),
        (1, "BANet", "psnr_db", 32.54),
        (1, "BANet+", "gmacs", 588),
        (2, "HAdeblur", "psnr_db", 28.87),
        (2, "HAdeblur", "time_ms", None),
        (2, "MIMO-UNet+", "psnr_db", 30.00),
        (2, "BANet+", "ssim", 0.935),
        (3, "MIMO-UNet+", "realblur_j_psnr_db", 31.92),
        (3, "MIMO-UNet+", "realblur_r_psnr_db", None),
        (3, "MIMO-UNet+", "time_ms", 23),
        (3, "BANet", "realblur_r_ssim", 0.971),
        (4, "SRN", "ours_preferred_percent", 98.5),
        (5, "Net5", "psnr_db", 32.24),
        (6, "stack-8", "psnr_db", 32.37),
        (7, "MKSP_13579", "psnr_db", 32.04),
        (8, "PDC^2_135", "params_m", 10),
        (9, "SA*", "time_ms", 770),
    ],
)
def test_figures_picked_by_hand(number: int, method: str, name: str, value: float | None) -> None:
    assert table(number).figure(method, name) == value


SUMS = [  # of the columns as the paper prints them, added up apart from the files
    (1, {"psnr_db": 408.01, "ssim": 12.311, "time_ms": 4369, "params_m": 210, "gmacs": 3181}),
    (2, {"psnr_db": 323.63, "ssim": 10.102, "time_ms": 2274}),
    (3, {"realblur_j_psnr_db": 189.17, "realblur_j_ssim": 5.464, "time_ms": 614}),
    (3, {"realblur_r_psnr_db": 193.85, "realblur_r_ssim": 4.815}),
    (4, {"ours_preferred_percent": 389.3}),
    (5, {"psnr_db": 191.89}),
    (6, {"psnr_db": 128.82}),
    (7, {"psnr_db": 127.99}),
    (8, {"psnr_db": 95.30, "params_m": 26}),
    (9, {"psnr_db": 93.56, "time_ms": 798}),
]


@pytest.mark.parametrize(("number", "sums"), SUMS)
def test_a_slip_in_any_digit_changes_a_sum(number: int, sums: dict[str, float]) -> None:
    for name, expected in sums.items():
        assert sum(column(number, name).values()) == pytest.approx(expected, abs=1e-6), name


def test_methods_without_released_code_are_marked() -> None:
    """The asterisks of Tables 1 and 2."""
    for number, marked in ((1, {"EDSD", "RADN", "SAPHN"}), (2, {"HAdeblur", "SAPHN"})):
        assert {method for method, value in column(number, "code_released").items() if value == 0} == marked
        assert set(column(number, "code_released").values()) == {0, 1}


def test_gopro_what_the_text_says_of_table_1() -> None:
    """Sec. 4.2, "Quantitative Analysis"."""
    psnr, times, gmacs = (column(1, name) for name in ("psnr_db", "time_ms", "gmacs"))
    assert psnr["BANet+"] - psnr["MPRNet"] == pytest.approx(0.37)
    assert times["BANet+"] - times["MPRNet"] == -113
    assert gmacs["BANet+"] - gmacs["MPRNet"] == -172
    assert max((m for m in psnr if m not in OURS), key=psnr.__getitem__) == "MPRNet"  # the best competitor
    assert times["BANet"] == times["MIMO-UNet+"]
    assert column(1, "params_m").items() >= {("BANet", 18), ("BANet+", 40)}
    recurrent = [times[m] for m in ("MSCNN", "SRN", "DSD", "MTRNN", "SAPHN", "MPRNet")]
    others = [times[m] for m in ("DeblurGAN-v2", "RADN", "MIMO-UNet+", *OURS)]
    assert min(recurrent) > max(others)
    beaten = ("MSCNN", "SRN", "DSD", "DMPHN", "MTRNN", "SAPHN", "DeblurGAN-v2", "RADN")
    assert all(psnr["BANet"] > psnr[m] and times["BANet"] < times[m] for m in beaten)


def test_methods_compared_are_those_that_the_text_lists() -> None:
    """Sec. 4.2: eleven on GoPro, nine on HIDE, four on RealBlur and in the user study."""
    four = {"DeblurGAN-v2", "SRN", "MPRNet", "MIMO-UNet+"}
    nine = four | {"HAdeblur", "DSD", "DMPHN", "MTRNN", "SAPHN"}
    eleven = nine - {"HAdeblur"} | {"MSCNN", "EDSD", "RADN"}
    for number, methods in ((1, eleven), (2, nine), (3, four)):
        assert {row.method for row in table(number).rows} == methods | set(OURS)
    assert {row.method for row in table(4).rows} == four


def test_hide_what_the_text_says_of_table_2() -> None:
    """Sec. 4.2: BANet does better than all but MPRNet, which both are faster than."""
    psnr, times = column(2, "psnr_db"), column(2, "time_ms")
    assert {m for m in psnr if psnr[m] > psnr["BANet"]} == {"MPRNet", "BANet+"}
    assert all(times[ours] < times["MPRNet"] for ours in OURS)


def test_realblur_what_the_text_says_of_table_3() -> None:
    """Sec. 4.2: both outperform the compared methods on both parts (in SSIM on RealBlur-R, BANet does not)."""
    for name in ("realblur_j_psnr_db", "realblur_r_psnr_db", "realblur_j_ssim"):
        values = column(3, name)
        assert all(values[ours] > values[m] for ours in OURS for m in values if m not in OURS)


def test_user_study_percentages_are_whole_numbers_of_votes() -> None:
    """Sec. 4.2: 34 subjects, 16 images for each method; over 95 % preferred BANet to each."""
    votes = 34 * 16
    for percent in column(4, "ours_preferred_percent").values():
        assert percent > 95
        assert round(100 * round(votes * percent / 100) / votes, 1) == percent


def test_ablations_what_the_text_says_of_tables_5_to_8() -> None:
    """Sec. 4.3."""
    nets = column(5, "psnr_db")
    assert nets["Net2"] - nets["Net1"] == pytest.approx(0.41)
    assert nets["Net4"] - nets["Net1"] == pytest.approx(0.72)
    assert max(nets, key=nets.__getitem__) == "Net6"
    stacks = column(6, "psnr_db")
    assert list(stacks.values()) == sorted(stacks.values())
    assert stacks["stack-12"] - stacks["stack-10"] < 0.02  # saturated
    kernels = column(7, "psnr_db")
    assert max(kernels, key=kernels.__getitem__) == "MKSP_1357"
    assert min(kernels, key=kernels.__getitem__) == "SP"
    content, parameters = column(8, "psnr_db"), column(8, "params_m")
    assert content["CPDC"] > content["PDC^2_135"] > content["PDC_135"]
    assert parameters["CPDC"] == parameters["PDC^2_135"]


def test_parts_of_the_networks_of_table_5_are_those_that_the_text_names() -> None:
    """Sec. 4.3: what is added from Net1 to Net4, and PDC in Net5 replaced by CPDC in Net6."""
    parts = {row.method: {name for name in PARTS if figure(5, row.method, name)} for row in table(5).rows}
    assert parts == {
        "Net1": {"pdc"},
        "Net2": {"pdc", "ar"},
        "Net3": {"pdc", "sp"},
        "Net4": {"pdc", "mksp"},
        "Net5": {"pdc", "ar", "mksp"},
        "Net6": {"cpdc", "ar", "mksp"},
    }


def test_attention_what_the_text_says_of_table_9() -> None:
    """Sec. 4.4: in parts, BA is comparable to SA and much faster; of the whole image it does best."""
    psnr, times = column(9, "psnr_db"), column(9, "time_ms")
    assert abs(psnr["BA*"] - psnr["SA*"]) < 0.05
    assert times["BA*"] < times["SA*"] / 10
    assert max(psnr, key=psnr.__getitem__) == "BA"
    assert column(9, "sub_images") == {"SA*": 8, "BA*": 8, "BA": 1}


@pytest.mark.parametrize(
    "places",
    [
        [(1, "BANet"), (5, "Net6"), (6, "stack-10")],
        [(5, "Net1"), (8, "PDC_135")],
        [(5, "Net3"), (7, "SP")],
        [(5, "Net4"), (7, "MKSP_1357")],
        [(6, "stack-4"), (9, "BA")],
    ],
)
def test_one_network_in_several_tables_has_one_psnr_and_one_configuration(places: list[tuple[int, str]]) -> None:
    assert len({figure(number, method, "psnr_db") for number, method in places}) == 1
    assert len({row.model for number, method in places for row in table(number).rows if row.method == method}) == 1


@pytest.mark.parametrize("number", ROWS)
def test_models_are_those_of_conf(number: int) -> None:
    for row in table(number).rows:
        ours = row.method in OURS or number >= 5
        assert (row.model is not None) == ours, row.method
        if row.model is not None:
            model = read_model_config(MODELS / f"{row.model}.yaml")
            modules = figure(6, row.method, "modules") if number == 6 else {9: 4}.get(number, 10)
            assert (model.name, model.modules) == (row.model, modules)


def test_networks_of_table_5_are_made_of_the_same_parts_in_conf() -> None:
    made_of = {"none": set(), "ar": {"ar"}, "sp": {"sp"}, "mksp": {"mksp"}, "ba": {"mksp", "ar"}}
    for row in table(5).rows:
        model = read_model_config(MODELS / f"{row.model}.yaml")
        assert {name for name in PARTS if figure(5, row.method, name)} == made_of[model.attention] | {model.content}


@pytest.mark.parametrize(
    "content",
    [b"method,psnr_db,source\nSP,31.81,x\n", b"method,model,psnr_db,source\nSP,sp,31,81,x\n", b"method\xff"],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "table7.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"table7.csv cannot be read \(.*\): restore it with git checkout$") as caught:
        read_published(7, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"table7.csv cannot be read \(.*No such file.*\): restore it with git checkout$"
    ):
        read_published(7, tmp_path)

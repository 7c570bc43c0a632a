"""Mappings into dataclasses: every key and type checked, every mistake named with its place."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from banet.errors import ConfigError
from banet.parsing import parse, read_yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    size: int
    rate: float = 0.5

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ConfigError(f"size must be at least 0, got {self.size}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    name: str
    flag: bool
    kind: Literal["one", "two"]
    inner: Inner
    many: tuple[Inner, ...] = ()
    table: dict[str, tuple[float, ...]] | None = None
    note: str | None = None


GOOD: dict[str, Any] = {"name": "n", "flag": True, "kind": "two", "inner": {"size": 3}}


def message(values: object) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(Outer, values, where="params.yaml")
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_values_arrive_with_their_types_and_defaults() -> None:
    values = GOOD | {"many": [{"size": 1, "rate": 2}], "table": {"a": [1, 2.5]}, "note": None}
    found = parse(Outer, values, where="params.yaml")
    assert found == Outer(
        name="n",
        flag=True,
        kind="two",
        inner=Inner(size=3, rate=0.5),
        many=(Inner(size=1, rate=2.0),),
        table={"a": (1.0, 2.5)},
    )
    assert type(found.many[0].rate) is float
    assert found.table is not None
    assert type(found.table["a"][0]) is float


def test_a_dataclass_sent_as_a_mapping_comes_back() -> None:
    found = parse(Outer, GOOD | {"many": [{"size": 1}], "table": {"x": []}}, where="params.yaml")
    assert parse(Outer, asdict(found), where="job") == found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"nam": 1}, "params.yaml: nam is unknown: the keys here are name, flag, kind, inner, many, table, note"),
        ({3: 1}, "params.yaml: 3 is unknown"),
        ({"name": 5}, "params.yaml: name must be text, got int 5"),
        ({"name": None}, "params.yaml: name must be text, got nothing"),
        ({"flag": 1}, "params.yaml: flag must be true or false, got int 1"),
        ({"flag": "yes"}, "params.yaml: flag must be true or false, got str 'yes'"),
        ({"kind": "three"}, "params.yaml: kind must be one of one, two, got str 'three'"),
        ({"inner": None}, "params.yaml: inner must be a mapping with the keys size, rate, got nothing"),
        ({"inner": {}}, "params.yaml: inner.size is missing: add it, a whole number"),
        ({"inner": {"size": 3.0}}, "params.yaml: inner.size must be a whole number, got float 3.0"),
        ({"inner": {"size": True}}, "params.yaml: inner.size must be a whole number, got bool True"),
        ({"inner": {"size": "3"}}, "got str '3' (YAML reads that as text: write 1.0e-4, not 1e-4 or '1')"),
        (
            {"inner": {"size": 3, "rate": "1e-4"}},
            "inner.rate must be a number, got str '1e-4' (YAML reads that as text",
        ),
        ({"inner": {"size": 3, "rate": False}}, "params.yaml: inner.rate must be a number, got bool False"),
        ({"inner": {"size": -1}}, "params.yaml: inner: size must be at least 0, got -1"),
        ({"many": {"size": 1}}, "params.yaml: many must be a list, each a mapping with the keys size, rate, got dict"),
        ({"many": "ab"}, "params.yaml: many must be a list, each a mapping with the keys size, rate, got str 'ab'"),
        ({"many": [{"size": 1}, {"sise": 1}]}, "params.yaml: many[1].sise is unknown: the keys here are size, rate"),
        ({"table": []}, "params.yaml: table must be a mapping, got list []"),
        ({"table": {"a": [1, "b"]}}, "params.yaml: table.a[1] must be a number, got str 'b'"),
        ({"note": 3}, "params.yaml: note must be text, got int 3"),
    ],
)
def test_every_mistake_is_named_with_its_place(change: dict[Any, Any], expected: str) -> None:
    assert expected in message(GOOD | change)


@pytest.mark.parametrize("key", GOOD)
def test_every_missing_key_is_named(key: str) -> None:
    values = {name: value for name, value in GOOD.items() if name != key}
    assert message(values).startswith(f"params.yaml: {key} is missing: add it, ")


def test_text_that_is_no_number_gets_no_advice_on_numbers() -> None:
    assert message(GOOD | {"inner": {"size": "three"}}).endswith("got str 'three'")


@pytest.mark.parametrize("values", [None, [], "text", 3])
def test_what_is_no_mapping_is_refused(values: object) -> None:
    assert message(values).startswith("params.yaml must be a mapping with the keys name, flag, ")


def test_places_in_files_and_in_sections_are_written_apart() -> None:
    for where, place in (("a.yaml", "a.yaml: size"), ("a.json", "a.json: size"), ("job", "job.size")):
        with pytest.raises(ConfigError, match=f"^{place} is missing"):
            parse(Inner, {}, where=where)


def test_yaml_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: [1, 2.0e-3, é]\nb: null\nc: .inf\n", encoding="utf-8")
    assert read_yaml(path) == {"a": [1, 0.002, "é"], "b": None, "c": math.inf}
    path.write_text("")
    assert read_yaml(path) is None


@pytest.mark.parametrize("content", [b"a: [1", b"a: b: c", b"\xff\xfe\x00", b"a: !!python/object/apply:os.getcwd []"])
def test_what_is_no_plain_yaml_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"a.yaml is not YAML: ") as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no.yaml cannot be read \(No such file or directory\)"):
        read_yaml(tmp_path / "no.yaml")

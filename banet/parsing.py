"""Parsing plain mappings into frozen dataclasses, with every key and type checked and errors that name the remedy."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import yaml

from banet.errors import ConfigError

T = TypeVar("T")


def read_yaml(path: Path) -> object:
    """Read one YAML file with the safe loader.

    Raises:
        ConfigError: the file cannot be read or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None


def parse(cls: type[T], values: object, *, where: str) -> T:
    """Make a frozen dataclass from a mapping; `where` names the source in errors, e.g. `params.yaml`.

    Raises:
        ConfigError: names the key, the value and what was expected.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} must be a mapping with the keys {_names(cls)}, got {_shown(values)}")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise ConfigError(f"{_path(where, key)} is unknown: the keys here are {_names(cls)}")
    hints = typing.get_type_hints(cls)
    arguments: dict[str, object] = {}
    for name, field in fields.items():
        if name in values:
            arguments[name] = _convert(hints[name], values[name], _path(where, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{_path(where, name)} is missing: add it, {_expected(hints[name])}")
    try:
        return cls(**arguments)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _convert(hint: Any, value: object, where: str) -> object:  # noqa: ANN401, PLR0911
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        kinds = [argument for argument in arguments if argument is not type(None)]
        fitting = [kind for kind in kinds if len(kinds) == 1 or _fits(kind, value)]
        if not fitting:
            raise ConfigError(f"{where} must be {_expected(hint)}, got {_shown(value)}")
        return _convert(fitting[0], value, where)
    if origin is Literal and value in arguments:
        return value
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, Mapping):
        return {str(key): _convert(arguments[1], item, _path(where, key)) for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return parse(typing.cast(type[object], hint), value, where=where)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint in (int, str, bool) and type(value) is hint:
        return value
    hint_text = _number_as_text(value) if hint in (int, float) else ""
    raise ConfigError(f"{where} must be {_expected(hint)}, got {_shown(value)}{hint_text}")


def _fits(kind: Any, value: object) -> bool:  # noqa: ANN401
    return isinstance(value, Mapping) if dataclasses.is_dataclass(kind) else type(value) is kind


def _number_as_text(value: object) -> str:
    try:
        float(value) if isinstance(value, str) else float("x")
    except ValueError:
        return ""
    return " (YAML reads that as text: write 1.0e-4, not 1e-4 or '1')"


def _expected(hint: Any) -> str:  # noqa: ANN401
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join("null" if a is type(None) else _expected(a) for a in arguments)
    if origin is tuple:
        return f"a list, each {_expected(arguments[0])}"
    if origin is dict:
        return "a mapping"
    if dataclasses.is_dataclass(hint):
        return f"a mapping with the keys {_names(typing.cast(type[object], hint))}"
    return {int: "a whole number", float: "a number", str: "text", bool: "true or false"}[hint]


def _names(cls: type) -> str:
    return ", ".join(field.name for field in dataclasses.fields(cls))


def _path(where: str, key: object) -> str:
    return f"{where}: {key}" if where.endswith((".yaml", ".json")) else f"{where}.{key}"


def _shown(value: object) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {value!r}"

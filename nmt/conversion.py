"""Configurations as plain dictionaries, which is what is stored with a run, and back.

A stored configuration is data: reading it can build nothing but the classes of :mod:`nmt.config`.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, TypeVar

from nmt.config import VARIANTS
from nmt.errors import ConfigError

T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
    """The plain dictionary of a configuration: nested dictionaries, lists, numbers, strings; enums by name."""
    result: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        result[f.name] = _plain(value)
    return result


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.name if isinstance(value, Enum) else value


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested dictionary as one of ``outer.inner`` keys."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def from_dict(cls: type[T], values: Mapping[str, Any], path: str = "") -> T:
    """The configuration that a plain dictionary describes; the inverse of :func:`to_dict`.

    Raises:
        ConfigError: an unknown key or choice (with the nearest known one), a missing key, or a value of the wrong type.
    """
    prefix, variant = f"{path}." if path else "", ""
    if cls in VARIANTS:
        variants = VARIANTS[cls]
        kind = _convert(type(next(iter(variants))), values.get("kind"), f"{prefix}kind")
        cls, variant = variants[kind], f" of `{prefix}kind={kind.name}`"
    hints = typing.get_type_hints(cls)
    names = list(hints)
    for key in values:
        if key not in names:
            raise ConfigError(f"`{prefix}{key}` is not a setting{variant}{suggestion(str(key), names)}")
    try:
        return cls(**{key: _convert(hints[key], value, f"{prefix}{key}") for key, value in values.items()})
    except TypeError as error:
        missing = re.findall(r"'(\w+)'", str(error))
        raise ConfigError(f"missing: {', '.join(f'`{prefix}{name}`' for name in missing)}") from None


def suggestion(word: str, choices: Iterable[str]) -> str:
    """``; did you mean `nearest`?``, or nothing where no choice is near."""
    near = difflib.get_close_matches(word, list(choices), n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def _convert(hint: Any, value: Any, key: str) -> Any:
    """``value`` as the type that ``hint`` asks for."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in options:
        return None
    for option in options:
        if typing.get_origin(option) is list and isinstance(value, list):
            return [_convert(typing.get_args(option)[0], item, f"{key}[{i}]") for i, item in enumerate(value)]
        if typing.get_origin(option) is dict and isinstance(value, Mapping):
            return {str(name): _convert(typing.get_args(option)[1], item, f"{key}.{name}") for name, item in value.items()}
        if typing.get_origin(option):
            continue
        if dataclasses.is_dataclass(option):
            if isinstance(value, Mapping):
                return from_dict(typing.cast(type, option), value, key)
        elif isinstance(option, type) and issubclass(option, Enum):
            if isinstance(value, option):
                return value
            names = [member.name for member in option]
            if isinstance(value, str):
                if value in names:
                    return option[value]
                raise ConfigError(f"`{key}` must be one of {', '.join(names)}, but is {value!r}{suggestion(value, names)}")
        elif option is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        elif isinstance(value, option) and (option is bool or not isinstance(value, bool)):
            return value
    wanted = " or ".join(
        "null" if option is type(None) else typing.get_origin(option).__name__ if typing.get_origin(option) else option.__name__
        for option in options
    )
    raise ConfigError(f"`{key}` must be {wanted}, but is {value!r}")


def seconds(value: int | str | None) -> float | None:
    """``90``, ``"90s"``, ``"20m"``, ``"1h30m"`` as seconds.

    Raises:
        ConfigError: the text is no such time.
    """
    if value is None:
        return None
    if isinstance(value, int):
        return float(value)
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", value.strip())
    if not match or not value.strip():
        raise ConfigError(f"`train.max_time` must be seconds or a time such as 90s, 20m or 1h30m, but is {value!r}")
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    return float(hours * 3600 + minutes * 60 + rest)

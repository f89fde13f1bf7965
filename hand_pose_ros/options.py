"""Options: frozen dataclasses whose fields say what they are for, and one way to read, check and change them.

A field made with `option` carries its help text, range and choices as metadata. An unknown key is an error.
Dotted names ("smoothing.beta") are the names of ROS parameters and of CLI options. What can be set: `config.py`, and
`datasets/synthetic/spec.py` for rendered scenes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")


class ConfigError(ValueError):
    """A configuration that cannot be used; the text names the key, what was expected and what came."""


def option(
    default: Any,
    text: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[Any, ...] | None = None,
    dynamic: bool = False,
) -> Any:
    """A documented field. `dynamic` options may be changed while running."""
    metadata = {
        "help": text,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "dynamic": dynamic,
    }
    return field(default=default, metadata=metadata)


def group(cls: type[T]) -> T:
    """A nested dataclass of options with its own defaults."""
    return field(default_factory=cls)  # type: ignore[no-any-return, call-overload]


@dataclass(frozen=True)
class Option:
    """One leaf of a configuration: dotted name, type, default and documentation."""

    name: str
    type: type
    default: Any
    help: str
    minimum: float | None
    maximum: float | None
    choices: tuple[Any, ...] | None
    dynamic: bool


def options(cls: type, prefix: str = "") -> Iterator[Option]:
    """All leaves of a configuration class, depth first, with dotted names."""
    hints = get_type_hints(cls)
    for item in fields(cls):
        name = prefix + item.name
        if is_dataclass(hints[item.name]):
            yield from options(hints[item.name], name + ".")
            continue
        default = item.default if item.default is not MISSING else None
        meta = item.metadata
        yield Option(
            name,
            hints[item.name],
            default,
            meta["help"],
            meta["minimum"],
            meta["maximum"],
            meta["choices"],
            meta["dynamic"],
        )


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """A configuration as {dotted name: value}."""
    flat: dict[str, Any] = {}
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value):
            flat.update(flatten(value, f"{prefix}{item.name}."))
        else:
            flat[prefix + item.name] = value
    return flat


def build(cls: type[T], values: Mapping[str, Any]) -> T:
    """A configuration from {dotted name: value}; missing names keep their defaults.

    Raises:
        ConfigError: an unknown name, a wrong type, or a value out of range.
    """
    known = {item.name: item for item in options(cls)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(f"unknown option(s) {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    checked = {name: _check(known[name], value) for name, value in values.items()}
    return _assemble(cls, checked, "")


def unnest(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping (a YAML file) as {dotted name: value}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(unnest(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def replace(config: T, values: Mapping[str, Any]) -> T:
    """`config` with some dotted names changed; checked as in `build`."""
    return build(type(config), {**flatten(config), **values})


def _assemble(cls: type[T], values: Mapping[str, Any], prefix: str) -> T:
    hints = get_type_hints(cls)
    arguments: dict[str, Any] = {}
    for item in dataclasses.fields(cls):  # type: ignore[arg-type]
        name = prefix + item.name
        if is_dataclass(hints[item.name]):
            arguments[item.name] = _assemble(hints[item.name], values, name + ".")
        elif name in values:
            arguments[item.name] = values[name]
    return cls(**arguments)


def _check(item: Option, value: Any) -> Any:
    if item.type is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not item.type:
        raise ConfigError(f"{item.name}: expected {item.type.__name__}, got {value!r} ({type(value).__name__})")
    if item.choices is not None and value not in item.choices:
        raise ConfigError(f"{item.name}: expected one of {', '.join(map(str, item.choices))}, got {value!r}")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and not _in_range(item, value):
        raise ConfigError(f"{item.name}: expected {item.minimum} to {item.maximum}, got {value!r}")
    return value


def _in_range(item: Option, value: float) -> bool:
    low = -math.inf if item.minimum is None else item.minimum
    high = math.inf if item.maximum is None else item.maximum
    return low <= value <= high

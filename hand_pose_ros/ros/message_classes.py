"""rclpy's message classes for the builders of `hand_pose_ros.sources`, which know messages by name only.

Arrays are assigned in the forms that cost microseconds on every distribution: `array.array` for sequences, numpy
arrays for numeric fields of a fixed size. (Bytes or a numpy array given to a sequence are checked element by element:
0.3 s for an image.)
"""

from __future__ import annotations

import array
import importlib
import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np

# array.array type codes of IDL's numeric types, as rosidl_generator_py names them.
_TYPE_CODES: Final = {
    "float": "f",
    "double": "d",
    "octet": "B",
    "uint8": "B",
    "int8": "b",
    "uint16": "H",
    "int16": "h",
    "uint32": "I",
    "int32": "i",
    "uint64": "Q",
    "int64": "q",
}
_SEQUENCE: Final = re.compile(r"sequence<(\w+)(?:, \d+)?>")


def make(msgtype: str, /, **fields: Any) -> Any:
    """A message of this type ("std_msgs/msg/Header") with these fields; numbers in arrays are given as numpy arrays."""
    message_class, converters = _known(msgtype)
    for name, value in fields.items():
        if isinstance(value, np.ndarray):
            fields[name] = converters[name](value)
    return message_class(**fields)


def message_class(msgtype: str) -> type:
    """The class of a message type.

    Raises:
        ImportError: its package is not installed.
    """
    package, kind, name = msgtype.split("/")
    found: type = getattr(importlib.import_module(f"{package}.{kind}"), name)
    return found


@cache
def _known(msgtype: str) -> tuple[Any, dict[str, Callable[[Any], Any]]]:
    found: Any = message_class(msgtype)
    types: dict[str, str] = found.get_fields_and_field_types()
    return found, {name: _converter(text) for name, text in types.items()}


def _converter(field_type: str) -> Callable[[Any], Any]:
    """How a numpy array is assigned to a field of this type."""
    sequence = _SEQUENCE.fullmatch(field_type)
    if sequence is not None and sequence.group(1) in _TYPE_CODES:
        code = _TYPE_CODES[sequence.group(1)]
        return lambda values: array.array(code, np.ascontiguousarray(values, dtype=code).tobytes())
    element = field_type.split("[")[0]
    if element in _TYPE_CODES and element != "octet":
        return lambda values: np.ascontiguousarray(values, dtype=_TYPE_CODES[element])
    return lambda values: values.tolist()

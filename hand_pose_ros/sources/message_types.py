"""ROS 2 message types without ROS: rosbags' standard types and those of this package, read from its .msg files."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from hand_pose_ros.sources.errors import BagError

PACKAGE = "hand_pose_ros"
_TEXT = ("string", "wstring")
_SHARE = Path("share") / PACKAGE / "msg"


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """The types of ROS 2 (Humble; the standard messages used here are the same since) and of this package.

    Raises:
        BagError: the .msg files of this package are not to be found.
    """
    store = get_typestore(Stores.ROS2_HUMBLE)
    types = {}
    for path in sorted(message_folder().glob("*.msg")):
        types.update(get_types_from_msg(path.read_text(encoding="utf-8"), f"{PACKAGE}/msg/{path.stem}"))
    store.register(types)
    return store


def message_folder() -> Path:
    """Where the .msg files are: `msg/` of a checkout, else `share/hand_pose_ros/msg` of pip's or of ROS's prefix.

    Raises:
        BagError: none of the places has them.
    """
    above = Path(__file__).absolute().parents
    prefixes = [
        *above[2:],
        Path(sys.prefix),
        *map(Path, filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(":"))),
    ]
    candidates = [above[2] / "msg", *(prefix / _SHARE for prefix in prefixes)]
    for folder in candidates:
        if (folder / "HandArray.msg").is_file():
            return folder
    raise BagError(
        f"the message definitions of {PACKAGE} are missing; looked for HandArray.msg in "
        f"{', '.join(map(str, candidates))}. Install the package again (pip or colcon), or run from a checkout"
    )


def is_other_version(msgtype: str, definition: str) -> bool:
    """Whether a type of this package was recorded with other fields; `definition` is the .msg text in the recording."""
    if not msgtype.startswith(f"{PACKAGE}/") or not definition:
        return False
    recorded = get_types_from_msg(definition, msgtype)
    ours = typestore().fielddefs
    return any(name not in ours or list(fields) != list(ours[name][1]) for name, (_, fields) in recorded.items())


def make(msgtype: str, **fields: Any) -> Any:
    """A message of rosbags' classes; fields that are not given are zero, empty or False.

    Raises:
        TypeError: a field that the type does not have.
    """
    store = typestore()
    for name, description in store.fielddefs[msgtype][1]:
        if name not in fields:
            fields[name] = _default(description)
    return store.types[msgtype](**fields)


def serialize(message: Any) -> bytes:
    """The CDR bytes of a message made with `make`."""
    return bytes(typestore().serialize_cdr(message, message.__msgtype__))


def _default(description: Any) -> Any:
    kind, detail = description
    if kind == Nodetype.NAME:
        return make(str(detail))
    if kind == Nodetype.BASE:
        return "" if detail[0] in _TEXT else _zero(str(detail[0]))
    (item_kind, item), length = detail
    count = length if kind == Nodetype.ARRAY else 0
    if item_kind == Nodetype.BASE and item[0] not in _TEXT:
        return np.zeros(count, dtype=_dtype(item[0]))
    return [_default((item_kind, item)) for _ in range(count)]


def _zero(base: str) -> Any:
    return _dtype(base).type(0).item()


def _dtype(base: str) -> np.dtype[Any]:
    return np.dtype({"byte": "uint8", "char": "uint8", "octet": "uint8"}.get(base, base))

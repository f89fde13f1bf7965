"""Reading a data set's files so that a missing, cut off or foreign one is named, with the remedy."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from hand_pose_ros.datasets.base import DatasetError
from hand_pose_ros.hand_model.safe_pickle import UnreadablePickle, UnsafePickle, load_pickle
from hand_pose_ros.types import ByteArray, FloatArray

# What a whole file ends with; some writers pad behind it.
_ENDINGS: Final = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND"}
_PADDING: Final = 4096
# The C parser where PyYAML has it; both build plain data only.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_bytes(path: Path) -> bytes:
    """The whole file. Raises `DatasetError` when it is missing, empty or cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be read ({error.strerror or error}); expected a file of the data set, fetch it anew"
        ) from error
    if not data:
        raise DatasetError(f"{path}: the file is empty; fetch it anew")
    return data


def read_image(path: Path, flags: int) -> NDArray[Any]:
    """A decoded image; cut off files, which decoders fill with grey, are refused. Raises `DatasetError`."""
    data = read_bytes(path)
    ending = _ENDINGS.get(data[:2])
    if ending is not None and ending not in data[-_PADDING:]:
        raise DatasetError(f"{path}: the image is cut off after {len(data)} bytes; fetch it anew")
    image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    if image is None:
        raise DatasetError(f"{path}: not an image that OpenCV can decode ({len(data)} bytes); fetch it anew")
    return np.asarray(image)


def read_color(path: Path) -> ByteArray:
    """(H, W, 3) uint8 RGB."""
    return np.ascontiguousarray(read_image(path, cv2.IMREAD_COLOR)[:, :, ::-1], dtype=np.uint8)


def read_depth_mm(path: Path) -> FloatArray:
    """A 16-bit image of millimetres as (H, W) float32 metres, 0 = no reading."""
    image = read_image(path, cv2.IMREAD_UNCHANGED)
    if image.dtype != np.uint16 or image.ndim != 2:
        raise DatasetError(
            f"{path}: expected one channel of uint16 millimetres, got {image.dtype} of shape {image.shape}"
        )
    return image.astype(np.float32) * np.float32(1e-3)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping. Raises `DatasetError`."""
    try:
        content = yaml.load(read_bytes(path), Loader=_LOADER)
    except yaml.YAMLError as error:
        raise DatasetError(f"{path}: not readable as YAML ({error}); fetch it anew") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: expected a YAML mapping, got {type(content).__name__}; fetch it anew")
    return content


def read_npz(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Only the named arrays of an .npz file; pickled objects are refused. Raises `DatasetError`."""
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; expected an .npz of the data set, fetch it anew")
    try:
        with np.load(path, allow_pickle=False) as stored:
            missing = [name for name in names if name not in stored.files]
            if missing:
                raise DatasetError(f"{path}: lacks {', '.join(missing)}; it has {', '.join(stored.files) or 'nothing'}")
            return {name: stored[name] for name in names}
    except DatasetError:
        raise
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DatasetError(f"{path}: not a whole .npz of plain arrays ({error}); fetch it anew") from error


def read_pickle(path: Path) -> dict[str, Any]:
    """A pickled dict of numpy arrays, numbers and text; anything else in it is refused. Raises `DatasetError`."""
    try:
        content = load_pickle(read_bytes(path))
    except UnsafePickle as error:
        raise DatasetError(
            f"{path}: refused: {error}; a label holds numpy arrays only, do not trust this file"
        ) from None
    except UnreadablePickle as error:
        raise DatasetError(f"{path}: not a whole pickle ({error}); fetch it anew") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: expected a dict, got {type(content).__name__}; is this a file of the data set?")
    return content


def numbers(source: object, content: Mapping[str, Any], key: str, shape: tuple[int, ...]) -> FloatArray:
    """`content[key]` as float32 of this shape, sizes of 1 added or dropped.

    Raises:
        DatasetError: it is missing, of another size, or not numbers; `source` is named.
    """
    if key not in content:
        raise DatasetError(f"{source}: lacks {key}; it has {', '.join(map(str, content)) or 'nothing'}")
    try:
        values = np.asarray(content[key], dtype=np.float32)
        values = values.reshape(shape)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{source}: expected {key} as numbers of shape {shape} ({error})") from error
    if not np.isfinite(values).all():
        raise DatasetError(f"{source}: {key} holds NaN or infinite values")
    return values


def require_folder(path: Path, what: str, remedy: str) -> Path:
    """`path`, or `DatasetError` when it is no folder; the text lists what stands beside it."""
    if path.is_dir():
        return path
    if path.parent.is_dir():
        beside = ", ".join(sorted(entry.name for entry in path.parent.iterdir())[:8]) or "nothing"
        found = f"{path.parent} holds {beside}"
    else:
        found = f"{path.parent} does not exist either"
    raise DatasetError(f"{path}: expected {what}; {found}; {remedy}")

"""Pictures and films as frames: single files, folders, glob patterns; depth as 16-bit pictures with their unit."""

from __future__ import annotations

import glob
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.sources.errors import SourceError
from hand_pose_ros.types import ByteArray, FloatArray, Frame, Intrinsics

FRAME_ID: Final = "camera_color_optical_frame"
PICTURE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_DEFAULT_RATE: Final = 30.0

# fx, fy, cx, cy in pixels; the size is that of the pictures.
Pinhole = tuple[float, float, float, float]


def read_color(path: Path | str) -> ByteArray:
    """A colour picture as (H, W, 3) uint8 RGB, as it is stored (an EXIF orientation is not applied).

    Raises:
        SourceError: no such file or not a picture.
    """
    image = _read(Path(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def read_depth(path: Path | str, unit: float = 0.001) -> FloatArray:
    """A depth picture of one 16-bit (or float) channel as (H, W) float32 metres; `unit` is metres per stored unit.

    Raises:
        SourceError: no such file, not a picture, or not a depth picture.
    """
    if not unit > 0:
        raise SourceError(f"depth unit: expected metres per unit above 0, got {unit}")
    image = _read(Path(path), cv2.IMREAD_UNCHANGED)
    if image.ndim != 2 or image.dtype not in (np.uint16, np.float32):
        raise SourceError(
            f"{path}: expected a depth picture of one 16-bit or float32 channel, got {image.dtype.name} "
            f"{image.shape}; coloured depth cannot be turned back into metres"
        )
    depth: FloatArray = np.multiply(image, np.float32(unit), dtype=np.float32)
    depth[~(np.isfinite(depth) & (depth > 0))] = 0.0
    return depth


def image_frame(
    color: Path | str | None,
    depth: Path | str | None,
    depth_unit: float,
    pinhole: Pinhole,
    stamp_ns: int = 0,
    frame_id: str = FRAME_ID,
) -> Frame:
    """One frame from a colour and/or a depth picture of the same size.

    Raises:
        SourceError: neither is given, sizes differ, or a file cannot be read.
    """
    color_image = None if color is None else read_color(color)
    depth_image = None if depth is None else read_depth(depth, depth_unit)
    sizes = {image.shape[:2] for image in (color_image, depth_image) if image is not None}
    if len(sizes) != 1:
        got = f"{color}: {_size(color_image)}, {depth}: {_size(depth_image)}"
        raise SourceError(f"expected colour and depth of one size, aligned to each other, got {got}")
    height, width = sizes.pop()
    return Frame(stamp_ns, frame_id, Intrinsics(*pinhole, width, height), color_image, depth_image)


def image_frames(
    colors: Iterable[Path | str],
    depths: Iterable[Path | str],
    depth_unit: float,
    pinhole: Pinhole,
    rate: float = _DEFAULT_RATE,
) -> Iterator[Frame]:
    """Frames of a sequence taken at `rate` Hz; one of the two kinds of picture may be missing altogether.

    Raises:
        SourceError: no pictures, or not as many of one kind as of the other.
    """
    color_files, depth_files = list(colors), list(depths)
    if not color_files and not depth_files:
        raise SourceError("expected colour or depth pictures, got none")
    if color_files and depth_files and len(color_files) != len(depth_files):
        raise SourceError(f"expected as many depth as colour pictures, got {len(depth_files)} and {len(color_files)}")
    for index in range(max(len(color_files), len(depth_files))):
        color = color_files[index] if color_files else None
        depth = depth_files[index] if depth_files else None
        yield image_frame(color, depth, depth_unit, pinhole, round(index / rate * 1e9))


def picture_files(pattern: Path | str) -> list[Path]:
    """The pictures of a folder, a glob pattern or a single file; numbers in names count as numbers (9 before 10).

    Raises:
        SourceError: there is none.
    """
    path = Path(pattern)
    if path.is_dir():
        found = [item for item in path.iterdir() if item.suffix.lower() in PICTURE_SUFFIXES]
    else:
        found = [Path(name) for name in glob.glob(str(pattern), recursive=True)]  # noqa: PTH207 (absolute patterns)
    if not found:
        raise SourceError(f"{pattern}: expected pictures ({', '.join(PICTURE_SUFFIXES)}), found none")
    return sorted(found, key=lambda item: [int(t) if t.isdigit() else t for t in re.split(r"(\d+)", str(item))])


class VideoReader:
    """A film as colour frames; a context manager and an iterable that can be run through again.

    Args:
        path: anything OpenCV's build can decode.
        pinhole: fx, fy, cx, cy in pixels; None assumes a horizontal field of view of `field_of_view` radians.

    Raises:
        SourceError: on entering: no such file, or not a film.
    """

    def __init__(
        self, path: Path | str, pinhole: Pinhole | None = None, field_of_view: float = math.radians(65)
    ) -> None:
        self.path = Path(path)
        self._pinhole = pinhole
        self._field_of_view = field_of_view

    def __enter__(self) -> VideoReader:
        if not self.path.is_file():
            raise SourceError(f"{self.path}: no such film")
        self._capture = cv2.VideoCapture(str(self.path))
        width, height = (int(self._capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if not self._capture.isOpened() or width <= 0 or height <= 0:
            self._capture.release()
            raise SourceError(f"{self.path}: OpenCV cannot decode this film; convert it, for instance to H.264 .mp4")
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate = rate if math.isfinite(rate) and rate > 0 else _DEFAULT_RATE
        self.expected_frames = max(int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        focal = width / 2 / math.tan(self._field_of_view / 2)
        pinhole = self._pinhole or (focal, focal, (width - 1) / 2, (height - 1) / 2)
        self.intrinsics = Intrinsics(*pinhole, width, height)
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.release()

    def __iter__(self) -> Iterator[Frame]:
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
        index = 0
        while True:
            there, image = self._capture.read()
            if not there:
                return
            color = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
            yield Frame(round(index / self.rate * 1e9), FRAME_ID, self.intrinsics, color)
            index += 1


def _read(path: Path, flags: int) -> NDArray[Any]:
    if not path.is_file():
        raise SourceError(f"{path}: no such picture")
    try:
        image = cv2.imdecode(np.fromfile(path, dtype=np.uint8), flags)
    except cv2.error as error:
        raise SourceError(f"{path}: OpenCV cannot decode it ({error.err})") from error
    if image is None:
        raise SourceError(f"{path}: not a picture, or a damaged one")
    picture: NDArray[Any] = image
    return picture


def _size(image: NDArray[Any] | None) -> str:
    return "none" if image is None else f"{image.shape[1]}x{image.shape[0]}"

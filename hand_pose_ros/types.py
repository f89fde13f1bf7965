"""The data that crosses the borders between rooms: frozen dataclasses of numpy arrays.

Metres, radians, seconds; the camera's optical frame (x right, y down, z forward); images are RGB uint8 and
depth is float32 metres with 0 where there is no reading. Every class checks shape, dtype and finiteness when it
is built and says what it expected, what it got and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.skeleton import NUM_JOINTS, Side

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]
ByteArray = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]


class InvalidData(ValueError):
    """Data that does not keep the conventions; the text says what was expected, what came and the remedy."""


def check_array(name: str, array: Any, shape: tuple[int | None, ...], dtype: Any, *, finite: bool = True) -> None:
    """Raise `InvalidData` unless `array` has this shape (None = any size), dtype and only finite values."""
    if not isinstance(array, np.ndarray):
        raise InvalidData(f"{name}: expected a numpy array, got {type(array).__name__}")
    wrong = array.ndim != len(shape) or any(
        want is not None and want != got for want, got in zip(shape, array.shape, strict=False)
    )
    if wrong:
        expected = tuple("any" if size is None else size for size in shape)
        raise InvalidData(f"{name}: expected shape {expected}, got {array.shape}")
    if array.dtype != dtype:
        raise InvalidData(
            f"{name}: expected dtype {np.dtype(dtype).name}, got {array.dtype.name}; convert it at the source"
        )
    if finite and array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InvalidData(f"{name}: holds NaN or infinite values; drop or repair the input before this point")


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera of one image size (pixels). Integer pixel coordinates are pixel centres.

    `distortion` holds ROS `CameraInfo.d` of the `distortion_model` there (plumb_bob, rational_polynomial or
    equidistant); empty or all zero means none. The pipeline works without: `geometry.lens` rectifies images.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    distortion: tuple[float, ...] = ()
    distortion_model: str = ""

    def __post_init__(self) -> None:
        values = (self.fx, self.fy, self.cx, self.cy)
        if not np.isfinite(values).all() or self.fx <= 0 or self.fy <= 0:
            raise InvalidData(
                f"intrinsics: expected finite values and positive focal lengths, got fx={self.fx} fy={self.fy} "
                f"cx={self.cx} cy={self.cy}; is camera_info calibrated (K all zero means it is not)?"
            )
        if self.width <= 0 or self.height <= 0:
            raise InvalidData(f"intrinsics: expected a positive image size, got {self.width}x{self.height}")

    @property
    def matrix(self) -> DoubleArray:
        """K, shape (3, 3)."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], dtype=np.float64)


@dataclass(frozen=True)
class Frame:
    """One instant of a camera: colour, depth aligned to colour, or only one of them.

    Attributes:
        stamp_ns: the camera's stamp in nanoseconds.
        frame_id: the optical frame of the colour image.
        intrinsics: of the image(s) given; its size is their size.
        color: (H, W, 3) uint8 RGB, or None.
        depth: (H, W) float32 metres, 0 = no reading, or None.
    """

    stamp_ns: int
    frame_id: str
    intrinsics: Intrinsics
    color: ByteArray | None = None
    depth: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.color is None and self.depth is None:
            raise InvalidData("frame: expected a colour or a depth image, got neither")
        size = (self.intrinsics.height, self.intrinsics.width)
        if self.color is not None:
            check_array("frame.color", self.color, (*size, 3), np.uint8)
        if self.depth is not None:
            # Finiteness of whole depth images is the decoder's promise (it maps NaN to 0); not paid for twice.
            check_array("frame.depth", self.depth, size, np.float32, finite=False)


class TrackingState(IntEnum):
    """What is known of a hand in this frame. The numbers are those of `Hand.msg`."""

    DETECTED = 1  # found by the hand finder in this frame
    TRACKED = 2  # followed from the frame before


@dataclass(frozen=True)
class BoundingBox:
    """A region of the image in pixels: left, top, width, height."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class HandDetection:
    """What a hand finder says: a side, the hand's centre in camera metres (3,) float32, a score 0..1.

    `side_score` (0.5..1) is how sure it is of the side, given that there is a hand.
    """

    side: Side
    center: FloatArray
    score: float
    side_score: float = 1.0

    def __post_init__(self) -> None:
        check_array("detection.center", self.center, (3,), np.float32)


@dataclass(frozen=True)
class ManoParameters:
    """Parameters of a hand model in MANO's layout: axis-angles in radians, translation in metres.

    global_orient (3,), hand_pose (45,) for joints 1..15 in MANO order without the mean pose subtracted
    (flat-hand convention: zero is the flat hand), betas (10,), transl (3,) added to the posed model.
    """

    global_orient: FloatArray
    hand_pose: FloatArray
    betas: FloatArray
    transl: FloatArray

    def __post_init__(self) -> None:
        for name, size in (("global_orient", 3), ("hand_pose", 45), ("betas", 10), ("transl", 3)):
            check_array(f"mano.{name}", getattr(self, name), (size,), np.float32)


@dataclass(frozen=True)
class WristPose:
    """The wrist frame in the camera frame: position (3,) metres and unit quaternion (x, y, z, w).

    The axes are those of `hand_pose_ros.geometry.wrist.wrist_rotation`.
    """

    position: FloatArray
    quaternion: FloatArray

    def __post_init__(self) -> None:
        check_array("wrist.position", self.position, (3,), np.float32)
        check_array("wrist.quaternion", self.quaternion, (4,), np.float32)


@dataclass(frozen=True)
class HandEstimate:
    """One observed hand, in the camera's optical frame.

    Attributes:
        side: left or right.
        joints: (21, 3) float32 metres, canonical order.
        joint_std: (21,) float32 metres, one standard deviation per joint (isotropic).
        joint_valid: (21,) bool, False where a joint is not to be relied on.
        score: 0..1, that this is a hand.
        track_id: stays with one hand while it is followed.
        state: see `TrackingState`.
        roi: where it is in the image.
        wrist: the wrist frame.
        mano: parameters of the fitted hand model, if asked for.
        vertices: (V, 3) float32 metres of the fitted hand model, if asked for.
    """

    side: Side
    joints: FloatArray
    joint_std: FloatArray
    joint_valid: BoolArray
    score: float
    track_id: int
    state: TrackingState
    roi: BoundingBox
    wrist: WristPose
    mano: ManoParameters | None = None
    vertices: FloatArray | None = None

    def __post_init__(self) -> None:
        check_array("hand.joints", self.joints, (NUM_JOINTS, 3), np.float32)
        check_array("hand.joint_std", self.joint_std, (NUM_JOINTS,), np.float32)
        check_array("hand.joint_valid", self.joint_valid, (NUM_JOINTS,), np.bool_)
        if self.vertices is not None:
            check_array("hand.vertices", self.vertices, (None, 3), np.float32)


@dataclass(frozen=True)
class ObjectEstimate:
    """An object's 6D pose in the camera frame: rotation (3, 3), translation (3,) metres, extent (3,) metres."""

    name: str
    rotation: FloatArray
    translation: FloatArray
    extent: FloatArray
    score: float

    def __post_init__(self) -> None:
        check_array("object.rotation", self.rotation, (3, 3), np.float32)
        check_array("object.translation", self.translation, (3,), np.float32)
        check_array("object.extent", self.extent, (3,), np.float32)


@dataclass(frozen=True)
class Scene:
    """What the pipeline says of one frame. A hand that is not observed is not in `hands`.

    `timings_ms` maps stage names (find, crop, infer, lift, fit, mesh, track, total) to ms; `dropped` counts hands
    thrown away in this frame by reason (for instance "non_finite", "low_score").
    """

    stamp_ns: int
    frame_id: str
    hands: tuple[HandEstimate, ...] = ()
    objects: tuple[ObjectEstimate, ...] = ()
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)

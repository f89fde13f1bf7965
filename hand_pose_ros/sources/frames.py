"""Decoded images and their camera become a `Frame`: sizes, lens and the place of the depth camera are put right."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from hand_pose_ros.geometry.camera import fit_intrinsics
from hand_pose_ros.geometry.lens import Rectifier, undistort_pixels
from hand_pose_ros.geometry.registration import DepthRegistration, Extrinsics
from hand_pose_ros.pipeline.outside import HandBox
from hand_pose_ros.types import ByteArray, FloatArray, Frame, Intrinsics, InvalidData


@dataclass(frozen=True, eq=False)
class DepthCamera:
    """A depth camera of its own beside the colour camera: its depth is not aligned to colour yet."""

    intrinsics: Intrinsics
    extrinsics: Extrinsics


class FrameMaker:
    """Frames of one stream; the tables of its lens and of its depth camera are kept from frame to frame.

    What comes out has no distortion, and depth that is aligned to colour. Not thread-safe.
    """

    def __init__(self) -> None:
        self._rectifier: Rectifier | None = None
        self._registration: DepthRegistration | None = None

    def __call__(
        self,
        stamp_ns: int,
        frame_id: str,
        camera: Intrinsics,
        color: ByteArray | None,
        depth: FloatArray | None,
        depth_camera: DepthCamera | None = None,
    ) -> Frame:
        """One frame.

        Args:
            stamp_ns, frame_id: of the colour image, or of the depth image where there is no colour.
            camera: of that image, with its lens; calibrated at any size of the same view.
            color: (H, W, 3) uint8 RGB, or None.
            depth: (H, W) float32 metres, aligned to colour (of any size), or of `depth_camera`; or None.
            depth_camera: None for depth that is aligned.

        Raises:
            InvalidData: neither image, sizes that do not fit together, or a lens that cannot be used.
        """
        image = color if color is not None else depth
        if image is None:
            raise InvalidData("frame: expected a colour or a depth image, got neither")
        height, width = image.shape[:2]
        rectifier = self._rectifier_of(fit_intrinsics(camera, width, height))
        if color is not None:
            color = rectifier.color(color)
        if depth is not None and depth_camera is not None:
            depth = self._registration_of(depth_camera, depth, rectifier.camera)(depth)
        elif depth is not None:
            depth = rectifier.depth(_resized(depth, width, height))
        return Frame(stamp_ns, frame_id, rectifier.camera, color, depth)

    def straight(self, box: HandBox) -> HandBox:
        """A box of the image as the camera gave it -> of the frame, by the lens of the last frame; from any thread."""
        rectifier = self._rectifier
        if rectifier is None or not rectifier.lens.distortion:
            return box
        right, bottom = box.x + box.width, box.y + box.height
        corners = np.array([(box.x, box.y), (right, box.y), (box.x, bottom), (right, bottom)])
        (x, y), (u, v) = (edge(undistort_pixels(corners, rectifier.lens), axis=0).tolist() for edge in (np.min, np.max))
        return replace(box, x=x, y=y, width=u - x, height=v - y)

    def _rectifier_of(self, lens: Intrinsics) -> Rectifier:
        if self._rectifier is None or self._rectifier.lens != lens:
            self._rectifier = Rectifier(lens)
        return self._rectifier

    def _registration_of(self, source: DepthCamera, depth: FloatArray, color_camera: Intrinsics) -> DepthRegistration:
        depth_camera = fit_intrinsics(source.intrinsics, depth.shape[1], depth.shape[0])
        known = self._registration
        wanted = (depth_camera, color_camera, source.extrinsics)
        if known is None or (known.depth_camera, known.color_camera, known.extrinsics) != wanted:
            known = self._registration = DepthRegistration(depth_camera, color_camera, source.extrinsics)
        return known


def _resized(depth: FloatArray, width: int, height: int) -> FloatArray:
    """Aligned depth at the colour image's size: nearest readings, no means.

    Raises:
        InvalidData: another aspect ratio; then it shows another view.
    """
    if depth.shape == (height, width):
        return depth
    if depth.shape[1] * height != depth.shape[0] * width:
        raise InvalidData(
            f"depth image: expected the colour image's size {width}x{height} or its aspect ratio, got {depth.shape[1]}x"
            f"{depth.shape[0]}; subscribe to the depth aligned to colour (align_depth.enable), or set "
            "topics.depth_camera_info so that it is aligned here"
        )
    return np.asarray(cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST), dtype=np.float32)

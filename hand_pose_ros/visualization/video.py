"""Films of overlays, written frame by frame with OpenCV."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Final

import cv2
import numpy as np

from hand_pose_ros.types import ByteArray

# What the wheels of opencv-headless can write: they hold no H.264 encoder. MPEG-4 part 2 plays in VLC, mpv, ffplay
# and the desktops' players; browsers want VP8; MJPG plays everywhere and is large.
CODECS: Final = {".mp4": "mp4v", ".webm": "VP80", ".avi": "MJPG"}


class VideoError(RuntimeError):
    """A film cannot be written; the text says why."""


class VideoWriter:
    """Writes RGB pictures of one size to a film; opens the file with the first picture.

    Use it as a context manager. The suffix chooses the codec (`CODECS`).

    Raises:
        VideoError: unknown suffix, OpenCV cannot write this codec here, or a picture of another size.
    """

    def __init__(self, path: Path, fps: float) -> None:
        if path.suffix not in CODECS:
            raise VideoError(f"{path}: expected a suffix among {', '.join(CODECS)}, got {path.suffix!r}")
        if not fps > 0:
            raise VideoError(f"{path}: expected a positive frame rate, got {fps}")
        self.path = path
        self.fps = fps
        self.frames = 0
        self._size: tuple[int, int] | None = None
        self._writer: cv2.VideoWriter | None = None

    def write(self, picture: ByteArray) -> None:
        """Append one picture (H, W, 3) RGB uint8."""
        # Most encoders want even sizes.
        even = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
        size = (even.shape[1], even.shape[0])
        if self._writer is None:
            self._writer = self._open(size)
            self._size = size
        if size != self._size:
            raise VideoError(f"{self.path}: expected pictures of {self._size}, got {size}; scale them to one size")
        self._writer.write(cv2.cvtColor(np.ascontiguousarray(even), cv2.COLOR_RGB2BGR))
        self.frames += 1

    def close(self) -> None:
        """Finish the file; without pictures there is none."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, size: tuple[int, int]) -> cv2.VideoWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        codec = CODECS[self.path.suffix]
        writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter.fourcc(*codec), self.fps, size)
        if not writer.isOpened():
            raise VideoError(
                f"{self.path}: this OpenCV ({cv2.__version__}) cannot write {codec}; choose another suffix among "
                f"{', '.join(CODECS)} or check that the folder can be written"
            )
        return writer

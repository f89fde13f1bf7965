"""What is written while a recording runs: overlay pictures, a film, a picture of the curves."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Final

import cv2
import numpy as np

from hand_pose_ros.cli.errors import UsageError
from hand_pose_ros.evaluation.accuracy import Accuracy
from hand_pose_ros.evaluation.calibration import Calibration
from hand_pose_ros.types import ByteArray, Frame, Scene
from hand_pose_ros.visualization.depth import depth_range
from hand_pose_ros.visualization.overlay import Faces
from hand_pose_ros.visualization.panel import compose
from hand_pose_ros.visualization.plots import plot_curves
from hand_pose_ros.visualization.video import VideoWriter

# A film wider than this is scaled down.
FILM_WIDTH: Final = 1280


def output_folder(path: Path) -> Path:
    """The folder `path`, made if it is not there: before the work, not after it.

    Raises:
        UsageError: it is a file, or lies below one.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"--out: expected a folder, {path} is a file or lies below one; name another") from error
    return path


def save_picture(path: Path, picture: ByteArray) -> None:
    """Write an RGB picture (H, W, 3) as PNG or JPEG, by its suffix.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
        raise OSError(f"{path}: the picture cannot be written; is the disk full, or the suffix no picture format?")


class OverlayRecorder:
    """Draws every frame once, into a film and, for some frames, into picture files. A context manager.

    Args:
        folder: where `overlay.<suffix>` and `overlay_<frame>.jpg` go.
        faces: triangles of the hands' surfaces.
        expected_frames: of the recording; the pictures are spread over them.
        pictures: how many pictures.
        film: suffix of the film (".mp4", …), or "" for none.
    """

    def __init__(self, folder: Path, faces: Faces, expected_frames: int, pictures: int, film: str) -> None:
        self.folder = folder
        self.pictures: list[Path] = []
        self.film = folder / f"overlay{film}" if film else None
        self._faces = faces
        last = max(expected_frames - 1, 0)
        self._chosen = {round(i) for i in np.linspace(0, last, pictures + 2)[1:-1]} if pictures else set()
        self._index = 0
        self._limits: tuple[float, float] | None = None
        self._first: tuple[int, ByteArray] | None = None
        self._writer: VideoWriter | None = None

    def __call__(self, frame: Frame, scene: Scene, truth: Scene | None) -> None:
        """Draw one frame (an observer of `evaluate_recording`)."""
        wanted = self._index in self._chosen
        if wanted or self.film is not None:
            if self._limits is None and frame.depth is not None:
                self._limits = depth_range(frame.depth)
            picture = compose(frame, scene, self._faces, depth_limits=self._limits)
            if wanted:
                path = self.folder / f"overlay_{self._index:05d}.jpg"
                save_picture(path, picture)
                self.pictures.append(path)
            if self.film is not None:
                self._append(self.film, frame.stamp_ns, _scaled(picture))
        self._index += 1

    def _append(self, film: Path, stamp_ns: int, picture: ByteArray) -> None:
        if self._writer is None:
            if self._first is None:
                self._first = stamp_ns, picture
                return
            # The film runs at the recording's own pace, as its first two stamps tell it.
            seconds = max((stamp_ns - self._first[0]) * 1e-9, 1e-3)
            self._writer = VideoWriter(film, float(np.clip(1.0 / seconds, 1.0, 60.0)))
            self._writer.write(self._first[1])
        self._writer.write(picture)

    def __enter__(self) -> OverlayRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()


def _scaled(picture: ByteArray) -> ByteArray:
    height, width = picture.shape[:2]
    if width <= FILM_WIDTH:
        return picture
    size = (FILM_WIDTH, round(height * FILM_WIDTH / width))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def save_curves(path: Path, accuracy: Accuracy) -> None:
    """Draw the PCK curves (fraction of joints within a distance) of the three alignments."""
    x = np.arange(51)
    curves = {name.replace("_", "-"): (x, curve) for name, curve in accuracy.pck.items()}
    save_picture(path, plot_curves(curves, "Joints within a distance of the truth", "mm", (0.0, 50.0), (0.0, 1.0)))


def save_reliability(path: Path, result: Calibration) -> None:
    """Draw how many joints lie inside the balls that should hold each share of them; the diagonal is perfect."""
    ideal = np.array([0.0, 1.0])
    levels, observed = (np.concatenate([[0.0], values, [1.0]]) for values in (result.levels, result.observed))
    curves = {"joint_std": (levels, observed), "calibrated": (ideal, ideal)}
    save_picture(path, plot_curves(curves, "Share of joints inside", "share expected", (0.0, 1.0), (0.0, 1.0)))

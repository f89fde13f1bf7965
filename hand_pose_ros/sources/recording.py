"""Recordings with truth that are small enough to be shipped, as a RealSense driver would have made them.

Depth stays 16UC1 in millimetres, losslessly; its size is that of its noise. A camera's temporal filter (persistence)
keeps the last reading where nothing has moved; frames given here should too, for what does not change costs nothing in
large compressed chunks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hand_pose_ros.sources.bag_writer import BagWriter
from hand_pose_ros.types import Frame, InvalidData, Scene


@dataclass(frozen=True)
class RecordingSize:
    """What was written: number of frames and bytes of the whole file."""

    frames: int
    size: int


def write_recording(
    path: Path | str,
    frames: Iterable[Frame],
    truths: Iterable[Scene | None],
    *,
    quality: int = 75,
    overwrite: bool = False,
) -> RecordingSize:
    """Frames and their true scenes as one .mcap file: colour as JPEG, depth as 16UC1, camera_info, /truth/hands.

    Args:
        path: of the .mcap file.
        frames: in the order of their stamps.
        truths: one for each frame, of the same stamp and frame id; None where it is not known.
        quality: of the JPEG, 0..100.
        overwrite: replace the file.

    Raises:
        BagError: the file exists.
        InvalidData: a truth that does not belong to its frame, stamps that do not grow, not one truth per frame.
    """
    count, last = 0, -1
    with BagWriter(path, dense=True, overwrite=overwrite) as bag:
        for frame, truth in zip(frames, truths, strict=True):
            if frame.stamp_ns <= last:
                raise InvalidData(f"recording: expected stamps that grow, got {frame.stamp_ns} after {last}")
            if truth is not None and (truth.stamp_ns, truth.frame_id) != (frame.stamp_ns, frame.frame_id):
                raise InvalidData(
                    f"recording: expected the truth of {frame.stamp_ns} in {frame.frame_id!r}, got one of "
                    f"{truth.stamp_ns} in {truth.frame_id!r}"
                )
            bag.write_frame(frame, quality=quality)
            if truth is not None:
                bag.write_truth(truth, (frame.intrinsics.width, frame.intrinsics.height))
            last = frame.stamp_ns
            count += 1
    return RecordingSize(count, Path(path).stat().st_size)

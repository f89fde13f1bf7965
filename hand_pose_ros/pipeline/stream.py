"""What of the frame before is remembered, to tell whether a stream goes on."""

from __future__ import annotations

from dataclasses import dataclass

from hand_pose_ros.types import Intrinsics


@dataclass(frozen=True)
class Instant:
    """A frame without its images."""

    stamp_ns: int
    frame_id: str
    intrinsics: Intrinsics

    def break_after(self, last: Instant, max_gap: float) -> str | None:
        """Why the stream does not go on from `last` to here, if it does not; `max_gap` in seconds."""
        if self.stamp_ns < last.stamp_ns:
            return "reset_stamp_jump"
        if (self.stamp_ns - last.stamp_ns) * 1e-9 > max_gap:
            return "reset_gap"
        if (self.frame_id, self.intrinsics) != (last.frame_id, last.intrinsics):
            return "reset_camera"
        return None

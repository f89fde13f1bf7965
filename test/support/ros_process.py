"""The node's program in a process of its own, with a pipeline that needs no weights and may be made to hang.

    python ros_process.py WHERE [--ros-args …]

WHERE: "nowhere" answers every frame with hands; "configure" hangs while the models load, "process" at a frame,
"unconfigured" is not started.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any

import fake_pipeline
import toy_recordings

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.ros import ending, node, program
from hand_pose_ros.types import Frame, Scene

FOR_EVER = 3600.0
# Where nothing hangs, ending by force is wrong however busy the machine is.
PATIENT_S = 30.0


class Hanging(fake_pipeline.FakePipeline):
    """Never gets anywhere, like an engine in a driver that hangs."""

    def __init__(self, config: PipelineConfig, where: str) -> None:
        super().__init__(config, [Scene(0, "", toy_recordings.scenes(1)[0].hands)])
        self._where = where
        self._hang("configure")

    def process(self, frame: Frame) -> Scene:
        """One hand, if ever."""
        self._hang("process")
        return super().process(frame)

    def _hang(self, where: str) -> None:
        if where == self._where:
            sys.stderr.write(f"HANGING in {where}\n")
            time.sleep(FOR_EVER)


def main() -> None:
    """Run the program."""
    where = sys.argv.pop(1)

    def build(config: PipelineConfig) -> Any:
        return Hanging(config, where)

    node.Pipeline = build  # type: ignore[assignment, misc]
    if where != "process":
        program.leave_in_time = partial(ending.leave_in_time, grace_s=PATIENT_S)  # type: ignore[assignment]
    program.main()


if __name__ == "__main__":
    main()

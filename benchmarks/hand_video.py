"""Networks of two hands on the real video, colour alone: `python -m benchmarks.hand_video --shared ../shared`

621 frames of one right hand (open, fist, edge-on, turned) by a camera of which nothing is known. Every `--every`-th
frame, each alone (the pipeline is reset before it) and then one after the other. There is no truth: landmarks of
MediaPipe Hands stand in for it in the picture. The distance to them is given over theirs from the wrist to the middle
finger's base, about 95 mm. Writes contact sheets, hand_video.md and hand_video.json.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.real_frames import sheet, surroundings
from hand_pose_ros.cli.outputs import save_picture
from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.evaluation.report import Report, Table
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.options import build
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.skeleton import MCPS, WRIST, Side
from hand_pose_ros.sources.images import VideoReader
from hand_pose_ros.types import ByteArray, DoubleArray, Frame, Scene
from hand_pose_ros.visualization.overlay import background, draw_scene, put_text

# fx, fy, cx, cy in pixels: a guess, nobody knows this camera.
CAMERA: Final = (900.0, 900.0, 639.5, 359.5)
MODELS: Final = ("handformer2t_lite", "keypoint_transformer_lite")
# Of the hand's length in the picture; farther off it is another thing, or another pose.
NEAR: Final = 0.3
TILE: Final = 230
SHOWN: Final = 16


@dataclass
class Outcome:
    """What a model made of the frames that have landmarks.

    Attributes:
        hands: frames with any hand. sides: of these, with the nearest hand a right one. more: hands beside the nearest.
        gaps: of each frame with a hand, mean distance of the nearest one's joints to the landmarks, over the palm's.
        tiles: pictures of some frames.
    """

    frames: int = 0
    hands: int = 0
    sides: int = 0
    more: int = 0
    gaps: list[float] = field(default_factory=list)
    tiles: list[ByteArray] = field(default_factory=list)

    def add(self, frame: Frame, scene: Scene, landmarks: DoubleArray, shown: bool) -> None:
        """Take one more frame; landmarks (21, 2) pixels."""
        self.frames += 1
        palm = float(np.linalg.norm(landmarks[MCPS[2]] - landmarks[WRIST]))
        gaps = [
            float(np.linalg.norm(project(h.joints, frame.intrinsics) - landmarks, axis=1).mean()) for h in scene.hands
        ]
        if gaps:
            nearest = int(np.argmin(gaps))
            self.hands += 1
            self.sides += scene.hands[nearest].side is Side.RIGHT
            self.more += len(gaps) - 1
            self.gaps.append(gaps[nearest] / palm)
        if shown:
            self.tiles.append(tile(frame, scene, landmarks))

    def row(self) -> tuple[Any, ...]:
        """Of the table below."""
        gaps = np.array(self.gaps or [np.nan])
        near = 100 * float((gaps <= NEAR).sum()) / max(self.frames, 1)
        return self.frames, self.hands, self.sides, self.more, 100 * float(np.median(gaps)), near


def tile(frame: Frame, scene: Scene, landmarks: DoubleArray) -> ByteArray:
    """The hand's surroundings with what was found."""
    picture = draw_scene(background(frame), scene, frame.intrinsics)
    half = round(1.1 * float(np.abs(landmarks - landmarks.mean(axis=0)).max()))
    small = surroundings(picture, landmarks.mean(axis=0), half, TILE)
    put_text(small, f"{frame.stamp_ns * 1e-9:.1f} s", 2, TILE - 20, (255, 255, 255), 0.4)
    return small


def watch(pipeline: Pipeline, video: Path, landmarks: DoubleArray, every: int, alone: bool) -> Outcome:
    """Run over the video; landmarks (N, 21, 2) pixels, NaN in frames without."""
    outcome = Outcome()
    spread = max(1, len(landmarks) // (every * SHOWN)) * every
    with VideoReader(video, CAMERA) as reader:
        for index, frame in enumerate(reader):
            if index % every:
                continue
            if alone:
                pipeline.reset()
            scene = pipeline.process(frame)
            if index < len(landmarks) and np.isfinite(landmarks[index]).all():
                outcome.add(frame, scene, landmarks[index], index % spread == 0)
    return outcome


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder that holds data/")
    parser.add_argument("--out", type=Path, default=Path("out/hand_video"))
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="names or .onnx files")
    parser.add_argument("--every", type=int, default=3, help="only every so many-th frame (default: 3)")
    options = parser.parse_args()
    folder = options.shared / "data" / "hand_video"
    if not (folder / "human_hand_video.mp4").is_file():
        parser.error(f"--shared: expected a folder with data/hand_video/human_hand_video.mp4, got {options.shared}")
    with np.load(folder / "mediapipe_reference.npz", allow_pickle=False) as stored:
        height, width = stored["hw"][0]
        landmarks = stored["landmarks_norm"][:, 0, :, :2].astype(np.float64) * (width, height)
    rows: list[tuple[Any, ...]] = []
    for model in options.models:
        for alone in (True, False):
            pipeline = Pipeline(build(PipelineConfig, {"model": model}))
            how = "each frame alone" if alone else "followed"
            outcome = watch(pipeline, folder / "human_hand_video.mp4", landmarks, options.every, alone)
            rows.append((Path(model).stem, how, *outcome.row()))
            if outcome.tiles:
                save_picture(
                    options.out / f"{Path(model).stem}_{'alone' if alone else 'followed'}.png", sheet(outcome.tiles, 4)
                )
    near = f"gap to {100 * NEAR:.0f} % (% of the frames)"
    columns = ("model", "how", "frames", "with a hand", "right side", "more hands", "gap, median (%)", near)
    table = Table("One right hand, colour alone", columns, tuple(rows))
    notes = ("Gap: mean distance in the picture to MediaPipe's landmarks, over their wrist to middle finger's base.",)
    report = Report("Real video", (table,), {"every": options.every, "rows": rows}, notes)
    paths = report.write(options.out, "hand_video")
    print(report.text())
    print(f"\nwritten: {paths[1]}, {paths[0]}, contact sheets in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

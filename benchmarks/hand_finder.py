"""The hand finder by itself: `python benchmarks/hand_finder.py --shared ../shared --out out/hand_finder`.

Which share of the hands it finds and how many other things it takes for hands, with colour and depth, with depth alone
and with colour alone: on single synthetic frames of a held-out seed (those of `hand_pose eval synthetic`), on synthetic
sequences (hands that move before a person; two views), and on the real recordings. A finding counts as a hand when its
centre falls on it: within 6 cm of its true centre across the view. Hands of which hardly anything is seen (a quarter of
the joints) count neither way. The true places in the real recordings are a 2D tracker's. With `--sweep`, the same for
several thresholds. Writes hand_finder.md and hand_finder.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from tqdm import tqdm

from benchmarks.real_frames import load_cases
from hand_pose_ros.cli.eval_synthetic import HELD_OUT_SEED, synthetic_frames
from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.evaluation.networks import open_finder
from hand_pose_ros.evaluation.report import Report, Table
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.options import build
from hand_pose_ros.types import DoubleArray, Frame, HandDetection, Intrinsics

# A finding this far (m, across the view) from a hand's centre is on the hand.
ON_HAND: Final = 0.06
LEAST_VISIBLE: Final = 0.25
SENSES: Final = {"colour + depth": (True, True), "depth alone": (False, True), "colour alone": (True, False)}
THRESHOLDS: Final = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6)
# The video's camera is not known; a usual one: 65 degrees across.
VIDEO_FOCAL: Final = 1000.0
# Radius (pixels) of a hand in the real pictures, where it is given by 2D points only: this share of their spread.
SPREAD_SHARE: Final = 0.5


@dataclass(frozen=True)
class Hand:
    """A true hand: centre (2,) pixels, radius (pixels) within which a finding is on it, centre (3,) metres if known."""

    pixel: DoubleArray
    radius: float
    center: DoubleArray | None
    wanted: bool = True


@dataclass(frozen=True)
class Example:
    """A frame and its hands."""

    frame: Frame
    hands: tuple[Hand, ...]


@dataclass
class Counts:
    """What was found over frames; `offsets` (m) of the centres of found hands, `ratios` of their distances."""

    frames: int = 0
    hands: int = 0
    found: int = 0
    others: int = 0
    seconds: float = 0.0
    offsets: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    def add(self, example: Example, seen: Sequence[HandDetection]) -> None:
        """Add a frame."""
        self.frames += 1
        self.hands += sum(hand.wanted for hand in example.hands)
        taken: set[int] = set()
        for detection in seen:
            pixel = project(detection.center.astype(np.float64), example.frame.intrinsics)
            gaps = [float(np.linalg.norm(pixel - hand.pixel)) / hand.radius for hand in example.hands]
            best = int(np.argmin(gaps)) if gaps else -1
            if best < 0 or gaps[best] > 1:
                self.others += 1
                continue
            hand = example.hands[best]
            if not hand.wanted or best in taken:
                continue
            taken.add(best)
            self.found += 1
            if hand.center is not None:
                self.offsets.append(float(np.linalg.norm(detection.center - hand.center)))
                self.ratios.append(float(abs(detection.center[2] / hand.center[2] - 1)))


def true_hand(joints: DoubleArray, camera: Intrinsics, visible: float) -> Hand:
    """From joints (21, 3) metres."""
    center = joints.mean(axis=0)
    pixel = project(center, camera)
    return Hand(pixel, ON_HAND * camera.fx / float(center[2]), center, visible >= LEAST_VISIBLE)


def synthetic(seed: int, count: int) -> Iterator[Example]:
    """Single frames."""
    for frame, hands in synthetic_frames(seed, count, True):
        camera = frame.intrinsics
        truths = [true_hand(h.truth.joints.astype(np.float64), camera, h.visible_fraction) for h in hands]
        yield Example(frame, tuple(truths))


def sequences(seed: int, count: int) -> Iterator[Example]:
    """Every fifth frame of sequences of 100, one and two hands, seen from before and from the head in turn."""
    from hand_pose_ros.datasets.synthetic.sequence import generate_sequence
    from hand_pose_ros.datasets.synthetic.spec import SequenceConfig

    for index in range(count):
        both, egocentric, held = index % 2 == 1, index % 4 >= 2, index % 3 == 0
        config = SequenceConfig(
            frames=20,
            fps=6.0,
            hands="both" if both else "right",
            view="egocentric" if egocentric else "facing",
            held_object=held,
            sensor="random",
            exposures=1,
        )
        for frame, scene in generate_sequence(seed + index, config):
            hands = [
                true_hand(h.joints.astype(np.float64), frame.intrinsics, float(h.joint_valid.mean()))
                for h in scene.hands
            ]
            yield Example(frame, tuple(hands))


def recorded(shared: Path) -> dict[str, list[Example]]:
    """The real frames by recording; the places are those of a 2D tracker."""
    found: dict[str, list[Example]] = {"SR305 (depth)": [], "Azure Kinect, box": [], "video (colour)": []}
    for case in load_cases(shared):
        example = Example(case.frame, (_tracked(case.pixels),))
        if case.name.startswith("sr305"):
            found["SR305 (depth)"].append(example)
        elif case.frame.color is not None:
            found["Azure Kinect, box"].append(example)
    found["video (colour)"] = list(video(shared / "data" / "hand_video"))
    return found


def video(folder: Path, every: int = 6) -> Iterator[Example]:
    """Every sixth frame of the hand video; frames in which the 2D tracker saw nothing are left out."""
    tracked = np.load(folder / "mediapipe_reference.npz", allow_pickle=False)
    stream = cv2.VideoCapture(str(folder / "human_hand_video.mp4"))
    for index, landmarks in enumerate(tracked["landmarks_norm"]):
        good, picture = stream.read()
        if not good:
            break
        seen = [hand for hand in landmarks[..., :2].astype(np.float64) if np.isfinite(hand).all() and hand.any()]
        if index % every or not seen:
            continue
        height, width = picture.shape[:2]
        camera = Intrinsics(VIDEO_FOCAL, VIDEO_FOCAL, (width - 1) / 2, (height - 1) / 2, width, height)
        color = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)
        yield Example(Frame(index, "video", camera, color), tuple(_tracked(hand * (width, height)) for hand in seen))


def _tracked(pixels: DoubleArray) -> Hand:
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    return Hand(pixels.mean(axis=0), SPREAD_SHARE * float((high - low).max()), None)


def withheld(frame: Frame, color: bool, depth: bool) -> Frame | None:
    """The frame with these senses only; None where it does not have them."""
    if (color and frame.color is None) or (depth and frame.depth is None):
        return None
    return dataclasses.replace(frame, color=frame.color if color else None, depth=frame.depth if depth else None)


def measure(
    finder_config: PipelineConfig, examples: Sequence[Example], thresholds: Sequence[float]
) -> dict[tuple[str, float], Counts]:
    """Counts by senses and threshold. The network runs once per frame and senses; weaker peaks are left out after."""
    lowest = dataclasses.replace(finder_config.finder, threshold=min(thresholds))
    finder = open_finder(dataclasses.replace(finder_config, finder=lowest))
    counts: dict[tuple[str, float], Counts] = {}
    for name, senses in SENSES.items():
        for example in examples:
            frame = withheld(example.frame, *senses)
            if frame is None:
                continue
            begin = time.perf_counter()
            seen = finder.find(frame)
            took = time.perf_counter() - begin
            for threshold in thresholds:
                count = counts.setdefault((name, threshold), Counts())
                count.seconds += took
                count.add(Example(frame, example.hands), [hand for hand in seen if hand.score >= threshold])
    return counts


def rows(name: str, counts: dict[tuple[str, float], Counts]) -> list[tuple[str | float | int | None, ...]]:
    """One row per senses and threshold."""
    return [
        (
            name,
            senses,
            threshold,
            count.frames,
            count.hands,
            100 * count.found / count.hands if count.hands else None,
            100 * count.others / count.frames,
            1e3 * float(np.median(count.offsets)) if count.offsets else None,
            100 * float(np.median(count.ratios)) if count.ratios else None,
            1e3 * count.seconds / count.frames,
        )
        for (senses, threshold), count in counts.items()
    ]


COLUMNS: Final = (
    "frames of",
    "senses",
    "threshold",
    "frames",
    "hands",
    "found %",
    "others per 100 frames",
    "centre mm",
    "distance %",
    "ms",
)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder that holds data/")
    parser.add_argument("--out", type=Path, default=Path("out/hand_finder"))
    parser.add_argument("--finder", default=PipelineConfig().finder.model, help="hand finder: name or .onnx")
    parser.add_argument("--count", type=int, default=300, help="synthetic frames (default: 300)")
    parser.add_argument("--sequences", type=int, default=8, help="synthetic sequences of 20 frames (default: 8)")
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED, help=f"of the frames (default: {HELD_OUT_SEED})")
    parser.add_argument("--sweep", action="store_true", help=f"at the thresholds {THRESHOLDS}")
    options = parser.parse_args()
    config = build(PipelineConfig, {"finder.model": options.finder, "threads": 1})
    thresholds = THRESHOLDS if options.sweep else (config.finder.threshold,)
    sources: dict[str, list[Example]] = {}
    if options.count:
        made = tqdm(synthetic(options.seed, options.count), total=options.count, unit="frame")
        sources["synthetic"] = list(made)
    if options.sequences:
        made = tqdm(sequences(options.seed, options.sequences), total=20 * options.sequences, unit="frame")
        sources["synthetic sequences"] = list(made)
    if (options.shared / "data").is_dir():
        sources |= recorded(options.shared)
    cells = [row for name, examples in sources.items() for row in rows(name, measure(config, examples, thresholds))]
    table = Table("Hand finder", COLUMNS, tuple(cells), (0, 0, 2, 0, 0, 1, 1, 0, 0, 1))
    about = {"finder": options.finder, "count": options.count, "sequences": options.sequences, "seed": options.seed}
    notes = ("Without depth the distance is told by the hand's size: median error in the column distance %.",)
    report = Report("Hand finder", (table,), {"about": about}, notes)
    paths = report.write(options.out, "hand_finder")
    print(report.text())
    print(f"\nwritten: {paths[1]}, {paths[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

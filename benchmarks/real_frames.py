"""The whole pipeline on real recordings: `python -m benchmarks.real_frames --shared ../shared --out out/real_frames`.

Nineteen SR305 frames on depth alone and one Azure Kinect frame in colour and depth, all of right hands. Each frame
stands alone: the pipeline is reset before it. There is no true pose. The SR305 frames have a weak reference: a 2D hand
tracker on shaded depth, lifted with the depth, so that it marks the skin and not the joint centres, which lie
5 to 12 mm deeper. The distance to it is no error: a perfect estimate would be some 8 mm away. Bone lengths are
compared with anthropometry. A second run is told where the hand is, which separates the finder's mistakes from the pose
network's. Writes overlays, contact sheets, real_frames.md and real_frames.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import cv2
import numpy as np

from benchmarks.peer_mediapipe import depth_at
from hand_pose_ros.cli.outputs import save_picture
from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.evaluation.anthropometry import bone_ranges
from hand_pose_ros.evaluation.metrics import bone_lengths, joint_errors, procrustes_aligned, root_relative
from hand_pose_ros.evaluation.report import Report, Table, facts
from hand_pose_ros.geometry.camera import back_project, project
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.options import build
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.skeleton import BONES, JOINT_NAMES, Side
from hand_pose_ros.sources.images import image_frame
from hand_pose_ros.types import ByteArray, DoubleArray, FloatArray, Frame, HandDetection, HandEstimate, Scene
from hand_pose_ros.visualization.overlay import background, draw_scene, put_text
from hand_pose_ros.visualization.panel import compose

SR305_UNIT: Final = 0.000125
SR305_CAMERA: Final = (476.007, 476.007, 313.683, 242.755)
BOX_CAMERA: Final = (906.96, 906.79, 956.75, 547.23)
# A hand whose palm is farther from the real one than this (m) is another thing: a face, a forearm.
PLACE_RADIUS: Final = 0.10
# A reading so much farther (m) than a joint is not of the skin over it.
BESIDE: Final = 0.02
PALM: Final = (0, 1, 5, 9, 13, 17)
TILE: Final = 260


class Processor(Protocol):
    """`Pipeline`, as far as it is needed here."""

    def process(self, frame: Frame) -> Scene: ...

    def reset(self) -> None: ...


@dataclass(frozen=True)
class Case:
    """One real frame of a right hand; what is known of it.

    `reference`: (21, 3) metres on the skin, or None. `pixels`: (21, 2) of a 2D tracker. `reliability`: good, doubtful,
    wrong, or none.
    """

    name: str
    frame: Frame
    pixels: DoubleArray
    reference: DoubleArray | None
    reliability: str


class ReferenceFinder:
    """A hand finder that is told where the hand is, to see what the pose network does without the finder's mistakes."""

    def __init__(self, config: PipelineConfig) -> None:
        self.config = config
        self.center = np.zeros(3, dtype=np.float32)

    def find(self, frame: Frame, known: Sequence[Any], dropped: Any) -> list[HandDetection]:
        """The right hand at `center`."""
        return [HandDetection(Side.RIGHT, self.center, 1.0)]


@dataclass(frozen=True)
class Outcome:
    """What the pipeline made of a case: the hand that is the real one, if any, and how many others it saw."""

    case: Case
    scene: Scene
    hand: HandEstimate | None
    others: int


def load_cases(shared: Path) -> list[Case]:
    """All real frames below `shared/data`."""
    data = shared / "data"
    weak = np.load(data / "sr305_depth" / "weak_reference_joints.npz", allow_pickle=False)
    cases = []
    for index, name in enumerate(weak["names"]):
        frame = image_frame(None, data / "sr305_depth" / str(name), SR305_UNIT, SR305_CAMERA, index)
        surface = weak["xyz_surface_mm"][index].astype(np.float64) / 1000
        cases.append(Case(f"sr305 {name}", frame, weak["uv_px"][index], surface, str(weak["reliability"][index])))
    folder = data / "azure_kinect_box"
    tracked = np.load(folder / "mediapipe_reference.npz", allow_pickle=False)
    height, width = tracked["hw"][0]
    pixels = tracked["landmarks_norm"][0, 0, :, :2].astype(np.float64) * (width, height)
    color, depth = folder / "box.png", folder / "box_d.png"
    both = image_frame(color, depth, 0.001, BOX_CAMERA)
    cases.append(Case("azure box, colour + depth", both, pixels, None, "none"))
    alone = image_frame(None, depth, 0.001, BOX_CAMERA)
    cases.append(Case("azure box, depth alone", alone, pixels, None, "none"))
    return cases


def run_case(pipeline: Processor, case: Case) -> Outcome:
    """One frame, alone."""
    pipeline.reset()
    scene = pipeline.process(case.frame)
    hits = [hand for hand in scene.hands if is_the_hand(case, hand)]
    best = max(hits, key=lambda hand: hand.score, default=None)
    return Outcome(case, scene, best, len(scene.hands) - (best is not None))


def place_of(case: Case) -> FloatArray:
    """Roughly the centre (3,) of the real hand: the middle of the 2D points, at the depth under most of them."""
    camera, depth = case.frame.intrinsics, case.frame.depth
    assert depth is not None
    columns, rows = np.rint(case.pixels).astype(int).T
    readings = depth[rows.clip(0, camera.height - 1), columns.clip(0, camera.width - 1)]
    z = float(np.median(readings[readings > 0]))
    return back_project(case.pixels.mean(axis=0), np.asarray(z), camera).astype(np.float32)


def is_the_hand(case: Case, hand: HandEstimate) -> bool:
    """Whether an estimate is where the real hand is: its palm within `PLACE_RADIUS` of the reference's palm."""
    palm = hand.joints[list(PALM)].astype(np.float64).mean(axis=0)
    if case.reference is None:
        return float(np.linalg.norm(palm - place_of(case))) <= PLACE_RADIUS
    # The median of the palm withstands single reference joints that fell through to the background.
    return float(np.linalg.norm(palm - np.median(case.reference[list(PALM)], axis=0))) <= PLACE_RADIUS


def frame_table(outcomes: Sequence[Outcome]) -> Table:
    """One row per frame."""
    rows = []
    for outcome in outcomes:
        hand, case = outcome.hand, outcome.case
        if hand is None:
            why = ", ".join(outcome.scene.dropped) or "not found"
            rows.append((case.name, case.reliability, why, None, outcome.others, *[None] * 5))
            continue
        gap = hand.joints - case.reference if case.reference is not None else None
        lateral = project(hand.joints, case.frame.intrinsics) - case.pixels
        rows.append(
            (
                case.name,
                case.reliability,
                hand.side.value,
                hand.score,
                outcome.others,
                None if gap is None else float(np.linalg.norm(gap, axis=1).mean()) * 1e3,
                None if gap is None else float(np.median(gap[:, 2])) * 1e3,
                float(np.linalg.norm(lateral, axis=1).mean()),
                float(hand.joint_std.mean()) * 1e3,
                outcome.scene.timings_ms.get("total"),
            )
        )
    columns = ("frame", "reference", "found as", "score", "others", "to ref. mm", "deeper mm", "2D px", "std mm", "ms")
    return Table("Frames", columns, tuple(rows), (0, 0, 0, 2, 0, 1, 1, 1, 1, 1))


def reference_figures(outcomes: Sequence[Outcome], reliability: Sequence[str]) -> dict[str, float]:
    """Distances to the weak reference (mm) over the found hands of these reliabilities, NaN where there is none."""
    chosen = [o for o in outcomes if o.case.reliability in reliability and o.case.reference is not None]
    found = [o for o in chosen if o.hand is not None]
    if not found:
        return {"frames": len(chosen), "found": 0}
    hands = np.stack([o.hand.joints for o in found if o.hand is not None]).astype(np.float64)
    surface = np.stack([o.case.reference for o in found if o.case.reference is not None])
    gap = (hands - surface) * 1e3
    farthest = np.linalg.norm(gap, axis=-1).max(axis=-1)
    lateral = [project(h, o.case.frame.intrinsics) - o.case.pixels for h, o in zip(hands, found, strict=True)]
    skin = np.stack([on_the_skin(h, o.case.frame) for h, o in zip(hands, found, strict=True)])
    between = np.linalg.norm(skin - surface, axis=-1) * 1e3
    return {
        "frames": len(chosen),
        "found": len(found),
        "side right": sum(o.hand is not None and o.hand.side is Side.RIGHT for o in found),
        "mean distance (mm)": float(np.linalg.norm(gap, axis=-1).mean()),
        "median distance (mm)": float(np.median(np.linalg.norm(gap, axis=-1))),
        "farthest joint of all (mm)": float(farthest.max()),
        "joints within 30 mm (%)": 100 * float((np.linalg.norm(gap, axis=-1) <= 30).mean()),
        "hands with all joints within 30 mm": int((farthest <= 30).sum()),
        "skin to skin: mean distance (mm)": float(between.mean()),
        "skin to skin: median distance (mm)": float(np.median(between)),
        "skin to skin: joints within 30 mm (%)": 100 * float((between <= 30).mean()),
        "skin to skin: hands with all joints within 30 mm": int((between.max(axis=-1) <= 30).sum()),
        "mean depth offset, + is deeper (mm)": float(gap[..., 2].mean()),
        "median depth offset (mm)": float(np.median(gap[..., 2])),
        "mean distance across the view (mm)": float(np.linalg.norm(gap[..., :2], axis=-1).mean()),
        "mean distance after removing the median depth offset (mm)": float(
            np.linalg.norm(gap - [0, 0, np.median(gap[..., 2])], axis=-1).mean()
        ),
        "root-relative (mm)": float(joint_errors(root_relative(hands), root_relative(surface)).mean()) * 1e3,
        "after similarity alignment (mm)": float(joint_errors(procrustes_aligned(hands, surface), surface).mean())
        * 1e3,
        "mean 2D distance (px)": float(np.linalg.norm(np.stack(lateral), axis=-1).mean()),
    }


def on_the_skin(joints: DoubleArray, frame: Frame) -> DoubleArray:
    """Joints (21, 3) moved along their rays onto the measured surface, which is how the reference was made: the median
    reading of 5x5 pixels takes the place of a joint's depth. Without a reading the joint stays, and where it is well
    behind the joint: that is no skin over it, but what is seen beside an outline."""
    readings = depth_at(project(joints, frame.intrinsics), frame.depth)
    over = np.isfinite(readings) & (readings < joints[:, 2] + BESIDE)
    scale = np.where(over, readings / joints[:, 2], 1.0)
    moved: DoubleArray = joints * scale[:, None]
    return moved


def joint_table(outcomes: Sequence[Outcome]) -> Table:
    """Distance of each joint to its mark on the skin, over the found hands of frames marked good."""
    triples = [
        (o.hand.joints.astype(np.float64), o.case.reference, o.case.frame)
        for o in outcomes
        if o.hand is not None and o.case.reference is not None and o.case.reliability == "good"
    ]
    gap = np.array([joints - surface for joints, surface, _ in triples]).reshape(-1, len(JOINT_NAMES), 3) * 1e3
    under = np.array([(joints - on_the_skin(joints, frame))[:, 2] for joints, _, frame in triples]) * 1e3
    distance = np.linalg.norm(gap, axis=-1)
    across = np.linalg.norm(gap[..., :2], axis=-1)
    rows = [
        (
            name,
            distance[:, j].mean(),
            distance[:, j].max(),
            np.median(gap[:, j, 2]),
            across[:, j].mean(),
            np.median(under[:, j]),
            np.subtract(*np.percentile(under[:, j], (75, 25))),
        )
        for j, name in enumerate(JOINT_NAMES)
        if len(gap)
    ]
    columns = (
        *("joint", "mean mm", "farthest mm", "deeper mm, median", "across the view mm, mean"),
        *("under the skin at its own pixel mm, median", "between quartiles mm"),
    )
    return Table(f"Joints of {len(gap)} hands against the weak reference", columns, tuple(rows), (0, *(1,) * 6))


def bone_table(outcomes: Sequence[Outcome]) -> Table:
    """Measured bone lengths over all found hands against the human range."""
    hands = [o.hand.joints for o in outcomes if o.hand is not None]
    lengths = bone_lengths(np.stack(hands)) * 1e3 if hands else np.zeros((0, len(BONES)))
    rows = []
    for index, ((parent, child), (low, high)) in enumerate(zip(BONES, bone_ranges() * 1e3, strict=True)):
        column = lengths[:, index]
        inside = (column >= low) & (column <= high)
        name = f"{JOINT_NAMES[parent]} - {JOINT_NAMES[child]}"
        figures = (
            (column.mean(), column.std(), column.min(), column.max(), 100 * inside.mean()) if hands else [None] * 5
        )
        rows.append((name, low, high, *(None if value is None else float(value) for value in figures)))
    columns = ("bone", "human min", "human max", "mean", "spread", "min", "max", "in range %")
    return Table(f"Bone lengths over {len(hands)} hands (mm)", columns, tuple(rows))


def contact_sheet(outcomes: Sequence[Outcome], columns: int = 5) -> ByteArray:
    """Each frame's surroundings of the hand (30 cm) with the estimate, and the reference as red crosses."""
    return sheet([_tile(outcome) for outcome in outcomes], columns)


def sheet(tiles: Sequence[ByteArray], columns: int) -> ByteArray:
    """Pictures of one size side by side, row by row."""
    whole = [*tiles, *[np.zeros_like(tiles[0])] * (-len(tiles) % columns)]
    return np.vstack([np.hstack(whole[start : start + columns]) for start in range(0, len(whole), columns)])


def surroundings(picture: ByteArray, middle: DoubleArray, half: int, side: int) -> ByteArray:
    """The square `half` pixels about the middle (u, v), as (side, side, 3); black beyond the picture."""
    u, v = np.round(middle).astype(int)
    padded = cv2.copyMakeBorder(picture, half, half, half, half, cv2.BORDER_CONSTANT)
    window = padded[v : v + 2 * half, u : u + 2 * half]
    return np.asarray(cv2.resize(window, (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _tile(outcome: Outcome) -> ByteArray:
    case, camera = outcome.case, outcome.case.frame.intrinsics
    picture = draw_scene(background(case.frame), outcome.scene, camera)
    for u, v in case.pixels:
        cv2.drawMarker(picture, (round(u), round(v)), (255, 60, 60), cv2.MARKER_CROSS, max(camera.width // 120, 5), 1)
    depth = 0.6 if case.reference is None else float(np.median(case.reference[:, 2]))
    half = round(0.15 * camera.fx / depth)
    tile = surroundings(picture, case.pixels.mean(axis=0), half, TILE)
    put_text(
        tile, f"{case.name.removeprefix('sr305 20210326-')} {case.reliability}", 2, TILE - 22, (255, 255, 255), 0.4
    )
    return tile


def make_report(outcomes: Sequence[Outcome], told: Sequence[Outcome], about: dict[str, Any]) -> Report:
    """All tables; `told` are the outcomes with the place of the hand given."""
    found = [o for o in outcomes if o.hand is not None]
    detection = facts(
        "Detection",
        {
            "frames": len(outcomes),
            "hand found at its place": len(found),
            "of these taken for a right hand": sum(o.hand is not None and o.hand.side is Side.RIGHT for o in found),
            "other hands reported": sum(o.others for o in outcomes),
        },
    )
    good = reference_figures(outcomes, ["good"])
    everything = reference_figures(outcomes, ["good", "doubtful"])
    pose_alone = reference_figures(told, ["good"])
    tables = (
        detection,
        facts("Against the weak reference (skin), frames marked good", good),
        joint_table(outcomes),
        bone_table(outcomes),
        frame_table(outcomes),
        facts("The same frames with the place of the hand given (no finder)", pose_alone),
    )
    notes = (
        "The reference marks the skin; joint centres lie 5 to 12 mm under it, so a perfect estimate would be about "
        "8 mm away.",
        "Skin to skin: our joints moved along their rays onto the measured surface, as the reference was made.",
        "Its wrist and the thumb's base lie some 25 mm nearer the fingers than the joints of hand models do.",
    )
    data = {"about": about, "good": good, "good_and_doubtful": everything, "good_place_given": pose_alone}
    return Report("Real frames", tables, data, notes)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder that holds data/")
    parser.add_argument("--out", type=Path, default=Path("out/real_frames"))
    parser.add_argument("--model", default=PipelineConfig().model, help="pose model: name or .onnx")
    parser.add_argument("--finder", default=PipelineConfig().finder.model, help="hand finder: name or .onnx")
    fit = argparse.BooleanOptionalAction
    parser.add_argument("--depth-fit", action=fit, default=True, help="lay the hand model onto the depth image")
    options = parser.parse_args()
    if not (options.shared / "data").is_dir():
        parser.error(f"--shared: expected a folder with data/ in it, got {options.shared}")
    named = {"model": options.model, "finder.model": options.finder, "depth_fit": options.depth_fit}
    pipeline = Pipeline(build(PipelineConfig, named))
    cases = load_cases(options.shared)
    outcomes = [run_case(pipeline, case) for case in cases]
    finder = ReferenceFinder(pipeline.config)
    informed = Pipeline(pipeline.config, finder=finder)
    told = []
    for case in cases:
        finder.center = place_of(case)
        told.append(run_case(informed, case))
    faces = {side: HandModel.bundled(side).faces for side in Side}
    for index, outcome in enumerate(outcomes):
        name = "".join(c if c.isalnum() else "_" for c in outcome.case.name)
        save_picture(options.out / f"{index:02d}_{name}.jpg", compose(outcome.case.frame, outcome.scene, faces))
    save_picture(options.out / "contact_sheet.png", contact_sheet(outcomes))
    save_picture(options.out / "contact_sheet_place_given.png", contact_sheet(told))
    report = make_report(outcomes, told, pipeline.describe())
    paths = report.write(options.out, "real_frames")
    print(report.text())
    print(f"\nwritten: {paths[1]}, {paths[0]}, overlays and contact_sheet.png in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

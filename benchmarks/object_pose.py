"""The held object's pose: `python -m benchmarks.object_pose [--seeds 9] [--frames 30] [--model NAME]
[--min-score 0.5] [--json FILE]`.

Recordings are rendered in which two hands hold a thing between them, or one hand holds it. The pipeline is told its
shape (a box by its size, round things by a mesh) and runs twice: with the network's own pose, and with the surface
laid onto the depth image.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.datasets.synthetic.renderer import Renderer
from hand_pose_ros.datasets.synthetic.sequence import generate_sequence
from hand_pose_ros.datasets.synthetic.spec import SequenceConfig
from hand_pose_ros.evaluation.recording_objects import object_mssd
from hand_pose_ros.evaluation.report import Report, Table
from hand_pose_ros.options import replace
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.types import Frame, ObjectEstimate, Scene

SYMMETRIES = {"box": "z2 x2", "cylinder": "x2 z*", "capsule": "x2 z*", "cup": "z*", "sphere": ""}
CORNERS = 32


@dataclass(frozen=True)
class Recording:
    """Frames with their truth, of one thing; how it is held."""

    seed: int
    held: str
    frames: Sequence[tuple[Frame, Scene]]
    thing: ObjectEstimate


@dataclass(frozen=True)
class Outcome:
    """Frames with the object given, of these the origin's and MSSD's errors (m), and milliseconds per frame."""

    given: int
    places: tuple[float, ...]
    mssd: tuple[float, ...]
    milliseconds: float


def recordings(seeds: int, frames: int) -> list[Recording]:
    """Of every three two are held by both hands."""
    made, seed = [], 500
    with closing(Renderer()) as renderer:
        while len(made) < seeds:
            held = "one hand" if len(made) % 3 == 2 else "both hands"
            view = "facing" if len(made) % 2 == 0 else "egocentric"
            options = {"frames": frames, "fps": 15.0, "view": view, "min_distance": 0.38, "max_distance": 0.6}
            how = {"held_object": True} if held == "one hand" else {"hands": "both", "together": True}
            shots = list(generate_sequence(seed, replace(SequenceConfig(), {**options, **how}), renderer))
            # A grasp may leave no room for a thing.
            thing = next((item for _, truth in shots for item in truth.objects), None)
            if thing is not None:
                made.append(Recording(seed, held, shots, thing))
            seed += 1
    return made


def round_mesh(thing: ObjectEstimate, path: Path) -> Path:
    """An .obj file of a body of revolution about z as large as this thing."""
    radius, half = float(thing.extent[0]) / 2, float(thing.extent[2]) / 2
    profile = [(radius, -half), (radius, half)]
    if thing.name in ("sphere", "capsule"):
        angles = np.linspace(0.02, np.pi - 0.02, 24)
        ends = half - radius
        profile = [(radius * np.sin(a), -radius * np.cos(a) + np.sign(a - np.pi / 2) * ends) for a in angles]
    turn = 2 * np.pi * np.arange(CORNERS) / CORNERS
    lines = [f"v {r * np.cos(a):.6f} {r * np.sin(a):.6f} {z:.6f}" for r, z in profile for a in turn]
    for level in range(len(profile) - 1):
        for k in range(CORNERS):
            low, after = level * CORNERS + k + 1, level * CORNERS + (k + 1) % CORNERS + 1
            lines.append(f"f {low} {after} {after + CORNERS} {low + CORNERS}")
    top = (len(profile) - 1) * CORNERS
    lines.append("f " + " ".join(str(k + 1) for k in reversed(range(CORNERS))))
    lines.append("f " + " ".join(str(top + k + 1) for k in range(CORNERS)))
    path.write_text("\n".join(lines) + "\n")
    return path


def told(thing: ObjectEstimate, folder: Path) -> dict[str, object]:
    """What a user would say of this thing."""
    options: dict[str, object] = {"object.name": thing.name, "object.symmetry": SYMMETRIES.get(thing.name, "")}
    if thing.name == "box":
        return {**options, **{f"object.size_{axis}": float(v) for axis, v in zip("xyz", thing.extent, strict=True)}}
    return {**options, "object.mesh": str(round_mesh(thing, folder / f"{thing.name}.obj"))}


def measure(recording: Recording, config: PipelineConfig) -> Outcome:
    """One pipeline over one recording."""
    pipeline, given, places, errors, spent = Pipeline(config), 0, [], [], []
    for frame, truth in recording.frames:
        scene = pipeline.process(frame)
        spent.append(scene.timings_ms["total"])
        if scene.objects and truth.objects:
            given += 1
            places.append(float(np.linalg.norm(scene.objects[0].translation - truth.objects[0].translation)))
            errors.append(object_mssd(scene.objects[0], truth.objects[0]))
    return Outcome(given, tuple(places), tuple(errors), float(np.median(spent)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=9)
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--model", default="keypoint_transformer_lite")
    parser.add_argument("--min-score", type=float, default=0.5, help="object.min_score (default: 0.5)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: list[tuple[object, ...]] = []
    pooled: dict[bool, list[Outcome]] = {False: [], True: []}
    made = recordings(options.seeds, options.frames)
    with tempfile.TemporaryDirectory() as folder:
        for recording in made:
            named = {"model": options.model, "threads": 1, "object.min_score": options.min_score}
            named |= told(recording.thing, Path(folder))
            outcomes = []
            for fit in (False, True):
                outcomes.append(measure(recording, replace(PipelineConfig(), {**named, "object.fit": fit})))
                pooled[fit].append(outcomes[-1])
            size = "x".join(f"{1e2 * value:.0f}" for value in recording.thing.extent)
            about = (recording.seed, f"{recording.thing.name}, {size} cm", recording.held)
            rows.append((*about, *(cell for outcome in outcomes for cell in _cells([outcome], len(recording.frames)))))
    frames = sum(len(recording.frames) for recording in made)
    whole = (cell for fit in (False, True) for cell in _cells(pooled[fit], frames))
    rows.append(("all", "", "", *whole))
    each = ("given %", "place mm", "MSSD mm", "median", "ms")
    columns = ("seed", "object", "held by", *(f"network: {name}" for name in each), *(f"fit: {name}" for name in each))
    table = Table("The object's pose", columns, tuple(rows))
    print(table.text())
    if options.json:
        Report("Object pose", (table,), {}).write(options.json.parent, options.json.stem)


def _cells(outcomes: Sequence[Outcome], frames: int) -> tuple[float, ...]:
    places = [value for outcome in outcomes for value in outcome.places]
    errors = [value for outcome in outcomes for value in outcome.mssd]
    given = 100.0 * sum(outcome.given for outcome in outcomes) / frames
    milliseconds = float(np.median([outcome.milliseconds for outcome in outcomes]))
    if not errors:
        return given, np.nan, np.nan, np.nan, milliseconds
    return given, 1e3 * np.mean(places), 1e3 * np.mean(errors), 1e3 * np.median(errors), milliseconds


if __name__ == "__main__":
    main()

"""The peer of the pipeline benchmark: MediaPipe Hands and depth look-up, on the same frames in the same run.

The peer needs numpy < 2 and packages of its own, so that it lives in `.venv-mediapipe` beside the checkout, made here
when it is missing, and runs as another process (`peer_mediapipe.py`); files carry the frames there and the hands back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from hand_pose_ros.evaluation import metrics
from hand_pose_ros.evaluation.detection import DetectionCounts, Hand, count_frame, match_hands
from hand_pose_ros.evaluation.report import Cell, Table
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import FloatArray, Frame, Scene
from scripts.setup_venv import find_python, make_venv, pip, version_of

ROOT: Final = Path(__file__).resolve().parents[1]
ENVIRONMENT: Final = ROOT / ".venv-mediapipe"
VERSION: Final = "0.10.21"
PYTHONS: Final = ("3.10", "3.11", "3.12")  # that there are wheels of this version for
# What MediaPipe Hands imports. Of its other requirements jax alone is half a gigabyte; OpenCV with windows needs libGL.
PACKAGES: Final = (
    "numpy<2",
    "protobuf>=4.25.3,<5",
    "matplotlib",
    "attrs",
    "absl-py",
    "flatbuffers",
    "opencv-contrib-python-headless<4.12",
)
NOTES: Final = (
    "MediaPipe was trained on photographs; on a synthetic recording a rendered hand is foreign to it, while our "
    "networks were trained on the same renderer. Only real recordings compare the two fairly.",
    "depth look-up: MediaPipe's 21 points, each at the median depth of 5x5 pixels; it marks the visible surface and "
    "falls on whatever covers a joint. own shape: MediaPipe's own metric landmarks, moved to that depth as a whole.",
    "CPU and wall time of the peer include its lift; ours include tracking, filter and (unless --no-mesh) the hand "
    "model. ratio: depth look-up / ours. Landmarks without a reading take the hand's median depth.",
)


class PeerError(RuntimeError):
    """The peer cannot run; the text says what it said."""


@dataclass(frozen=True)
class PeerHand:
    """A hand to be compared: the person's own side and joints (21, 3) float32 in camera metres."""

    side: Side
    joints: FloatArray


@dataclass(frozen=True)
class PeerResult:
    """What the peer measured.

    Attributes:
        name: of the peer, with its version.
        wall, cpu: seconds of every frame of every pass, lift included.
        tracker_cpu: CPU seconds of the 2D tracker alone.
        looked_up: hands by stamp (first pass), each landmark at the depth under it.
        own_shape: the same hands in the peer's own 3D shape, put at that depth.
        without_depth: share of the landmarks under which there was no reading.
    """

    name: str
    wall: tuple[float, ...]
    cpu: tuple[float, ...]
    tracker_cpu: tuple[float, ...]
    looked_up: Mapping[int, tuple[PeerHand, ...]]
    own_shape: Mapping[int, tuple[PeerHand, ...]]
    without_depth: float


@dataclass(frozen=True)
class Judgement:
    """Hands against truth: counts over both sides, and the joints of the hands found with the right side.

    `found` maps (stamp, number of the true hand) to estimated and true joints, (21, 3) each, in metres.
    """

    counts: DetectionCounts
    found: Mapping[tuple[int, int], tuple[FloatArray, FloatArray]]

    def errors(self, keys: Sequence[tuple[int, int]]) -> tuple[float, float, float]:
        """MPJPE in mm over these hands: absolute, root-relative, after similarity alignment; NaN without hands."""
        if not keys:
            return float("nan"), float("nan"), float("nan")
        predicted, truth = (np.stack([self.found[key][i] for key in keys]).astype(np.float64) for i in (0, 1))
        errors = metrics.pose_errors(predicted, truth)
        absolute, relative, aligned = (
            1e3 * metrics.mean_error(e) for e in (errors.absolute, errors.root_relative, errors.aligned)
        )
        return absolute, relative, aligned


def run_peer(frames: Sequence[Frame], threads: int, repeat: int, warm_up: int) -> PeerResult:
    """Measure the peer on frames that hold colour and depth; its environment is made first where it is missing.

    Raises:
        PeerError: a frame lacks colour or depth, or the peer failed.
    """
    python = ensure_environment()
    with tempfile.TemporaryDirectory(prefix="peer_frames_") as name:
        folder = Path(name)
        export_frames(frames, folder)
        answer = folder / "result.json"
        script = str(ROOT / "benchmarks" / "peer_mediapipe.py")
        options = ("--threads", str(threads), "--repeat", str(repeat), "--warm-up", str(warm_up))
        _run([str(python), script, str(folder), str(answer), *options], threads)
        return read_result(json.loads(answer.read_text(encoding="utf-8")))


def ensure_environment(folder: Path = ENVIRONMENT) -> Path:
    """The Python of the peer's environment, which is made (network needed, some 500 MB) where it is missing."""
    python = folder / "bin" / "python"
    code = "from importlib.metadata import version; print(version('mediapipe'))"
    if python.exists():
        known = subprocess.run([str(python), "-c", code], capture_output=True, text=True)
        if known.stdout.strip() == VERSION:
            return python
    else:
        own = sys.executable if version_of(sys.executable) in PYTHONS else find_python("dev")
        make_venv(own, folder)
    pip(python, "install", "--no-deps", f"mediapipe=={VERSION}")
    pip(python, "install", *PACKAGES)
    return python


def export_frames(frames: Sequence[Frame], folder: Path) -> None:
    """Write frames of one camera as `peer_mediapipe.py` reads them, one after the other."""
    camera = frames[0].intrinsics
    shape = (len(frames), camera.height, camera.width)
    color = np.lib.format.open_memmap(folder / "color.npy", mode="w+", dtype=np.uint8, shape=(*shape, 3))
    depth = np.lib.format.open_memmap(folder / "depth.npy", mode="w+", dtype=np.float32, shape=shape)
    for index, frame in enumerate(frames):
        if frame.color is None or frame.depth is None or frame.intrinsics != camera:
            raise PeerError(f"frame {index}: the peer expects colour and depth of one camera in every frame")
        color[index], depth[index] = frame.color, frame.depth
    color.flush()
    depth.flush()
    np.save(folder / "stamps.npy", np.array([frame.stamp_ns for frame in frames], dtype=np.int64))
    pinhole = {name: getattr(camera, name) for name in ("fx", "fy", "cx", "cy")}
    (folder / "camera.json").write_text(json.dumps(pinhole), encoding="utf-8")


def read_result(content: Mapping[str, Any]) -> PeerResult:
    """What the peer's JSON says."""
    frames = content["frames"]
    first = {frame["stamp_ns"]: frame["hands"] for frame in frames if frame["pass"] == 0}
    read = [hand["read"] for hands in first.values() for hand in hands]

    def hands_by(points: str) -> dict[int, tuple[PeerHand, ...]]:
        # A hand without any reading under it (null) has no place in 3D.
        return {
            stamp: tuple(
                PeerHand(Side(hand["side"]), np.array(hand[points], dtype=np.float32))
                for hand in hands
                if hand[points] is not None
            )
            for stamp, hands in first.items()
        }

    return PeerResult(
        name=content["peer"],
        wall=tuple(frame["wall_ms"] / 1e3 for frame in frames),
        cpu=tuple(frame["cpu_ms"] / 1e3 for frame in frames),
        tracker_cpu=tuple(frame["tracker_cpu_ms"] / 1e3 for frame in frames),
        looked_up=hands_by("joints"),
        own_shape=hands_by("own_shape"),
        without_depth=1.0 - float(np.mean(read)) if read else float("nan"),
    )


def judge(hands: Mapping[int, Sequence[Hand]], truths: Mapping[int, Scene]) -> Judgement:
    """Compare hands by stamp with the truth of the same stamps; frames without a truth are left out."""
    counts = {side: DetectionCounts() for side in Side}
    found = {}
    for stamp, estimated in hands.items():
        if stamp not in truths:
            continue
        truth = truths[stamp].hands
        matching = match_hands(estimated, truth)
        count_frame(estimated, truth, matching, counts)
        for e, t in matching.pairs:
            if estimated[e].side is truth[t].side:
                found[stamp, t] = estimated[e].joints, truth[t].joints
    both = DetectionCounts()
    for count in counts.values():
        both.add(count)
    return Judgement(both, found)


def comparison(
    wall: Sequence[float], cpu: Sequence[float], ours: Judgement, peer: PeerResult, truths: Mapping[int, Scene]
) -> Table:
    """Both columns and the ratio; `wall` and `cpu` are our seconds of every frame."""
    looked_up, own_shape = judge(peer.looked_up, truths), judge(peer.own_shape, truths)
    rows: list[tuple[Cell, ...]] = [
        _row("CPU time per frame (ms)", 1e3 * _mean(cpu), 1e3 * _mean(peer.cpu)),
        _row("  of it the 2D tracker", None, 1e3 * _mean(peer.tracker_cpu)),
        _row("wall p50 (ms)", *(1e3 * float(np.percentile(times, 50)) for times in (wall, peer.wall))),
        _row("wall p95 (ms)", *(1e3 * float(np.percentile(times, 95)) for times in (wall, peer.wall))),
    ]
    if truths:
        judged = (ours, looked_up, own_shape)
        for name in ("truths", "found", "wrong_side", "missed", "invented"):
            rows.append(_row(_COUNTS[name], *(getattr(one.counts, name) for one in judged), ratio=False))
        rows += _error_rows("", [one.errors(list(one.found)) for one in judged])
        common = sorted(set(ours.found) & set(looked_up.found) & set(own_shape.found))
        rows.append(_row("hands that all found", *[len(common)] * 3, ratio=False))
        rows += _error_rows("  on these: ", [one.errors(common) for one in judged])
    rows.append(_row("landmarks without depth (%)", None, 100 * peer.without_depth))
    columns = ("what", "hand_pose_ros", f"{peer.name}, depth look-up", "own shape", "ratio")
    return Table("Beside the peer", columns, tuple(rows), (0, 1, 1, 1, 2))


_COUNTS: Final = {
    "truths": "hands in the truth",
    "found": "found, with the right side",
    "wrong_side": "found, with the wrong side",
    "missed": "missed",
    "invented": "invented",
}


def _error_rows(prefix: str, errors: Sequence[tuple[float, float, float]]) -> list[tuple[Cell, ...]]:
    names = ("MPJPE absolute (mm)", "MPJPE root-relative (mm)", "PA-MPJPE (mm)")
    return [_row(prefix + name, *values) for name, values in zip(names, zip(*errors, strict=True), strict=True)]


def _row(name: str, ours: Cell, looked_up: Cell, own_shape: Cell = None, *, ratio: bool = True) -> tuple[Cell, ...]:
    quotient = None
    if ratio and isinstance(ours, float) and isinstance(looked_up, float) and ours > 0:
        quotient = looked_up / ours
    return name, ours, looked_up, own_shape, quotient


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _run(command: list[str], threads: int) -> None:
    settings = {**os.environ, "OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "2", "GLOG_minloglevel": "2"}
    settings.pop("PYTHONPATH", None)  # may name packages of another Python
    done = subprocess.run(command, capture_output=True, text=True, env=settings)
    if done.returncode != 0:
        raise PeerError(f"the peer failed with status {done.returncode}:\n{done.stderr[-3000:]}")

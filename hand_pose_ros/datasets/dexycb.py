"""DexYCB (Chao et al., CVPR 2021) as its authors distribute it: `meta.yml`, `pose.npz` and `labels_*.npz`.

    <root>/<yyyymmdd>-subject-XX/<yyyymmdd_hhmmss>/meta.yml, pose.npz
    <root>/<yyyymmdd>-subject-XX/<yyyymmdd_hhmmss>/<serial>/color_000000.jpg, aligned_depth_to_color_000000.png,
                                                            labels_000000.npz
    <root>/calibration/intrinsics/<serial>_640x480.yml, mano_<id>/mano.yml

Joints are in our order and in the camera frame already; depth is uint16 millimetres. Frames without an annotated hand
are not in the list. Both hands occur; `HandSample.as_right` mirrors.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.datasets.base import DatasetError, HandDataset, HandSample, Reading, SampleKey
from hand_pose_ros.datasets.files import (
    numbers,
    read_color,
    read_depth_mm,
    read_npz,
    read_yaml,
    require_folder,
)
from hand_pose_ros.datasets.mano_pca import ManoPca
from hand_pose_ros.skeleton import WRIST, Side
from hand_pose_ros.types import FloatArray, Intrinsics, ManoParameters

logger = logging.getLogger(__name__)

WIDTH: Final = 640
HEIGHT: Final = 480
SERIALS: Final = (
    "836212060125",
    "839512060362",
    "840412060917",
    "841412060263",
    "932122060857",
    "932122060861",
    "932122061900",
    "932122062010",
)
# The splits count a subject's sequences in the order of their names; whole subjects have this many.
SEQUENCES_PER_SUBJECT: Final = 100
SUBJECTS: Final = (
    "20200709-subject-01",
    "20200813-subject-02",
    "20200820-subject-03",
    "20200903-subject-04",
    "20200908-subject-05",
    "20200918-subject-06",
    "20200928-subject-07",
    "20201002-subject-08",
    "20201015-subject-09",
    "20201022-subject-10",
)
# Edge of the crop's cube (m) in Keypoint-Fusion's experiments on this data set.
CUBE_SIZE: Final = 0.25
_REMEDY: Final = "give the folder that holds 20200709-subject-01, … and calibration (https://dex-ycb.github.io)"


@dataclass(frozen=True)
class Part:
    """What a split takes: subjects and cameras by index, sequences by position within the subject."""

    subjects: tuple[int, ...]
    serials: tuple[int, ...]
    positions: tuple[int, ...]


_ALL_SUBJECTS: Final = tuple(range(len(SUBJECTS)))
_ALL_SERIALS: Final = tuple(range(len(SERIALS)))
_ALL_POSITIONS: Final = tuple(range(SEQUENCES_PER_SUBJECT))


# S3 holds out the sequences with these objects in the hand; the object changes every five sequences.
_OBJECTS: Final = {"val": (3, 19), "test": (7, 11, 15)}


def _splits() -> dict[str, Part]:
    every_fifth = tuple(i for i in _ALL_POSITIONS if i % 5 == 4)
    others = tuple(i for i in _ALL_POSITIONS if i % 5 != 4)
    held_out = {name: tuple(i for i in _ALL_POSITIONS if i // 5 in objects) for name, objects in _OBJECTS.items()}
    seen_objects = tuple(i for i in _ALL_POSITIONS if i not in held_out["val"] and i not in held_out["test"])
    return {
        # S0, seen everything; S1, new subjects; S2, new cameras; S3, new grasped objects.
        "s0_train": Part(_ALL_SUBJECTS, _ALL_SERIALS, others),
        "s0_val": Part((0, 1), _ALL_SERIALS, every_fifth),
        "s0_test": Part((2, 3, 4, 5, 6, 7, 8, 9), _ALL_SERIALS, every_fifth),
        "s1_train": Part((0, 1, 2, 3, 4, 5, 9), _ALL_SERIALS, _ALL_POSITIONS),
        "s1_val": Part((6,), _ALL_SERIALS, _ALL_POSITIONS),
        "s1_test": Part((7, 8), _ALL_SERIALS, _ALL_POSITIONS),
        "s2_train": Part(_ALL_SUBJECTS, (0, 1, 2, 3, 4, 5), _ALL_POSITIONS),
        "s2_val": Part(_ALL_SUBJECTS, (6,), _ALL_POSITIONS),
        "s2_test": Part(_ALL_SUBJECTS, (7,), _ALL_POSITIONS),
        "s3_train": Part(_ALL_SUBJECTS, _ALL_SERIALS, seen_objects),
        "s3_val": Part(_ALL_SUBJECTS, _ALL_SERIALS, held_out["val"]),
        "s3_test": Part(_ALL_SUBJECTS, _ALL_SERIALS, held_out["test"]),
    }


SPLITS: Final = _splits()


@dataclass(frozen=True)
class _Recording:
    """One sequence: its folder below the root, cameras, side, shape, and the frames that show a hand."""

    folder: str
    serials: tuple[str, ...]
    side: Side
    calibration: str
    frames: NDArray[np.int64]
    num_frames: int


class DexYcb(HandDataset):
    """A split of DexYCB, e.g. "s0_test".

    Args:
        root: the data set's folder.
        split: one of `SPLITS`.
        reading: which images to read.
        mano_path: folder with your own MANO files; with it `HandSample.mano` is given (the labels' pose is in the PCA
            basis of those files).

    Raises:
        DatasetError: the folder is not DexYCB, or a file of it is missing or damaged.
        ModelFileError: the MANO files cannot be read.
    """

    name = "dexycb"

    def __init__(self, root: Path, split: str, reading: Reading | None = None, mano_path: Path | None = None) -> None:
        if split not in SPLITS:
            raise DatasetError(f"dexycb: expected a split among {', '.join(SPLITS)}; got {split!r}")
        self.root = require_folder(root, "the folder of DexYCB", _REMEDY)
        require_folder(root / "calibration" / "intrinsics", "DexYCB's camera calibration", _REMEDY)
        self.split, self.reading = split, reading or Reading()
        self._pca = ManoPca(mano_path) if mano_path is not None else None
        self._cameras: dict[str, Intrinsics] = {}
        self._betas: dict[str, FloatArray] = {}
        self._recordings = self._find_recordings(SPLITS[split])
        # Sequences, then cameras, then frames, as the data set's own tools count.
        self._blocks = [(r, serial) for r in self._recordings for serial in r.serials]
        self._ends = np.cumsum([len(r.frames) for r, _ in self._blocks], dtype=np.int64)
        originals = np.cumsum([0] + [r.num_frames for r, _ in self._blocks], dtype=np.int64)
        self._first_ids = originals[:-1]
        if not len(self):
            raise DatasetError(f"{root}: the split {split} holds no annotated frame of the sequences found; {_REMEDY}")

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def key(self, index: int) -> SampleKey:
        """`<subject>/<sequence>/<serial>` and the frame's six digits."""
        block, frame = self._locate(index)
        recording, serial = self._blocks[block]
        return SampleKey(f"{recording.folder}/{serial}", f"{frame:06d}")

    def image_id(self, index: int) -> int:
        """The number of the sample in the official result files, which count frames without a hand too."""
        block, frame = self._locate(index)
        return int(self._first_ids[block]) + frame

    def __getitem__(self, index: int) -> HandSample:
        block, frame = self._locate(index)
        recording, serial = self._blocks[block]
        folder = self.root / recording.folder / serial
        label_file = folder / f"labels_{frame:06d}.npz"
        label = read_npz(label_file, ("joint_3d", "pose_m"))
        joints = numbers(label_file, label, "joint_3d", (21, 3))
        # The labels of a hand that is not there are -1 throughout.
        seen = bool((joints != -1).any())
        return HandSample(
            dataset=self.name,
            key=SampleKey(f"{recording.folder}/{serial}", f"{frame:06d}"),
            intrinsics=self._camera(serial),
            side=recording.side,
            rgb=read_color(folder / f"color_{frame:06d}.jpg") if self.reading.color else None,
            depth=read_depth_mm(folder / f"aligned_depth_to_color_{frame:06d}.png") if self.reading.depth else None,
            joints=joints if seen else None,
            wrist=joints[WRIST] if seen else None,
            mano=self._mano(recording, numbers(label_file, label, "pose_m", (51,))) if seen else None,
        )

    def _locate(self, index: int) -> tuple[int, int]:
        index = self._checked(index)
        block = int(np.searchsorted(self._ends, index, side="right"))
        recording, _ = self._blocks[block]
        first = int(self._ends[block]) - len(recording.frames)
        return block, int(recording.frames[index - first])

    def _find_recordings(self, part: Part) -> list[_Recording]:
        present = [SUBJECTS[i] for i in part.subjects if (self.root / SUBJECTS[i]).is_dir()]
        if not present:
            raise DatasetError(
                f"{self.root}: holds none of the subjects of {self.split} ({SUBJECTS[part.subjects[0]]}, …); {_REMEDY}"
            )
        if len(present) < len(part.subjects):
            missing = [SUBJECTS[i] for i in part.subjects if SUBJECTS[i] not in present]
            self._note(f"{len(missing)} subjects of {self.split} are missing: {', '.join(missing)}")
        serials = tuple(SERIALS[i] for i in part.serials)
        names = {subject: _sequences(self.root / subject) for subject in present}
        odd = [f"{subject} ({len(found)})" for subject, found in names.items() if len(found) != SEQUENCES_PER_SUBJECT]
        if odd:
            self._note(
                f"not {SEQUENCES_PER_SUBJECT} sequences in {', '.join(odd)}: the splits count positions, so this part "
                "is not the official one"
            )
        recordings = [
            self._recording(f"{subject}/{found[i]}", serials)
            for subject, found in names.items()
            for i in part.positions
            if i < len(found)
        ]
        return [recording for recording in recordings if recording.serials]

    def _note(self, text: str) -> None:
        logger.info("%s: %s", self.root, text)
        self.notes = (*self.notes, text)

    def _recording(self, folder: str, serials: tuple[str, ...]) -> _Recording:
        path = self.root / folder / "meta.yml"
        meta = read_yaml(path)
        try:
            side, calibration = Side(meta["mano_sides"][0]), str(meta["mano_calib"][0])
            recorded, num_frames = [str(serial) for serial in meta["serials"]], int(meta["num_frames"])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DatasetError(
                f"{path}: expected serials, num_frames, mano_sides and mano_calib ({error!r}); fetch it anew"
            ) from error
        chosen = tuple(serial for serial in serials if serial in recorded)
        frames = self._annotated(self.root / folder, recorded, num_frames)
        return _Recording(folder, chosen, side, calibration, frames, num_frames)

    @staticmethod
    def _annotated(folder: Path, recorded: list[str], num_frames: int) -> NDArray[np.int64]:
        """The frames with a hand: whose pose is not all zero. Without `pose.npz` one camera's labels say the same."""
        path = folder / "pose.npz"
        if path.is_file():
            poses = read_npz(path, ("pose_m",))["pose_m"]
        else:
            labels = [folder / recorded[0] / f"labels_{frame:06d}.npz" for frame in range(num_frames)]
            poses = np.array([read_npz(label, ("pose_m",))["pose_m"] for label in labels])
        if poses.shape != (num_frames, 1, 51):
            raise DatasetError(
                f"{path}: expected pose_m of shape {(num_frames, 1, 51)} as meta.yml says, got {poses.shape}"
            )
        return np.flatnonzero((poses != 0).any(axis=(1, 2))).astype(np.int64)

    def _camera(self, serial: str) -> Intrinsics:
        if serial not in self._cameras:
            path = self.root / "calibration" / "intrinsics" / f"{serial}_{WIDTH}x{HEIGHT}.yml"
            color: Any = read_yaml(path).get("color")
            try:
                fx, fy, cx, cy = (float(color[key]) for key in ("fx", "fy", "ppx", "ppy"))
            except (KeyError, TypeError, ValueError) as error:
                raise DatasetError(f"{path}: expected color: fx, fy, ppx, ppy; got {color!r}") from error
            self._cameras[serial] = Intrinsics(fx, fy, cx, cy, WIDTH, HEIGHT)
        return self._cameras[serial]

    def _mano(self, recording: _Recording, pose: FloatArray) -> ManoParameters | None:
        if self._pca is None:
            return None
        name = recording.calibration
        if name not in self._betas:
            path = self.root / "calibration" / f"mano_{name}" / "mano.yml"
            self._betas[name] = numbers(path, read_yaml(path), "betas", (10,))
        return self._pca.parameters(recording.side, pose[:3], pose[3:48], self._betas[name], pose[48:])


def _sequences(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir())

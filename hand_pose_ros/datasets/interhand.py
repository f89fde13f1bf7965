"""InterHand2.6M (Moon et al., ECCV 2020) as its authors distribute it; colour only, one or two hands.

    <root>/images/{train,val,test}/Capture0/<sequence>/cam400262/image7182.jpg
    <root>/annotations/{train,val,test}/InterHand2.6M_<split>_{data,camera,joint_3d,MANO_NeuralAnnot}.json     v1.0
    <root>/annotations/{all,human_annot,machine_annot}/InterHand2.6M_<split>_{data,camera,joint_3d,MANO}.json  v0.0
    <root>/annotations/aid_human_annot_<split>.txt                                                             v1.0

On disk: millimetres in a world frame, the joints of each finger from the tip, the wrist last, right hand first. A joint
is valid where it is annotated and inside the picture, as in the published figures. Published results are on the 5 fps
release; the one with 30 fps has the same files.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.datasets.base import DatasetError, Reading, SampleKey
from hand_pose_ros.datasets.files import numbers, read_bytes, read_color, require_folder
from hand_pose_ros.datasets.interhand_files import (
    FrameKey,
    find_files,
    read_fits,
    read_human_ids,
    read_pictures,
    read_world_joints,
)
from hand_pose_ros.datasets.two_hands import HANDS, SceneDataset, SceneSample
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from hand_pose_ros.skeleton import INTERHAND_TO_CANONICAL, Side
from hand_pose_ros.types import BoolArray, BoundingBox, DoubleArray, FloatArray, Intrinsics, ManoParameters

logger = logging.getLogger(__name__)

# The published subsets: by machine and human annotators together, and apart (H and M of the paper).
SPLITS: Final = ("train", "val", "test", "train_human", "test_human", "train_machine", "test_machine")
_REMEDY: Final = "give the folder that holds images and annotations (InterHand2.6M of the official download)"
_MM: Final = 1e-3


class InterHand(SceneDataset):
    """A split of InterHand2.6M.

    Args:
        root: the data set's folder.
        split: one of `SPLITS`; "_human" and "_machine" are the parts of these annotators.
        reading: which images to read; there is no depth.
        mano_path: folder with your own MANO files; with it `SceneSample.mano` is given (the fits turn about the wrist
            of those files' hands, and their zero is those files' mean pose).

    Raises:
        DatasetError: the folder is not InterHand2.6M, or a file of it is missing or damaged.
        ModelFileError: the MANO files cannot be read.
    """

    name = "interhand"

    def __init__(self, root: Path, split: str, reading: Reading | None = None, mano_path: Path | None = None) -> None:
        if split not in SPLITS:
            raise DatasetError(f"interhand: expected a split among {', '.join(SPLITS)}; got {split!r}")
        self.root = require_folder(root, "the folder of InterHand2.6M", _REMEDY)
        self.split, self.reading = split, reading or Reading()
        part, _, annotators = split.partition("_")
        self._images = require_folder(root / "images" / part, f"InterHand2.6M's pictures of {part}", _REMEDY)
        files = find_files(root, part, annotators, _REMEDY)
        pictures = read_pictures(files.data)
        if files.human_ids is not None:
            human = np.isin(pictures.ids, read_human_ids(files.human_ids))
            pictures = pictures.part(human if annotators == "human" else ~human)
        self._pictures = pictures
        if not len(self):
            raise DatasetError(f"{files.data}: the split {split} holds no picture; fetch it anew")
        self._cameras = _Cameras(files.camera)
        self._world = read_world_joints(files.joints)
        self._fits = read_fits(files.mano) if files.mano is not None else {}
        self._models = {side: _model(mano_path, side) for side in HANDS} if mano_path is not None else {}
        if files.mano is None:
            text = f"{files.joints.parent}: no MANO fits are there, so no hand model parameters are given"
            logger.info(text)
            self.notes = (text,)

    def __len__(self) -> int:
        return len(self._pictures)

    @property
    def present(self) -> BoolArray:
        """Which hands (N, 2) are in the pictures, by the annotated hand type."""
        return self._pictures.hands

    @property
    def ids(self) -> NDArray[np.int64]:
        """The annotations' ids (N,), by which other people's files (RootNet's depths) refer to the samples."""
        return self._pictures.ids

    def fitted(self) -> NDArray[np.int64]:
        """The samples (for `subset`) whose frame has a MANO fit, to which Keypoint Transformer keeps."""
        return np.flatnonzero([self._frame_key(index) in self._fits for index in range(len(self))])

    def key(self, index: int) -> SampleKey:
        """`Capture0/<sequence>/cam400262` and the picture's name without its ending."""
        index = self._checked(index)
        return SampleKey(self._pictures.folders[self._pictures.folder[index]][0], Path(self._name(index)).stem)

    def __getitem__(self, index: int) -> SceneSample:
        index = self._checked(index)
        pictures = self._pictures
        folder, capture, camera_name = pictures.folders[pictures.folder[index]]
        camera = self._cameras.find(capture, camera_name)
        width, height = (int(value) for value in pictures.size[index])
        x, y, box_width, box_height = (float(value) for value in pictures.box[index])
        valid = pictures.valid[index].reshape(2, 21)[:, INTERHAND_TO_CANONICAL]
        return SceneSample(
            dataset=self.name,
            key=self.key(index),
            intrinsics=Intrinsics(*camera.pinhole, width, height),
            rgb=read_color(self._images / folder / self._name(index)) if self.reading.color else None,
            depth=None,
            joints=self._joints(index, camera, valid),
            valid=valid,
            present=pictures.hands[index].copy(),
            sides_known=bool(pictures.hands_known[index]),
            mano=self._mano(index, camera),
            box=BoundingBox(x, y, box_width, box_height),
        )

    def _name(self, index: int) -> str:
        return bytes(self._pictures.name[index]).decode("ascii")

    def _frame_key(self, index: int) -> FrameKey:
        _, capture, _ = self._pictures.folders[self._pictures.folder[index]]
        return capture, int(self._pictures.frame[index])

    def _joints(self, index: int, camera: _Camera, valid: BoolArray) -> FloatArray:
        key = self._frame_key(index)
        if key not in self._world:
            raise DatasetError(
                f"{self.key(index)}: joint_3d.json lacks capture {key[0]}, frame {key[1]}; fetch it anew"
            )
        points = camera.points(self._world[key] * _MM).reshape(2, 21, 3)[:, INTERHAND_TO_CANONICAL]
        return np.where(valid[..., None], points, 0).astype(np.float32)

    def _mano(self, index: int, camera: _Camera) -> tuple[ManoParameters | None, ManoParameters | None]:
        right, left = self._fits.get(self._frame_key(index), (None, None))
        if not self._models:
            return None, None
        return (
            None if right is None else camera_mano(self._models[Side.RIGHT], right, camera.rotation, camera.position),
            None if left is None else camera_mano(self._models[Side.LEFT], left, camera.rotation, camera.position),
        )


def camera_mano(model: HandModel, fit: FloatArray, rotation: DoubleArray, position: DoubleArray) -> ManoParameters:
    """A fit (61,) in the world frame as parameters in the frame of a camera of this rotation and position (metres).

    With the rest wrist j: R_c (R (v - j) + j + t - c) = (R_c R) (v - j) + j + t' for t' = R_c (j + t - c) - j. The
    fits' finger angles are from MANO's mean pose, ours from the flat hand.
    """
    pose, betas, transl = fit[:48], fit[48:58], fit[58:]
    wrist = model.shaped(betas)[1][0].astype(np.float64)
    orient = matrix_to_axis_angle(rotation @ axis_angle_to_matrix(pose[:3].astype(np.float64)))
    moved = rotation @ (wrist + transl - position) - wrist
    return ManoParameters(
        orient.astype(np.float32), (pose[3:] + model.hand_mean).astype(np.float32), betas, moved.astype(np.float32)
    )


class _Camera:
    """One camera: pinhole (fx, fy, cx, cy), rotation from the world, position in metres."""

    def __init__(self, pinhole: FloatArray, rotation: FloatArray, position: FloatArray) -> None:
        fx, fy, cx, cy = (float(value) for value in pinhole)
        self.pinhole = (fx, fy, cx, cy)
        self.rotation = rotation.astype(np.float64)
        self.position = position.astype(np.float64)

    def points(self, world: FloatArray) -> DoubleArray:
        """World points (N, 3) in the camera frame, metres."""
        return np.asarray((world.astype(np.float64) - self.position) @ self.rotation.T)


class _Cameras:
    """`…_camera.json`: some hundred cameras per capture, each made when it is first asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            content = json.loads(read_bytes(path))
        except ValueError as error:
            raise DatasetError(f"{path}: not readable as JSON, or cut off ({error}); fetch it anew") from error
        if not isinstance(content, dict):
            raise DatasetError(f"{path}: expected an object of captures, got {type(content).__name__}")
        self._content: dict[str, Any] = content
        self._made: dict[tuple[int, str], _Camera] = {}

    def find(self, capture: int, name: str) -> _Camera:
        """Raises `DatasetError` where the file lacks the camera."""
        if (capture, name) not in self._made:
            self._made[capture, name] = self._make(capture, name)
        return self._made[capture, name]

    def _make(self, capture: int, name: str) -> _Camera:
        source = f"{self._path} capture {capture}"
        tables = self._content.get(str(capture))
        if not isinstance(tables, dict):
            raise DatasetError(f"{source}: expected campos, camrot, focal and princpt of its cameras; fetch it anew")

        def read(table: str, shape: tuple[int, ...]) -> FloatArray:
            rows = tables.get(table)
            return numbers(f"{source} {table}", rows if isinstance(rows, dict) else {}, name, shape)

        pinhole = np.concatenate([read("focal", (2,)), read("princpt", (2,))])
        return _Camera(pinhole, read("camrot", (3, 3)), read("campos", (3,)) * _MM)


def _model(folder: Path, side: Side) -> HandModel:
    npz = folder / f"MANO_{side.value.upper()}.npz"
    return HandModel.from_file(npz if npz.is_file() else npz.with_suffix(".pkl"), side)

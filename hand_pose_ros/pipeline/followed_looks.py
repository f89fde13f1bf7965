"""Followed hands, looked at by the looks of a network of two hands alone: `networks.handformer2t.followed`.

Which hands there are, of which side and where, a whole crop told before. A look at one hand, from where it is expected,
takes a quarter of the time.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np

from hand_pose_ros.engines.base import Engine, EngineError, TensorSpec, require_contract, warm_up
from hand_pose_ros.engines.onnx_header import read_header
from hand_pose_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from hand_pose_ros.engines.zoo import FOLLOWED, require_made_for, sha256, verify
from hand_pose_ros.geometry.scene_crop import FOLLOWED_MARGIN, SceneCutter, window_around
from hand_pose_ros.pipeline.scene_network import SeenHand, crop_size, scene_inputs, stated, taken_by
from hand_pose_ros.pipeline.scene_windows import hand_pixels
from hand_pose_ros.pipeline.timing import StageTimer
from hand_pose_ros.skeleton import NUM_JOINTS, WRIST, Side
from hand_pose_ros.types import FloatArray, Frame

VERSION: Final = 1

logger = logging.getLogger(__name__)

_FLOAT: Final = np.dtype(np.float32)
_EXPECTED: Final = (
    TensorSpec("expected_uv", (1, NUM_JOINTS, 2), _FLOAT),
    TensorSpec("expected_depth", (1, NUM_JOINTS), _FLOAT),
    TensorSpec("expected_side", (1, 1), _FLOAT),
)
_OUTPUTS: Final = (
    TensorSpec("uv", (1, NUM_JOINTS, 2), _FLOAT),
    TensorSpec("depth", (1, NUM_JOINTS), _FLOAT),
    TensorSpec("uv_std", (1, NUM_JOINTS), _FLOAT),
    TensorSpec("depth_std", (1, NUM_JOINTS), _FLOAT),
    TensorSpec("side", (1,), _FLOAT),
    TensorSpec("known", (1,), _FLOAT),
)


class FollowedLook(NamedTuple):
    """What is seen of a followed hand; `side`: log-odds that it is of the side that it is followed as; `known`: whether
    the depth image shows it."""

    hand: SeenHand
    side: float
    known: bool


class HandLooks(Protocol):
    """Looks at one hand from where it is expected; see `FollowedLooks`."""

    def look(self, frame: Frame, side: Side, joints: FloatArray, presence: float, timer: StageTimer) -> FollowedLook:
        """See `FollowedLooks.look`."""
        ...


class FollowedLooks:
    """Runs the looks of one model on followed hands.

    Args:
        engine: runs the file beside the model.

    Raises:
        EngineError: it lacks an input or output.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        size = crop_size(engine)
        require_contract(engine, "looks at followed hands", (*scene_inputs(engine, size), *_EXPECTED), _OUTPUTS)
        self._size = size
        self._margin = stated(engine, "crop_margin", FOLLOWED_MARGIN)
        self._cutter = SceneCutter(size, taken_by(engine))
        self._uv = np.zeros((1, NUM_JOINTS, 2), dtype=np.float32)
        self._depth = np.zeros((1, NUM_JOINTS), dtype=np.float32)
        self._side = np.zeros((1, 1), dtype=np.float32)

    def look(self, frame: Frame, side: Side, joints: FloatArray, presence: float, timer: StageTimer) -> FollowedLook:
        """At one hand of a frame with colour.

        Args:
            side: that it is followed as.
            joints: (21, 3) metres where it is expected, in front of the camera.
            presence: that it is there, as told before.
        """
        assert frame.color is not None
        with timer.stage("crop"):
            pixels = hand_pixels(joints, frame.intrinsics)
            window = window_around(pixels, self._margin)
            given = self._cutter.cut(window, frame.color, frame.depth, frame.intrinsics.fx)
            self._uv[0] = window.to_crop(pixels, self._size)
            self._depth[0] = joints[:, 2] - joints[WRIST, 2]
            self._side[0, 0] = 1.0 if side is Side.RIGHT else -1.0
        with timer.stage("infer"):
            given = {**given, "expected_uv": self._uv, "expected_depth": self._depth, "expected_side": self._side}
            outputs = self.engine.run(given)
        scale = window.side / self._size
        hand = SeenHand(
            side,
            presence,
            window.to_image(outputs["uv"][0].astype(np.float64), self._size),
            scale * outputs["uv_std"][0].astype(np.float64),
            outputs["depth"][0].astype(np.float64),
            outputs["depth_std"][0].astype(np.float64),
        )
        return FollowedLook(hand, float(outputs["side"][0]), bool(outputs["known"][0] > 0.5))


def followed_path(model: Path) -> Path:
    """Where the looks of a model of two hands lie."""
    return model.with_name(f"{model.stem}{FOLLOWED}.onnx")


def made_for(model: Path) -> dict[str, str]:
    """What the looks' metadata say of the model whose weights they read."""
    return {"made_for": sha256(model), "weights_in": model.name}


def open_followed(model: Path, engine: Engine) -> FollowedLooks | None:
    """The looks beside a model's file; None where there are none, and where another engine than ONNX Runtime runs the
    model: the whole network then runs on every frame.

    Raises:
        EngineError: a file that cannot be read, does not match its card, or belongs to another model; or one of both is
            a link to another folder or name, since the looks read the weights out of the model's file beside them.
    """
    path = followed_path(model)
    if not isinstance(engine, OnnxRuntimeEngine):
        logger.info("%s: the whole network looks at every frame; following by looks needs onnxruntime", model.name)
        return None
    if not path.is_file():
        logger.info("%s: the whole network looks at every frame; there is no %s", model.name, path.name)
        return None
    verify(path)
    remedy = f"write it anew with `hand_pose export handformer2t_followed`, or remove {path.name}"
    # Before a session reads weights by places that this file names.
    stated = read_header(path.read_bytes(), str(path)).metadata
    try:
        version = int(stated.get("followed_version", "0"))
    except ValueError as error:
        raise EngineError(f"{path}: expected a number as followed_version; {remedy}") from error
    require_made_for(model, path, (VERSION, version), stated.get("made_for", ""), remedy)
    real, source = path.resolve(), model.resolve()
    if source.parent != real.parent or source.name != stated.get("weights_in"):
        raise EngineError(
            f"{path}: expected {stated.get('weights_in')} in its folder, whose weights it reads, got {source}; put "
            f"both files into one folder, under their own names, or {remedy}"
        )
    looks = OnnxRuntimeEngine(real, engine.threads, engine.provider)
    warm_up(looks)
    return FollowedLooks(looks)

"""What a network of two hands says of one crop, in one form for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np

from hand_pose_ros.engines.base import Array, Engine, TensorSpec
from hand_pose_ros.geometry.relief import RELIEF_MAPS
from hand_pose_ros.geometry.scene_crop import Window
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import DoubleArray

# The presence at which a hand is as likely there as not (`levelled`).
AS_LIKELY: Final = 0.5
# The order of both hands in every array of such a network.
HANDS: Final = (Side.RIGHT, Side.LEFT)


@dataclass(frozen=True)
class SeenHand:
    """One hand of a crop: where its joints are seen and how they lie behind its wrist, not how far it is.

    Attributes:
        side: which hand.
        presence: 0..1 that it is there.
        uv: (21, 2) pixels of the whole image. uv_std: (21,) pixels.
        depth: (21,) metres behind its own wrist. depth_std: (21,) metres.
        shape: (21, 3) metres from its own wrist in camera axes, where the network gives joints in space; else None.
        side_score: 0..1 that it is of this side, given that it is there.
    """

    side: Side
    presence: float
    uv: DoubleArray
    uv_std: DoubleArray
    depth: DoubleArray
    depth_std: DoubleArray
    shape: DoubleArray | None = None
    side_score: float = 1.0

    @property
    def finite(self) -> bool:
        """Whether every number can be used."""
        arrays = [self.uv, self.uv_std, self.depth, self.depth_std] + ([] if self.shape is None else [self.shape])
        return bool(np.isfinite(self.presence)) and all(bool(np.isfinite(array).all()) for array in arrays)


@dataclass(frozen=True)
class SeenPlaces:
    """Where a network takes what it sees for the object: (K, 2) pixels of the whole image, (K,) how likely, 0..1."""

    pixels: DoubleArray
    chances: DoubleArray


@dataclass(frozen=True)
class SeenObject:
    """The object of a crop: rotation (3, 3) object to camera axes, translation (3,) metres from the right wrist, and
    where it is seen, of networks that tell."""

    rotation: DoubleArray
    translation: DoubleArray
    presence: float
    places: SeenPlaces | None = None

    @property
    def finite(self) -> bool:
        """Whether every number can be used."""
        numbers = np.concatenate([self.rotation.ravel(), self.translation, [self.presence]])
        return bool(np.isfinite(numbers).all())


@dataclass(frozen=True)
class SeenScene:
    """What a network says of one crop.

    Attributes:
        hands: right and left, whether they are there or not.
        offset: (3,) metres, right to left wrist. offset_std: (3,) metres, infinite in the axes it does not know.
        held: the object, where the network knows one.
    """

    hands: tuple[SeenHand, SeenHand]
    offset: DoubleArray
    offset_std: DoubleArray
    held: SeenObject | None = None


class SceneNetwork(Protocol):
    """A network of two hands: its engine, and how its outputs are read.

    Attributes:
        engine: runs it; takes what `scene_inputs` says.
        size: side of the crop in pixels.
        margin: the crop's side over the longer side of the box about the joints, as in its training.
        has_object: whether it gives an object's pose.
        around_object: whether the object, too, is inside the box that its crops were made of.
    """

    engine: Engine
    size: int
    margin: float
    has_object: bool
    around_object: bool

    def read(self, outputs: Mapping[str, Array], window: Window) -> SeenScene:
        """What the outputs say, in pixels of the image that `window` was cut out of."""
        ...


def crop_size(engine: Engine) -> int:
    """The side of the square crop that a network takes; 256 where it does not say."""
    for spec in engine.inputs:
        if spec.name == "rgb" and len(spec.shape) == 4:
            return spec.shape[1] or 256
    return 256


def scene_inputs(engine: Engine, size: int) -> tuple[TensorSpec, ...]:
    """What a network of two hands may take: colour and, where it asks for them, the relief of the depth image and how
    large things are in it (`geometry.relief`)."""
    rgb = TensorSpec("rgb", (1, size, size, 3), np.dtype(np.uint8))
    depth = TensorSpec("relief", (1, RELIEF_MAPS, size, size), np.dtype(np.float32))
    view = TensorSpec("view", (1, 2), np.dtype(np.float32))
    taken = taken_by(engine)
    return (rgb, *(spec for spec in (depth, view) if spec.name in taken))


def takes_depth(engine: Engine) -> bool:
    """Whether a network of two hands reads depth beside colour."""
    return "relief" in taken_by(engine)


def taken_by(engine: Engine) -> frozenset[str]:
    """Names of what a network of two hands takes (`geometry.scene_crop.SceneCutter`)."""
    return frozenset(spec.name for spec in engine.inputs)


def levelled(presence: float, level: float) -> float:
    """A presence 0..1 on a scale where `level`, at which a hand is as likely there as not, is one half."""
    if not 0.0 < presence < 1.0:
        return presence
    return float(presence ** (np.log(AS_LIKELY) / np.log(level)))


def with_sides(right: SeenHand, left: SeenHand) -> tuple[SeenHand, SeenHand]:
    """Both hands, a single one with all the presence that is told of it.

    Where one of them is likelier not there there is one hand at most, and what is known of its presence is shared out
    between right and left by how likely each is: the likelier side has both.
    """
    whole = right.presence + left.presence
    if not (np.isfinite(whole) and min(right.presence, left.presence) < AS_LIKELY):
        return right, left
    one = right if right.presence >= left.presence else left
    side_score = one.presence / whole if whole > 0 else 1.0
    told = replace(one, presence=min(1.0, whole), side_score=side_score)
    return (told, left) if one is right else (right, told)


def stated(engine: Engine, name: str, default: float) -> float:
    """A number of the model file's metadata, measured when it was trained; `default` where it states none."""
    try:
        value = float(engine.metadata.get(name, default))
    except ValueError:
        return default
    return value if np.isfinite(value) and value > 0 else default

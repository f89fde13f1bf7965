"""What a synthetic scene is: hands, primitives, lights and a camera, in camera metres (x right, y down, z forward)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from hand_pose_ros.options import ConfigError, option
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import ByteArray, FloatArray, Intrinsics, ManoParameters


class Label(IntEnum):
    """Values of the id mask. Walls, tables and empty space are BACKGROUND."""

    BACKGROUND = 0
    RIGHT_HAND = 1
    LEFT_HAND = 2
    RIGHT_FOREARM = 3
    LEFT_FOREARM = 4
    OBJECT = 5
    OTHER = 6


class Shape(IntEnum):
    """Unit meshes that a primitive can be an affine image of (`meshes.py` says how each is placed)."""

    BOX = 0
    SPHERE = 1
    CYLINDER = 2
    CAPSULE = 3
    CUP = 4
    PLANE = 5


class Pattern(IntEnum):
    """Procedural textures of the fragment shader."""

    PLAIN = 0
    STRIPES = 1
    CHECKER = 2
    GRADIENT = 3
    BLOTCHES = 4


HAND_LABEL = {Side.RIGHT: Label.RIGHT_HAND, Side.LEFT: Label.LEFT_HAND}
# Steps of how little light a surface sends back to a depth camera, from none lost to nearly all.
LOSS_LEVELS: Final = 32

FOREARM_LABEL = {Side.RIGHT: Label.RIGHT_FOREARM, Side.LEFT: Label.LEFT_FOREARM}


@dataclass(frozen=True)
class Material:
    """A surface: two linear RGB colours mixed by a pattern of `scale` cycles per metre, with noise and gloss 0..1.

    `loss`: 0..1, how little of a depth camera's light it sends back (black cloth, hair, glossy plastic, polish).
    """

    base: tuple[float, float, float]
    second: tuple[float, float, float]
    pattern: Pattern = Pattern.PLAIN
    scale: float = 20.0
    noise: float = 0.1
    specular: float = 0.1
    offset: float = 0.0
    loss: float = 0.0
    skin: bool = False


@dataclass(frozen=True)
class Primitive:
    """A unit mesh placed by `transform` (3, 4), local -> camera.

    `taper`: cross-section at local z = 1 relative to z = 0; `bulge`: added in the middle; `cap`: length of a capsule's
    round ends along local z, relative to the local cross-section.
    """

    shape: Shape
    transform: FloatArray
    material: Material
    label: Label
    taper: float = 1.0
    bulge: float = 0.0
    cap: float = 1.0


@dataclass(frozen=True)
class Skin:
    """Linear RGB of the back, palm and nails; strength 0..1 of knuckle reddening and creases; texture noise, gloss."""

    back: tuple[float, float, float]
    palm: tuple[float, float, float]
    nail: tuple[float, float, float]
    knuckles: float
    creases: float
    noise: float
    specular: float
    offset: float


@dataclass(frozen=True)
class HandTruth:
    """One hand of a scene.

    Attributes:
        side: which.
        joints: (21, 3) float32 camera metres, canonical order.
        vertices: (V, 3) float32 camera metres of the bundled hand model of this side.
        surface: (V, 3) float32, what is drawn: the vertices with the stub of the wrist bent into the forearm.
        mano: the parameters that give joints and vertices.
        skin: how it is coloured.
        elbow: (3,) float32 camera metres.
    """

    side: Side
    joints: FloatArray
    vertices: FloatArray
    surface: FloatArray
    mano: ManoParameters
    skin: Skin
    elbow: FloatArray

    @property
    def center(self) -> FloatArray:
        """(3,) the mean of the 21 joints."""
        center: FloatArray = self.joints.mean(axis=0).astype(np.float32)
        return center


@dataclass(frozen=True)
class ObjectTruth:
    """A held object: rotation (3, 3), translation (3,) metres of its centre, extent (3,) metres of its own box."""

    shape: Shape
    rotation: FloatArray
    translation: FloatArray
    extent: FloatArray


@dataclass(frozen=True)
class Lighting:
    """Up to three directional lights: `directions` (3, 3) unit vectors towards the light, `colors` (3, 3) linear RGB
    (zero = off), `ambient` (3,) and `background` (3,) linear RGB seen where nothing is drawn."""

    directions: FloatArray
    colors: FloatArray
    ambient: FloatArray
    background: FloatArray


@dataclass(frozen=True)
class Photometry:
    """What the colour camera does: gain per channel, gamma, blurs in pixels, noise in grey levels, JPEG (0 = off)."""

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 2.2
    blur: float = 0.0
    motion: float = 0.0
    motion_angle: float = 0.0
    noise: float = 0.0
    jpeg_quality: int = 0
    seed: int = 0


@dataclass(frozen=True)
class SceneSpec:
    """Everything the renderer needs; equal specs give equal pictures.

    `camera` is a 640x480 camera this scene was laid out for; any other may look at it.
    """

    camera: Intrinsics
    hands: tuple[HandTruth, ...]
    primitives: tuple[Primitive, ...]
    objects: tuple[ObjectTruth, ...]
    lighting: Lighting
    photometry: Photometry


@dataclass(frozen=True)
class Rendered:
    """One picture: color (H, W, 3) uint8 RGB, depth (H, W) float32 metres along z (0 = nothing), mask (H, W) uint8
    of `Label`, loss (H, W) uint8: how little of a depth camera's light comes back, in `LOSS_LEVELS` steps."""

    color: ByteArray
    depth: FloatArray
    mask: ByteArray
    loss: ByteArray


@dataclass(frozen=True)
class SyntheticConfig:
    """What scenes are made of: ranges and probabilities."""

    min_distance: float = option(0.25, "Nearest hand (m).", minimum=0.1, maximum=2.0)
    max_distance: float = option(1.3, "Farthest hand (m).", minimum=0.2, maximum=4.0)
    second_hand: float = option(0.3, "Probability of a second hand (of the other side).", minimum=0.0, maximum=1.0)
    two_hands: float = option(0.65, "Scenes: probability of two hands that meet or are near.", minimum=0.0, maximum=1.0)
    held_object: float = option(0.4, "Probability of an object in a hand.", minimum=0.0, maximum=1.0)
    gripped_box: float = option(
        0.12, "Probability that the hand grips a box wider than itself.", minimum=0.0, maximum=1.0
    )
    long_arm: float = option(
        0.25, "Probability of a stretched arm that comes in from any border.", minimum=0.0, maximum=1.0
    )
    partial: float = option(0.12, "Probability of a hand partly out of the picture.", minimum=0.0, maximum=1.0)
    lap: float = option(0.06, "Probability of thighs below the hand.", minimum=0.0, maximum=1.0)
    occluder: float = option(0.08, "Probability of an object between camera and hand.", minimum=0.0, maximum=1.0)
    max_clutter: int = option(6, "At most this many things around.", minimum=0, maximum=20)
    body: float = option(0.4, "Probability of the person's own body in the scene.", minimum=0.0, maximum=1.0)
    background: float = option(0.75, "Probability of a wall, and of a table.", minimum=0.0, maximum=1.0)
    no_hand: float = option(0.1, "Whole frames: probability of no hand at all.", minimum=0.0, maximum=1.0)
    negatives: float = option(0.08, "Crops: share without a right hand.", minimum=0.0, maximum=1.0)
    dark: float = option(
        0.15,
        "Probability that a surface (not skin) sends little light back to a depth camera.",
        minimum=0.0,
        maximum=1.0,
    )
    sensor: str = option(
        "random", "Depth sensor to imitate.", choices=("random", "ideal", "stereo", "structured", "tof")
    )


@dataclass(frozen=True)
class SequenceConfig:
    """What a recorded sequence shows and what records it."""

    frames: int = option(100, "Number of frames.", minimum=1, maximum=100000)
    fps: float = option(30.0, "Frames per second.", minimum=1.0, maximum=240.0)
    hands: str = option("right", "Which hands there are.", choices=("right", "left", "both"))
    second_enters: float = option(
        0.0, "Of two hands: the left one comes in after this share of the time.", minimum=0.0, maximum=1.0
    )
    view: str = option(
        "facing",
        "Where the camera is: facing the person, or at their own head (egocentric).",
        choices=("facing", "egocentric"),
    )
    gestures: str = option("", "What the (right) hand does: key poses of the prior, by commas; empty draws them.")
    held_object: bool = option(False, "The (right) hand holds an object, where its grasp leaves room for one.")
    together: bool = option(False, "Both hands hold one object between them.")
    min_distance: float = option(0.35, "Nearest palm (m).", minimum=0.2, maximum=2.0)
    max_distance: float = option(0.7, "Farthest palm (m).", minimum=0.2, maximum=2.0)
    pace: float = option(0.45, "Seconds in which a hand's place changes: smaller is faster.", minimum=0.1, maximum=10.0)
    width: int = option(640, "Pictures' width.", minimum=32, maximum=640)
    height: int = option(480, "Pictures' height.", minimum=24, maximum=480)
    focal: float = option(607.0, "Focal length (pixels) of the picture 640 wide.", minimum=100.0, maximum=2000.0)
    exposures: int = option(5, "Pictures averaged per frame for motion blur and smooth edges: 1 or 5.", choices=(1, 5))
    sensor: str = option(
        "d435",
        "Depth sensor: one like a RealSense D435, or any of a family.",
        choices=("d435", "random", "ideal", "stereo", "structured", "tof"),
    )
    depth_focal: float = option(
        383.0, "Focal length (pixels) of the depth camera, 640 wide.", minimum=100.0, maximum=2000.0
    )
    still: bool = option(True, "Depth stays as it was where nothing moves, as with a camera's temporal filter.")
    noise: float = option(1.2, "Noise of the colour picture (grey levels).", minimum=0.0, maximum=20.0)

    def __post_init__(self) -> None:
        if self.min_distance > self.max_distance:
            raise ConfigError(
                f"min_distance, max_distance: expected the first not above the second, got {self.min_distance} and "
                f"{self.max_distance}"
            )

        if self.together and (self.hands != "both" or self.held_object or self.second_enters > 0):
            raise ConfigError(
                "together: expected hands 'both' without held_object and second_enters: both hands hold one thing all "
                "the time"
            )

    @property
    def camera(self) -> Intrinsics:
        """A pinhole camera with its principal point near the middle."""
        ratio = self.width / 640.0
        focal, cx, cy = self.focal * ratio, (320.3 * ratio) - 0.5, 0.5 * self.height - 0.5 + 3.1 * ratio
        return Intrinsics(focal, focal, cx, cy, self.width, self.height)

"""Where on the hand the palm, nails, knuckles and creases are, and the spread of skin colours."""

from __future__ import annotations

import numpy as np

from hand_pose_ros.datasets.synthetic.spec import Skin
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.hand_model.normals import vertex_normals
from hand_pose_ros.skeleton import PARENTS, TIPS, Side
from hand_pose_ros.types import DoubleArray, FloatArray

# sRGB tones from very light to very dark, spread as on Fitzpatrick's scale I to VI.
TONES = np.array(
    [(244, 214, 196), (232, 190, 160), (214, 162, 124), (178, 124, 84), (128, 82, 54), (76, 48, 36)], dtype=np.float64
)
# Directions of the nails in the rest pose of the right hand (palm faces -y, thumb towards +z).
THUMB_NAIL = np.array([0.0, 0.7, 0.7])
FINGER_NAIL = np.array([0.0, 1.0, 0.0])


def to_linear(srgb: DoubleArray) -> DoubleArray:
    """sRGB 0..255 -> linear 0..1 (gamma 2.2 is near enough here)."""
    return np.asarray((np.asarray(srgb) / 255.0) ** 2.2)


def sample_skin(rng: np.random.Generator) -> Skin:
    """One person's skin, evenly over the tones."""
    place = rng.uniform(0.0, len(TONES) - 1.0)
    low = min(int(place), len(TONES) - 2)
    mixed = TONES[low] + (place - low) * (TONES[low + 1] - TONES[low])
    back = np.clip(to_linear(mixed * rng.uniform(0.93, 1.07, 3)), 0.01, 1.0)
    dark = place / (len(TONES) - 1.0)
    pale = to_linear(TONES[1] * rng.uniform(0.9, 1.05)) * np.array([1.0, 0.92, 0.9])
    palm = back + (pale - back) * (0.2 + 0.35 * dark)
    nail = palm * rng.uniform(0.9, 1.15) * np.array([1.0, 0.9, 0.92])
    if rng.random() < 0.08:  # varnish
        nail = to_linear(rng.uniform(20, 255, 3))
    return Skin(
        back=_rgb(back),
        palm=_rgb(palm),
        nail=_rgb(nail),
        knuckles=float(rng.uniform(0.2, 1.0)),
        creases=float(rng.uniform(0.1, 1.0)),
        noise=float(rng.uniform(0.03, 0.2)),
        specular=float(rng.uniform(0.0, 0.12)),
        offset=float(rng.uniform(0.0, 50.0)),
    )


def _rgb(color: DoubleArray) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in np.clip(color, 0.0, 1.0))
    return red, green, blue


def vertex_tints(model: HandModel) -> FloatArray:
    """(V, 4) weights 0..1 of palm, nail, knuckle and crease for each vertex of the rest pose."""
    zero = np.zeros(3, dtype=np.float32)
    rest = model.forward(zero, np.zeros(45, dtype=np.float32), np.zeros(10, dtype=np.float32), zero)
    normals = vertex_normals(rest.vertices, model.faces)
    along = -rest.vertices[:, 0] if model.side is Side.RIGHT else rest.vertices[:, 0]
    # The palm's colour fades out over the 3 cm before the wrist.
    palm = np.clip(0.5 - 1.2 * normals[:, 1], 0.0, 1.0) * np.clip(along / 0.03, 0.0, 1.0)
    nail = np.zeros(len(normals))
    knuckle, crease = np.zeros(len(normals)), np.zeros(len(normals))
    for tip in TIPS:
        direction = THUMB_NAIL if tip == TIPS[0] else FINGER_NAIL
        bone = rest.joints[tip] - rest.joints[PARENTS[tip]]
        bed = rest.joints[tip] - 0.2 * bone
        distance = np.linalg.norm(rest.vertices - bed, axis=1)
        nail = np.maximum(nail, (distance < 0.011) & (normals @ direction > 0.45))
    for joint in range(1, 21):
        if joint in TIPS:
            continue
        distance = np.linalg.norm(rest.vertices - rest.joints[joint], axis=1)
        near = np.exp(-((distance / 0.012) ** 2))
        knuckle = np.maximum(knuckle, near * np.clip(normals[:, 1], 0.0, 1.0))
        crease = np.maximum(crease, near * np.clip(-normals[:, 1], 0.0, 1.0))
    return np.stack([palm, nail, knuckle, crease], axis=1).astype(np.float32)


def hand_models() -> dict[Side, HandModel]:
    """The bundled hand of each side."""
    return {side: HandModel.bundled(side) for side in Side}

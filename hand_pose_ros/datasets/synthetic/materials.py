"""Random surfaces and lights."""

from __future__ import annotations

import numpy as np

from hand_pose_ros.datasets.synthetic.placement import unit
from hand_pose_ros.datasets.synthetic.spec import Lighting, Material, Pattern
from hand_pose_ros.types import DoubleArray


def random_color(rng: np.random.Generator) -> tuple[float, float, float]:
    """Linear RGB: any brightness, more often dull than saturated; sometimes near to skin."""
    if rng.random() < 0.12:  # wood, cardboard, other skin: what a network must not take for a hand
        color = np.array([0.55, 0.33, 0.2]) * rng.uniform(0.3, 1.4) * rng.uniform(0.85, 1.15, 3)
    else:
        grey = rng.uniform(0.0, 1.0) ** 1.7
        color = grey + rng.uniform(0.0, 1.0) * (rng.uniform(0.0, 1.0, 3) ** 2.0 - grey)
    red, green, blue = (float(value) for value in np.clip(color, 0.01, 0.95))
    return red, green, blue


def sample_material(rng: np.random.Generator, size: float = 0.1) -> Material:
    """A surface whose pattern fits something of `size` metres."""
    pattern = Pattern(int(rng.integers(len(Pattern))))
    return Material(
        base=random_color(rng),
        second=random_color(rng),
        pattern=pattern,
        scale=float(np.exp(rng.uniform(np.log(1.0), np.log(12.0))) / size),
        noise=float(rng.uniform(0.0, 0.4)),
        specular=float(rng.uniform(0.0, 0.4) ** 2),
        offset=float(rng.uniform(0.0, 50.0)),
    )


def _temperature(rng: np.random.Generator) -> DoubleArray:
    """Colour of a light from warm bulb to blue sky, green kept at 1."""
    warmth = rng.uniform(-1.0, 1.0)
    return np.array([1.0 + 0.25 * warmth, 1.0, 1.0 - 0.3 * warmth])


def sample_lighting(rng: np.random.Generator) -> Lighting:
    """One to three lights, mostly from above and from the camera's side, and ambient light."""
    directions, colors = np.zeros((3, 3)), np.zeros((3, 3))
    directions[:, 1] = -1.0
    count = int(rng.integers(1, 4))
    for index in range(count):
        directions[index] = unit(rng.standard_normal(3) + np.array([0.0, -0.8, -0.7]))
        colors[index] = _temperature(rng) * rng.uniform(0.3, 1.1) / count**0.5
    ambient = _temperature(rng) * rng.uniform(0.15, 0.7)
    background = np.array(random_color(rng)) * rng.uniform(0.2, 1.0)
    return Lighting(
        directions.astype(np.float32),
        colors.astype(np.float32),
        ambient.astype(np.float32),
        background.astype(np.float32),
    )

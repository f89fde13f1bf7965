"""Random surfaces and lights."""

from __future__ import annotations

import dataclasses

import numpy as np

from hand_pose_ros.datasets.synthetic.placement import unit
from hand_pose_ros.datasets.synthetic.spec import Lighting, Material, Pattern, Primitive
from hand_pose_ros.types import DoubleArray

_PATTERNS = tuple(Pattern)


def random_color(rng: np.random.Generator) -> tuple[float, float, float]:
    """Linear RGB: any brightness, more often dull than saturated; sometimes near to skin."""
    return _color(rng.random(6).tolist())


def _color(u: list[float]) -> tuple[float, float, float]:
    """`random_color` from six numbers 0..1."""
    if u[0] < 0.12:  # wood, cardboard, other skin: what a network must not take for a hand
        level = 0.3 + 1.1 * u[1]
        red, green, blue = (c * level * (0.85 + 0.3 * v) for c, v in zip((0.55, 0.33, 0.2), u[3:], strict=True))
    else:
        grey = u[1] ** 1.7
        red, green, blue = (grey + u[2] * (v * v - grey) for v in u[3:])
    return min(max(red, 0.01), 0.95), min(max(green, 0.01), 0.95), min(max(blue, 0.01), 0.95)


def sample_material(rng: np.random.Generator, size: float = 0.1) -> Material:
    """A surface whose pattern fits something of `size` metres."""
    u = rng.random(17).tolist()
    return Material(
        base=_color(u[:6]),
        second=_color(u[6:12]),
        pattern=_PATTERNS[int(u[12] * len(_PATTERNS))],
        scale=12.0 ** u[13] / size,
        noise=0.4 * u[14],
        specular=(0.4 * u[15]) ** 2,
        offset=50.0 * u[16],
    )


def hide_some(rng: np.random.Generator, primitives: list[Primitive], share: float) -> list[Primitive]:
    """The primitives, of which this share (never skin) sends little light back to depth cameras: black or glossy."""
    if share <= 0:
        return primitives
    draws = rng.random((len(primitives), 3)).tolist()
    return [
        dataclasses.replace(primitive, material=_hidden(primitive.material, level, kind))
        if chance < share and not primitive.material.skin
        else primitive
        for primitive, (chance, level, kind) in zip(primitives, draws, strict=True)
    ]


def _hidden(material: Material, level: float, kind: float) -> Material:
    loss = 0.25 + 0.75 * level
    if kind < 0.3:  # glossy
        return dataclasses.replace(material, loss=loss, specular=0.3 + kind)
    # Black for the depth camera's infrared light; mostly black to the eye as well.
    shade = 0.06 if kind < 0.85 else 1.0
    base, second = (_shaded(color, shade) for color in (material.base, material.second))
    return dataclasses.replace(material, loss=loss, base=base, second=second)


def _shaded(color: tuple[float, float, float], shade: float) -> tuple[float, float, float]:
    red, green, blue = (shade * channel for channel in color)
    return red, green, blue


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

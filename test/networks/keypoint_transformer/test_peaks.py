"""The greedy search, the graph's, and how they differ."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from keypoint_transformer_toys import with_peaks  # noqa: E402

from hand_pose_ros.networks.keypoint_transformer import (  # noqa: E402
    KeypointTransformer,
    KeypointTransformerConfig,
    PeakSettings,
)
from hand_pose_ros.networks.keypoint_transformer.compare import compare_peaks, compare_results  # noqa: E402
from hand_pose_ros.networks.keypoint_transformer.peaks import (  # noqa: E402
    HAND,
    OBJECT,
    PAD,
    disc_maximum,
    graph_keypoints,
    greedy_keypoints,
    greedy_peaks,
    peak_map,
    position_code,
)

Rows, Columns = np.mgrid[:128, :128]


def hands(generator: np.random.Generator, sigma: float = 1.25, noise: float = 4.0) -> np.ndarray:
    """A heat map of 42 joints in two overlapping clusters, as training has it, and noise."""
    heat = noise * generator.standard_normal((128, 128))
    for _ in range(2):
        middle = generator.uniform(40, 88, 2)
        for x, y in np.clip(middle + generator.normal(0, 14, (21, 2)), 0, 127):
            heat += 255 * np.exp(-((Columns - x) ** 2 + (Rows - y) ** 2) / (2 * sigma**2))
    return heat.astype(np.float32)


def rough(generator: np.random.Generator) -> np.ndarray:
    """Many close maxima of all heights."""
    coarse = torch.from_numpy(generator.standard_normal((1, 1, 40, 40)).astype(np.float32))
    fine = torch.nn.functional.interpolate(coarse, (128, 128), mode="bicubic", align_corners=False)
    return (60 * fine[0, 0].numpy() + 60).astype(np.float32)


MAPS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "hands": hands,
    "wide": lambda generator: hands(generator, sigma=2.5),
    "rough": rough,
    "white": lambda generator: (60 + 60 * generator.standard_normal((128, 128))).astype(np.float32),
}


@pytest.mark.parametrize("kind", sorted(MAPS))
def test_rounds_to_the_end_give_the_greedy_peaks(kind: str) -> None:
    """A property: the parallel search is the sequential one."""
    for seed in range(3):
        heat = MAPS[kind](np.random.default_rng(seed))
        expected = {tuple(peak) for peak in greedy_peaks(heat, 20.0, 5).tolist()}
        found = peak_map(torch.from_numpy(heat)[None], 20.0, 5, rounds=30)[0].nonzero().tolist()
        assert {(x, y) for y, x in found} == expected
        assert len(expected) > 20


def test_each_round_only_adds_greedy_peaks() -> None:
    heat = rough(np.random.default_rng(1))
    expected = {tuple(peak) for peak in greedy_peaks(heat, 20.0, 5).tolist()}
    before: set[tuple[int, int]] = set()
    for rounds in range(1, 6):
        found = {(x, y) for y, x in peak_map(torch.from_numpy(heat)[None], 20.0, 5, rounds)[0].nonzero().tolist()}
        assert before < found <= expected
        before = found


@pytest.mark.parametrize("step", [1.0, 32.0, 255.0])
def test_equal_pixels(step: float) -> None:
    """Maps of few levels, as half precision gives: peaks keep their distance, and nothing high is left."""
    heat = step * np.floor(hands(np.random.default_rng(0), sigma=2.0) / step)
    heat[90:110, 20:50] = 255
    peaks = peak_map(torch.from_numpy(heat.astype(np.float32))[None], 20.0, 5, 16)[0].numpy()
    places = np.argwhere(peaks)
    distance = np.linalg.norm(places[:, None] - places[None], axis=2) + 100 * np.eye(len(places))
    assert len(places) > 20 and distance.min() > 5
    left = np.argwhere(heat > 20)
    assert np.linalg.norm(left[:, None] - places[None], axis=2).min(axis=1).max() <= 5


@pytest.mark.parametrize("radius", [1, 2, 5, 7])
def test_disc_maximum(radius: int) -> None:
    heat = torch.from_numpy(np.random.default_rng(radius).standard_normal((1, 1, 20, 24)).astype(np.float32))
    result = disc_maximum(heat, radius)[0, 0]
    for y in range(20):
        for x in range(24):
            near = [heat[0, 0, v, u] for v in range(20) for u in range(24) if (u - x) ** 2 + (v - y) ** 2 <= radius**2]
            assert result[y, x] == max(near)


def test_slots() -> None:
    """The best peaks come first, those not used stand at the origin; the object's are behind the hands'."""
    generator = np.random.default_rng(0)
    maps = torch.from_numpy(np.stack([np.stack([hands(generator), rough(generator)]), np.zeros((2, 128, 128))]))
    maps = maps.to(torch.float32)
    found = graph_keypoints(maps, 40, 10, PeakSettings())
    used = int(found.valid[0, :40].sum())
    assert 15 < used < 40
    assert found.valid[0, :used].all() and not found.valid[0, used:40].any()
    assert (found.score[0, :used].diff() <= 0).all()
    assert (found.kind[0, :used] == HAND).all() and (found.kind[0, used:40] == PAD).all()
    assert (found.kind[0, 40:] == OBJECT).all() and (found.xy[0, used:40] == 0).all()
    x, y = found.xy[0, 3].to(torch.int64).tolist()
    assert maps[0, 0, y, x] == found.score[0, 3]
    assert not found.valid[1].any() and (found.score[1] == 0).all()
    greedy = greedy_keypoints(maps, 40, 10, PeakSettings())
    assert (greedy.xy[0, :used] == found.xy[0, :used]).all()
    assert (greedy.kind[0, used : used + 10] == OBJECT).all() and not greedy.valid[1].any()


def test_comparison_counts() -> None:
    maps = torch.from_numpy(np.stack([hands(np.random.default_rng(seed)) for seed in range(4)]))[:, None]
    same = compare_peaks(maps, 100)
    assert (same.samples, same.differing, same.only_greedy, same.only_graph) == (4, 0, 0, 0)
    hasty = compare_peaks(maps, 100, settings=PeakSettings(rounds=1))
    assert hasty.differing == 4 and hasty.only_greedy > 4 and hasty.only_graph == 0
    assert hasty.peaks == same.peaks


def test_comparison_of_results() -> None:
    torch.manual_seed(0)
    network = with_peaks(KeypointTransformer(KeypointTransformerConfig(objects=True)).eval())
    image = torch.rand(2, 3, 256, 256)
    peaks, shifts = compare_results(network, image)
    assert peaks.peaks > 10
    if not peaks.differing:
        assert max(shift.largest for shift in shifts.values()) < 1e-4
    hasty, moved = compare_results(network, image, PeakSettings(radius=12, rounds=1))
    assert hasty.differing and moved["joints"].largest > 0
    assert {"joints", "uv", "depth", "hand_translation", "presence", "object_rotation"} <= set(moved)


def test_position_code_tells_places_apart() -> None:
    """First half y, second half x; the nearest pixel's."""
    xy = torch.tensor([[[3.0, 7.0], [3.2, 6.9], [3.0, 8.0], [4.0, 7.0]]])
    code = position_code(xy, 32)[0]
    assert torch.equal(code[0], code[1])
    assert not torch.equal(code[0, :16], code[2, :16]) and torch.equal(code[0, 16:], code[2, 16:])
    assert not torch.equal(code[0, 16:], code[3, 16:]) and torch.equal(code[0, :16], code[3, :16])

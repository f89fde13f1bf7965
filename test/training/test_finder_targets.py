"""What the hand finder learns: hills at the hands' centres, mirrored consistently."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hand_pose_ros.networks.hand_finder import CELLS_X, CELLS_Y, HandFinderNet
from hand_pose_ros.training.fabric import launch
from hand_pose_ros.training.finder_augmentation import FinderAugmentation, clutter
from hand_pose_ros.training.finder_module import FinderModule
from hand_pose_ros.training.finder_targets import BLIND_WEIGHT, finder_batch, finder_loss
from hand_pose_ros.training.optimisation import Schedule

# Nothing but the camera is moved.
MOVED = FinderAugmentation(
    wide=0.0, room=0.0, no_color=0.0, no_depth=0.0, pale=0.0, color_gain=0.0, brightness=0.0, gamma=0.0, noisy=0.0
)


def batch_of_one(center: tuple[float, float, float], slot: int = 0, visible: float = 1.0) -> dict[str, np.ndarray]:
    centers, present = np.zeros((1, 2, 3), np.float32), np.zeros((1, 2), bool)
    seen = np.zeros((1, 2, 21), bool)
    centers[0, slot], present[0, slot] = center, True
    seen[0, slot, : round(21 * visible)] = True
    rng = np.random.default_rng(3)
    return {
        "color": rng.integers(1, 255, (1, 120, 160, 3), dtype=np.uint8),
        "depth": np.full((1, 120, 160), 8000, np.uint16),
        "intrinsics": np.array([[150.0, 150.0, 79.5, 59.5]], np.float32),
        "center": centers,
        "present": present,
        "visible": seen,
    }


@pytest.mark.parametrize("center", [(0.0, 0.0, 0.5), (0.2, -0.1, 0.8), (-0.3, 0.2, 1.2)])
@pytest.mark.parametrize("slot", [0, 1])
def test_the_peak_lies_in_the_cell_of_the_projected_centre(center: tuple[float, float, float], slot: int) -> None:
    batch = finder_batch(batch_of_one(center, slot), np.random.default_rng(0), None)
    u, v = 150 * center[0] / center[2] + 79.5, 150 * center[1] / center[2] + 59.5
    row, column = np.argwhere(batch.heat[0].numpy() == 1.0)[0]
    assert abs(4 * column + 1.5 - u) <= 2.01 and abs(4 * row + 1.5 - v) <= 2.01
    assert set(batch.slot[batch.near].tolist()) == {slot} and batch.seen[0].tolist() == [slot == 0, slot == 1]
    assert batch.depth[0, 0, 0, 0] == pytest.approx(0.8)


def test_a_hidden_hand_is_neither_a_hand_nor_none() -> None:
    batch = finder_batch(batch_of_one((0.0, 0.0, 0.5), visible=0.05), np.random.default_rng(0), None)
    assert batch.heat.max() < 1 and batch.weight.min() == 0 and not batch.near.any()


def test_flipping_swaps_sides_and_mirrors_the_place() -> None:
    always = replace(MOVED, flip=1.0, zoom=(1.0, 1.0), shift=0.0, turn_std=0.0)
    raw = batch_of_one((0.2, 0.1, 0.8))
    batch = finder_batch(raw, np.random.default_rng(0), always)
    plain = finder_batch(raw, np.random.default_rng(0), None)
    assert torch.allclose(batch.centers[0, 1], torch.tensor([-0.2, 0.1, 0.8]))
    assert torch.allclose(batch.heat[0].flip(1), plain.heat[0], atol=1e-4)
    assert set(batch.slot[batch.near].tolist()) == {1}
    assert torch.equal(batch.rgb.flip(3), plain.rgb)


@pytest.mark.parametrize("seed", range(6))
def test_a_hand_s_place_in_the_picture_moves_with_the_camera(seed: int) -> None:
    raw = batch_of_one((0.04, -0.03, 0.8))
    raw["color"][:] = 0
    raw["color"][0, 53:56, 86:89] = 255  # where the centre projects to: (87, 53.9)
    batch = finder_batch(raw, np.random.default_rng(seed), MOVED)
    slot = int(torch.argmax(batch.seen[0].int()))
    x, y, z = batch.centers[0, slot].tolist()
    fx, fy, cx, cy = batch.intrinsics[0].tolist()
    bright = batch.rgb[0].mean(0)
    rows, columns = torch.meshgrid(torch.arange(120.0), torch.arange(160.0), indexing="ij")
    assert bright.max() > 0.5 and z == pytest.approx(0.8)
    assert float((bright * columns).sum() / bright.sum()) == pytest.approx(x / z * fx + cx, abs=0.8)
    assert float((bright * rows).sum() / bright.sum()) == pytest.approx(y / z * fy + cy, abs=0.8)


def test_a_wide_picture_has_bars_and_no_hand_in_them() -> None:
    wide = replace(MOVED, flip=0.0, zoom=(1.0, 1.0), shift=0.0, turn_std=0.0, wide=1.0)
    inside = finder_batch(batch_of_one((0.0, 0.0, 0.8)), np.random.default_rng(0), wide)
    assert not inside.rgb[:, :, :15].any() and not inside.depth[:, :, 105:].any() and inside.rgb[:, :, 15:105].any()
    assert inside.seen.any() and inside.weight.all()
    above = finder_batch(batch_of_one((0.0, -0.28, 0.8)), np.random.default_rng(0), wide)
    assert not above.seen.any() and above.weight.min() == 0


def test_another_room_leaves_the_hand_and_its_surroundings() -> None:
    raw = batch_of_one((0.0, 0.0, 0.6))
    raw["depth"][0, :, 80:], raw["depth"][0, :20], raw["depth"][0, 55:60, 75:80] = 20000, 0, 0
    changed = replace(MOVED, flip=0.0, zoom=(1.0, 1.0), shift=0.0, turn_std=0.0, room=1.0)
    batch = finder_batch(raw, np.random.default_rng(0), changed)
    same = (batch.rgb == finder_batch(raw, np.random.default_rng(0), None).rgb).all(1)[0]
    assert same[20:, :80].all() and same[:20].float().mean() < 0.1 and same[:, 80:].float().mean() < 0.1


def test_one_sense_is_left_and_equal_seeds_vary_equally() -> None:
    raw = {name: np.repeat(array, 64, axis=0) for name, array in batch_of_one((0.0, 0.0, 0.8)).items()}
    halves = FinderAugmentation(no_color=0.5, no_depth=0.5)
    batch, again = (finder_batch(raw, np.random.default_rng(5), halves) for _ in range(2))
    color, depth = (image.flatten(1).any(dim=1) for image in (batch.rgb, batch.depth))
    assert (color ^ depth).all() and color.any() and depth.any()
    assert torch.equal(batch.rgb, again.rgb) and torch.equal(batch.depth, again.depth)
    assert clutter(np.random.default_rng(1), 60, 80).std() > 5


def test_colour_is_taken_away_and_brightness_stays() -> None:
    pale = replace(MOVED, flip=0.0, zoom=(1.0, 1.0), shift=0.0, turn_std=0.0, pale=1.0)
    plain = finder_batch(batch_of_one((0.0, 0.0, 0.8)), np.random.default_rng(0), None).rgb
    for seed in range(3):
        varied = finder_batch(batch_of_one((0.0, 0.0, 0.8)), np.random.default_rng(seed), pale).rgb
        assert float(varied.std(dim=1).mean()) < 0.95 * float(plain.std(dim=1).mean())
        assert float((varied - plain).mean(dim=1).abs().max()) < 0.02


def test_a_distance_that_cannot_be_seen_counts_less() -> None:
    batch = finder_batch(batch_of_one((0.1, 0.0, 0.6)), np.random.default_rng(0), None)
    output = HandFinderNet().eval()(batch.rgb, batch.depth, batch.intrinsics)
    output = output._replace(center=output.center.detach())
    known = finder_loss(output, batch)["center_m"]
    blind = finder_loss(output, batch._replace(depth=torch.zeros_like(batch.depth)))["center_m"]
    assert float(blind) == pytest.approx(BLIND_WEIGHT * float(known), rel=1e-5)


def test_a_perfect_answer_costs_next_to_nothing_and_learning_moves_towards_it() -> None:
    torch.manual_seed(0)
    batch = finder_batch(batch_of_one((0.1, 0.0, 0.6)), np.random.default_rng(0), None)
    net = HandFinderNet().train()
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        output = net(batch.rgb, batch.depth, batch.intrinsics)
        assert output.center.shape == (1, 3, CELLS_Y, CELLS_X)
        terms = finder_loss(output, batch)
        total = terms["heat"] + terms["side"] + 10 * terms["center_m"]
        losses.append(float(total.detach()))
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    assert losses[-1] < 0.6 * losses[0]
    sure = output._replace(
        hand=(batch.heat == 1.0) * 40.0 - 20.0,
        right=(batch.slot == 0) * 40.0 - 20.0,
        center=batch.centers[0, 0].view(1, 3, 1, 1).expand_as(output.center),
    )
    assert all(float(term) < 1e-5 for term in finder_loss(sure, batch).values())


def test_half_precision_changes_the_finder_s_loss_little_and_none_of_what_is_measured() -> None:
    torch.manual_seed(0)
    exact = FinderModule(Schedule(steps=10))
    mixed = FinderModule(Schedule(steps=10))
    mixed.start_from(exact.network.state_dict())
    batch = finder_batch(batch_of_one((0.1, 0.0, 0.6)), np.random.default_rng(0), None)
    terms = exact(batch)
    near = launch("cpu", "bf16-mixed", leaves_out=False).setup(mixed)(batch)
    assert all(value.dtype == torch.float32 for value in near.values())
    assert near["total"].item() == pytest.approx(terms["total"].item(), rel=0.05)
    assert near["total"].item() != terms["total"].item()
    assert mixed.evaluate(batch) == exact.evaluate(batch)

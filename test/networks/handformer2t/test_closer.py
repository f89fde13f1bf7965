"""A closer look: windows are turned, mirrored and scaled with the hand, and what is found comes back to the crop."""

from __future__ import annotations

import dataclasses
import math

import pytest

torch = pytest.importorskip("torch")

from handformer2t_toys import TINY_WIDTHS, tiny  # noqa: E402

from hand_pose_ros.networks.handformer2t import Handformer2T, Handformer2TConfig  # noqa: E402
from hand_pose_ros.networks.handformer2t.closer import MARGIN, look_through, windows_of, wrist_gap  # noqa: E402
from hand_pose_ros.skeleton import MCPS, WRIST  # noqa: E402

PLACED = {"maps": True, "order": "place", "delta": True, "presence": True, "relative_depth": True}
WIDTHS = dataclasses.replace(TINY_WIDTHS, decoder=(16, 16, 16))


def config(**changes: object) -> Handformer2TConfig:
    return tiny(**{**PLACED, "widths": WIDTHS, "closer": True, **changes})


def hands(count: int = 2) -> torch.Tensor:
    return 0.15 * torch.randn(count, 2, 21, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("mirrored", [1.0, -1.0])
def test_there_and_back(mirrored: float) -> None:
    places = hands()
    windows = windows_of(places, torch.full((2, 2), mirrored))
    torch.testing.assert_close(windows.to_crop(windows.to_window(places)), places)
    inside = windows.to_window(places)
    torch.testing.assert_close(inside.abs().amax(dim=(2, 3)), torch.full((2, 2), 0.5 / MARGIN))


@pytest.mark.parametrize("angle", [0.0, 1.0, 3.0])
def test_all_turns_and_mirror_images_of_a_hand_look_alike(angle: float) -> None:
    places = hands()
    cos, sin = math.cos(angle), math.sin(angle)
    turned = places @ torch.tensor([[cos, sin], [-sin, cos]]) * 0.5 + 0.1
    flipped = turned * torch.tensor([-1.0, 1.0])
    straight = torch.ones(2, 2)
    upright = windows_of(places, straight).to_window(places)
    torch.testing.assert_close(windows_of(turned, straight).to_window(turned), upright, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(windows_of(flipped, -straight).to_window(flipped), upright, atol=1e-3, rtol=1e-3)
    palm = upright[:, :, list(MCPS)].mean(dim=2) - upright[:, :, WRIST]
    assert (palm[..., 1] < 0).all() and (palm[..., 0].abs() < 0.01).all(), "fingers are above the wrist"


def test_windows_show_what_is_there() -> None:
    """A ramp of colours, read at the places of the window's pixels; depths about the hand's own."""
    size = 64
    line = (torch.arange(size) + 0.5) / size - 0.5
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    image = torch.stack((columns, rows, rows, 1.0 + 0.5 * columns, torch.ones_like(rows)))[None]
    places = 0.3 * hands(1)
    windows = windows_of(places, torch.tensor([[1.0, -1.0]]))
    seen = look_through(image, windows, places, 32)
    own = ((torch.arange(32) + 0.5) / 32 - 0.5).tolist()
    for k in range(2):
        for row, column in ((4, 9), (20, 28)):
            place = windows.to_crop(torch.tensor([own[column], own[row]]).expand(1, 2, 1, 2))[0, k, 0]
            torch.testing.assert_close(seen[0, k, :2, row, column], place, atol=1e-3, rtol=1e-3)
            mean = 0.5 * places[0, k, :, 0].mean()
            assert seen[0, k, 3, row, column] == pytest.approx(2 * float(0.5 * place[0] - mean), abs=0.02)
    assert (seen[:, :, 4] > 0.99).all()


@pytest.mark.parametrize("depth", [False, True])
def test_the_last_stage_is_the_closer_looks(depth: bool) -> None:
    torch.manual_seed(0)
    network = Handformer2T(config(depth=depth))
    side = network.config.picture
    image = torch.rand(3, 3, side, side)
    assert network.train()(image).poses.shape[0] == network.config.stages
    with torch.no_grad():
        output = network.eval()(image)
        poses, _, sides = network.closer(network.seen(image), output.poses[-2])
    assert output.poses.shape == (network.config.stages + 1, 3, 2, 21, 3) and (output.scales > 0).all()
    torch.testing.assert_close(output.side_logits, sides)
    for n in range(3):
        # One is taken for a right hand, the other for a left one.
        ways = [
            torch.equal(output.poses[-1, n, hand], poses[n, hand, way])
            for hand, way in ((0, 0), (0, 1), (1, 0), (1, 1))
        ]
        assert ways in ([True, False, False, True], [False, True, True, False])


def test_it_needs_hands_by_place() -> None:
    for changes in ({"order": "side"}, {"maps": False}, {"widths": TINY_WIDTHS}):
        with pytest.raises(ValueError, match="closer"):
            config(**changes)


def test_wrists_lie_behind_each_other_as_the_depth_image_says() -> None:
    """A third of the joints behind something nearer; without readings nothing is said."""
    size, gap = 64, 0.09
    poses = torch.cat((0.5 * hands(1), 0.05 * torch.randn(1, 2, 21, 1, generator=torch.Generator().manual_seed(1))), -1)
    poses[:, 0, :, 0] -= 0.25
    poses[:, 1, :, 0] += 0.25
    image = torch.zeros(1, 5, size, size)
    for hand in range(2):
        for joint, (x, y, depth) in enumerate(poses[0, hand].tolist()):
            row, column = math.floor((y + 0.5) * size), math.floor((x + 0.5) * size)
            metres = 0.05 + hand * gap + 0.4 * depth - (0.15 if joint % 3 == 0 else 0.0)
            image[0, 3:, row, column] = torch.tensor([metres / 0.15, 1.0])
    found, known = wrist_gap(image, poses)
    assert known.all() and 0.4 * float(found) == pytest.approx(gap, abs=0.01)
    assert not wrist_gap(torch.zeros_like(image), poses)[1].any()

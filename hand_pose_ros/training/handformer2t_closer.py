"""Training of Handformer2T's closer look alone: `hand_pose train handformer2t --placed --closer-only`.

Its windows are laid about true joints that are as wrong as those found are, so that it needs nothing of what comes
before it; both can learn at once, on two machines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hand_pose_ros.networks.handformer2t import Handformer2T
from hand_pose_ros.networks.handformer2t.closer import CloserLook, Look, look_through, windows_of
from hand_pose_ros.networks.handformer2t.config import DEPTH_RANGE, HANDS
from hand_pose_ros.networks.handformer2t.decode import Decoded
from hand_pose_ros.networks.handformer2t.maps import turn
from hand_pose_ros.skeleton import NUM_JOINTS
from hand_pose_ros.training.encoder_start import take_over
from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.training.handformer2t_losses import rle, valid_mean
from hand_pose_ros.training.handformer2t_maps import map_loss, seen_at
from hand_pose_ros.training.handformer2t_module import Handformer2TModule, mean_of, measured, targets_of
from hand_pose_ros.training.optimisation import Measured
from hand_pose_ros.training.scene_crops import SceneBatch

CLOSER: Final = ("closer.",)
# How wrong the poses are that windows are laid about: angle (radians), logarithm of the size, and of the hand's extent
# its place, and each joint's. A sixth are thrice as wrong, but for the size. Measured on the poses found before the
# closer look: means of many possible places, they are too small (-0.29 with a deviation of 0.27).
_TURNED, _SCALED, _MOVED, _SCATTERED = 0.2, 0.25, 0.05, 0.04
_SMALLER: Final = -0.2
_FAR_OFF: Final = (1 / 6, 3.0)
# Windows that show a hand as one of the other side.
_OTHER_SIDE: Final = 0.25
SIDES: Final = (1.0, -1.0)


class Shown(NamedTuple):
    """N windows: seen (N, C, s, s), truth (N, 21, 3) in them, right (N,) whether a hand is shown as a right one."""

    seen: Tensor
    truth: Tensor
    right: Tensor


class CloserModule(Handformer2TModule):
    """Only the losses of `CloserLook`. The network must have one."""

    monitor = "mpjpe_mm"
    leaves_out = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if cast(Handformer2T, self.network).closer is None:
            raise TrainingError("expected a network with a closer look, got one without (closer=False)")

    def heavy_parts(self) -> Sequence[nn.Module]:
        """Its encoder, decoder and maps."""
        closer = _closer(self.network)
        return [closer.encoder, closer.decoder, closer.maps]

    def hidden_parts(self) -> Sequence[nn.Module]:
        """Its encoder and decoder."""
        closer = _closer(self.network)
        return [closer.encoder, closer.decoder]

    def loss(self, batch: SceneBatch) -> dict[str, Tensor]:
        """Its terms."""
        network = cast(Handformer2T, self.network)
        with torch.no_grad():
            shown = self._shown(network, batch)
        terms = self._closer_terms(_closer(network).look(shown.seen), shown)
        return {**terms, "total": torch.stack(list(terms.values())).sum()}

    def _shown(self, network: Handformer2T, batch: SceneBatch) -> Shown:
        """Windows about the hands of a batch of which every joint is known."""
        poses, whole = whole_hands(batch, self.crop)
        wrong = disturbed(poses[..., :2])
        right = torch.rand(whole.shape, device=poses.device) >= _OTHER_SIDE
        sides = poses.new_tensor(SIDES).expand_as(whole)
        windows = windows_of(wrong, torch.where(right, sides, -sides))
        seen = look_through(network.seen(batch.rgb, batch.relief), windows, wrong, _closer(network).size)
        truth = torch.cat((windows.to_window(poses[..., :2]), poses[..., 2:]), dim=-1)
        return Shown(seen[whole], truth[whole], right[whole])

    def _closer_terms(self, found: Look, shown: Shown) -> dict[str, Tensor]:
        config, truth, right = self.losses.config, shown.truth, shown.right
        # What is shown as a hand of the other side teaches which side that is, nothing else.
        known = right[:, None].expand(-1, NUM_JOINTS)
        inside = (truth[..., :2].abs() < 0.5).all(dim=-1)
        size = _closer(self.network).size
        error = (found.pose - truth).abs().mean(dim=-1)
        turned = turn(truth) * torch.where(right, 1.0, -1.0)
        palm = (seen_at(found.palms, truth[..., :2]) - turned[:, None]).square()
        return {
            "maps": config.maps * map_loss(found.logits, (truth[..., :2] + 0.5) * size - 0.5, known, size),
            "direct": config.direct * valid_mean(error, known),
            "rle": valid_mean(rle(found.pose, found.scale, truth, known.float(), None, "laplace"), known),
            "map_depths": config.map_depths
            * valid_mean((seen_at(found.depths, truth[..., :2]) - truth[..., 2]).abs(), known & inside),
            "palms": config.facing * valid_mean(palm, inside),
            "facing": config.facing * (found.facing - turned).square().mean(),
            "side": config.side * functional.binary_cross_entropy_with_logits(found.side, right.float()),
        }

    @torch.no_grad()
    def evaluate(self, batch: SceneBatch) -> dict[str, Measured]:
        """Of the averaged network: MPJPE in mm of all hands, of single and of paired ones, each shown as of its side,
        wrists at their true depth; the error in pixels of the crop; how many sides are told right."""
        network = cast(Handformer2T, self.average.network)
        poses, whole = whole_hands(batch, self.crop)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            wrong = torch.cat((disturbed(poses[..., :2]), poses[..., 2:]), dim=-1)
        found, _, sides = _closer(network)(network.seen(batch.rgb, batch.relief), wrong)
        own = torch.stack((found[:, 0, 0], found[:, 1, 1]), dim=1)
        right = (sides > 0) == (sides.new_tensor(SIDES) > 0)
        return {**measured_hands(own, batch, whole, self.crop), "side": mean_of(right.float(), whole)}


def measured_hands(poses: Tensor, batch: SceneBatch, counted: Tensor, crop: int) -> dict[str, Measured]:
    """`measured` of poses (B, 2, 21, 3) of crops of this side alone; counted by hand (B, 2), with all its joints."""
    unknown = torch.zeros_like(poses[..., 0])
    told = Decoded(
        uv=(poses[..., :2] + 0.5) * crop - 0.5,
        depth=DEPTH_RANGE * poses[..., 2],
        uv_std=unknown,
        depth_std=unknown,
        presence=None,
        wrist_depth=None,
    )
    values = measured(told, batch._replace(valid=counted[..., None].expand_as(batch.valid)))
    return {name: (value, count / NUM_JOINTS) for name, (value, count) in values.items()}


def whole_hands(batch: SceneBatch, crop: int) -> tuple[Tensor, Tensor]:
    """True poses (B, 2, 21, 3), 0 where a joint is not known, and of which hands every joint is (B, 2)."""
    targets = targets_of(batch, crop)
    whole = targets.joint_valid.bool().all(dim=-1)
    return torch.where(whole[..., None, None], targets.poses, 0.0), whole


def disturbed(places: Tensor) -> Tensor:
    """Joints (B, 2, 21, 2) of hands as they may have been found: turned, scaled, moved and scattered."""
    batch = places.shape[:2]
    middle = places.mean(dim=2, keepdim=True)
    extent = (places.amax(dim=2) - places.amin(dim=2)).amax(dim=-1)[..., None, None]
    share, factor = _FAR_OFF
    much = torch.where(torch.rand((*batch, 1, 1), device=places.device) < share, factor, 1.0)
    angle, size, move, scatter = (
        torch.randn((*batch, *shape), device=places.device) for shape in ((1, 1), (1, 1), (1, 2), (NUM_JOINTS, 2))
    )
    cos, sin = torch.cos(_TURNED * much * angle), torch.sin(_TURNED * much * angle)
    x, y = (places - middle).split_with_sizes((1, 1), dim=-1)
    turned = torch.cat((cos * x - sin * y, sin * x + cos * y), dim=-1)
    moved = extent * much * (_MOVED * move + _SCATTERED * scatter)
    return middle + turned * torch.exp(_SMALLER + _SCALED * size) + moved


def begin_closer(network: Handformer2T) -> None:
    """Let the closer look begin as the network's own encoder, decoder and maps of the first hand."""
    closer = _closer(network)
    own = network.state_dict()
    begun = {f"closer.encoder.{name}": value for name, value in _part(own, "backbone.")}
    begun |= {f"closer.decoder.{name}": value for name, value in _part(own, "decoder.")}
    take_over(network, begun, ("closer.encoder.", "closer.decoder."))
    joints, hands = NUM_JOINTS, HANDS * NUM_JOINTS
    with torch.no_grad():
        for kind in ("weight", "bias"):
            maps, mine = own[f"maps.maps.output.{kind}"], getattr(closer.maps, kind)
            mine[:joints], mine[joints : 2 * joints] = maps[:joints], maps[hands : hands + joints]
            mine[3 * joints :] = maps[2 * hands :]


def take_closer(network: Handformer2T, weights: Mapping[str, Tensor]) -> None:
    """Put the closer look of other weights into a network.

    Raises:
        TrainingError: it has none, or another; the text lists what differs.
    """
    take_over(network, weights, CLOSER)


def _part(state: Mapping[str, Tensor], prefix: str) -> list[tuple[str, Tensor]]:
    return [(name.removeprefix(prefix), value) for name, value in state.items() if name.startswith(prefix)]


def _closer(network: nn.Module) -> CloserLook:
    closer = cast(Handformer2T, network).closer
    assert closer is not None  # the constructor saw to it
    return closer

"""Trains and measures the rows of Handformer2T's claims on what a frozen encoder saw; keeps what is done."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hand_pose_ros.networks.handformer2t import Handformer2T, Handformer2TConfig
from hand_pose_ros.networks.handformer2t.config import DEPTH_RANGE, PRESETS
from hand_pose_ros.networks.handformer2t.decode import Decoded
from hand_pose_ros.training.handformer2t_losses import Handformer2TLoss, Handformer2TLossConfig
from hand_pose_ros.training.handformer2t_module import joint_errors, targets_of
from hand_pose_ros.training.handformer2t_options import PLACED_WIDTHS, PLANS, assembled
from hand_pose_ros.training.handformer2t_order import Ordered, by_place
from hand_pose_ros.training.handformer2t_weights import learnt_by
from hand_pose_ros.training.optimisation import Schedule
from hand_pose_ros.training.scene_crops import VALIDATION, SceneAugmentation, SceneBatch
from hand_pose_ros.training.shards import ShardStream
from hand_pose_ros.types import DoubleArray

# As the shipped encoder sees its crops.
CROP: Final = 64
_BATCH: Final = 32
_log = logging.getLogger(__name__)
Levels = tuple[Tensor, Tensor, Tensor]  # strides 8, 16, 32


@dataclass(frozen=True)
class Row:
    """One network: what differs from the paper's, and the weight of MMD."""

    key: str
    title: str
    network: Mapping[str, Any] = field(default_factory=dict)
    mmd: float = 10.0

    def config(self) -> Handformer2TConfig:
        """Two tokens, three stages, absolute poses, patches of random channels, as published, but by place, and with
        our variant's encoder, which reads depth too."""
        changes = {**PLACED_WIDTHS["lite"], "decoder": None, "crop": CROP}
        widths = dataclasses.replace(PRESETS["lite"], **changes)
        fields = {"widths": widths, "order": "place", "presence": True, "depth": True, **self.network}
        return Handformer2TConfig(**fields)


BASE: Final = Row("base", "two hand tokens, patches, MMD")
ROWS: Final = (
    BASE,
    Row("no-mmd", "without MMD", mmd=0.0),
    Row("no-patches", "without keypoint-guided features", {"keypoint_features": False}),
    Row("joint-tokens", "42 joint tokens", {"tokens": "joint"}),
)


@dataclass(frozen=True)
class Budget:
    """scenes: crops for training (fewer stored ones are varied anew); test: scenes measured on; samples: of a row."""

    scenes: int = 65_536
    test: int = 1024
    samples: int = 491_520
    learning_rate: float = 1e-3


class Seen(NamedTuple):
    """What the frozen encoder made of crops, in half precision, and their truth."""

    levels: Levels
    crops: SceneBatch

    def batch(self, chosen: Tensor) -> tuple[Levels, SceneBatch]:
        """Some of them, in single precision."""
        deep = [level[chosen].float() for level in self.levels]
        crops = SceneBatch(**{name: v[chosen] for name, v in self.crops._asdict().items() if v is not None})
        return (deep[0], deep[1], deep[2]), crops


@torch.no_grad()
def seen(encoder: Handformer2T, folder: Path, count: int, augmentation: SceneAugmentation) -> Seen:
    """Run the encoder over the first crops of shards."""
    stream = ShardStream(folder, _BATCH, 0)
    assemble = assembled(augmentation, CROP, depth=True)
    levels: list[list[Tensor]] = [[], [], []]
    crops = []
    for number, arrays in stream.batches():
        if number * _BATCH >= count:
            break
        batch = assemble(arrays, np.random.default_rng((0, number)))
        for kept, level in zip(levels, encoder.levels(batch.rgb, batch.relief)[1:], strict=True):
            kept.append(level.half())
        crops.append(batch._replace(rgb=torch.zeros(len(batch.rgb), 0), relief=None, view=None))
    first, second, third = (torch.cat(kept) for kept in levels)
    names = [name for name, value in crops[0]._asdict().items() if value is not None]
    every = SceneBatch(**{name: torch.cat([getattr(batch, name) for batch in crops]) for name in names})
    return Seen((first, second, third), every)


@dataclass(frozen=True)
class Bench:
    """weights: whose encoder all rows share (.onnx, .ckpt or .pt of the size lite); training, test: shards of scenes;
    out: of the results."""

    weights: Path
    training: Path
    test: Path
    out: Path
    budget: Budget

    @cached_property
    def encoder(self) -> dict[str, Tensor]:
        """The weights of the encoder that all rows share."""
        part = "backbone."
        learnt = learnt_by(self.weights)
        return {name.removeprefix(part): w.float() for name, w in learnt.items() if name.startswith(part)}

    def has(self, row: Row, seed: int) -> bool:
        """Whether the row's result is kept."""
        return self._kept(row, seed).exists()

    def result(self, row: Row, seed: int, data: tuple[Seen, Seen] | None) -> dict[str, Any]:
        """EPE of each test scene and stage in mm under "errors" (stages, scenes), the mean of the last stage on as many
        training scenes under "training", and "seconds".

        Raises:
            ValueError: the result is not kept, and there are no data to train on.
        """
        kept = self._kept(row, seed)
        if not kept.exists():
            if data is None:
                raise ValueError(f"{row.key}, seed {seed}: not trained yet; leave out --report")
            start = time.process_time()
            network = self._trained(row, seed, data[0])
            errors = _errors(network, data[1], self.budget.test)
            learnt = float(np.nanmean(_errors(network, data[0], self.budget.test)[-1]))
            found = {"seconds": time.process_time() - start, "errors": errors.tolist(), "training": learnt}
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(found) + "\n", encoding="utf-8")
            _log.info("%s, seed %d: %s mm, %.0f s", row.title, seed, np.nanmean(errors, axis=1), found["seconds"])
        result: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return {**result, "errors": np.array(result["errors"])}

    def data(self) -> tuple[Seen, Seen]:
        """Training and test crops as the encoder sees them."""
        encoder = self._network(BASE)
        size = self.budget
        return (
            seen(encoder, self.training, size.scenes, PLANS["ours"].training),
            seen(encoder, self.test, size.test, VALIDATION),
        )

    def _kept(self, row: Row, seed: int) -> Path:
        about = {"budget": dataclasses.asdict(self.budget), "network": dataclasses.asdict(row.config())}
        weights = hashlib.sha256(self.weights.read_bytes()).hexdigest()
        name = hashlib.sha256(json.dumps((about, row.mmd, weights), sort_keys=True).encode()).hexdigest()[:12]
        return self.out / f"{row.key}-seed{seed}-{name}.json"

    def _network(self, row: Row) -> Handformer2T:
        network = Handformer2T(row.config()).eval()
        network.backbone.load_state_dict(self.encoder)
        return network

    def _trained(self, row: Row, seed: int, data: Seen) -> Handformer2T:
        torch.manual_seed(seed)
        network = self._network(row)
        network.backbone.requires_grad_(False)
        rules = Handformer2TLossConfig(rle_form="laplace", direct=10.0, mmd=row.mmd)
        losses = Handformer2TLoss(network.config.stages, rules)
        steps = self.budget.samples // _BATCH
        schedule = Schedule(steps, self.budget.learning_rate, warmup=min(100, steps // 10), decay_part=0.5)
        parameters = [p for p in network.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=schedule.learning_rate, weight_decay=0.01, fused=True)
        rng = np.random.default_rng(seed)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = schedule.learning_rate * schedule.factor(step)
            chosen = torch.from_numpy(rng.choice(len(data.crops.uv), _BATCH, replace=False))
            levels, crops = data.batch(chosen)
            output, ordered = _read(network, levels, crops)
            terms = losses(output, ordered.targets, step / steps, ordered.sides)
            optimizer.zero_grad(set_to_none=True)
            terms["total"].backward()
            optimizer.step()
        return network.eval()


def _read(network: Handformer2T, levels: Levels, crops: SceneBatch) -> tuple[Any, Ordered]:
    output = network.read((levels[0], *levels))  # the shallowest level is read by none of the stages
    return output, by_place(targets_of(crops, CROP), crops.uv, output.poses[-1])


@torch.no_grad()
def _errors(network: Handformer2T, data: Seen, count: int) -> DoubleArray:
    """(stages, scenes) mean error in mm from the hands' own wrists, in the order of the network; NaN without a hand."""
    found = []
    for chosen in torch.split(torch.arange(min(count, len(data.crops.uv))), _BATCH):  # type: ignore[no-untyped-call]
        levels, crops = data.batch(chosen)
        output, ordered = _read(network, levels, crops)
        exchange = ordered.swapped[:, None, None, None]
        truth = crops._replace(uv=ordered.uv, joints=torch.where(exchange, crops.joints.flip(1), crops.joints))
        known = ordered.targets.joint_valid > 0
        stages = [joint_errors(_decoded(pose), truth) for pose in output.poses]
        found.append([torch.where(known, 1e3 * e, 0.0).sum(dim=(1, 2)) / known.sum(dim=(1, 2)) for e in stages])
    return np.stack([np.concatenate([part[k].numpy() for part in found]) for k in range(network.config.stages)])


def _decoded(pose: Tensor) -> Decoded:
    nothing = torch.zeros_like(pose[..., 0])
    return Decoded((pose[..., :2] + 0.5) * CROP - 0.5, DEPTH_RANGE * pose[..., 2], nothing, nothing, None, None)

"""Training of the judge that tells left from right by two looks (`hand_pose_ros.pipeline.sides.SideJudge`)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hand_pose_ros import __version__
from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.engines.factory import create_engine
from hand_pose_ros.engines.zoo import find_model
from hand_pose_ros.pipeline.estimator import KeypointFusionEstimator
from hand_pose_ros.pipeline.side_features import PAIR_FEATURES, pair_features
from hand_pose_ros.pipeline.sides import SideJudge, judge_path
from hand_pose_ros.training.deploy import write_card
from hand_pose_ros.training.shards import refuse_same
from hand_pose_ros.training.side_looks import Looks, collect_looks

MAX_DEPTH: Final = 20.0
_NETWORKS: Final = 3
_HIDDEN: Final = (96, 64)
_STEPS: Final = 1000
_BATCH: Final = 256
_RATE: Final = 3e-3
_WEIGHT_DECAY: Final = 0.5
# Standard deviations of a feature that are added as noise: some 8,000 looks are few for as many weights.
_NOISE: Final = 0.5
_DROPOUT: Final = (0.1, 0.4)
_SHARPNESS: Final = tuple(float(value) for value in np.geomspace(0.05, 5.0, 200))


@dataclass(frozen=True)
class SideSettings:
    """A training of the judge.

    Attributes:
        data, validation: folders of crop shards.
        network: name or file of the pose network whose looks are to be judged.
        out: folder of weights and card; the pipeline finds them beside the network's file.
        samples: hands of `data` to look at.
        minutes: how long to look at them at most; 0: until all have been seen.
        seed: of the choice of hands, their displacements and the training.
        threads: of the engine.
        command: what the card says of how it was made.
    """

    data: tuple[Path, ...]
    validation: Path
    network: str
    out: Path
    samples: int = 8000
    minutes: float = 0.0
    seed: int = 0
    threads: int = 1
    command: str = "hand_pose train hand_sides"


def run_sides(settings: SideSettings) -> tuple[Path, dict[str, str]]:
    """Look, train, calibrate on one half of the validation hands and measure on the other; writes weights and card.

    Returns:
        The file of the weights, and what the card says.

    Raises:
        TrainingError: no shards, or no hand seen in them.
        EngineError: the pose network cannot be loaded.
    """
    refuse_same(settings.data, settings.validation)
    model = find_model(settings.network)
    config = PipelineConfig(max_depth=MAX_DEPTH)
    estimator = KeypointFusionEstimator(create_engine(model, config.engine, settings.threads), config)
    check = collect_looks([settings.validation], estimator, settings.samples, settings.seed + 1, text="validation")
    looks = collect_looks(settings.data, estimator, settings.samples, settings.seed, settings.minutes)
    half = len(check.std) // 2
    judge = calibrated(train_judge(looks, settings.seed), part(check, slice(None, half)))
    about = {
        "what": f"tells left from right by two looks of {model.stem}, and belongs to no other network",
        "data": f"{len(looks.std)} hands of {', '.join(folder.name for folder in settings.data)}",
        "command": settings.command,
        "version": __version__,
        **figures(judge, part(check, slice(half, None))),
    }
    path = settings.out / judge_path(model).name
    judge.save(path, model)
    write_card(path, about)
    return path, about


def part(looks: Looks, which: slice) -> Looks:
    """Some of the looks."""
    return Looks(looks.joints[which], looks.std[which])


def train_judge(looks: Looks, seed: int = 0, steps: int = _STEPS) -> SideJudge:
    """A judge with sharpness 1 learnt on looks whose first one has the side right."""
    pairs, swapped = _features(looks)
    both = np.concatenate([pairs, swapped])
    mean, scale = both.mean(axis=0), np.maximum(both.std(axis=0), 1e-3)
    right, wrong = (torch.from_numpy((array - mean) / scale) for array in (pairs, swapped))
    layers = [_train_network(right, wrong, seed + number, steps) for number in range(_NETWORKS)]
    weights1, bias1, weights2, bias2, weights3 = (np.stack(arrays) for arrays in zip(*layers, strict=True))
    return SideJudge(mean, scale, weights1, bias1, weights2, bias2, weights3, sharpness=1.0)


def calibrated(judge: SideJudge, looks: Looks) -> SideJudge:
    """The judge with the sharpness under which these looks' sides are most likely."""
    odds = judge.log_odds(looks.joints, looks.std).astype(np.float64) / judge.sharpness
    loss = [float(np.logaddexp(0.0, -sharpness * odds).mean()) for sharpness in _SHARPNESS]
    values = {**vars(judge), "sharpness": _SHARPNESS[int(np.argmin(loss))]}
    return SideJudge(**values)


def figures(judge: SideJudge, looks: Looks) -> dict[str, str]:
    """How often and how surely the judge is right, as it stands on the card; the deviations alone beside it."""
    odds = judge.log_odds(looks.joints, looks.std).astype(np.float64)
    certain = looks.std.mean(axis=2)
    sure = odds[np.abs(odds) > math.log(9)]
    chance = 1 / (1 + np.exp(-np.abs(odds)))
    return {
        "validation_hands": str(len(odds)),
        "side right": f"{(odds > 0).mean():.3f} (by the deviations alone {(certain[:, 0] < certain[:, 1]).mean():.3f})",
        "mean of its own chance to be right": f"{chance.mean():.3f}",
        "side right where that is above 0.9": f"{(sure > 0).sum()} of {len(sure)} hands",
        "cross entropy": f"{np.logaddexp(0.0, -odds).mean():.3f} (chance: 0.693)",
    }


def _features(looks: Looks) -> tuple[np.ndarray, np.ndarray]:
    """Features as seen from the right looks and from the wrong ones."""
    swapped = [np.ascontiguousarray(array[:, ::-1]) for array in looks]
    return pair_features(*looks), pair_features(*swapped)


def _train_network(right: Tensor, wrong: Tensor, seed: int, steps: int) -> list[np.ndarray]:
    """First and second layers' weights and biases, and the last weights, (in, out) each, of one network."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network()
        optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _falling(steps))
        for _ in range(steps):
            chosen = torch.randint(len(right), (_BATCH,), generator=generator)
            inputs = torch.cat([right[chosen], wrong[chosen]])
            answers = network(inputs + _NOISE * torch.randn(inputs.shape, generator=generator))[:, 0]
            loss = functional.softplus(answers[_BATCH:] - answers[:_BATCH]).mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    first, second, last = (layer for layer in network if isinstance(layer, nn.Linear))
    arrays = (first.weight.T, first.bias, second.weight.T, second.bias, last.weight[0])
    return [np.ascontiguousarray(array.detach().numpy()) for array in arrays]


def _network() -> nn.Sequential:
    hidden, second = _HIDDEN
    return nn.Sequential(
        nn.Dropout(_DROPOUT[0]),
        nn.Linear(PAIR_FEATURES, hidden),
        nn.ReLU(),
        nn.Dropout(_DROPOUT[1]),
        nn.Linear(hidden, second),
        nn.ReLU(),
        nn.Dropout(_DROPOUT[1]),
        # Without a bias: the difference of two answers would cancel it.
        nn.Linear(second, 1, bias=False),
    )


def _falling(steps: int) -> Callable[[int], float]:
    return lambda step: min(1.0, (step + 1) / 50) * (1 - step / steps)

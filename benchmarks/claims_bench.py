"""Trains and measures the rows of Keypoint Transformer's claims on what a frozen image part saw; keeps what is done."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.claims_points import BATCH, FALSE_PART, Remembered, Tokenised, remembered, tokens
from benchmarks.claims_rows import NARROW, Row
from hand_pose_ros.networks.keypoint_transformer import KeypointTransformer, KeypointTransformerOutput
from hand_pose_ros.networks.keypoint_transformer.decode import decode
from hand_pose_ros.networks.keypoint_transformer.model import ImageFeatures
from hand_pose_ros.training.keypoint_transformer_figures import scene_figures
from hand_pose_ros.training.keypoint_transformer_losses import (
    PUBLISHED_WEIGHTS,
    KeypointTransformerLossConfig,
    keypoint_transformer_loss,
)
from hand_pose_ros.training.keypoint_transformer_module import KeypointTransformerModule
from hand_pose_ros.training.keypoint_transformer_targets import scene_targets
from hand_pose_ros.training.optimisation import Measured, Schedule
from hand_pose_ros.training.run import Data, RunSettings, train
from hand_pose_ros.training.shards import ShardStream

# Parts of the true keypoints that are added as false ones in the test (Fig. 8).
INJECTED: Final = (0.0, 0.15, 0.5, 1.0)
_FALSE_SEED: Final = 5_000_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Budget:
    """scenes: distinct ones for training; test: scenes measured on; samples: of each row."""

    scenes: int = 32_768
    test: int = 1024
    samples: int = 131_072
    batch_size: int = 32
    learning_rate: float = 2e-3
    average: float = 0.99


class ClaimsModule(KeypointTransformerModule):
    """A row's transformer on remembered features."""

    def __init__(self, row: Row, crop: int, schedule: Schedule, average: float) -> None:
        weights = {**PUBLISHED_WEIGHTS, "heat_map": 0.0, "identity": 5.0 if row.association else 0.0}
        config = row.network(NARROW, crop)
        super().__init__(config, schedule, KeypointTransformerLossConfig(weights), decay=average)
        self.row = row
        for network in (self.transformer, cast(KeypointTransformer, self.average.network)):
            network.backbone, network.decoder = nn.Identity(), nn.Identity()  # type: ignore[assignment]

    def look(self, network: KeypointTransformer, batch: Remembered, given: Tokenised) -> KeypointTransformerOutput:
        """Run the transformer of a network on these tokens."""
        network.sample = lambda features, xy: given.features  # type: ignore[method-assign]
        size = network.config.map_size
        nothing = torch.zeros(1).expand(len(batch.places), 1, size, size)
        return network.understand(ImageFeatures((), nothing, nothing), given.keypoints)

    def loss(self, batch: Remembered) -> dict[str, Tensor]:  # type: ignore[override]
        """The paper's terms without those of the maps."""
        config = self.transformer.config
        given = tokens(batch, self.row.tokens, config.network_widths.maps, FALSE_PART, self.global_step)
        output = self.look(self.transformer, batch, given)
        return keypoint_transformer_loss(output, scene_targets(batch.scene, config), self.losses, self._posed(output))

    @torch.no_grad()
    def evaluate(self, batch: Remembered) -> dict[str, Measured]:  # type: ignore[override]
        """See `KeypointTransformerModule.evaluate`, with as many false keypoints as in training."""
        return self.figures(batch, FALSE_PART, _FALSE_SEED)

    @torch.no_grad()
    def figures(self, batch: Remembered, false_part: float, seed: int) -> dict[str, Measured]:
        """The same with this many false keypoints."""
        network = cast(KeypointTransformer, self.average.network).eval()
        given = tokens(batch, self.row.tokens, network.config.network_widths.maps, false_part, seed)
        output = self.look(network, batch, given)
        return scene_figures(self.placed(decode(output)), output, batch.scene)


@dataclass(frozen=True)
class Bench:
    """training, test: folders of `claims_points.remember`; out: of the results; crop: of the trunk, in pixels."""

    training: Path
    test: Path
    out: Path
    crop: int
    budget: Budget
    threads: int = 1
    accelerator: str = "cpu"

    def has(self, row: Row, seed: int) -> bool:
        """Whether the row's result is kept."""
        return self._kept(row, seed).exists()

    def result(self, row: Row, seed: int) -> dict[str, Any]:
        """Figures of a row under "0", "0.15", ... (parts of false keypoints), and "seconds"; kept or made now.

        Raises:
            ValueError: the folder holds another configuration or budget.
        """
        kept = self._kept(row, seed)
        self._claim(kept.parent, row, seed)
        if not kept.exists():
            module, seconds = self._trained(row, seed, kept.parent)
            figures = {f"{part:g}": self._measured(module, part) for part in self._injected(row)}
            kept.write_text(json.dumps({"seconds": seconds, **figures}, indent=1) + "\n", encoding="utf-8")
            _log.info("%s, seed %d: %s", row.title, seed, figures[f"{FALSE_PART:g}"])
        return cast("dict[str, Any]", json.loads(kept.read_text(encoding="utf-8")))

    def _kept(self, row: Row, seed: int) -> Path:
        return self.out / f"{row.key}-seed{seed}" / "result.json"

    def _injected(self, row: Row) -> tuple[float, ...]:
        return INJECTED if row.tokens == "keypoints" else (FALSE_PART,)

    def _trained(self, row: Row, seed: int, folder: Path) -> tuple[ClaimsModule, float]:
        budget = self.budget
        steps = budget.samples // budget.batch_size
        torch.manual_seed(seed)
        schedule = Schedule(steps, budget.learning_rate, warmup=min(100, steps // 10), decay_part=0.5)
        module = ClaimsModule(row, self.crop, schedule, budget.average)
        stream, test = ShardStream(self.training, budget.batch_size, seed), ShardStream(self.test, BATCH, 0)
        assemble = partial(remembered, crop=self.crop)
        settings = RunSettings(
            folder,
            steps,
            resume=True,
            validate_every=steps,
            seed=seed,
            threads=self.threads,
            accelerator=self.accelerator,
        )
        start = time.process_time()
        train(module, Data(stream, test, 1, assemble, assemble), settings)
        return module, time.process_time() - start

    def _measured(self, module: ClaimsModule, part: float) -> dict[str, float]:
        sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        stream = ShardStream(self.test, BATCH, 0)
        for number, arrays in islice(stream.batches(), stream.batches_per_epoch):
            batch = remembered(arrays, np.random.default_rng(0), self.crop)
            for name, (value, weight) in module.figures(batch, part, _FALSE_SEED + number).items():
                if weight:
                    sums[name][0] += value * weight
                    sums[name][1] += weight
        return {name: total / weight for name, (total, weight) in sums.items()}

    def _claim(self, folder: Path, row: Row, seed: int) -> None:
        about: Mapping[str, Any] = {
            "row": dataclasses.asdict(row),
            "widths": dataclasses.asdict(NARROW),
            "seed": seed,
            "budget": dataclasses.asdict(self.budget),
        }
        text, note = json.dumps(about, indent=1, sort_keys=True) + "\n", folder / "about.json"
        if note.exists() and note.read_text(encoding="utf-8") != text:
            raise ValueError(f"{folder}: holds another configuration or budget (see {note.name}); use another --out")
        folder.mkdir(parents=True, exist_ok=True)
        note.write_text(text, encoding="utf-8")

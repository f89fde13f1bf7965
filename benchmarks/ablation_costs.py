"""What a row costs to run, measured as `benchmarks.networks` does: parameters, arithmetic, CPU time of one crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.ablation_rows import Row
from benchmarks.networks import Candidate, inputs, measure
from hand_pose_ros.networks.keypoint_fusion import KeypointFusion
from hand_pose_ros.networks.keypoint_fusion.export import DeployedKeypointFusion


@dataclass(frozen=True)
class Cost:
    """Parameters, GFLOPs (two per multiply-add) and milliseconds of CPU time of one crop."""

    parameters: int
    gflops: float
    milliseconds: float


def costs(rows: Sequence[Row], repeats: int) -> dict[str, Cost]:
    """Costs by row key, the rows taking turns so that a busy machine slows all alike."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        candidates = {row.key: _candidate(row) for row in rows}
        measure(list(candidates.values()), repeats)
    finally:
        torch.set_num_threads(threads)
    return {key: Cost(c.parameters, c.gflop, c.milliseconds("torch")) for key, c in candidates.items()}


def _candidate(row: Row) -> Candidate:
    torch.manual_seed(0)
    network = DeployedKeypointFusion(KeypointFusion(row.config)).eval()
    given = inputs()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(**given)

    def run() -> None:
        with torch.inference_mode():
            network(**given)

    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Candidate("", row.key, parameters, counter.get_total_flops() / 1e9, {"torch": run})

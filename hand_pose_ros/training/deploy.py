"""From a checkpoint to a model file: averaged weights, calibrated deviations, ONNX, and a card that says what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from hand_pose_ros import __version__
from hand_pose_ros.engines.zoo import sha256
from hand_pose_ros.networks.hand_finder import HEIGHT, WIDTH, HandFinderGraph, HandFinderNet
from hand_pose_ros.networks.keypoint_fusion import KeypointFusion
from hand_pose_ros.networks.keypoint_fusion.authors import AuthorsKeypointFusion
from hand_pose_ros.networks.keypoint_fusion.authors.export import export_authors
from hand_pose_ros.networks.keypoint_fusion.check import HandCheck
from hand_pose_ros.networks.keypoint_fusion.export import export_onnx
from hand_pose_ros.networks.onnx_file import batched_path, write_graph
from hand_pose_ros.networks.onnx_half import store_weights_half
from hand_pose_ros.skeleton import WRIST
from hand_pose_ros.training.finder_module import look, summary
from hand_pose_ros.training.finder_targets import finder_batch
from hand_pose_ros.training.hand_crops import VALIDATION, crop_batch
from hand_pose_ros.training.keypoint_fusion_module import forward
from hand_pose_ros.training.shards import ShardStream

_ITERATIONS: Final = 200
# Errors beyond this quantile are failures (another hand, the wrong finger), which no width of a Gaussian describes.
_TRUSTED: Final = 0.99


@dataclass(frozen=True)
class ValidationErrors:
    """Of N hands of a validation set: `error` (N, 21) and `spread` (N, 21) in metres, `root_relative` (N, 21)."""

    error: Tensor
    spread: Tensor
    root_relative: Tensor


@torch.no_grad()
def validation_errors(network: KeypointFusion, stream: ShardStream, batches: int, no_color: bool) -> ValidationErrors:
    """Run a network over `batches` batches of crop shards, with or without the colour."""
    errors, spreads, relative = [], [], []
    for number, raw in stream.batches():
        if number >= min(batches, stream.batches_per_epoch):
            break
        batch = crop_batch(raw, np.random.default_rng((1, number)), VALIDATION)
        known = batch.is_hand & batch.expected_side
        output = forward(network, batch, no_color=no_color)
        gap = ((output.joints - batch.joints_nl) * (batch.cube[:, None] / 2))[known]
        errors.append(torch.linalg.vector_norm(gap, dim=2))
        relative.append(torch.linalg.vector_norm(gap - gap[:, WRIST : WRIST + 1], dim=2))
        spreads.append(output.spread[known])
    return ValidationErrors(torch.cat(errors), torch.cat(spreads), torch.cat(relative))


def fit_deviation(error: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and bias (21,) so that std = spread * scale + bias is most likely per axis.

    The distance r of an isotropic Gaussian in space has the negative log-likelihood 3 log s + r² / (2 s²); scale and
    bias stay positive. Errors (N, 21) and spreads (N, 21) in metres.
    """
    limit = torch.quantile(error.double(), _TRUSTED, dim=0)
    r = error.double()
    weight = (r <= limit).double()
    s = spread.double()
    typical = (weight * r).sum(0) / weight.sum(0) / np.sqrt(3)
    logs = torch.stack([(typical / (2 * s.mean(0))).log(), (typical / 2).log()]).requires_grad_(True)
    optimiser = torch.optim.LBFGS([logs], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        std = s * logs[0].exp() + logs[1].exp()
        loss = (weight * (3 * std.log() + r**2 / (2 * std**2))).sum(0) / weight.sum(0)
        total = loss.sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    scale, bias = logs.detach().exp().float()
    return scale, bias


def coverage(error: Tensor, std: Tensor) -> tuple[float, float]:
    """Fraction of the joints within one and two standard deviations; 0.199 and 0.739 when calibrated."""
    ratio = error / std
    return float((ratio <= 1).float().mean()), float((ratio <= 2).float().mean())


def export_hand(
    network: KeypointFusion,
    path: Path,
    validation: ShardStream,
    batches: int,
    about: Mapping[str, str],
    check: HandCheck | None = None,
    batch: int = 1,
) -> dict[str, str]:
    """Calibrate on the first half of the validation batches, measure on the second, and write model and card.

    `check` tells score and side in place of the network's own logits. With a `batch` above 1 a second file is written
    beside it, for as many hands in one run.

    Returns:
        What was measured, as it stands in the file and on the card.
    """
    network = network.cpu().eval()
    seen, blind = (validation_errors(network, validation, batches, no_color) for no_color in (False, True))
    half = len(seen.error) // 2
    scale, bias = fit_deviation(
        torch.cat([seen.error[:half], blind.error[:half]]), torch.cat([seen.spread[:half], blind.spread[:half]])
    )
    figures = {"validation_hands": str(len(seen.error))}
    for name, result in (("", seen), ("_depth_only", blind)):
        one, two = coverage(result.error[half:], result.spread[half:] * scale + bias)
        figures[f"root_relative_mpjpe_mm{name}"] = f"{1e3 * float(result.root_relative.mean()):.2f}"
        figures[f"mpjpe_mm{name}"] = f"{1e3 * float(result.error.mean()):.2f}"
        figures[f"within_1_std{name}"] = f"{one:.3f} (0.199 expected)"
        figures[f"within_2_std{name}"] = f"{two:.3f} (0.739 expected)"
    for size in sorted({1, batch}):
        told = {"version": __version__, **about, **figures}
        export_onnx(network, batched_path(path, size), told, scale, bias, check, size)
    write_card(path, {**about, **figures})
    return figures


def export_published(
    network: AuthorsKeypointFusion,
    path: Path,
    about: Mapping[str, str],
    check: HandCheck | None = None,
    batch: int = 1,
) -> None:
    """Write a published network with the inputs and outputs of ours, and its card, which says what it cannot tell.
    `batch` as in `export_hand`."""
    limits = {"joint_std": "not calibrated: the scatter of the votes and what the stages changed"}
    if check is None:
        limits["score, side"] = "always 1: the published network tells neither; export with --check"
    for size in sorted({1, batch}):
        export_authors(network, batched_path(path, size), {"version": __version__, **about}, check, size)
    write_card(path, {**about, "size": network.config.size, "variant": "authors", **limits})


def finder_figures(network: HandFinderNet, validation: ShardStream) -> dict[str, str]:
    """How good a finder is on frame shards, as it stands on the card."""
    batches = islice(validation.batches(), validation.batches_per_epoch)
    rng = np.random.default_rng(0)
    values = summary([look(network.eval(), finder_batch(raw, rng, None)) for _, raw in batches])
    return {
        "strongest cell is a hand (within 50 mm)": f"{values['hit']:.3f}",
        "frames without a hand that have one": f"{values['false']:.3f}",
        "side right (chance: 0.5)": f"{values['side']:.3f}",
        "median error of the centre (mm)": f"{values['center_mm']:.1f}",
    }


def export_finder(
    network: HandFinderNet,
    path: Path,
    about: Mapping[str, str],
    validation: ShardStream | None = None,
    batch: int = 1,
) -> None:
    """Write the hand finder as ONNX (weights in half precision) with its card; `validation`: frame shards to measure it
    on. `batch` as in `export_hand`."""
    about = {**about, **(finder_figures(network, validation) if validation is not None else {})}
    picture = {
        "rgb": torch.zeros(1, HEIGHT, WIDTH, 3, dtype=torch.uint8),
        "depth": torch.zeros(1, HEIGHT, WIDTH),
        "intrinsics": torch.ones(1, 4),
    }
    metadata = {"model": "hand_finder", "version": __version__, **about}
    for size in sorted({1, batch}):
        file = batched_path(path, size)
        write_graph(HandFinderGraph(network.cpu()), file, picture, ["heatmap", "center"], metadata, size)
        store_weights_half(file)
    write_card(path, about)


def write_card(path: Path, about: Mapping[str, str]) -> Path:
    """The card beside a model file: what it is, and the sha256 that the zoo checks."""
    lines = [f"# {path.stem}", "", *(f"- {name}: {text}" for name, text in about.items())]
    lines += [f"- bytes: {path.stat().st_size}", f"- sha256: {sha256(path)}", ""]
    card = path.with_suffix(".md")
    card.write_text("\n".join(lines), encoding="utf-8")
    return card

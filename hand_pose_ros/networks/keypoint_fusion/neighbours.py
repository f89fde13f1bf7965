"""DESA's arithmetic while it is trained: every neighbour of a ball once, however often the ball query repeats it.

A ball query fills the free places of a ball with its first hit. Four places in five are such copies about the joints of
a hand, and what they do is known without computing them: to a maximum nothing, to the moments of a batch norm they are
the first hit's weight. So here each pair of a joint and a neighbour is a row of its own, with a weight. The result is
the padded form's to rounding.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Neighbours(NamedTuple):
    """The M neighbours in all balls of a batch, ball by ball.

    ball (M,) from 0 to B * J - 1; candidate (M,) from 0 to B * N - 1; found (B * J,) how many each ball has; weight
    (M, 1) how often the ball query gives it.
    """

    ball: Tensor
    candidate: Tensor
    found: Tensor
    weight: Tensor


def squared_distances(candidates: Tensor, queries: Tensor) -> Tensor:
    """(B, N, 3) and (B, J, 3) -> (B, J, N), axis by axis: exact for near points."""
    total = (queries[:, :, None, 0] - candidates[:, None, :, 0]).square()
    for axis in (1, 2):
        difference = queries[:, :, None, axis] - candidates[:, None, :, axis]
        total = total.addcmul(difference, difference)
    return total


def neighbours(squared: Tensor, radius: float, samples: int) -> Neighbours:
    """The first `samples` candidates of each ball, of squared distances (B, J, N), in the candidates' order."""
    batch, joints, candidates = squared.shape
    ball, candidate = (squared < radius * radius).flatten(0, 1).nonzero(as_tuple=True)
    found = torch.bincount(ball, minlength=batch * joints)
    turn = torch.arange(len(ball), device=ball.device) - (found.cumsum(0) - found)[ball]
    kept = turn < samples
    ball, candidate, turn = ball[kept], candidate[kept], turn[kept]
    count = found.clamp(max=samples)
    weight = torch.where(turn == 0, samples + 1 - count[ball], 1)
    return Neighbours(ball, candidate + ball // joints * candidates, count, weight[:, None].to(squared.dtype))


def moments(rows: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and (biased) variance (C,) of rows (M, C) of weight (M, 1)."""
    mean, variance = _Moments.apply(rows, weight)  # type: ignore[no-untyped-call]
    return mean, variance


class _Moments(torch.autograd.Function):
    """Written out because each row counts in few sums: torch's own graph keeps and passes over three more arrays."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        share = weight.t() / weight.sum()
        mean = share @ rows
        variance = share @ (rows - mean).square_()
        ctx.save_for_backward(rows, share, mean)
        return mean[0], variance[0]

    @staticmethod
    @once_differentiable  # type: ignore[misc]
    def backward(ctx: Any, mean_gradient: Tensor, variance_gradient: Tensor) -> tuple[Tensor, None]:
        rows, share, mean = ctx.saved_tensors
        slope = 2 * variance_gradient
        return torch.addcmul(mean_gradient - slope * mean[0], rows, slope).mul_(share.t()), None


def keep_moments(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, total: int) -> None:
    """What `norm` keeps for evaluation, after a batch of `total` samples with this mean and (biased) variance (C,)."""
    assert norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None
    assert norm.momentum is not None
    with torch.no_grad():
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * (total / max(total - 1, 1)), norm.momentum)


def normalise(norm: nn.Module, rows: Tensor, weight: Tensor, total: int) -> Tensor:
    """Batch norm of rows (M, C) of weight (M, 1) that stand for `total` samples."""
    assert isinstance(norm, nn.BatchNorm2d)
    mean, variance = moments(rows, weight)
    keep_moments(norm, mean, variance, total)
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    return torch.addcmul(norm.bias - mean * scale, rows, scale)


def normalised_linear(layer: nn.Module, norm: nn.Module, rows: Tensor, weight: Tensor, total: int) -> Tensor:
    """`normalise` of a 1x1 convolution of few-channelled rows (M, D) that have no gradient: (M, outputs).

    The moments of what is linear in the rows follow from the rows' own mean and covariance.
    """
    assert isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and layer.bias is not None
    matrix = layer.weight[:, :, 0, 0]
    with torch.no_grad():
        share = weight / weight.sum()
        centre = (share * rows).sum(dim=0)
        centred = rows - centre
        covariance = (share * centred).t() @ centred
    mean = matrix @ centre + layer.bias
    variance = ((matrix @ covariance) * matrix).sum(dim=1)
    keep_moments(norm, mean, variance, total)
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    # The layer's bias goes with the mean; it stays in the graph, for DDP waits for every parameter's gradient.
    return torch.addmm(norm.bias + 0 * layer.bias, centred, (matrix * scale[:, None]).t())


def highest(rows: Tensor, count: Tensor) -> Tensor:
    """(M, C) -> (balls, C), the highest of each ball's `count` (balls,) rows."""
    reduced: Tensor = torch.segment_reduce(rows, "max", lengths=count, axis=0, unsafe=True)
    return reduced

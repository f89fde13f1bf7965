"""The object's rotation from six numbers (Zhou et al. 2019), and the published slip."""

from __future__ import annotations

import torch
from torch import Tensor


def rotation_matrix(six: Tensor) -> Tensor:
    """(..., 6), two vectors, -> rotation matrices (..., 3, 3) with columns e1, e3 x e1, e3.

    e1 is the first vector's direction, e3 that of e1 x second. Of a published matrix (`published_matrix`) this is the
    nearest rotation: its columns are orthogonal, only two are too short.
    """
    first, normal = _axes(six)
    return _columns(first, _unit(normal))


def published_matrix(six: Tensor) -> Tensor:
    """The matrix of the published code, which divides by the second vector's length in place of the product's."""
    first, normal = _axes(six)
    return _columns(first, normal / torch.linalg.vector_norm(six[..., 3:], dim=-1, keepdim=True))


def _axes(six: Tensor) -> tuple[Tensor, Tensor]:
    first = _unit(six[..., :3])
    return first, _cross(first, six[..., 3:])


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.square().sum(dim=-1, keepdim=True).sqrt().clamp(min=1e-8)


def _columns(first: Tensor, third: Tensor) -> Tensor:
    return torch.stack((first, _cross(third, first), third), dim=-1)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Written out: exporters below opset 18 do not know torch's."""
    (ax, ay, az), (bx, by, bz) = a.unbind(-1), b.unbind(-1)
    return torch.stack((ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx), dim=-1)

"""The network's spaces and the ways between them.

xyz_nl: (camera xyz - center) / (cube / 2).
uvd_nl: the crop's image plane, -1 and 1 at its borders, and (z - center_z) / (cube_z / 2).

In this package an integer pixel coordinate is a pixel's centre, so the border of a 128 pixel crop lies at -0.5 and
127.5 and u_nl = (u + 0.5) / 64 - 1. The published code leaves the half pixel out; `pixel_centre=0` gives its maps.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hand_pose_ros.networks.keypoint_fusion.config import CROP_SIZE

HALF_CROP = CROP_SIZE / 2


class CropGeometry(NamedTuple):
    """How a batch of crops lies in its cameras.

    center (B, 3): the cube's centre in the camera frame. cube (B, 3): its edge lengths, same unit (metres; the
    authors' variant millimetres). crop_matrix (B, 3, 3): full-image pixel -> crop pixel; any invertible matrix,
    rotation and perspective included. intrinsics (B, 4): fx, fy, cx, cy.
    """

    center: Tensor
    crop_matrix: Tensor
    cube: Tensor
    intrinsics: Tensor


def invert_3x3(matrix: Tensor) -> Tensor:
    """Inverse of (B, 3, 3) by cofactors: plain arithmetic, so that every engine has it."""
    a, b, c = matrix[:, 0], matrix[:, 1], matrix[:, 2]
    cofactors = torch.stack((_cross(b, c), _cross(c, a), _cross(a, b)), dim=2)
    determinant = (a * cofactors[:, :, 0]).sum(dim=1)
    return cofactors / determinant[:, None, None]


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross product of (B, 3) vectors; spelled out because ONNX has no such operator."""
    return torch.stack(
        (
            a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1],
            a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2],
            a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0],
        ),
        dim=1,
    )


def _map_pixels(matrix: Tensor, uv: Tensor) -> Tensor:
    """Apply (B, 3, 3) homographies to (B, N, 2) pixels."""
    mapped = uv @ matrix[:, :, :2].transpose(1, 2) + matrix[:, None, :, 2]
    return mapped[..., :2] / mapped[..., 2:]


def uvd_to_xyz(uvd: Tensor, geometry: CropGeometry, pixel_centre: float = 0.5) -> Tensor:
    """uvd_nl (B, N, 3) -> xyz_nl (B, N, 3)."""
    half = geometry.cube[:, None] / 2
    center = geometry.center[:, None]
    z = uvd[..., 2:] * half[..., 2:] + center[..., 2:]
    crop_uv = (uvd[..., :2] + 1) * HALF_CROP - pixel_centre
    uv = _map_pixels(invert_3x3(geometry.crop_matrix), crop_uv)
    intrinsics = geometry.intrinsics[:, None]
    xy = (uv - intrinsics[..., 2:]) * z / intrinsics[..., :2]
    return (torch.cat((xy, z), dim=2) - center) / half


def xyz_to_uvd(xyz: Tensor, geometry: CropGeometry, pixel_centre: float = 0.5) -> Tensor:
    """xyz_nl (B, N, 3) -> uvd_nl (B, N, 3). Depths are kept at least 1e-3 of the unit in front of the camera."""
    camera = xyz * (geometry.cube[:, None] / 2) + geometry.center[:, None]
    intrinsics = geometry.intrinsics[:, None]
    uv = camera[..., :2] / camera[..., 2:].clamp(min=1e-3) * intrinsics[..., :2] + intrinsics[..., 2:]
    crop_uv = (_map_pixels(geometry.crop_matrix, uv) + pixel_centre) / HALF_CROP - 1
    return torch.cat((crop_uv, xyz[..., 2:]), dim=2)


def to_camera(xyz: Tensor, geometry: CropGeometry) -> Tensor:
    """xyz_nl (B, N, 3) -> camera frame in the unit of `geometry`."""
    return xyz * (geometry.cube[:, None] / 2) + geometry.center[:, None]


def to_normalised(camera: Tensor, geometry: CropGeometry) -> Tensor:
    """Camera frame (B, N, 3) -> xyz_nl."""
    return (camera - geometry.center[:, None]) / (geometry.cube[:, None] / 2)


def in_plane_rotation(crop_matrix: Tensor) -> Tensor:
    """(B, 3, 3) rotation about z by the angle at which each crop shows the image (nearest to its linear part).

    Stages reason about 3D offsets and image features together, so they must turn together: xyz is taken to the
    crop's own axes by `xyz @ rotation^T` and back by `xyz @ rotation`.
    """
    cosine = crop_matrix[:, 0, 0] + crop_matrix[:, 1, 1]
    sine = crop_matrix[:, 1, 0] - crop_matrix[:, 0, 1]
    norm = torch.sqrt(cosine * cosine + sine * sine).clamp(min=1e-12)
    cosine, sine = cosine / norm, sine / norm
    zero, one = torch.zeros_like(sine), torch.ones_like(sine)
    rows = (cosine, -sine, zero, sine, cosine, zero, zero, zero, one)
    return torch.stack(rows, dim=1).reshape(-1, 3, 3)


def pixel_axis(size: int, like: Tensor | None = None) -> Tensor:
    """u_nl (size,) of the pixels' centres along one axis of a size x size map, with the dtype and device of `like`."""
    dtype = torch.float32 if like is None else like.dtype
    device = None if like is None else like.device
    return (torch.arange(size, dtype=dtype, device=device) + 0.5) * (2.0 / size) - 1


def pixel_grid(size: int) -> Tensor:
    """uv_nl (size * size, 2) of the centres of a size x size map, row-major."""
    axis = pixel_axis(size)
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack((u.reshape(-1), v.reshape(-1)), dim=1)

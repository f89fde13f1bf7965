"""Our parameters' names as the published state dict has them, and what in it influences nothing.

Read off the published networks' keys (fact sheet section 16); both backbones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from torch import Tensor

# Rows of the published position tables, of which the first 21 are used.
POSITIONS: Final = 512

# Parameters of the published modules that influence no output (fact sheet sections 1 to 8).
_DEAD: Final = re.compile(
    r"position_ids$"
    r"|^backbone_(d|rgb)\.(skip_layer[234]|up[234]\.0|result_emb)\.skip_layer\."
    r"|^backbone_(d|rgb)\.(feat_emb|backbone\.norm|backbone\.head)\."
    r"|^block[12]\.(sampling_offsets|attention_weights|sampling_feature_embding"
    r"|reduction_joint_feature|reduction_joint_feature_update|cls_head)\."
    r"|^block[12]\.(init|final)_TR\.bert\.(embeddings|pooler)\."
    r"|^block[12]\.crossTR\.decoder\.([012]\.|3\.norm1\.)"
)

# Ours to theirs, applied in this order, each where it matches.
_RENAMES: Final = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"_branch\.(decoder|embed)\.(.*)\.(conv[123]|skip_layer)\.", r"_branch.\1.\2.\3.conv."),
        (r"_branch\.(embed)\.(conv[123]|skip_layer)\.", r"_branch.\1.\2.conv."),
        (r"_branch\.decoder\.(up\d)\.", r"_branch.\1.0."),
        (r"_branch\.(decoder|heads)\.", "_branch."),
        (r"_branch\.encoder\.", "_branch.backbone."),
        (r"_branch\.embed\.", "_branch.result_emb."),
        (r"^depth_branch\.", "backbone_d."),
        (r"^rgb_branch\.", "backbone_rgb."),
        (r"^stages\.0\.", "block1."),
        (r"^stages\.1\.", "block2."),
        (r"^(block\d)\.mix$", r"\1.weight_dis"),
        (r"\.point_rgb\.", ".pcl_feat_emb_RGB."),
        (r"\.point_depth\.", ".pcl_feat_emb."),
        (r"\.point_xyz\.", ".pcl_xyz_emb."),
        (r"\.point_pose\.", ".pcl_pose_emb."),
        (r"\.joint_feature\.", ".joint_feat_emb."),
        (r"\.joint_xyz\.", ".joint_xyz_emb."),
        (r"\.attend\.", ".atten_spatial."),
        (r"\.pool\.", ".fc_spatial2joint_feature."),
        (r"\.aggregate\.position\.", ".FA.conv_l0_blocks."),
        (r"\.aggregate\.position_norm\.", ".FA.bn_l0_blocks."),
        (r"\.aggregate\.feature\.", ".FA.conv_f0_blocks."),
        (r"\.aggregate\.feature_norm\.", ".FA.bn_f0_blocks."),
        (r"\.aggregate\.mix\.(\d)\.", r".FA.conv_blocks.\1.0."),
        (r"\.aggregate\.mix_norm\.(\d)\.", r".FA.bn_blocks.\1.0."),
        (r"\.aggregate\.fuse\.", ".FA.fusion.0."),
        (r"\.aggregate\.fuse_norm\.", ".FA.fusion.1."),
        (r"_joints\.pose\.", "_joints.cls_head."),
        (r"_joints\.position$", "_joints.bert.position_embeddings.weight"),
        (r"_joints\.embedding\.", "_joints.bert.img_embedding."),
        (r"_joints\.layers\.(\d)\.attention\.out\.", r"_joints.bert.encoder.layer.\1.attention.output.dense."),
        (r"_joints\.layers\.(\d)\.attention\.", r"_joints.bert.encoder.layer.\1.attention.self."),
        (r"_joints\.layers\.(\d)\.norm1\.", r"_joints.bert.encoder.layer.\1.attention.output.LayerNorm."),
        (r"_joints\.layers\.(\d)\.linear1\.", r"_joints.bert.encoder.layer.\1.intermediate.dense."),
        (r"_joints\.layers\.(\d)\.linear2\.", r"_joints.bert.encoder.layer.\1.output.dense."),
        (r"_joints\.layers\.(\d)\.norm2\.", r"_joints.bert.encoder.layer.\1.output.LayerNorm."),
        (r"\.depth_joints\.", ".init_TR."),
        (r"\.fused_joints\.", ".final_TR."),
        (r"\.cross\.norm2\.", ".cross.norm3."),
        (r"\.cross\.norm1\.", ".cross.norm2."),
        (r"\.cross\.attention\.out\.", ".cross.multihead_attn.out_proj."),
        (r"\.cross\.query_position$", ".cross.self_posembed.weight"),
        (r"\.cross\.memory_position$", ".cross.cross_posembed.weight"),
        (r"\.cross\.", ".crossTR.decoder.3."),
    )
)
# torch's multi-head attention keeps these three in one tensor, one below the other.
_PACKED: Final = re.compile(r"\.cross\.attention\.(query|key|value)\.(weight|bias)$")
_PACKED_ORDER: Final = ("query", "key", "value")


class Published(NamedTuple):
    """Where one of our tensors lies: rows from `first` on of the published tensor `key`, which has `shape`."""

    key: str
    shape: tuple[int, ...]
    first: int


def published(name: str, tensor: Tensor) -> Published:
    """The place of our tensor `name` in the published state dict (without the checkpoint's prefix `module.`)."""
    first, rows = 0, tuple(tensor.shape[:1])
    packed = _PACKED.search(name)
    if packed:
        first = _PACKED_ORDER.index(packed[1]) * tensor.shape[0]
        rows = (3 * tensor.shape[0],)
        name = name.replace(packed[0], f".cross.multihead_attn.in_proj_{packed[2]}")
    elif name.endswith("_joints.position"):
        rows = (POSITIONS,)
    for pattern, replacement in _RENAMES:
        name = pattern.sub(replacement, name)
    return Published(name, (*rows, *tensor.shape[1:]), first)


def published_shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """All published tensors that our state dict is made of, with their shapes."""
    places = (published(name, tensor) for name, tensor in state.items())
    return {place.key: place.shape for place in places}


def is_dead(key: str) -> bool:
    """Whether a published tensor influences no output."""
    return _DEAD.search(key) is not None

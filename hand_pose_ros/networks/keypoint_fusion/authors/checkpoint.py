"""The authors' state dict into ours: same tensors, our names; what influences nothing is dropped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from hand_pose_ros.networks.keypoint_fusion.authors.model import AuthorsKeypointFusion
from hand_pose_ros.skeleton import NUM_JOINTS

# Parameters of the published modules that influence no output (fact sheet sections 1 to 8).
_DEAD: Final = re.compile(
    r"position_ids$"
    r"|^backbone_(d|rgb)\.(skip_layer[234]|up[234]\.0)\.skip_layer\."
    r"|^block\d\.(sampling_offsets|attention_weights|sampling_feature_embding"
    r"|reduction_joint_feature|reduction_joint_feature_update|cls_head)\."
    r"|\.bert\.(embeddings|pooler)\."
    r"|\.crossTR\.decoder\.([012]\.|3\.norm1\.)"
)

# Applied in this order, each where it matches.
_RENAMES: Final = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^backbone_d\.", "depth_branch."),
        (r"^backbone_rgb\.", "rgb_branch."),
        (r"^(depth|rgb)_branch\.backbone\.", r"\1_branch.encoder."),
        (r"^(depth|rgb)_branch\.finals\.", r"\1_branch.heads.finals."),
        (r"^(depth|rgb)_branch\.(skip_layer\d|fusion_layer\d)\.", r"\1_branch.decoder.\2."),
        (r"^(depth|rgb)_branch\.(up\d)\.0\.", r"\1_branch.decoder.\2."),
        (r"\.(conv[123]|skip_layer)\.conv\.", r".\1."),
        (r"^block1\.", "stages.0."),
        (r"^block2\.", "stages.1."),
        (r"\.weight_dis$", ".mix"),
        (r"\.pcl_feat_emb_RGB\.", ".point_rgb."),
        (r"\.pcl_feat_emb\.", ".point_depth."),
        (r"\.pcl_xyz_emb\.", ".point_xyz."),
        (r"\.pcl_pose_emb\.", ".point_pose."),
        (r"\.joint_feat_emb\.", ".joint_feature."),
        (r"\.joint_xyz_emb\.", ".joint_xyz."),
        (r"\.atten_spatial\.", ".attend."),
        (r"\.fc_spatial2joint_feature\.", ".pool."),
        (r"\.FA\.conv_l0_blocks\.", ".aggregate.position."),
        (r"\.FA\.bn_l0_blocks\.", ".aggregate.position_norm."),
        (r"\.FA\.conv_f0_blocks\.", ".aggregate.feature."),
        (r"\.FA\.bn_f0_blocks\.", ".aggregate.feature_norm."),
        (r"\.FA\.conv_blocks\.(\d)\.0\.", r".aggregate.mix.\1."),
        (r"\.FA\.bn_blocks\.(\d)\.0\.", r".aggregate.mix_norm.\1."),
        (r"\.FA\.fusion\.0\.", ".aggregate.fuse."),
        (r"\.FA\.fusion\.1\.", ".aggregate.fuse_norm."),
        (r"\.init_TR\.", ".depth_joints."),
        (r"\.final_TR\.", ".fused_joints."),
        (r"\.bert\.position_embeddings\.weight$", ".position"),
        (r"\.bert\.img_embedding\.", ".embedding."),
        (r"_joints\.cls_head\.", "_joints.pose."),
        (r"\.bert\.encoder\.layer\.", ".layers."),
        (r"\.attention\.self\.", ".attention."),
        (r"\.attention\.output\.dense\.", ".attention.out."),
        (r"\.attention\.output\.LayerNorm\.", ".norm1."),
        (r"\.intermediate\.dense\.", ".linear1."),
        (r"\.output\.dense\.", ".linear2."),
        (r"\.output\.LayerNorm\.", ".norm2."),
        (r"\.crossTR\.decoder\.3\.", ".cross."),
        (r"\.cross\.norm2\.", ".cross.norm1."),
        (r"\.cross\.norm3\.", ".cross.norm2."),
        (r"\.multihead_attn\.out_proj\.", ".attention.out."),
        (r"\.multihead_attn\.in_proj_", ".attention.in_proj."),
        (r"\.self_posembed\.weight$", ".query_position"),
        (r"\.cross_posembed\.weight$", ".memory_position"),
    )
)


def read_authors_checkpoint(path: Path) -> dict[str, Tensor]:
    """The state dict in a published checkpoint (dict of model, optimizer, epoch); tensors only are unpickled.

    Raises:
        ValueError: the file is not such a checkpoint.
    """
    stored = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(stored, Mapping) or not isinstance(stored.get("model"), Mapping):
        found = sorted(stored) if isinstance(stored, Mapping) else type(stored).__name__
        raise ValueError(f"{path}: expected a checkpoint with the key 'model' holding a state dict, got {found}")
    return dict(stored["model"])


def translate(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The live tensors of a published state dict under our names; a leading `module.` is removed."""
    translated: dict[str, Tensor] = {}
    for key, value in state.items():
        name = key.removeprefix("module.")
        if _DEAD.search(name):
            continue
        for pattern, replacement in _RENAMES:
            name = pattern.sub(replacement, name)
        if ".in_proj." in name:
            stem, leaf = name.split("in_proj.")
            for part, rows in zip(("query", "key", "value"), value.chunk(3), strict=True):
                translated[f"{stem}{part}.{leaf}"] = rows
        else:
            # The table has 512 rows; there are 21 joints.
            translated[name] = value[:NUM_JOINTS] if name.endswith("_joints.position") else value
    return translated


def load_authors_state_dict(network: AuthorsKeypointFusion, state: Mapping[str, Tensor]) -> None:
    """Load a published state dict, with or without the prefix `module.`.

    Raises:
        ValueError: a live tensor is missing, unknown or of another shape; the text lists them.
    """
    given = translate(state)
    own = network.state_dict()
    missing = sorted(name for name in own.keys() - given.keys() if not name.endswith("num_batches_tracked"))
    unknown = sorted(given.keys() - own.keys())
    shapes = sorted(
        f"{name} {tuple(given[name].shape)} for {tuple(own[name].shape)}"
        for name in own.keys() & given.keys()
        if given[name].shape != own[name].shape
    )
    if missing or unknown or shapes:
        raise ValueError(
            f"not the published ResNet-18 network: missing {missing}, unknown {unknown}, of another shape {shapes}"
        )
    network.load_state_dict(given, strict=False)

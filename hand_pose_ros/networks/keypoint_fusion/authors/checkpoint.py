"""The authors' checkpoints: same tensors, our names; what influences nothing is dropped."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from hand_pose_ros.networks.keypoint_fusion.authors.model import AuthorsKeypointFusion
from hand_pose_ros.networks.keypoint_fusion.authors.names import is_dead, published, published_shapes
from hand_pose_ros.networks.keypoint_fusion.config import Size

# The checkpoint is of a network wrapped for several GPUs.
PREFIX: Final = "module."
# The stem of the depth encoder tells the backbone.
_STEMS: Final[Mapping[str, Size]] = {
    "backbone_d.backbone.conv1.weight": "r18",
    "backbone_d.backbone.downsample_layers.0.0.weight": "convnext_t",
}
# A file of another network differs in a thousand names; so many tell enough.
_LISTED: Final = 12
_COUNTER: Final = "num_batches_tracked"


def read_authors_checkpoint(path: Path) -> dict[str, Tensor]:
    """The state dict in a published checkpoint (dict of model, optimizer, epoch), its prefix `module.` removed.

    Tensors and plain containers only are unpickled, so that a file from elsewhere can run no code.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not such a checkpoint.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, zipfile.BadZipFile, EOFError, RuntimeError, KeyError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{path}: expected a checkpoint that torch.save wrote, of tensors and plain containers only (anything else "
            f"in a pickle could run code and is refused); torch says: {reason}"
        ) from error
    if not isinstance(stored, Mapping) or not isinstance(stored.get("model"), Mapping):
        found = _listing(sorted(map(str, stored))) if isinstance(stored, Mapping) else type(stored).__name__
        raise ValueError(f"{path}: expected a checkpoint with the key 'model' holding a state dict, got {found}")
    strange = sorted(str(key) for key, value in stored["model"].items() if not isinstance(value, Tensor))
    if strange:
        raise ValueError(f"{path}: expected tensors only under 'model', these are not: {_listing(strange)}")
    return {str(key).removeprefix(PREFIX): value for key, value in stored["model"].items()}


def recognise(state: Mapping[str, Tensor]) -> Size:
    """The size whose backbone a published state dict has.

    Raises:
        ValueError: it has neither's.
    """
    for stem, size in _STEMS.items():
        if stem in state or PREFIX + stem in state:
            return size
    raise ValueError(
        f"expected a published Keypoint-Fusion state dict with one of {', '.join(_STEMS)}; among its {len(state)} "
        f"tensors there is neither, but {_listing(sorted(state))}"
    )


def load_authors_state_dict(network: AuthorsKeypointFusion, state: Mapping[str, Tensor]) -> None:
    """Load a published state dict, with or without the prefix `module.`.

    Raises:
        ValueError: a live tensor is missing, unknown or of another shape; the text lists them.
    """
    given = {key.removeprefix(PREFIX): value for key, value in state.items()}
    own = network.state_dict()
    expected = published_shapes(own)
    missing = sorted(key for key in expected.keys() - given.keys() if not key.endswith(_COUNTER))
    unknown = sorted(key for key in given.keys() - expected.keys() if not is_dead(key))
    shapes = sorted(
        f"{key} {tuple(given[key].shape)} for {shape}"
        for key, shape in expected.items()
        if key in given and tuple(given[key].shape) != shape
    )
    if missing or unknown or shapes:
        raise ValueError(
            f"not the published {network.config.size} network: missing {_listing(missing)}; unknown "
            f"{_listing(unknown)}; of another shape {_listing(shapes)}"
        )
    loaded = {}
    for name, tensor in own.items():
        place = published(name, tensor)
        if place.key in given:
            value = given[place.key]
            loaded[name] = value[place.first : place.first + tensor.shape[0]] if tensor.ndim else value
    network.load_state_dict(loaded, strict=False)


def _listing(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:_LISTED])
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"[{shown}]{more}"

"""What Keypoint Transformer's claims are tested on: one network per claim, and the points its tokens stand at."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from hand_pose_ros.networks.keypoint_transformer import KeypointTransformerConfig, Widths
from hand_pose_ros.networks.keypoint_transformer.config import PRESETS

Tokens = Literal["keypoints", "grid", "encoder"]
FULL: Final = "full"
NO_ASSOCIATION: Final = "no_association"
# Slots for keypoints: 42 joints, and room for false ones.
SLOTS: Final = 64
# Cells of the baselines' grid along a side: those of the encoder's map at stride 16 of a 96 pixel crop.
GRID: Final = 6
# The transformer of the small size; the image part is the trunk's, whatever this says of it.
NARROW: Final = dataclasses.replace(
    PRESETS["lite", "small"],
    token_hidden=(96,),
    position=32,
    channels=96,
    heads=4,
    feed_forward=192,
    hidden=96,
    hand_keypoints=SLOTS,
)


@dataclass(frozen=True)
class Row:
    """One line of the tables.

    Attributes:
        key: names its folder.
        title: names it in the tables.
        group: of the table it stands in.
        config: fields of `KeypointTransformerConfig` that differ from the full network's.
        association: the keypoint-joint association loss.
        tokens: keypoints; all cells of a grid with the decoder's features (CNN + SA); or with the deepest features
            alone (as DETR has them).
    """

    key: str
    title: str
    group: str
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    association: bool = True
    tokens: Tokens = "keypoints"

    def network(self, widths: Widths, crop: int) -> KeypointTransformerConfig:
        """The row's network, hands alone."""
        given = {"self_layers": 3, **self.config}
        return KeypointTransformerConfig(size="lite", crop=crop, widths=widths, **given)


ROWS: Final = (
    Row(FULL, "Keypoint Transformer (3D, N_SA = 3)", "Table 1"),
    Row(NO_ASSOCIATION, "without association loss", "Table 1", association=False),
    Row("cnn_sa", "CNN + SA", "Table 1", association=False, tokens="grid"),
    Row("detr", "DETR-style", "Table 1", association=False, tokens="encoder"),
    Row("sa0", "N_SA = 0", "Table 4", {"self_layers": 0}),
    Row("sa6", "N_SA = 6", "Table 4", {"self_layers": 6}),
    Row("rep_2p5d", "2.5D", "representations", {"representation": "2p5d"}),
    Row("rep_angles", "angles", "representations", {"representation": "angles"}),
)
# The paper's Table 1 (single, interacting, all, MRRPE; mm, InterHand2.6M), as far as it is known to us.
PAPER: Final[Mapping[str, tuple[float, float, float, float]]] = {"rep_2p5d": (10.99, 14.34, 12.78, 29.63)}

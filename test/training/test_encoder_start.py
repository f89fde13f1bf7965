"""A small trained encoder inside a larger one sees what it saw."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from hand_pose_ros.networks.backbones.resnet import ResNetEncoder  # noqa: E402
from hand_pose_ros.networks.handformer2t import Handformer2T  # noqa: E402
from hand_pose_ros.networks.keypoint_transformer import KeypointTransformer, KeypointTransformerConfig  # noqa: E402
from hand_pose_ros.training.encoder_start import COLOR_ENCODER, begin_as_handformer2t, begin_encoder  # noqa: E402
from hand_pose_ros.training.errors import TrainingError  # noqa: E402
from hand_pose_ros.training.handformer2t_maps_module import begin_maps  # noqa: E402
from hand_pose_ros.training.handformer2t_options import Handformer2TOptions, network_config  # noqa: E402
from hand_pose_ros.training.scene_sources import SceneData  # noqa: E402

MEAN, DEVIATION = torch.tensor([0.4, 0.5, 0.3]).reshape(3, 1, 1), torch.tensor([0.2, 0.3, 0.25]).reshape(3, 1, 1)


def learnt() -> ResNetEncoder:
    torch.manual_seed(0)
    encoder = ResNetEncoder(3, (4, 8, 8, 16), (1, 1, 1, 1), 5, 4)
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    return encoder.train()


@pytest.mark.parametrize("mean", [0.0, 0.4])
def test_the_first_channels_are_the_small_encoders(mean: float) -> None:
    small, large = learnt(), ResNetEncoder(3, (6, 12, 12, 20), (1, 2, 2, 2), 5, 4).train()
    pictures, middle = torch.rand(8, 3, 128, 128), torch.full((3, 1, 1), mean)
    weights = {COLOR_ENCODER + name: value for name, value in small.state_dict().items()}
    begin_encoder(large, weights, middle, DEVIATION, pictures)
    with torch.no_grad():
        expected, found = small(pictures), large((pictures - middle) / DEVIATION)
    for level, (a, b) in enumerate(zip(expected, found, strict=True)):
        gap = (b[:, : a.shape[1]] - a).abs()
        # Less a mean the border is padded with another colour.
        inner = gap if mean == 0 else gap[..., 8:-8, 8:-8]
        if mean == 0 or level == 0:
            assert inner.mean() < (2e-3 if mean == 0 else 0.05) * a.abs().mean(), level
        assert b[:, a.shape[1] :].abs().mean() > 0


@pytest.mark.parametrize("widths", [(2, 8, 8, 16), (4, 8, 8, 8)])
def test_one_that_does_not_fit_is_refused(widths: tuple[int, int, int, int]) -> None:
    small, large = learnt(), ResNetEncoder(3, widths, (1, 1, 1, 1), 5, 4)
    weights = {COLOR_ENCODER + name: w for name, w in small.state_dict().items()}
    with pytest.raises(TrainingError, match="encoder"):
        begin_encoder(large, weights, MEAN, DEVIATION, torch.rand(2, 3, 64, 64))


def test_other_weights_are_refused() -> None:
    with pytest.raises(TrainingError, match="Keypoint-Fusion"):
        begin_encoder(learnt(), {"a": torch.zeros(1)}, MEAN, DEVIATION, torch.rand(2, 3, 64, 64))


def test_one_that_reads_depth_begins_as_one_of_colour_alone() -> None:
    torch.manual_seed(0)
    options = Handformer2TOptions(SceneData((), None), crop=64, placed=True)
    seeing, begun = Handformer2T(network_config(options)), Handformer2T(network_config(replace(options, depth=True)))
    begin_maps(begun, seeing.state_dict())
    pictures, depths = torch.rand(2, 3, 64, 64), torch.rand(2, 2, 64, 64)
    with torch.no_grad():
        for a, b in zip(seeing.eval().levels(pictures), begun.eval().levels(pictures, depths), strict=True):
            torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)
    assert begun.backbone.conv1.weight.shape[1] == 5
    with pytest.raises(TrainingError, match="these differ: backbone"):
        begin_maps(seeing, begun.state_dict())


def test_keypoint_transformer_sees_what_handformer2t_saw() -> None:
    torch.manual_seed(0)
    options = Handformer2TOptions(SceneData((), None), crop=128, placed=True)
    seeing, begun = Handformer2T(network_config(options)), KeypointTransformer(KeypointTransformerConfig(crop=128))
    pictures = torch.rand(4, 3, 128, 128)
    with torch.no_grad():
        seeing.train().levels(pictures)  # running means and deviations that are not 0 and 1
        begin_as_handformer2t(begun, seeing.state_dict())
        expected = seeing.eval().levels(pictures)
        found = begun.eval().see(pictures).features[1:]
    for a, b in zip(expected, found, strict=True):
        # Less a mean the border is padded with another colour, and the deepest maps see the border everywhere.
        middle = slice(a.shape[2] // 4, -(a.shape[2] // 4))
        assert (a - b)[..., middle, middle].abs().mean() < 0.1 * a.abs().mean()
    with pytest.raises(TrainingError, match="these differ"):
        begin_as_handformer2t(begun, {"backbone.conv1.weight": torch.zeros(1)})


def test_a_placed_keypoint_transformer_reads_maps_and_depth_as_handformer2t() -> None:
    torch.manual_seed(0)
    options = Handformer2TOptions(SceneData((), None), crop=128, placed=True, depth=True)
    seeing = Handformer2T(network_config(options))
    begun = KeypointTransformer(KeypointTransformerConfig(crop=128, depth=True, placed=True))
    pictures, depths = torch.rand(4, 3, 128, 128), torch.rand(4, 2, 128, 128)
    with torch.no_grad():
        torch.nn.init.normal_(seeing.maps.maps.output.weight)
        seeing.train().levels(pictures, depths)
        begin_as_handformer2t(begun, seeing.state_dict())
        expected = seeing.eval().expect(seeing.levels(pictures, depths))
        found = begun.eval().see(pictures, depths).placed
    assert expected is not None and found is not None
    cells = [maps.logits.reshape(4, 2, 21, 32, 32)[..., 8:-8, 8:-8] for maps in (expected, found)]
    assert (cells[0] - cells[1]).abs().mean() < 0.15 * cells[0].abs().mean()

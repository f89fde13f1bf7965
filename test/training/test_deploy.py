"""Calibration of the standard deviations, and models written as ONNX with their cards."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from hand_pose_ros.cli.main import main  # noqa: E402
from hand_pose_ros.engines.factory import create_engine  # noqa: E402
from hand_pose_ros.engines.zoo import verify  # noqa: E402
from hand_pose_ros.networks.hand_finder import HandFinderNet  # noqa: E402
from hand_pose_ros.pipeline.finder import INPUTS, OUTPUTS  # noqa: E402
from hand_pose_ros.training import deploy  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread() -> Generator[None, None, None]:
    """torch's waiting threads make small work many times slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_scale_and_bias_of_known_draws_are_found() -> None:
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.002, 0.02, (3000, 21))
    scale, bias = np.linspace(0.5, 2.0, 21), np.linspace(0.004, 0.001, 21)
    std = spread * scale + bias
    error = np.linalg.norm(rng.normal(size=(3000, 21, 3)) * std[..., None], axis=-1)
    found = deploy.fit_deviation(torch.from_numpy(error), torch.from_numpy(spread))
    fitted = torch.from_numpy(spread) * found[0] + found[1]
    # Leaving the largest hundredth of the errors out makes it a few per cent too narrow.
    np.testing.assert_allclose(fitted.numpy(), std, rtol=0.15, atol=2e-4)
    one, two = deploy.coverage(torch.from_numpy(error), fitted)
    assert one == pytest.approx(0.199, abs=0.025)
    assert two == pytest.approx(0.739, abs=0.04)


def test_wild_errors_do_not_widen_the_rest() -> None:
    rng = np.random.default_rng(1)
    spread = np.full((4000, 21), 0.01)
    error = np.linalg.norm(rng.normal(size=(4000, 21, 3)) * 0.01, axis=-1)
    error[:20] = 0.5
    scale, bias = deploy.fit_deviation(torch.from_numpy(error), torch.from_numpy(spread))
    np.testing.assert_allclose((0.01 * scale + bias).numpy(), 0.01, rtol=0.1)


def test_the_finder_is_written_with_the_pipelines_contract(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "finder.onnx"
    network = HandFinderNet().eval()
    deploy.export_finder(network, path, {"data": "none"})
    engine = create_engine(path, "onnxruntime", 1)
    assert {spec.name for spec in INPUTS} == {spec.name for spec in engine.inputs}
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (1, 120, 160, 3), dtype=np.uint8)
    depth = rng.uniform(0.3, 1.0, (1, 120, 160)).astype(np.float32)
    camera = np.array([[150, 150, 79.5, 59.5]], dtype=np.float32)
    got = engine.run({"rgb": rgb, "depth": depth, "intrinsics": camera})
    assert all(got[spec.name].shape == spec.shape for spec in OUTPUTS)
    with torch.no_grad():
        color = torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 255
        expected = network(color, torch.from_numpy(depth)[:, None], torch.from_numpy(camera))
    # The file's weights are rounded to half precision.
    assert path.stat().st_size < 2.2 * sum(value.numel() for value in network.state_dict().values())
    np.testing.assert_allclose(got["heatmap"].sum(axis=1), torch.sigmoid(expected.hand).numpy(), atol=2e-3)
    np.testing.assert_allclose(
        got["heatmap"][:, 0], (torch.sigmoid(expected.hand) * torch.sigmoid(expected.right)).numpy(), atol=2e-3
    )
    for side in (0, 1):
        np.testing.assert_allclose(got["center"][:, side], expected.center.numpy(), atol=2e-3)


def test_the_card_holds_the_checksum(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"weights")
    deploy.write_card(path, {"data": "none"})
    verify(path)
    path.write_bytes(b"changed")
    with pytest.raises(Exception, match="expected sha256"):
        verify(path)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["kpt_fusion_lite", "--checkpoint", "/nowhere.ckpt", "--out", "m.onnx"], "no such file"),
        (["kpt_fusion_lite", "--checkpoint", __file__, "--out", "m.pt"], "ending in .onnx"),
        (["kpt_fusion_lite", "--checkpoint", __file__, "--out", "m.onnx"], "crop shards"),
    ],
)
def test_mistakes(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", *argv]) == 2
    assert says in capsys.readouterr().err

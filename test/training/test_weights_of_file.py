"""What an export has put into a file comes back as weights, and a training goes on from there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from toy_scene_shards import write_toy_scenes  # noqa: E402

from hand_pose_ros.cli.main import main  # noqa: E402
from hand_pose_ros.engines.factory import create_engine  # noqa: E402
from hand_pose_ros.networks.handformer2t import Handformer2T  # noqa: E402
from hand_pose_ros.networks.handformer2t.export import DeployedHandformer2T, example_inputs, export_onnx  # noqa: E402
from hand_pose_ros.networks.keypoint_transformer import KeypointTransformer  # noqa: E402
from hand_pose_ros.networks.keypoint_transformer import export as keypoint_transformer_export  # noqa: E402
from hand_pose_ros.networks.onnx_file import write_graph  # noqa: E402
from hand_pose_ros.networks.onnx_half import store_weights_half  # noqa: E402
from hand_pose_ros.training import (  # noqa: E402
    checkpoints,
    handformer2t_options,
    handformer2t_training,
    handformer2t_weights,
    keypoint_transformer_training,
)
from hand_pose_ros.training.errors import TrainingError  # noqa: E402
from hand_pose_ros.training.handformer2t_options import Handformer2TOptions, network_config  # noqa: E402
from hand_pose_ros.training.optimisation import AveragedModule, Schedule  # noqa: E402
from hand_pose_ros.training.scene_sources import SceneData  # noqa: E402
from hand_pose_ros.training.shards import ShardStream  # noqa: E402
from hand_pose_ros.training.weights_of_file import (  # noqa: E402
    GraphFile,
    OfFile,
    measure_normalisations,
    with_weights_of,
)

MODELS = Path(__file__).parents[2] / "models"
HANDFORMER2T = MODELS / "handformer2t_lite.onnx"
# Windows about hands that are laid by other windows: roundings grow. One weight in a wrong place is 100 times that.
CLOSE = 2e-3
TRANSFORMER = keypoint_transformer_training.network_config(
    size="lite", crop=64, depth=True, placed=True, self_layers=1, objects=True
)


def run_file(path: Path, given: Mapping[str, torch.Tensor]) -> list[np.ndarray]:
    engine = create_engine(path, "onnxruntime", 1)
    found = engine.run({name: value.numpy() for name, value in given.items()})
    return [found[spec.name] for spec in engine.outputs]


def far(network: torch.nn.Module, given: Mapping[str, torch.Tensor], expected: list[np.ndarray]) -> float:
    """The largest difference, of each output's largest number."""
    with torch.inference_mode():
        found = network(*given.values())
    pairs = zip(found, expected, strict=True)
    return max(float(np.abs(a.numpy() - b).max() / max(np.abs(b).max(), 1e-3)) for a, b in pairs)


def shaken(network: torch.nn.Module) -> None:
    """Weights and statistics that no two layers share, as after a training."""
    for weight in network.parameters():
        torch.nn.init.normal_(weight, mean=0.0, std=max(0.01, float(weight.detach().std(correction=0))))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for values in (module.weight, module.running_var):
                torch.nn.init.uniform_(values, 0.5, 2.0)
            for values in (module.bias, module.running_mean):
                torch.nn.init.normal_(values, std=0.2)


def transformer_of(path: Path) -> OfFile[KeypointTransformer]:
    """That of a file; it gives what the file gives."""
    found = keypoint_transformer_training.of_file(path)
    given = keypoint_transformer_export.example_inputs(found.network)
    deployed = keypoint_transformer_export.DeployedKeypointTransformer(found.network)
    assert far(deployed, given, run_file(path, given)) < CLOSE
    return found


@pytest.fixture(scope="module")
def shipped() -> OfFile:
    return handformer2t_weights.of_file(HANDFORMER2T)


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> tuple[KeypointTransformer, Path]:
    """Weights and statistics that no two layers share, as after a training."""
    torch.manual_seed(3)
    network = KeypointTransformer(TRANSFORMER).eval()
    shaken(network)
    path = tmp_path_factory.mktemp("transformer") / "network.onnx"
    keypoint_transformer_export.export_onnx(network, path, {})
    return network, path


def test_the_shipped_handformer2t_comes_back(shipped: OfFile) -> None:
    given = example_inputs(shipped.network)
    stated = create_engine(HANDFORMER2T, "onnxruntime", 1).metadata
    factors = float(stated["std_factor"]), float(stated["deviation_factor_without_depth"])
    assert far(DeployedHandformer2T(shipped.network, *factors), given, run_file(HANDFORMER2T, given)) < CLOSE
    # Sides are told by both looks; nothing reads what tokens say of them.
    assert {name.split(".")[0] for name in shipped.missing} == {"side", "facing_gain"}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Handformer2T, Path]:
    """A small Handformer2T without looks, whose channels another seed has drawn."""
    options = Handformer2TOptions(SceneData(()), size="lite", crop=64, placed=True, network={"seed": 3, "stages": 2})
    torch.manual_seed(4)
    network = Handformer2T(network_config(options)).eval()
    shaken(network)
    path = tmp_path_factory.mktemp("drawn") / "network.onnx"
    export_onnx(network, path, {})
    return network, path


def test_channels_that_were_drawn_come_back(drawn: tuple[Handformer2T, Path]) -> None:
    network, path = drawn
    found, missing = handformer2t_weights.of_file(path)
    given = example_inputs(network)
    assert not missing
    assert far(DeployedHandformer2T(found), given, run_file(path, given)) < CLOSE
    indices = {name: value for name, value in network.state_dict().items() if name.endswith("_index")}
    assert indices and all(torch.equal(value, found.state_dict()[name]) for name, value in indices.items())


def test_an_encoder_from_a_file_is_measured(drawn: tuple[Handformer2T, Path], tmp_path: Path) -> None:
    write_toy_scenes(tmp_path, 8, 0)
    learnt = handformer2t_weights.seen_by(drawn[1], ShardStream(tmp_path, 4, 0))
    assert float(learnt["backbone.bn1.running_var"].std()) > 0


def test_weights_that_are_alike_come_back(transformer: tuple[KeypointTransformer, Path], tmp_path: Path) -> None:
    # An exporter stores equal tensors once.
    network = deepcopy(transformer[0])
    for name, weight in network.named_parameters():
        if name.startswith("heads.object") and name.endswith("bias"):
            torch.nn.init.zeros_(weight)
    path = tmp_path / "network.onnx"
    keypoint_transformer_export.export_onnx(network, path, {})
    transformer_of(path)


def test_the_shipped_keypoint_transformer_comes_back() -> None:
    path = MODELS / "keypoint_transformer_lite.onnx"
    found = transformer_of(path)
    assert found.network.config.depth_look and {name.split(".")[1] for name in found.missing} == {"camera"}


class Large(torch.nn.Module):
    """Two layers with normalisations that cannot be folded into what is before them, and a large one."""

    def __init__(self) -> None:
        super().__init__()
        self.up = torch.nn.Sequential(
            torch.nn.ConvTranspose2d(3, 8, 2),
            torch.nn.ReLU(),
            torch.nn.BatchNorm2d(8),
            torch.nn.ConvTranspose2d(8, 8, 2),
            torch.nn.ReLU(),
            torch.nn.BatchNorm2d(8),
        )
        self.deep = torch.nn.Linear(8 * 6 * 6, 9000)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return self.deep(self.up(given).flatten(1)).mean(dim=1)


class Within(torch.nn.Module):
    def __init__(self, network: Large) -> None:
        super().__init__()
        self.network = network

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return self.network(given)


def test_large_weights_and_normalisations_that_stand_alone_come_back(tmp_path: Path) -> None:
    network = Large().eval()
    shaken(network)
    given = {"given": torch.rand(1, 3, 4, 4)}

    def export(module: Large, path: Path) -> None:
        write_graph(Within(module), path, given, ("out",), {})

    path = tmp_path / "large.onnx"
    export(network, path)
    found = with_weights_of(Large(), GraphFile(path), export)
    assert not found.missing
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            assert torch.allclose(value, found.network.state_dict()[name], atol=1e-5), name


def test_half_weights_come_back(transformer: tuple[KeypointTransformer, Path], tmp_path: Path) -> None:
    path = store_weights_half(Path(shutil.copy(transformer[1], tmp_path)))
    found = transformer_of(path)
    assert found.network.config == TRANSFORMER
    assert {name.split(".")[1] for name in found.missing} <= {"camera"}


def test_a_normalisation_that_is_measured_changes_nothing(transformer: tuple[KeypointTransformer, Path]) -> None:
    network = keypoint_transformer_training.of_file(transformer[1]).network
    pictures = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        before = network.see(pictures).features
    measure_normalisations(network, lambda: network.see(pictures))
    with torch.inference_mode():
        after = network.see(pictures).features
        network.backbone.train()
        learning = network.see(pictures).features
    for one, other, while_learning in zip(before, after, learning, strict=True):
        assert torch.allclose(one, other, atol=1e-4 * float(one.abs().max()))
        # A training's first step sees what the file saw (on these pictures, but for the variance's bias).
        assert torch.allclose(one, while_learning, atol=0.02 * float(one.abs().max()))


Changed = Callable[[Path], None]


def no_model(path: Path) -> None:
    path.write_bytes(b"something else")


def of_another(path: Path) -> None:
    shutil.copy(MODELS / "hand_finder.onnx", path)


def quantised(path: Path) -> None:
    model = onnx.load(str(HANDFORMER2T))
    onnx.helper.set_model_props(model, {p.key: p.value for p in model.metadata_props} | {"precision": "int8"})
    onnx.save(model, str(path))


def cut_short(path: Path) -> None:
    model = onnx.load(str(HANDFORMER2T))
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-8]
    onnx.save(model, str(path))


def of_no_stages(path: Path) -> None:
    model = onnx.load(str(HANDFORMER2T))
    onnx.helper.set_model_props(model, {p.key: p.value for p in model.metadata_props} | {"stages": "two"})
    onnx.save(model, str(path))


def of_other_shapes(path: Path) -> None:
    model = onnx.load(str(HANDFORMER2T))
    onnx.helper.set_model_props(model, {p.key: p.value for p in model.metadata_props} | {"stages": "3"})
    onnx.save(model, str(path))


def silent(path: Path) -> None:
    model = onnx.load(str(HANDFORMER2T))
    onnx.helper.set_model_props(model, {"model": "handformer2t", "precision": "fp32"})
    onnx.save(model, str(path))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda path: None, "no such file"),
        (no_model, "no ONNX file"),
        (of_another, "expected a handformer2t .* got hand_finder"),
        (quantised, "expected a handformer2t in single precision .* int8"),
        (of_other_shapes, "as this version exports it"),
        (silent, "lack 'size'"),
        (cut_short, "damaged"),
        (of_no_stages, "expected a number for 'stages'"),
    ],
)
def test_what_cannot_be_read_back_is_refused(tmp_path: Path, change: Changed, text: str) -> None:
    path = tmp_path / "file.onnx"
    change(path)
    with pytest.raises(TrainingError, match=text):
        handformer2t_weights.of_file(path)


def train(model: str, start: Path, folder: Path, *more: str) -> Path:
    """Two steps that learn next to nothing."""
    for name, seed in (("a", 0), ("b", 1)):
        if not (folder / name).exists():
            write_toy_scenes(folder / name, 8, seed)
    data = ["--data", str(folder / "a"), "--validation", str(folder / "b"), "--out", str(folder / "run")]
    length = ["--batch-size", "4", "--steps", "2", "--learning-rate", "1e-9", "--validate-every", "2"]
    machine = ["--accelerator", "cpu", "--threads", "1"]
    assert main(["train", model, "--init", str(start), *data, *length, *machine, *more]) == 0
    return folder / "run" / "last.ckpt"


def test_a_training_goes_on_from_a_file(tmp_path: Path, shipped: OfFile) -> None:
    learnt = handformer2t_weights.trained(train("handformer2t", HANDFORMER2T, tmp_path))
    assert learnt.config == shipped.network.config
    weights = shipped.network.state_dict()
    kept = {
        name: value for name, value in learnt.state_dict().items() if value.ndim > 1 and name not in shipped.missing
    }
    assert all(torch.allclose(value, weights[name], atol=1e-6) for name, value in kept.items())
    assert len(kept) > 100
    # What normalisations have learnt is theirs again.
    assert float(learnt.backbone.bn1.running_var.std()) > 0


def test_the_file_says_what_is_learnt_and_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []
    monkeypatch.setattr(handformer2t_training, "train", lambda module, data, settings: begun.append((module, settings)))
    train("handformer2t", HANDFORMER2T, tmp_path)
    ((module, settings),) = begun
    plan = handformer2t_options.PLACED_PLAN
    assert module.muon and module.losses.config.map_depths == plan.losses.map_depths > 0
    assert settings.initial is None and module.leaves_out


def test_parts_from_elsewhere_are_refused_beside_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        write_toy_scenes(tmp_path / name, 8, seed)
    data = ["--data", str(tmp_path / "a"), "--validation", str(tmp_path / "b"), "--out", str(tmp_path / "run")]
    given = ["--init", str(HANDFORMER2T), "--encoder", str(HANDFORMER2T), *data, "--accelerator", "cpu"]
    assert main(["train", "handformer2t", *given]) != 0
    assert "brings all parts along" in capsys.readouterr().err


def test_it_is_resumed_from_its_own_checkpoint(
    tmp_path: Path, transformer: tuple[KeypointTransformer, Path], caplog: pytest.LogCaptureFixture
) -> None:
    train("keypoint_transformer", transformer[1], tmp_path)
    with caplog.at_level("INFO"):
        last = train("keypoint_transformer", transformer[1], tmp_path, "--resume", "--steps", "3")
    assert "training from step 2 of 3" in caplog.text
    assert keypoint_transformer_training.trained(last).config == TRANSFORMER


def test_other_networks_say_what_they_take() -> None:
    with pytest.raises(checkpoints.CheckpointError, match="models/weights"):
        checkpoints.load_weights(AveragedModule(torch.nn.Linear(1, 1), Schedule(1)), MODELS / "kpt_fusion_lite.onnx")

"""The weights of a model file, to go on training with: what an export put into ONNX, back in its network.

A graph keeps few names: normalisations are folded into convolutions, matrices transposed, packed projections cut in
three. So the network is written once more with weights that are all different, which shows where in the graph each of
them goes; the same places of the given file hold what it has learnt.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hand_pose_ros.engines.base import EngineError
from hand_pose_ros.engines.onnx_header import read_header
from hand_pose_ros.training.errors import TrainingError

# Folding a normalisation that changes nothing rounds; marks lie farther apart than that.
_ROUNDING: Final = 2.5e-7
# Projections that a module packs into one tensor.
_PACKED: Final = 3
# Of a normalisation, as `_marked` leaves it.
_CHANGES_NOTHING: Final = ("weight", "running_mean", "running_var")
_Network = TypeVar("_Network", bound=nn.Module)
_Values = np.ndarray[Any, np.dtype[np.float32]]


class GraphFile:
    """A model file as what may be read back from it.

    Attributes:
        path: of the .onnx file.
        header: its inputs, outputs and metadata.
        constants: the tensors that may be weights, by name, in the graph's order.
        indices: those of whole numbers, which keep their names.

    Raises:
        TrainingError: the file is missing or no model.
    """

    def __init__(self, path: Path) -> None:
        import onnx

        if not path.is_file():
            raise TrainingError(f"{path}: no such file")
        model = path.read_bytes()
        try:
            self.header = read_header(model, str(path))
        except EngineError as error:
            raise TrainingError(str(error)) from error
        self.path = path
        tensors = {
            item.name: onnx.numpy_helper.to_array(item) for item in onnx.load_from_string(model).graph.initializer
        }
        self.constants: dict[str, _Values] = {
            name: value.astype(np.float32) for name, value in tensors.items() if value.dtype.kind == "f"
        }
        self.indices = {name: value for name, value in tensors.items() if value.dtype == np.int64}

    def expect(self, model: str) -> None:
        """Raises `TrainingError` where the file is not of this model, or quantised."""
        about = self.header.metadata.get("model"), self.header.metadata.get("precision")
        if about != (model, "fp32"):
            raise TrainingError(
                f"{self.path}: expected a {model} in single precision or with half weights, got "
                f"{about[0] or 'a file that does not say what it is'}, {about[1] or 'of unknown precision'}"
            )

    def stated(self, key: str) -> str:
        """An entry of the metadata.

        Raises:
            TrainingError: there is none.
        """
        if key not in self.header.metadata:
            raise TrainingError(f"{self.path}: its metadata lack {key!r}; export it anew")
        return self.header.metadata[key]

    def holds(self, prefix: str) -> bool:
        """Whether it has weights of a part of the network."""
        return any(name.startswith(prefix) for name in self.constants)

    def has(self, name: str) -> bool:
        """Whether it has this input or output."""
        return any(spec.name == name for spec in (*self.header.inputs, *self.header.outputs))

    @property
    def picture(self) -> int:
        """Side of the crop in pixels.

        Raises:
            TrainingError: it takes none.
        """
        for spec in self.header.inputs:
            if spec.name == "rgb" and len(spec.shape) == 4 and spec.shape[1]:
                return spec.shape[1]
        raise TrainingError(f"{self.path}: expected a network with an input rgb (1, S, S, 3)")


class OfFile(NamedTuple, Generic[_Network]):
    """A network with the weights of a model file, but for those named `missing`: nothing in the graph reads them."""

    network: _Network
    missing: tuple[str, ...]


def with_weights_of(network: _Network, file: GraphFile, export: Callable[[_Network, Path], object]) -> OfFile[_Network]:
    """A copy of `network` with the weights of a model file.

    What normalisations have learnt is part of the convolutions before them; they change nothing but for a bias
    (`measure_normalisations` parts them again).

    Args:
        network: built as that of the file; it keeps what the file has not.
        file: what it was written to, in single precision or with half weights; not int8.
        export: writes such a network to a path as the file was written.

    Raises:
        TrainingError: the file is of another network.
    """
    marked, missing = _read(network, file, export, frozenset())
    # Before a normalisation a convolution's bias only adds to its bias: 0 will do.
    needless = frozenset(name for name in missing if _of_convolution(network, name))
    if needless:
        marked, missing = _read(network, file, export, needless)
    return OfFile(marked, missing)


def _read(
    network: _Network,
    file: GraphFile,
    export: Callable[[_Network, Path], object],
    zeros: frozenset[str],
) -> tuple[_Network, tuple[str, ...]]:
    """A copy with what is found, and what is not; `zeros`: biases that are 0."""
    marked = _marked(network, zeros)
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "template.onnx"
        export(marked, template)
        marks = GraphFile(template).constants
    learnt = file.constants
    pairs = list(zip(marks.values(), learnt.values(), strict=False))
    if len(marks) != len(learnt) or any(mark.shape != value.shape for mark, value in pairs):
        raise TrainingError(
            f"{file.path}: expected a file of this network as this version exports it, with {len(marks)} tensors of "
            f"certain shapes, got {len(learnt)} tensors, or other shapes"
        )
    given, missing = network.state_dict(), []
    for name, weight in marked.state_dict().items():
        if name in zeros:
            continue
        if not weight.is_floating_point():
            _put_named(weight, name, file.indices)
        elif _changes_nothing(marked, name):
            _put_named(weight, name, learnt)  # where it could not be folded
        elif not _put(weight, pairs):
            weight.copy_(given[name])
            missing.append(name)
    return marked, tuple(missing)


@torch.no_grad()
def measure_normalisations(network: nn.Module, look: Callable[[], object]) -> None:
    """Give normalisations that change nothing but for a bias the means and variances of what they normalise, without
    changing what the network computes: a training goes on from there.

    Args:
        network: in eval mode.
        look: runs it over pictures of the kind that it will learn from.
    """
    sums: dict[_BatchNorm, list[Tensor]] = {}

    def note(module: nn.Module, given: tuple[Tensor, ...], _: Tensor) -> None:
        seen = given[0].detach().double().transpose(0, 1).flatten(1)
        part = [torch.tensor(float(seen.shape[1])), seen.sum(dim=1), seen.square().sum(dim=1)]
        before = sums.get(cast(_BatchNorm, module))
        sums[cast(_BatchNorm, module)] = part if before is None else [a + b for a, b in zip(before, part, strict=True)]

    hooks = [module.register_forward_hook(note) for module in network.modules() if isinstance(module, _BatchNorm)]
    look()
    for hook in hooks:
        hook.remove()
    for module, (count, total, squares) in sums.items():
        mean, old_mean, old_variance = total / count, *_statistics(module)
        variance = squares / count - mean.square()
        gain = module.weight / (old_variance + module.eps).sqrt()
        module.bias.add_(gain * (mean - old_mean))
        module.weight.copy_(gain * (variance + module.eps).sqrt())
        old_mean.copy_(mean)
        old_variance.copy_(variance)


def _statistics(module: _BatchNorm) -> tuple[Tensor, Tensor]:
    return cast(Tensor, module.running_mean), cast(Tensor, module.running_var)


@torch.no_grad()
def _marked(network: _Network, zeros: frozenset[str]) -> _Network:
    """A copy whose weights are all different, but for biases that are 0, and whose normalisations change nothing but
    for a bias."""
    marked = deepcopy(network).cpu().eval()
    rng = np.random.default_rng(0)
    for name, value in marked.state_dict().items():
        if name in zeros:
            value.zero_()
        elif value.is_floating_point():
            count = value.numel()
            # In a tensor at least 1 / (2 count) apart, and never as in another tensor.
            marks = (rng.permutation(count) + 0.25 + 0.5 * rng.random(count)) / count
            value.copy_(torch.from_numpy(marks).reshape(value.shape))
    for module in marked.modules():
        if isinstance(module, _BatchNorm):
            module.weight.fill_(1.0)
            mean, variance = _statistics(module)
            mean.zero_()
            variance.fill_(1.0 - module.eps)
    return marked


def _put(weight: Tensor, pairs: Sequence[tuple[_Values, _Values]]) -> bool:
    """Whether the marks of a weight are all in the graph, whole or as a packed part; if so, what is learnt is put in
    their place. Pairs: of marks and what stands there in the file."""
    mine = weight.numpy().ravel()
    order = np.argsort(mine)
    ordered = mine[order]
    result, known = np.empty_like(mine), np.zeros(mine.shape, dtype=bool)
    for mark, value in pairs:
        if mark.size * (len(mine) // max(mark.size, 1)) != len(mine) or len(mine) // mark.size > _PACKED:
            continue
        place = np.searchsorted(ordered, mark.ravel() - _ROUNDING)
        if place.max() < len(mine) and np.abs(ordered[place] - mark.ravel()).max() <= _ROUNDING:
            result[order[place]], known[order[place]] = value.ravel(), True
    if known.all():
        weight.copy_(torch.from_numpy(result).reshape(weight.shape))
    return bool(known.all())


def _put_named(weight: Tensor, name: str, named: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """What stands in the graph under a weight's own name, if anything does."""
    kept = next((value for key, value in named.items() if key.endswith(f".{name}")), None)
    if kept is not None and kept.shape == tuple(weight.shape):
        weight.copy_(torch.from_numpy(kept))


def _of_convolution(network: nn.Module, name: str) -> bool:
    owner, _, kind = name.rpartition(".")
    return kind == "bias" and isinstance(network.get_submodule(owner), nn.Conv2d)


def _changes_nothing(network: nn.Module, name: str) -> bool:
    """Whether `_marked` has left a weight such that its normalisation does nothing."""
    owner, _, kind = name.rpartition(".")
    return isinstance(network.get_submodule(owner), _BatchNorm) and kind in _CHANGES_NOTHING

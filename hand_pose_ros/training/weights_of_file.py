"""The weights of a model file, to go on training with: what an export put into ONNX, back in its network.

A graph keeps few names: normalisations are folded into convolutions, matrices transposed, packed projections cut in
three. So the network is written once more with weights that are all different, which shows where in the graph each of
them goes; the same places of the given file hold what it has learnt.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
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

# Of a mark: folding a normalisation that changes nothing rounds. Marks of a tensor of 10 million lie farther apart.
_ROUNDING: Final = 3e-7
# Marks have either sign and one of so many exponents.
_EXPONENTS: Final = 8
# Projections that a module packs into one tensor.
_PACKED: Final = 3
# Of a normalisation, as `_marked` leaves it, and where it stands among an operator's inputs.
_CHANGES_NOTHING: Final[Mapping[str, int]] = {"weight": 1, "running_mean": 3, "running_var": 4}
_BIAS: Final = 2
_NORMALISATION: Final = "BatchNormalization"
_ALIASES: Final = ("Cast", "Identity")
_SOME: Final = 5
_NETWORK: Final = "network."
_Network = TypeVar("_Network", bound=nn.Module)
_Values = np.ndarray[Any, np.dtype[np.float32]]


class Use(NamedTuple):
    """What an operator of a graph takes that may be weights, by the place among its inputs."""

    operator: str
    given: Mapping[int, _Values]

    @property
    def kind(self) -> tuple[str, tuple[tuple[int, tuple[int, ...]], ...]]:
        """What a use of the same weights in another file has in common with it."""
        return self.operator, tuple((place, value.shape) for place, value in self.given.items())


class GraphFile:
    """A model file as what may be read back from it.

    Attributes:
        path: of the .onnx file.
        header: its inputs, outputs and metadata.
        uses: where what may be weights is read, in the graph's order. Equal tensors are stored once, but read often.
        indices: tensors of whole numbers, by name.

    Raises:
        TrainingError: the file is missing, damaged or no model.
    """

    def __init__(self, path: Path) -> None:
        try:
            import onnx
            from google.protobuf.message import DecodeError
        except ImportError as error:
            raise TrainingError("reading weights back needs the package onnx; install hand_pose_ros[train]") from error

        if not path.is_file():
            raise TrainingError(f"{path}: no such file")
        model = path.read_bytes()
        try:
            self.header = read_header(model, str(path))
            graph = onnx.load_from_string(model).graph
            tensors = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
        except EngineError as error:
            raise TrainingError(str(error)) from error
        except (DecodeError, ValueError, KeyError, TypeError, onnx.checker.ValidationError) as error:
            raise TrainingError(f"{path}: damaged ({error}); fetch or export it anew") from error
        self.path = path
        self.indices = {name: value for name, value in tensors.items() if value.dtype == np.int64}
        self.uses = _uses(graph, {name: value for name, value in tensors.items() if value.dtype.kind == "f"})
        self._names = frozenset(tensors)

    def expect(self, model: str) -> None:
        """Raises `TrainingError` where the file is not of this model, or quantised."""
        about = self.header.metadata.get("model"), self.header.metadata.get("precision")
        if about != (model, "fp32"):
            raise TrainingError(
                f"{self.path}: expected a {model} in single precision or with half weights, got "
                f"{about[0] or 'a file that does not say what it is'}, {about[1] or 'of unknown precision'}"
            )

    def stated(self, key: str, default: str | None = None) -> str:
        """An entry of the metadata.

        Raises:
            TrainingError: there is none, and no default.
        """
        value = self.header.metadata.get(key, default)
        if value is None:
            raise TrainingError(f"{self.path}: its metadata lack {key!r}; export it anew")
        return value

    def number(self, key: str) -> int:
        """An entry of the metadata that is a whole number.

        Raises:
            TrainingError: there is none, or it is something else.
        """
        text = self.stated(key)
        if not text.isdecimal():
            raise TrainingError(f"{self.path}: expected a number for {key!r} in its metadata, got {text!r}")
        return int(text)

    def holds(self, prefix: str) -> bool:
        """Whether it has weights of a part of the network."""
        return any(name.startswith(f"{_NETWORK}{prefix}") for name in self._names)

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


def _uses(graph: Any, tensors: Mapping[str, np.ndarray[Any, Any]]) -> list[Use]:
    """`graph`: of an ONNX model."""
    known: dict[str, _Values] = {name: value.astype(np.float32) for name, value in tensors.items()}
    uses = []
    for node in graph.node:
        if node.op_type in _ALIASES and node.input[0] in known:
            # Half weights, and tensors that equal another one.
            known[node.output[0]] = known[node.input[0]]
            continue
        given = {place: known[name] for place, name in enumerate(node.input) if name in known}
        if given:
            uses.append(Use(node.op_type, given))
    return uses


class OfFile(NamedTuple, Generic[_Network]):
    """A network with the weights of a model file, but for those named `missing`: nothing in the graph reads them."""

    network: _Network
    missing: tuple[str, ...]


def with_weights_of(
    network: _Network, file: GraphFile, export: Callable[[_Network, Path], object], unread: tuple[str, ...] = ()
) -> OfFile[_Network]:
    """A copy of `network` with the weights of a model file.

    What normalisations have learnt is part of the convolutions before them; they change nothing but for a bias
    (`measure_normalisations` parts them again).

    Args:
        network: built as that of the file; it keeps what the file has not.
        file: what it was written to, in single precision or with half weights; not int8.
        export: writes such a network to a path as the file was written.
        unread: how names of weights begin that a graph may do without.

    Raises:
        TrainingError: the file is of another network, or lacks more than that.
    """
    marked, missing = _read(network, file, export, frozenset())
    # Before a normalisation a convolution's bias only adds to its bias: 0 will do.
    needless = frozenset(name for name in missing if _of_convolution(network, name))
    if needless:
        marked, missing = _read(network, file, export, needless)
    lost = [name for name in missing if not name.startswith(unread)] if unread else list(missing)
    if lost:
        raise TrainingError(f"{file.path}: these weights cannot be read back: {', '.join(lost[:_SOME])}")
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
        path = Path(folder) / "template.onnx"
        export(marked, path)
        template = GraphFile(path)
    if [use.kind for use in template.uses] != [use.kind for use in file.uses]:
        raise TrainingError(
            f"{file.path}: expected a file of this network as this version exports it, with {len(template.uses)} "
            f"operators that take certain weights, got {len(file.uses)}, or others"
        )
    pairs = list(zip(template.uses, file.uses, strict=True))
    tensors = [(mark, theirs.given[place]) for ours, theirs in pairs for place, mark in ours.given.items()]
    given, missing = network.state_dict(), []
    _put_normalisations(marked, pairs)
    for name, weight in marked.state_dict().items():
        if not weight.is_floating_point():
            _put_indices(weight, f"{_NETWORK}{name}", template, file)
        elif name not in zeros and not _changes_nothing(marked, name) and not _put(weight, tensors):
            weight.copy_(given[name])
            missing.append(name)
    for name in zeros:
        # Of a convolution that nothing reads.
        if f"{name.removesuffix('bias')}weight" in missing:
            marked.state_dict()[name].copy_(given[name])
            missing.append(name)
    return marked, tuple(missing)


def _put_normalisations(marked: nn.Module, pairs: Iterable[tuple[Use, Use]]) -> None:
    """What normalisations have learnt that could not be folded, but for the bias, whose marks tell which is which."""
    found = [pair for pair in pairs if pair[0].operator == _NORMALISATION]
    weights = marked.state_dict()
    for name, module in marked.named_modules():
        if not isinstance(module, _BatchNorm):
            continue
        bias = module.bias.detach().numpy()
        theirs = next((other for mine, other in found if np.array_equal(mine.given[_BIAS], bias)), None)
        if theirs is not None:
            for kind, place in _CHANGES_NOTHING.items():
                weights[f"{name}.{kind}"].copy_(torch.from_numpy(theirs.given[place]))


def _put_indices(weight: Tensor, name: str, template: GraphFile, file: GraphFile) -> None:
    if name not in template.indices:
        return  # nothing reads it, such as how many batches a normalisation has seen
    value = file.indices.get(name)
    if value is None or value.shape != tuple(weight.shape):
        raise TrainingError(f"{file.path}: expected {name} {tuple(weight.shape)} in it")
    weight.copy_(torch.from_numpy(value))


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
            value.copy_(torch.from_numpy(_marks(value.numel(), rng)).reshape(value.shape))
    for module in marked.modules():
        if isinstance(module, _BatchNorm):
            module.weight.fill_(1.0)
            mean, variance = _statistics(module)
            mean.zero_()
            variance.fill_(1.0 - module.eps)
    return marked


def _marks(count: int, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float64]]:
    """So many numbers in a random order, each by more than its rounding from every other, and never as another time."""
    number = rng.permutation(count)
    sign, exponent, rest = 1 - 2 * (number % 2), number // 2 % _EXPONENTS, number // (2 * _EXPONENTS)
    fraction = (rest + 0.25 + 0.5 * rng.random(count)) / (count // (2 * _EXPONENTS) + 1)
    return sign * np.exp2(-exponent.astype(np.float64)) * (0.5 + 0.5 * fraction)


def _put(weight: Tensor, tensors: Sequence[tuple[_Values, _Values]]) -> bool:
    """Whether the marks of a weight are all in the graph, whole or as a packed part; if so, what is learnt is put in
    their place. Tensors: marks, and what stands there in the file."""
    mine = weight.numpy().ravel()
    order = np.argsort(mine)
    ordered = mine[order]
    result, known = np.empty_like(mine), np.zeros(mine.shape, dtype=bool)
    for mark, value in tensors:
        if mark.size * (len(mine) // max(mark.size, 1)) != len(mine) or len(mine) // mark.size > _PACKED:
            continue
        wanted = mark.ravel()
        off = _ROUNDING * np.abs(wanted)
        place = np.minimum(np.searchsorted(ordered, wanted - off), len(mine) - 1)
        if (np.abs(ordered[place] - wanted) <= 2 * off).all():
            result[order[place]], known[order[place]] = value.ravel(), True
    if known.all():
        weight.copy_(torch.from_numpy(result).reshape(weight.shape))
    return bool(known.all())


def _of_convolution(network: nn.Module, name: str) -> bool:
    owner, _, kind = name.rpartition(".")
    return kind == "bias" and isinstance(network.get_submodule(owner), nn.Conv2d | nn.ConvTranspose2d)


def _changes_nothing(network: nn.Module, name: str) -> bool:
    """Whether `_marked` has left a weight such that its normalisation does nothing."""
    owner, _, kind = name.rpartition(".")
    return isinstance(network.get_submodule(owner), _BatchNorm) and kind in _CHANGES_NOTHING

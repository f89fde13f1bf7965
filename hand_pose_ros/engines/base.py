"""What every inference engine offers, and the checks that all of them share."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class EngineError(RuntimeError):
    """An engine or a model that cannot be used; the text says what was expected, what came and the remedy."""


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape (None = any size) and dtype of one input or output."""

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]

    def accepts(self, shape: tuple[int | None, ...], dtype: Any) -> bool:
        """Whether a tensor of this shape and dtype fits; an unknown size (None) fits any."""
        return (
            len(shape) == len(self.shape)
            and all(a is None or b is None or a == b for a, b in zip(self.shape, shape, strict=True))
            and dtype == self.dtype
        )

    def __str__(self) -> str:
        sizes = ", ".join("any" if size is None else str(size) for size in self.shape)
        return f"{self.name} {self.dtype.name} ({sizes})"


class Engine(Protocol):
    """A loaded network.

    Attributes:
        name: of the engine ("onnxruntime").
        description: engine, version, provider and threads, for logs and diagnostics.
        inputs, outputs: what `run` takes and gives.
        metadata: the strings stored in the model file.
    """

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def inputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def metadata(self) -> Mapping[str, str]: ...

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """One forward pass; all inputs by name, all outputs by name.

        Raises:
            EngineError: an input is missing, unknown, or of another shape or dtype.
        """
        ...


def default_threads() -> int:
    """Half of the cores this process may use, at least one: a robot's CPU is shared."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)) // 2)
    return max(1, (os.cpu_count() or 1) // 2)


def check_inputs(model: str, specs: Iterable[TensorSpec], inputs: Mapping[str, Array]) -> None:
    """Raise `EngineError` unless `inputs` are exactly the tensors of `specs`."""
    wanted = {spec.name: spec for spec in specs}
    if inputs.keys() != wanted.keys():
        raise EngineError(f"{model}: expected inputs {_names(wanted)}, got {_names(inputs)}")
    for name, spec in wanted.items():
        array = inputs[name]
        if not spec.accepts(array.shape, array.dtype):
            raise EngineError(f"{model}: expected input {spec}, got {array.dtype.name} {array.shape}")


def require_contract(engine: Engine, model: str, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec]) -> None:
    """Raise `EngineError` unless the engine's network takes exactly `inputs` and gives at least `outputs`."""
    wanted = tuple(inputs)
    extra = sorted({spec.name for spec in engine.inputs} - {spec.name for spec in wanted})
    if extra:
        raise EngineError(f"{model}: the network wants inputs that are not known here: {', '.join(extra)}")
    for kind, needed, given in (("input", wanted, engine.inputs), ("output", tuple(outputs), engine.outputs)):
        have = {spec.name: spec for spec in given}
        for spec in needed:
            if spec.name not in have:
                raise EngineError(f"{model}: expected {kind} {spec}, the network has {_names(have)}; export it anew")
            if not spec.accepts(have[spec.name].shape, have[spec.name].dtype):
                raise EngineError(f"{model}: expected {kind} {spec}, the network has {have[spec.name]}; export it anew")


def warm_up(engine: Engine) -> None:
    """One forward pass on zeros, so that the first frame does not pay for the engine's late allocations."""
    engine.run({spec.name: np.zeros([size or 1 for size in spec.shape], spec.dtype) for spec in engine.inputs})


def _names(mapping: Mapping[str, Any]) -> str:
    return ", ".join(sorted(mapping)) or "none"

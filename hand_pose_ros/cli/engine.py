"""`hand_pose engine`: build TensorRT engines ahead of time, hold them against ONNX Runtime, and say which there are."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from hand_pose_ros.cli.errors import UsageError
from hand_pose_ros.cli.settings import read_yaml
from hand_pose_ros.config import NodeConfig
from hand_pose_ros.engines.base import Array, Engine
from hand_pose_ros.engines.factory import create_engine
from hand_pose_ros.engines.zoo import find_model
from hand_pose_ros.options import build

_ACTIONS: Final = {
    "build": "build the engines and store them; what is stored already is only checked",
    "check": "run TensorRT and ONNX Runtime on the same inputs and compare outputs and times",
    "list": "the stored engines",
}
_RUNS: Final = 50
# Finders that are no network of ours.
_NO_FILE: Final = ("mediapipe", "boxes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    actions = "; ".join(f"{name}: {text}" for name, text in _ACTIONS.items())
    parser.add_argument("action", choices=tuple(_ACTIONS), help=actions)
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help="names from the zoo or .onnx files (default: hand pose model and hand finder of --config)",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="parameter file that names the models")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.01,
        help="check: largest difference allowed, in parts of an output's largest value (default: 0.01)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; 1 where a check found larger differences than allowed."""
    actions: dict[str, Callable[[argparse.Namespace], int]] = {"build": _build, "check": _check, "list": _list}
    return actions[args.action](args)


def _build(args: argparse.Namespace) -> int:
    for path in _models(args):
        start = time.perf_counter()
        engine = create_engine(path, "tensorrt")
        print(f"{path.name}: {engine.description}, ready after {time.perf_counter() - start:.1f} s", flush=True)
    return 0


def _check(args: argparse.Namespace) -> int:
    from hand_pose_ros.engines.tensorrt_engine import example_inputs

    if not 0 < args.tolerance < 1:
        raise UsageError(f"--tolerance: expected a number above 0 and below 1, got {args.tolerance:g}")
    good = True
    for path in _models(args):
        engines = [create_engine(path, name) for name in ("tensorrt", "onnxruntime")]
        inputs = example_inputs(engines[0].inputs)
        ours, expected = (engine.run(inputs) for engine in engines)
        for name, difference in _differences(ours, expected):
            verdict = "ok" if difference <= args.tolerance else "DIFFERS"
            good = good and verdict == "ok"
            print(f"{path.name}: {name}: {difference:.2e} of the largest value, {verdict}")
        for engine in engines:
            print(
                f"{path.name}: {engine.description}: {_milliseconds(engine, inputs):.2f} ms a run (median of {_RUNS})"
            )
    return 0 if good else 1


def _list(args: argparse.Namespace) -> int:
    from hand_pose_ros.engines.engine_store import EngineStore

    store = EngineStore()
    found = store.engines()
    for path, key in found:
        size = path.stat().st_size / 1e6
        print(f"{path}: TensorRT {key.tensorrt}, {key.gpu} ({key.compute_capability}), {key.precision}, {size:.1f} MB")
    if not found:
        print(f"no engines in {store.folder}; `hand_pose engine build` makes them")
    return 0


def _models(args: argparse.Namespace) -> list[Path]:
    if args.models and args.config is not None:
        raise UsageError("expected models or --config, got both; name the models, or leave them out")
    if args.models:
        return [find_model(name) for name in args.models]
    config = build(NodeConfig, {} if args.config is None else read_yaml(args.config)).pipeline
    names = [config.model, config.finder.model]
    return [find_model(name) for name in names if name not in _NO_FILE]


def _differences(ours: dict[str, Array], expected: dict[str, Array]) -> Iterator[tuple[str, float]]:
    """Each output's largest difference, in parts of the largest value that it should have."""
    for name, value in expected.items():
        wanted = value.astype(np.float64)
        scale = max(float(np.abs(wanted).max()), 1e-30)
        yield name, float(np.abs(ours[name].astype(np.float64) - wanted).max()) / scale


def _milliseconds(engine: Engine, inputs: dict[str, Array]) -> float:
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        engine.run(inputs)
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3

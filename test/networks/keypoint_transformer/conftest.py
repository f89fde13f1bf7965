"""Networks of the golden runs with the weights by rule."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def golden_dir(shared_dir: Path) -> Path:
    return shared_dir / "golden" / "keypoint_transformer"


@pytest.fixture(scope="session")
def published_keys(golden_dir: Path) -> Callable[[str], dict[str, tuple[int, ...]]]:
    """`published_keys(variant)`: shapes by name, as the authors' network has them."""

    def read(variant: str) -> dict[str, tuple[int, ...]]:
        lines = (golden_dir / f"keys_{variant}.txt").read_text().splitlines()
        fields = [line.split("\t") for line in lines if not line.startswith("#")]
        return {field[0]: ast.literal_eval(field[1]) for field in fields}

    return read


@pytest.fixture(scope="session")
def rule_state(
    golden_dir: Path, published_keys: Callable[[str], dict[str, tuple[int, ...]]]
) -> Callable[[str], dict[str, Any]]:
    """`rule_state(variant)`: the weights of the golden runs under the published names."""
    spec = importlib.util.spec_from_file_location("kypt_weights_rule", golden_dir / "weights_rule.py")
    assert spec is not None and spec.loader is not None
    rule = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rule)

    def make(variant: str) -> dict[str, Any]:
        heat = rule.heat_of(variant)
        return {name: torch.from_numpy(rule.proc(name, shape, heat)) for name, shape in published_keys(variant).items()}

    return make

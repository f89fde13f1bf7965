"""`pip install .` takes along what models need beside them."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_file_of_a_model_is_installed() -> None:
    calls = [node for node in ast.walk(ast.parse((ROOT / "setup.py").read_text())) if isinstance(node, ast.Call)]
    taken = [[ast.literal_eval(value) for value in call.args] for call in calls if _names(call) == "files"]
    ((_, *patterns),) = [arguments for arguments in taken if arguments[0] == "models"]
    installed = {path for pattern in patterns for path in (ROOT / "models").glob(pattern)}
    beside = {path for path in (ROOT / "models").iterdir() if path.is_file()}
    assert any(path.name.endswith(".trust.json") for path in beside)
    assert beside == installed


def _names(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""

"""The table printer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hand_pose_ros.evaluation.report import Report, Table, facts

TABLE = Table("Errors", ("joint", "mm", "n"), (("wrist", 3.14159, 12), ("thumb|tip", float("nan"), 3)))


def test_text_lines_up() -> None:
    assert TABLE.text().splitlines() == [
        "Errors",
        "joint       mm   n",
        "---------  ---  --",
        "wrist      3.1  12",
        "thumb|tip    –   3",
    ]


def test_markdown_escapes_bars() -> None:
    assert TABLE.markdown().splitlines()[-1] == "| thumb\\|tip | – | 3 |"


def test_report_files_hold_unrounded_strict_json(tmp_path: Path) -> None:
    report = Report(
        "Result", (TABLE, facts("Facts", {"ok": True})), {"curve": np.array([0.5, np.inf]), "n": np.int64(2)}
    )
    json_path, markdown_path = report.write(tmp_path / "new", "result")
    content = json.loads(json_path.read_text(encoding="utf-8"))
    assert content["tables"]["Errors"][0]["mm"] == 3.14159
    assert content["tables"]["Errors"][1]["mm"] is None
    assert content["curve"] == [0.5, None]
    assert content["n"] == 2
    assert "| ok | yes |" in markdown_path.read_text(encoding="utf-8")


def test_a_short_row_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 2 cells"):
        Table("t", ("a", "b"), ((1,),))

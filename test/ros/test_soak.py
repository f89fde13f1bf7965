"""A short soak with a node that is alive: three processes over real DDS."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from needs import needs_ros

needs_ros()

ROOT = Path(__file__).resolve().parents[2]


def test_a_short_soak_of_the_real_node(tmp_path: Path, sample_bag: Path) -> None:
    """12 s; `python -m benchmarks.soak --minutes 10` is the long one."""
    command = [sys.executable, "-m", "benchmarks.soak", "--minutes", str(12 / 60), "--rate", "10"]
    done = subprocess.run([*command, "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert (tmp_path / "soak.json").exists(), done.stdout + done.stderr
    told = json.loads((tmp_path / "soak.json").read_text())
    assert done.returncode == bool(told["problems"])
    # On a busy machine latency may grow for reasons of its own; memory may not.
    assert not [problem for problem in told["problems"] if problem.startswith("memory")]
    assert len(told["samples"]) >= 8 and sum(item["results"] for item in told["samples"]) > 3
    assert all(item["memory_mb"] > 50 for item in told["samples"])
    assert (tmp_path / "soak.png").stat().st_size > 1000

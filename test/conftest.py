"""What tests share. In CI (HAND_POSE_NO_SKIP=1) a test that would skip fails: nothing is silently untested."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# A shared machine may stall a single example for seconds; that is no finding.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

ROOT = Path(__file__).resolve().parents[1]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    if report.skipped and os.environ.get("HAND_POSE_NO_SKIP") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped although HAND_POSE_NO_SKIP=1: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder `shared/` beside the checkout: golden tensors and real recordings."""
    folder = Path(os.environ.get("HAND_POSE_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}; set HAND_POSE_SHARED to where golden tensors and recordings are")
    return folder


@pytest.fixture(scope="session")
def sample_bag() -> Path:
    """The bundled sample recording."""
    path = ROOT / "sample" / "hand_sample.mcap"
    if not path.exists():
        pytest.skip(f"no {path}; docs/synthetic.md has the command that makes it")
    return path

"""What the documents say of the code is what the code says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_parameter_table_is_the_configuration() -> None:
    path = ROOT / "scripts" / "write_parameter_docs.py"
    spec = importlib.util.spec_from_file_location("write_parameter_docs", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "parameters.md").read_text() == module.text(), f"run python {path.relative_to(ROOT)}"


def test_every_fault_has_the_test_that_is_named() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "robustness.md").read_text()))
    there = {
        name for path in (ROOT / "test").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert len(named) > 20 and named <= there, named - there


def test_links_of_the_documents_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    missing = []
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            if not (page.parent / target).exists():
                missing.append(f"{page.name}: {target}")
    assert not missing, missing

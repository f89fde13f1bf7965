"""Streamed JSON gives what `json` gives, whatever the size of the window."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hand_pose_ros.datasets import json_stream
from hand_pose_ros.datasets.base import DatasetError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
SMALL = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SMALL
@given(st.lists(VALUES, max_size=6), st.integers(1, 40), st.sampled_from([None, 1]))
def test_arrays(tmp_path: Path, monkeypatch: Any, values: list[Any], chunk: int, indent: int | None) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK", chunk)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(values, indent=indent), encoding="utf-8")
    assert list(json_stream.array_items(path)) == values


@SMALL
@given(st.lists(VALUES, max_size=4), st.lists(VALUES, max_size=4), VALUES, st.integers(1, 40))
def test_objects(tmp_path: Path, monkeypatch: Any, a: list[Any], b: list[Any], other: Any, chunk: int) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK", chunk)
    path = tmp_path / "o.json"
    path.write_text(json.dumps({"a": a, "other": other, "b": b}), encoding="utf-8")
    assert list(json_stream.object_items(path, ("a", "b"))) == [("a", x) for x in a] + [("b", x) for x in b]


@pytest.mark.parametrize("text", ["", "[", "[1", "[1,", "[1 2]", '["a', "[tru]", '{"a": [1]', '{"a" [1]}', "[1]x"[:2]])
def test_damaged_text_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "d.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=r"d\.json"):
        list(json_stream.object_items(path, ("a",)) if text.startswith("{") else json_stream.array_items(path))


def test_binary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="not a text file"):
        list(json_stream.array_items(tmp_path / "b.json"))

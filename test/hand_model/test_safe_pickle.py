"""Pickles of arrays are read in every protocol; anything that could run code is refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from hand_pose_ros.hand_model.safe_pickle import UnreadablePickle, UnsafePickle, load_pickle


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_protocol(protocol: int) -> None:
    content = {"a": np.arange(6.0).reshape(2, 3), "n": np.float32(2), "t": "x", "l": [1, None, (2.0, True)]}
    read = load_pickle(pickle.dumps(content, protocol))
    np.testing.assert_array_equal(read["a"], content["a"])
    assert {key: read[key] for key in "ntl"} == {key: content[key] for key in "ntl"}


class Call:
    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize(
    "content",
    [Call(os.system, "touch stolen"), Call(eval, "1"), Call(np.load, "x"), Path("x"), np.random.default_rng(0)],
)
def test_everything_else_is_refused(content: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsafePickle, match="asks for the global"):
        load_pickle(pickle.dumps({"a": content}))
    assert not (tmp_path / "stolen").exists()


@pytest.mark.parametrize("data", [b"", b"junk", pickle.dumps({"a": np.arange(9)})[:-20], b"\x80\x02."])
def test_damaged_bytes_are_told_from_unsafe_ones(data: bytes) -> None:
    with pytest.raises(UnreadablePickle):
        load_pickle(data)

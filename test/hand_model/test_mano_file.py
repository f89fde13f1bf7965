"""MANO's files: the same numbers as smplx, from pickles that cannot run anything."""

from __future__ import annotations

import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hand_pose_ros.hand_model.mano_file import ModelFileError, read_model_file
from hand_pose_ros.hand_model.model import MANO_PARENTS, MANO_TIPS, MANO_VERTICES, HandModel
from hand_pose_ros.skeleton import CANONICAL_TO_MANO, Side


def fake_mano(seed: int = 0) -> dict[str, np.ndarray]:
    """Random numbers in MANO's layout and under MANO's names."""
    rng = np.random.default_rng(seed)
    weights = rng.random((MANO_VERTICES, 16)) ** 4
    regressor = rng.random((16, MANO_VERTICES)) ** 20
    kintree = np.stack([np.array(MANO_PARENTS), np.arange(16)]).astype(np.uint32)
    assert kintree[0, 0] == 2**32 - 1
    return {
        "v_template": rng.normal(0, 0.05, (MANO_VERTICES, 3)),
        "f": rng.integers(0, MANO_VERTICES, (1538, 3)).astype(np.uint32),
        "shapedirs": rng.normal(0, 0.003, (MANO_VERTICES, 3, 10)),
        "posedirs": rng.normal(0, 0.002, (MANO_VERTICES, 3, 135)),
        "J_regressor": regressor / regressor.sum(axis=1, keepdims=True),
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "kintree_table": kintree,
        "hands_mean": rng.normal(0, 0.2, 45),
        "hands_components": np.eye(45),
    }


def stand_in(module: str, name: str, monkeypatch: pytest.MonkeyPatch) -> type:
    """A class pickled as `module.name`, as scipy's and chumpy's are; the packages themselves are not needed."""
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        path = ".".join(parts[:end])
        if path not in sys.modules or end == len(parts):
            monkeypatch.setitem(sys.modules, path, types.ModuleType(path))
    cls = type(name, (), {"__module__": module})
    monkeypatch.setattr(sys.modules[module], name, cls, raising=False)
    return cls


def with_state(cls: type, **state: Any) -> Any:
    instance = cls()
    instance.__dict__.update(state)
    return instance


def sparse_state(dense: np.ndarray) -> dict[str, Any]:
    columns, rows = np.nonzero(dense.T)
    starts = np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=dense.shape[1]))])
    return {
        "_shape": dense.shape,
        "data": dense[rows, columns],
        "indices": rows.astype(np.int32),
        "indptr": starts.astype(np.int32),
        "format": "csc",
        "maxprint": 50,
    }


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_pickle_with_scipy_and_chumpy_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int) -> None:
    arrays = fake_mano()
    content: dict[str, Any] = dict(arrays)
    content["J_regressor"] = with_state(
        stand_in("scipy.sparse.csc", "csc_matrix", monkeypatch), **sparse_state(arrays["J_regressor"])
    )
    content["weights"] = with_state(stand_in("chumpy.ch", "Ch", monkeypatch), x=arrays["weights"], _cache=None)
    select = stand_in("chumpy.reordering", "Select", monkeypatch)
    shape = arrays["shapedirs"]
    content["shapedirs"] = with_state(select, a=shape, idxs=np.arange(shape.size), preferred_shape=shape.shape)
    path = tmp_path / "MANO_RIGHT.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    model = HandModel.from_file(path, Side.RIGHT)
    for ours, theirs in (("J_regressor", "J_regressor"), ("weights", "weights"), ("shapedirs", "shapedirs")):
        np.testing.assert_allclose(getattr(model, ours), arrays[theirs], atol=1e-7)
    assert tuple(model.parents) == MANO_PARENTS
    assert tuple(model.tips) == MANO_TIPS[Side.RIGHT]


class Evil:
    """Would touch a file when unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


def call(function: Any, *arguments: Any) -> Any:
    return type("Call", (), {"__reduce__": lambda self: (function, arguments)})()


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (lambda target: Evil(target), "refused: the pickle asks for the global"),
        (lambda target: call(eval, f"open({str(target)!r}, 'w')"), r"(builtins|__builtin__)\.eval"),
        (lambda target: call(__import__, "os"), "__import__"),
        (lambda target: call(np.load, str(target)), "load"),
    ],
    ids=["pathlib", "eval", "import", "numpy function"],
)
def test_pickles_that_call_anything_are_refused_by_name(
    tmp_path: Path, payload: Any, named: str, protocol: int
) -> None:
    target = tmp_path / "touched"
    path = tmp_path / "MANO_RIGHT.pkl"
    path.write_bytes(pickle.dumps({**fake_mano(), "v_template": payload(target)}, protocol=protocol))
    with pytest.raises(ModelFileError, match=named):
        read_model_file(path)
    assert not target.exists()


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("MANO_RIGHT.pkl", b"<html>please log in</html>", "not a readable pickle"),
        ("MANO_RIGHT.pkl", b"", "not a readable pickle"),
        ("MANO_RIGHT.pkl", pickle.dumps([1, 2, 3]), "expected a dict of arrays"),
        ("MANO_RIGHT.pkl", pickle.dumps({"a": 1}), "has no 'v_template'"),
        ("MANO_RIGHT.pkl", pickle.dumps({**fake_mano(), "weights": "none"}), "expected numbers"),
        ("MANO_RIGHT.pkl", pickle.dumps(fake_mano())[:-100], "not a readable pickle"),
        ("hand.npz", b"PK\x03\x04 broken", "not a readable .npz"),
    ],
)
def test_other_files_are_refused_with_a_reason(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    with pytest.raises(ModelFileError, match=says):
        read_model_file(_write(tmp_path / name, content))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"no such file.*MANO_RIGHT\.pkl"):
        read_model_file(tmp_path / "nothing.pkl")


def test_object_arrays_in_npz_are_refused(tmp_path: Path) -> None:
    arrays: dict[str, Any] = fake_mano()
    arrays["J_regressor"] = np.array({"sparse": 1}, dtype=object)
    np.savez(tmp_path / "hand.npz", **arrays)
    with pytest.raises(ModelFileError, match="saved dense"):
        read_model_file(tmp_path / "hand.npz")


def test_a_mesh_without_known_fingertips_is_refused(tmp_path: Path) -> None:
    arrays = fake_mano()
    for key in ("v_template", "shapedirs", "posedirs", "weights"):
        arrays[key] = arrays[key][:700]
    arrays["J_regressor"] = arrays["J_regressor"][:, :700]
    np.savez(tmp_path / "hand.npz", **arrays)
    with pytest.raises(ValueError, match="no 'tips'"):
        HandModel.from_file(tmp_path / "hand.npz", Side.RIGHT)


@pytest.mark.parametrize("side", list(Side))
def test_forward_equals_smplx(tmp_path: Path, side: Side) -> None:
    smplx = pytest.importorskip("smplx")
    torch = pytest.importorskip("torch")
    path = tmp_path / f"MANO_{side.value.upper()}.npz"
    np.savez(path, **fake_mano(seed=1))
    reference = smplx.MANO(
        str(path), is_rhand=side is Side.RIGHT, use_pca=False, flat_hand_mean=True, batch_size=4, ext="npz"
    )
    model = HandModel.from_file(path, side)
    rng = np.random.default_rng(2)
    orient, pose, betas, transl = (rng.normal(0, 0.7, (4, size)).astype(np.float32) for size in (3, 45, 10, 3))
    with torch.no_grad():
        expected = reference(
            global_orient=torch.from_numpy(orient),
            hand_pose=torch.from_numpy(pose),
            betas=torch.from_numpy(betas),
            transl=torch.from_numpy(transl),
        )
    ours = model.forward_batch(orient, pose, betas, transl)
    np.testing.assert_allclose(ours.vertices, expected.vertices.numpy(), atol=1e-5)
    np.testing.assert_allclose(ours.joints[:, CANONICAL_TO_MANO][:, :16], expected.joints.numpy()[:, :16], atol=1e-5)
    np.testing.assert_array_equal(ours.joints[:, CANONICAL_TO_MANO][:, 16:], ours.vertices[:, MANO_TIPS[side]])

"""Reading hand model files (MANO's pickles and .npz) without running what is in them.

MANO's `MANO_RIGHT.pkl` is a Python 2 pickle of numpy arrays, one scipy sparse matrix and chumpy objects. A pickle can
call anything, so this reader lets it build numpy arrays only; scipy and chumpy objects become plain
records of their data (neither package is needed), and any other global is refused by name.
"""

from __future__ import annotations

import zipfile
from abc import abstractmethod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.hand_model.safe_pickle import UnreadablePickle, UnsafePickle, load_pickle, numpy_globals
from hand_pose_ros.types import InvalidData

# Names of `HandModel`'s arrays, and what MANO calls them.
MODEL_KEYS: Final = (
    "v_template",
    "faces",
    "shapedirs",
    "posedirs",
    "J_regressor",
    "weights",
    "parents",
    "hand_mean",
)
MANO_NAMES: Final = {"faces": "f", "parents": "kintree_table", "hand_mean": "hands_mean"}
NUM_SHAPES: Final = 10


class ModelFileError(InvalidData):
    """A hand model file that is missing, damaged, unsafe or of another layout."""


class _Record:
    """Stands in for a scipy sparse matrix or a chumpy object: keeps its state, runs nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Record:
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.state: dict[str, Any] = getattr(self, "state", {})

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise ModelFileError(f"expected the state of a {type(self).__name__} as a dict, got {type(state)}")
        self.state = state

    @abstractmethod
    def array(self) -> NDArray[Any]:
        """The numbers it stands for."""


class _Sparse(_Record):
    """scipy.sparse.csc_matrix."""

    def array(self) -> NDArray[Any]:
        try:
            rows, columns = (int(n) for n in self.state["_shape"])
            data, indices, starts = (np.asarray(self.state[key]) for key in ("data", "indices", "indptr"))
        except KeyError as missing:
            raise ModelFileError(f"the sparse matrix lacks {missing}; expected a scipy csc_matrix") from missing
        sizes_agree = len(starts) == columns + 1 and len(data) == len(indices) == int(starts[-1])
        if not sizes_agree or rows * columns > 10**7:
            raise ModelFileError(f"the sparse matrix ({rows}x{columns}) is damaged: its arrays do not fit together")
        dense = np.zeros((rows, columns))
        np.add.at(dense, (indices, np.repeat(np.arange(columns), np.diff(starts))), data)
        return dense


class _Chumpy(_Record):
    """chumpy.ch.Ch (an array `x`) and chumpy.reordering.Select (entries `idxs` of an array `a`)."""

    def array(self) -> NDArray[Any]:
        if "x" in self.state:
            return as_array(self.state["x"])
        if {"a", "idxs", "preferred_shape"} <= self.state.keys():
            chosen = as_array(self.state["a"]).ravel()[as_array(self.state["idxs"])]
            return np.asarray(chosen).reshape(tuple(int(n) for n in self.state["preferred_shape"]))
        raise ModelFileError(f"a chumpy object holds {sorted(self.state)}; expected x, or a, idxs, preferred_shape")


def _reconstructor(cls: Any, base: Any, state: Any) -> Any:
    """copyreg's, for our records only."""
    if not (isinstance(cls, type) and issubclass(cls, _Record)):
        raise ModelFileError(f"the file asks to build a {cls}; only arrays are read")
    return cls()


def _allowed() -> dict[tuple[str, str], Any]:
    table = numpy_globals()
    table["chumpy.ch", "Ch"] = _Chumpy
    table["chumpy.reordering", "Select"] = _Chumpy
    for module in ("scipy.sparse.csc", "scipy.sparse._csc", "scipy.sparse"):
        table[module, "csc_matrix"] = _Sparse
    for module in ("copy_reg", "copyreg"):
        table[module, "_reconstructor"] = _reconstructor
    for module in ("__builtin__", "builtins"):
        table[module, "object"] = object
        table[module, "set"] = set
    return table


_TABLE: Final = _allowed()


def as_array(value: Any) -> NDArray[Any]:
    """A numpy array from an array or one of the records."""
    if isinstance(value, _Record):
        return value.array()
    return np.asarray(value)


def _load_pickle(path: Path) -> dict[str, Any]:
    try:
        content = load_pickle(path.read_bytes(), _TABLE)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None
    except UnsafePickle as error:
        raise ModelFileError(
            f"{path}: refused: {error}; a hand model holds numpy arrays, scipy csc_matrix and chumpy arrays only. "
            "Do not trust this file, or convert it to .npz yourself"
        ) from None
    except UnreadablePickle as error:
        raise ModelFileError(
            f"{path}: not a readable pickle ({error}); expected MANO_RIGHT.pkl or MANO_LEFT.pkl, downloaded whole"
        ) from error
    if not isinstance(content, dict):
        raise ModelFileError(f"{path}: expected a dict of arrays, got {type(content).__name__}")
    return content


def _load_npz(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ModelFileError(
            f"{path}: not a readable .npz of plain arrays ({error}); sparse matrices must be saved dense"
        ) from error


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file; expected MANO_RIGHT.pkl, MANO_LEFT.pkl or an .npz of its arrays")
    return _load_npz(path) if path.suffix == ".npz" else _load_pickle(path)


def read_pose_basis(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """MANO's mean pose (45,) and PCA basis (45, 45), rows are components: pose = mean + coefficients @ basis.

    Raises:
        ModelFileError: the file cannot be read, or has no such basis.
    """
    content = _load(path)
    parts = []
    for name, shape in (("hands_mean", (45,)), ("hands_components", (45, 45))):
        value = as_array(content[name]) if name in content else np.zeros(0)
        if value.size != np.prod(shape) or value.dtype.kind not in "fiu":
            raise ModelFileError(
                f"{path}: expected '{name}' as {shape} numbers, got {value.shape}; is it MANO's own file?"
            )
        parts.append(value.reshape(shape).astype(np.float32))
    return parts[0], parts[1]


def read_model_file(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a hand model file (.pkl or .npz), with `HandModel`'s names, dtypes and shapes.

    Accepts MANO's names (f, kintree_table, hands_mean) and ours; keeps the first 10 shape directions; `tips` is present
    only where the file has it. Raises `ModelFileError`.
    """
    content = _load(path)
    arrays: dict[str, NDArray[Any]] = {}
    for key in MODEL_KEYS:
        name = key if key in content else MANO_NAMES.get(key, key)
        if name not in content:
            raise ModelFileError(
                f"{path}: has no '{name}' (it has {', '.join(sorted(map(str, content)))}); expected a MANO hand model"
            )
        value = as_array(content[name])
        if value.dtype.kind not in "fiu":
            raise ModelFileError(f"{path}: '{name}' is of type {value.dtype}; expected numbers")
        integer = key in ("faces", "parents")
        arrays[key] = value.astype(np.int64 if integer else np.float32)
    if "tips" in content:
        arrays["tips"] = as_array(content["tips"]).astype(np.int64)
    if arrays["parents"].ndim == 2:
        arrays["parents"] = arrays["parents"][0]
    if arrays["parents"].size:
        arrays["parents"][0] = -1  # MANO marks the root with 2^32 - 1
    arrays["hand_mean"] = arrays["hand_mean"].reshape(-1)
    if arrays["shapedirs"].ndim == 3:
        arrays["shapedirs"] = np.ascontiguousarray(arrays["shapedirs"][:, :, :NUM_SHAPES])
    return arrays

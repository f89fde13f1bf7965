"""Pickles read without running what is in them: only what a table names can be built.

A pickle may call any importable function. Data sets and hand models of the Python 2 days come as pickles of numpy
arrays, so that numpy's few builders are all that is needed; `numpy_globals` lists them.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from hand_pose_ros.types import InvalidData

Globals = Mapping[tuple[str, str], Any]


class UnsafePickle(ValueError):
    """The pickle asks for something that the table does not name."""


class UnreadablePickle(ValueError):
    """The bytes are no pickle, are cut off, or hold calls that do not fit."""


def _latin1_bytes(text: str, encoding: str = "latin1") -> bytes:
    """How Python 3 pickles bytes in the old protocols."""
    return text.encode("latin1")


def numpy_globals() -> dict[tuple[str, str], Any]:
    """What pickled numpy arrays, numbers and dtypes ask for, under the module names of numpy 1 and 2."""
    table: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _latin1_bytes,
    }
    # Private functions, but their names are part of the pickle format; numpy 2 moved them.
    for package in ("numpy.core", "numpy._core"):
        table[f"{package}.multiarray", "_reconstruct"] = np.ndarray(0).__reduce__()[0]
        table[f"{package}.multiarray", "scalar"] = np.float64(0).__reduce__()[0]
        table[f"{package}.numeric", "_frombuffer"] = np.zeros(1).__reduce_ex__(5)[0]
    return table


NUMPY_GLOBALS: Final[Globals] = numpy_globals()


class _TableUnpickler(pickle.Unpickler):
    """Builds what the table names; refuses every other global."""

    def __init__(self, data: bytes, table: Globals) -> None:
        # latin1 is what numpy arrays of Python 2 need.
        super().__init__(io.BytesIO(data), encoding="latin1")
        self._table = table

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._table[module, name]
        except KeyError:
            raise UnsafePickle(f"the pickle asks for the global {module}.{name}") from None


def load_pickle(data: bytes, table: Globals = NUMPY_GLOBALS) -> Any:
    """The content of a pickle of plain containers, text, numbers and what `table` names.

    Raises:
        UnsafePickle: it asks for any other global; the text names it.
        UnreadablePickle: the bytes are no pickle or are damaged.
    """
    try:
        return _TableUnpickler(data, table).load()
    # InvalidData is what a table's own builders raise.
    except (UnsafePickle, InvalidData):
        raise
    # What the unpickler raises on bytes that are no pickle, or calls that do not fit.
    except (
        pickle.UnpicklingError,
        EOFError,
        AttributeError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
        OverflowError,
        MemoryError,
    ) as error:
        raise UnreadablePickle(str(error) or type(error).__name__) from error

"""Keeps numpy's matrix products on one thread while a frame is processed.

A hand's matrices are small: OpenBLAS would still split them over all cores, and its threads wait by spinning. On a busy
machine the same 0.2 ms of work then took 20 ms (hand model forward, two cores, load 9). OpenBLAS reads its environment
variables only when it is loaded, so the number is set through its C functions.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

_MAPS: Final = Path("/proc/self/maps")
# numpy's and scipy's wheels rename the functions of their bundled copy.
_PREFIXES: Final = ("", "scipy_")
_SUFFIXES: Final = ("", "64_", "_64")


class _Library(NamedTuple):
    get_threads: Callable[[], int]
    set_threads: Callable[[int], None]


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """One thread inside the `with` block, what it was before afterwards. Without OpenBLAS it does nothing.

    The number belongs to the process: other Python threads' products are on one thread for that time as well.
    """
    libraries = _libraries()
    before = [library.get_threads() for library in libraries]
    for library in libraries:
        library.set_threads(1)
    try:
        yield
    finally:
        for library, threads in zip(libraries, before, strict=True):
            library.set_threads(threads)


def blas_threads() -> tuple[int, ...]:
    """The thread number of each loaded OpenBLAS; empty where there is none."""
    return tuple(library.get_threads() for library in _libraries())


@lru_cache(maxsize=1)
def _libraries() -> tuple[_Library, ...]:
    if not _MAPS.exists():  # not Linux
        return ()
    mapped = (line.split(maxsplit=5) for line in _MAPS.read_text(encoding="utf-8", errors="replace").splitlines())
    paths = {fields[5] for fields in mapped if len(fields) == 6 and "openblas" in fields[5]}
    return tuple(filter(None, map(_library, sorted(paths))))


def _library(path: str) -> _Library | None:
    try:
        shared = ctypes.CDLL(path)
    except OSError:  # not a library (a mapped data file), or replaced on disk meanwhile
        return None
    for prefix in _PREFIXES:
        for suffix in _SUFFIXES:
            get = getattr(shared, f"{prefix}openblas_get_num_threads{suffix}", None)
            put = getattr(shared, f"{prefix}openblas_set_num_threads{suffix}", None)
            if get is not None and put is not None:
                get.restype, get.argtypes = ctypes.c_int, []
                put.restype, put.argtypes = None, [ctypes.c_int]
                return _Library(get, put)
    return None

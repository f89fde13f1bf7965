from __future__ import annotations

import pytest

from hand_pose_ros.engines.blas import blas_threads, single_threaded_blas


def test_one_thread_inside_and_the_old_number_after() -> None:
    before = blas_threads()
    if not before:
        pytest.skip("numpy runs on another library than OpenBLAS here")
    with single_threaded_blas():
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


def test_the_old_number_comes_back_after_an_error() -> None:
    before = blas_threads()
    with pytest.raises(ZeroDivisionError), single_threaded_blas():
        raise ZeroDivisionError
    assert blas_threads() == before

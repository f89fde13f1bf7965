"""Handformer2T's claims benchmark: rows stand behind one encoder, what is done is kept, and the tables say it."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from toy_scene_shards import write_toy_scenes  # noqa: E402

from benchmarks.handformer2t_claims import stage_table  # noqa: E402
from benchmarks.handformer2t_rows import BASE, ROWS, Bench, Budget  # noqa: E402
from hand_pose_ros.networks.handformer2t import Handformer2T  # noqa: E402

NO_PATCHES = next(row for row in ROWS if row.key == "no-patches")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("claims")
    write_toy_scenes(folder / "scenes", 32, 0)
    torch.manual_seed(0)
    torch.save(Handformer2T(BASE.config()).state_dict(), folder / "weights.pt")
    scenes = folder / "scenes"
    return Bench(folder / "weights.pt", scenes, scenes, folder / "out", Budget(scenes=32, test=32, samples=64))


def test_rows_are_trained_once_and_tabulated(bench: Bench) -> None:
    data = bench.data()
    assert data[0].levels[0].shape == (32, 64, 8, 8) and data[0].crops.uv.shape == (32, 2, 21, 2)
    results = {(row.key, 0): bench.result(row, 0, data) for row in (BASE, NO_PATCHES)}
    errors = results[BASE.key, 0]["errors"]
    assert errors.shape == (3, 32) and np.isfinite(errors).any() and np.nanmin(errors) > 0
    # What is kept needs no data.
    again = bench.result(BASE, 0, None)
    np.testing.assert_array_equal(again["errors"], errors)
    lines = stage_table(results).records()
    assert [line["network"] for line in lines] == [BASE.title, NO_PATCHES.title]
    gap = np.nanmean(results[NO_PATCHES.key, 0]["errors"][-1] - errors[-1])
    assert lines[1]["against the first"] == pytest.approx(gap)


def test_what_is_not_trained_is_not_reported(bench: Bench) -> None:
    assert not bench.has(BASE, 7)
    with pytest.raises(ValueError, match="not trained yet"):
        bench.result(BASE, 7, None)

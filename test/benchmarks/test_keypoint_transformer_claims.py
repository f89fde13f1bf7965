"""The claims benchmark: what is remembered, which tokens a row gets, and that what is done is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from toy_scene_shards import write_toy_scenes

from benchmarks.claims_bench import Bench, Budget
from benchmarks.claims_points import FALSE, Remembered, remember, remembered, tokens, unseeing
from benchmarks.claims_rows import GRID, NARROW, ROWS, SLOTS
from benchmarks.keypoint_transformer_claims import injected_table, report, table
from hand_pose_ros.networks.keypoint_transformer import KeypointTransformer, KeypointTransformerConfig
from hand_pose_ros.training.scene_crops import VALIDATION
from hand_pose_ros.training.shards import ShardStream

CROP = 64


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("claims")
    write_toy_scenes(folder / "scenes", 32, 0)
    torch.manual_seed(0)
    trunk = KeypointTransformer(KeypointTransformerConfig(crop=CROP)).eval()
    return remember(trunk, folder / "scenes", folder / "points", 32, 0, VALIDATION)


@pytest.fixture(scope="module")
def batch(points: Path) -> Remembered:
    _, arrays = next(ShardStream(points, 8, 0).batches())
    return remembered(arrays, None, CROP)  # type: ignore[arg-type]


def test_points_are_joints_as_a_detector_finds_them_then_places_anywhere_then_a_grid(batch: Remembered) -> None:
    assert batch.features.shape == (8, SLOTS + FALSE + GRID**2, sum(NARROW.maps))
    assert torch.isfinite(batch.features).all()
    joints = batch.scene.valid.sum(dim=(1, 2))
    found = batch.valid[:, :SLOTS].sum(dim=1)
    assert (found <= joints).all() and found.sum() > 0.6 * joints.sum()
    grid = batch.places[0, SLOTS + FALSE :]
    assert len(grid.unique(dim=0)) == GRID**2 and grid.min() > 0 and grid.max() < CROP / 2 - 1


def test_false_keypoints_take_empty_slots(batch: Remembered) -> None:
    none, many = (tokens(batch, "keypoints", NARROW.maps, part, 3) for part in (0.0, 1.0))
    assert torch.equal(none.keypoints.valid, batch.valid[:, :SLOTS])
    assert torch.equal(many.keypoints.xy[none.keypoints.valid], none.keypoints.xy[none.keypoints.valid])
    added = many.keypoints.valid & ~none.keypoints.valid
    assert 0.4 < float(added.sum()) / float(none.keypoints.valid.sum()) < 1.2
    assert not torch.equal(many.features, none.features)
    assert torch.equal(tokens(batch, "keypoints", NARROW.maps, 1.0, 3).keypoints.xy, many.keypoints.xy)


def test_baselines_see_a_grid(batch: Remembered) -> None:
    grid, encoder = (tokens(batch, kind, NARROW.maps, 1.0, 0) for kind in ("grid", "encoder"))  # type: ignore[arg-type]
    assert grid.keypoints.valid.all() and grid.keypoints.xy.shape == (8, GRID**2, 2)
    deepest = NARROW.maps[-1]
    assert (encoder.features[..., :-deepest] == 0).all()
    assert torch.equal(encoder.features[..., -deepest:], grid.features[..., -deepest:])


def test_rows_are_trained_once_and_tabulated(points: Path, tmp_path: Path) -> None:
    bench = Bench(points, points, tmp_path, CROP, Budget(scenes=32, test=32, samples=64))
    chosen = [row for row in ROWS if row.key in ("full", "rep_angles", "detr")]
    results = {(row.key, 0): bench.result(row, 0) for row in chosen}
    kept = tmp_path / "full-seed0" / "result.json"
    assert bench.has(chosen[0], 0) and not bench.has(chosen[0], 1)
    marked = {**json.loads(kept.read_text()), "seconds": 1e9}
    kept.write_text(json.dumps(marked))
    assert bench.result(chosen[0], 0)["seconds"] == 1e9
    other = Bench(points, points, tmp_path, CROP, Budget(scenes=32, test=32, samples=128))
    with pytest.raises(ValueError, match="another configuration or budget"):
        other.result(chosen[0], 0)
    assert [row[0] for row in table("Table 1", results).rows] == [chosen[0].title, "DETR-style"]
    assert [row[0] for row in injected_table(results).rows] == [chosen[0].title, "angles"]
    nothing = unseeing(points, points)
    assert 10 < nothing["single_mm"] < 200 and 10 < nothing["mrrpe_mm"] < 300
    text = report(results, {}, nothing).markdown()
    assert "angles" in text and "median pose" in text


def test_rows_differ_in_what_they_claim() -> None:
    full, other = ROWS[0], ROWS[1]
    assert full.network(NARROW, CROP) == other.network(NARROW, CROP) and full.association and not other.association
    layers = {row.key: row.network(NARROW, CROP).self_layers for row in ROWS}
    assert (layers["sa0"], layers["full"], layers["sa6"]) == (0, 3, 6)
    assert {row.network(NARROW, CROP).representation for row in ROWS} == {"3d", "2p5d", "angles"}

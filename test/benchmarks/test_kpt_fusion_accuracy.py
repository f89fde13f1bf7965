"""The ablation compares what it says, keeps what is finished and tells noise; the model's own tables come together."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import ablation_data, kpt_fusion_accuracy
from benchmarks.ablation import Bench, Budget, Result
from benchmarks.ablation_costs import Cost
from benchmarks.ablation_pictures import chart
from benchmarks.ablation_report import difference, make_report
from benchmarks.ablation_rows import FULL, SWITCHES, Row, base, rows
from benchmarks.ablation_stages import WEIGHTS, make_bench
from benchmarks.kpt_fusion_accuracy import Part, arguments, measure, parts
from hand_pose_ros.networks.keypoint_fusion.config import ALL_PARTS
from hand_pose_ros.training import checkpoints

BUDGET = Budget(crops=32, test_crops=32, trunk=8, samples=8, batch_size=4, learning_rate=1e-3, average=0.5)
ROWS = {row.key: row for row in rows("tiny")}


def shard(folder: Path, count: int, seed: int) -> Path:
    """A shard of noise with a slanted plane for depth and joints on it."""
    rng = np.random.default_rng(seed)
    depth = np.tile(np.linspace(5500, 6500, 160), (count, 160, 1)) * (rng.random((count, 160, 160)) > 0.1)
    center = np.tile(np.float32([0.02, -0.03, 0.6]), (count, 1))
    arrays = {
        "color": rng.integers(0, 256, (count, 160, 160, 3)).astype(np.uint8),
        "depth": depth.astype(np.uint16),
        "intrinsics": np.tile(np.float32([300, 300, 69.5, 94.5]), (count, 1)),
        "joints": center[:, None] + rng.uniform(-0.05, 0.05, (count, 21, 3)).astype(np.float32),
        "center": center,
        "visible": np.ones((count, 21), dtype=bool),
        "negative": np.zeros(count, dtype=bool),
        "wrong_side": np.zeros(count, dtype=bool),
    }
    path = folder / "crops-000000"
    path.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    shard(folder / "train", 32, 0)
    shard(folder / "test", 32, 1)
    return folder


def bench(data: Path, out: Path, budget: Budget = BUDGET) -> Bench:
    return make_bench("tiny", data / "train", data / "test", out, budget)


def result(key: str, seed: int, errors: list[float]) -> Result:
    column = np.array(errors)
    return Result(ROWS[key], seed, 1.0, column, column, column, column)


def test_each_row_differs_from_the_full_one_in_what_it_is_called_after() -> None:
    full = ROWS[FULL].config
    for name in SWITCHES:
        parts_left = dataclasses.asdict(ROWS[f"without-{name}"].config.parts)
        assert [part for part, there in parts_left.items() if not there] == [name]
    assert set(SWITCHES) == set(dataclasses.asdict(ALL_PARTS)), "a part of Table 5 has no row"
    for key, row in ROWS.items():
        same = dataclasses.replace(row.config, stages=full.stages, parts=full.parts, fusion=full.fusion)
        assert same == full, f"{key} differs in more than stages, parts and fusion"
    assert {ROWS[f"stages-{n}"].config.stages for n in range(4)} == {0, 1, 2, 3}
    assert ROWS["dense-1"].config.fusion == "dense"
    assert [row.key for row in ROWS.values() if not row.color] == ["stages-1-no-color"]


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(ValueError, match="probe, tiny, "):
        base("huge")


def test_the_test_keeps_what_sensor_and_finder_do() -> None:
    training, test = ablation_data.augmentations(color=True)
    assert (training.hole, training.depth_noise, training.center_std) == (test.hole, test.depth_noise, test.center_std)
    assert test.hole > 0 and training.no_color == test.no_color == 0
    assert [a.no_color for a in ablation_data.augmentations(color=False)] == [1.0, 1.0]


def test_depth_is_lost_in_blots_and_equally_for_equal_seeds() -> None:
    depth = torch.full((64, 128, 128), 0.5)
    lost = ablation_data.lose_depth(depth, seed=3)
    assert torch.equal(lost, ablation_data.lose_depth(depth, seed=3))
    assert not torch.equal(lost, ablation_data.lose_depth(depth, seed=4))
    share = (lost == 0).float().mean(dim=(1, 2))
    assert float(share.max()) <= ablation_data.LOST and float(share.mean()) == pytest.approx(
        ablation_data.LOST / 2, abs=0.06
    )
    edges = ((lost[:, :, 1:] == 0) != (lost[:, :, :-1] == 0)).float().mean()
    assert float(edges) < 0.1, "single pixels, not blots"
    assert set(lost.unique().tolist()) == {0.0, 0.5}


def test_shards_beyond_those_asked_for_are_not_trained_on(tmp_path: Path) -> None:
    for index in range(3):
        (tmp_path / "train" / f"crops-{index:06d}").mkdir(parents=True)
    with pytest.raises(ValueError, match="at most 2 shards, got 3"):
        ablation_data.make(tmp_path, 2048, workers=1)


def test_equal_seeds_give_equal_results_and_others_do_not(data: Path, tmp_path: Path) -> None:
    first = bench(data, tmp_path / "a").result(ROWS["stages-1"], 0)
    second = bench(data, tmp_path / "b").result(ROWS["stages-1"], 0)
    other = bench(data, tmp_path / "a").result(ROWS["stages-1"], 1)
    np.testing.assert_array_equal(first.absolute, second.absolute)
    assert len(first.absolute) == BUDGET.test_crops
    assert not np.array_equal(first.absolute, other.absolute)


def test_rows_start_from_the_same_depth_branch(data: Path, tmp_path: Path) -> None:
    still = dataclasses.replace(BUDGET, samples=4, learning_rate=0.0)
    made = [bench(data, tmp_path, still).result(ROWS[key], 0) for key in ("stages-0", "dense-1", "without-refinement")]
    # Without a rate of learning only the norms' running means move, and equally.
    for other in made[1:]:
        np.testing.assert_allclose(made[0].first_votes, other.first_votes, rtol=1e-4)
    np.testing.assert_array_equal(made[0].first_votes, made[0].absolute)


def test_a_finished_row_is_kept_and_a_broken_off_one_goes_on(data: Path, tmp_path: Path) -> None:
    whole = bench(data, tmp_path).result(ROWS["stages-0"], 0)
    kept = tmp_path / "stages-0-seed0" / "result.npz"
    stamp = kept.stat().st_mtime_ns
    assert bench(data, tmp_path).has(ROWS["stages-0"], 0)
    bench(data, tmp_path).result(ROWS["stages-0"], 0)
    assert kept.stat().st_mtime_ns == stamp
    kept.unlink()
    trained = (tmp_path / "stages-0-seed0" / checkpoints.LAST).read_bytes()
    again = bench(data, tmp_path).result(ROWS["stages-0"], 0)
    np.testing.assert_array_equal(again.absolute, whole.absolute)
    assert (tmp_path / "trunk-seed0" / "finished").exists() and trained


def test_stages_are_compared_on_the_same_pose(data: Path, tmp_path: Path) -> None:
    probe = {row.key: row for row in rows("probe")}
    stages = make_bench("probe", data / "train", data / "test", tmp_path, dataclasses.replace(BUDGET, trunk=0))
    made = {key: stages.result(probe[key], 0) for key in ("stages-0", FULL, "stages-1-no-color", "dense-1")}
    for other in made.values():
        np.testing.assert_array_equal(other.first_votes, made["stages-0"].first_votes)
    np.testing.assert_array_equal(made["stages-0"].absolute, made["stages-0"].first_votes)
    assert len({float(other.absolute.sum()) for other in made.values()}) == len(made), "a row is another row"
    trained = checkpoints.read(stages.out / f"{FULL}-seed0" / checkpoints.LAST)["state_dict"]
    assert not [name for name in trained if "_branch" in name], "a branch is trained"


def test_results_on_other_weights_lie_elsewhere(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pt"
    torch.save({name: value + 0.01 for name, value in torch.load(WEIGHTS, weights_only=True).items()}, other)
    budget = dataclasses.replace(BUDGET, trunk=0)
    folders = (data / "train", data / "test", tmp_path / "out")
    row = {row.key: row for row in rows("probe")}["stages-0"]
    shipped, changed = (make_bench("probe", *folders, budget, weights=path) for path in (WEIGHTS, other))
    assert not np.array_equal(shipped.result(row, 0).absolute, changed.result(row, 0).absolute)
    assert shipped.has(row, 0) and shipped.about() != changed.about()


def test_a_folder_of_another_budget_is_refused(data: Path, tmp_path: Path) -> None:
    bench(data, tmp_path).result(ROWS["stages-0"], 0)
    more = dataclasses.replace(BUDGET, samples=16)
    with pytest.raises(ValueError, match="another configuration or budget"):
        bench(data, tmp_path, more).result(ROWS["stages-0"], 0)


def test_the_interval_of_a_difference_is_of_the_pairs() -> None:
    spread = np.linspace(0.0, 0.05, 100)  # the crops differ much, the two networks by 1 mm on each
    gap, half = difference(result("stages-0", 0, list(spread + 0.001)), result(FULL, 0, list(spread)))
    assert gap == pytest.approx(1.0)
    assert half < 1e-9
    noisy = list(spread + 0.001 + 0.002 * (-1.0) ** np.arange(100))
    gap, half = difference(result("stages-0", 0, noisy), result(FULL, 0, list(spread)))
    assert gap == pytest.approx(1.0)
    assert half == pytest.approx(1.96 * 2.0 / 10, rel=0.01)


def test_the_report_tabulates_what_there_is(tmp_path: Path) -> None:
    results = [
        result("stages-0", 0, [0.030, 0.032]),
        result(FULL, 0, [0.020, 0.021]),
        result("without-refinement", 0, [0.022, 0.023]),
        result(FULL, 1, [0.024, 0.025]),
    ]
    costs = {FULL: Cost(1000, 0.1, 9.0), "dense-1": Cost(3000, 0.4, 30.0)}
    report = make_report(bench(tmp_path, tmp_path), results, costs)
    tables = {table.title: table for table in report.tables}
    stages = {row[0]: row for row in tables["Stages"].rows}
    assert set(stages) == {"depth only", "1 stage"}
    assert stages["depth only"][5] == pytest.approx(10.5)
    assert stages["1 stage"][5:] == (None, None, 7.23)
    efficiency = {row[0]: row for row in tables["Efficiency (paper's Table 4)"].rows}
    assert efficiency["dense fusion, 1 stage"][4] is None, "a row that is not trained has costs and no error"
    assert [row[1] for row in tables["Seeds"].rows] == [0, 1]
    records = json.loads(report.json())["results"]
    assert [record["against_one_stage_mm"] for record in records] == [
        pytest.approx(10.5),
        None,
        pytest.approx(2.0),
        None,
    ]


@pytest.mark.parametrize(("millimetres", "color", "right"), [(2.0, (213, 94, 0), True), (-2.0, (0, 114, 178), False)])
def test_a_worse_row_lies_to_the_right_of_the_full_one(
    millimetres: float, color: tuple[int, int, int], right: bool
) -> None:
    full = list(np.linspace(0.0, 0.05, 50))
    row = result("stages-2", 0, [error + millimetres / 1000 for error in full])
    picture = chart([result(FULL, 0, full), row], "tiny")
    _, columns = np.nonzero((picture == color).all(axis=2))
    assert len(columns) and bool((columns > 440).all()) == right


@pytest.mark.parametrize(
    ("asked", "titles"),
    [
        ([], ["Held-out synthetic frames"]),
        (["--dexycb", "D"], ["Held-out synthetic frames", "dexycb"]),
        (["--ho3d", "H", "--dexycb", "D"], ["Held-out synthetic frames", "dexycb", "ho3d"]),
    ],
)
def test_data_sets_are_measured_where_they_are_given(asked: list[str], titles: list[str], tmp_path: Path) -> None:
    options = arguments().parse_args([*asked, "--shared", str(tmp_path)])
    chosen = parts(options, tmp_path)
    assert [part.title for part in chosen] == titles
    for part in chosen[1:]:
        command = list(part.command)
        assert command[command.index("--dataset") + 1] == part.title
        assert command[command.index("--model") + 1] == options.model


def test_a_checkpoint_of_the_authors_takes_the_models_place(tmp_path: Path) -> None:
    options = arguments().parse_args(["--dexycb", "D", "--checkpoint", "K.pth", "--shared", str(tmp_path)])
    command = parts(options, tmp_path)[-1].command
    assert "--model" not in command and command[command.index("--checkpoint") + 1] == "K.pth"


def test_the_commands_are_ones_that_hand_pose_knows(tmp_path: Path) -> None:
    from hand_pose_ros.cli.main import _parser

    (tmp_path / "data").mkdir()
    given = ["--dexycb", "D", "--ho3d", "H", "--shared", str(tmp_path)]
    chosen = parts(arguments().parse_args(given), tmp_path)
    assert [part.title for part in chosen] == ["Held-out synthetic frames", "Real frames", "dexycb", "ho3d"]
    for part in chosen:
        if part.command[1] == "hand_pose_ros.cli.main":
            _parser("eval").parse_args(part.command[2:])


def test_the_reports_are_put_together(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    writes = (
        "import pathlib, sys",
        "folder = pathlib.Path(sys.argv[1])",
        "(folder / 'r.md').write_text('# R\\n')",
        "(folder / 'r.json').write_text('{\"a\": 1}')",
    )
    part = Part("one", ("-c", "; ".join(writes), str(tmp_path / "one")), tmp_path / "one", "r")
    figures, text = measure([part], tmp_path)
    assert json.loads(figures.read_text()) == {"r": {"a": 1}}
    assert "\n## R\n" in text.read_text()


def test_without_a_trained_row_there_is_nothing_to_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kpt_fusion_accuracy", "--ablation", "--report", "--out", str(tmp_path)])
    with pytest.raises(SystemExit):
        kpt_fusion_accuracy.main()
    assert "no row is trained yet" in capsys.readouterr().err


def test_a_row_tells_its_seed_apart(data: Path, tmp_path: Path) -> None:
    assert not bench(data, tmp_path).has(Row("x", "x", base("tiny")), 0)

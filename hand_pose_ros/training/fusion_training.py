"""Training of any Keypoint-Fusion network on any data: `hand_pose train kpt_fusion`."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from hand_pose_ros.datasets.synthetic.spec import SyntheticConfig
from hand_pose_ros.datasets.synthetic.stream import CropStream
from hand_pose_ros.networks.keypoint_fusion import KeypointFusion, KeypointFusionConfig
from hand_pose_ros.networks.keypoint_fusion.config import FusionParts, Widths
from hand_pose_ros.training import checkpoints
from hand_pose_ros.training.dataset_crops import dataset_crops, open_splits
from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.training.fabric import share_of, world_size
from hand_pose_ros.training.keypoint_fusion_module import KeypointFusionModule
from hand_pose_ros.training.length import steps_in_all
from hand_pose_ros.training.optimisation import Schedule
from hand_pose_ros.training.plans import Plan, Source, plan
from hand_pose_ros.training.recipes import fusion_recipe
from hand_pose_ros.training.run import BatchSource, Data, RunSettings, train
from hand_pose_ros.training.shards import Batch, ShardStream, refuse_same

SOURCES: Final = ("synthetic", "dexycb", "ho3d")
PARTS: Final = tuple(part.name for part in dataclasses.fields(FusionParts))
VALIDATION_SAMPLES: Final = 512
DATASET_VALIDATION_SAMPLES: Final = 2048  # at most
# Validation scenes are those of another stream.
_OTHER_SEED: Final = 1_000_003
_CUBES: Final[Mapping[str, float]] = {"synthetic": 0.25, "dexycb": 0.25, "ho3d": 0.28}  # m, fact sheet section 0


@dataclass(frozen=True)
class FusionOptions:
    """What is trained, and on what.

    Attributes:
        data: one of `SOURCES`, or folders of shards.
        validation: folder of validation shards; needed with shards, possible with synthetic data.
        root, split, validation_split: of a data set; "" as validation split: its own validation split where it has
            one, else sequences held out of the training split.
        size, stages, ablate, fusion: the network; `ablate` names the `FusionParts` to leave out.
        recipe: "ours", "paper" or "authors".
        batch_size, learning_rate: None: the recipe's. The batch is shared out among the processes.
        samples, steps, epochs: length of the training, the first that is given; none: 1,000,000 synthetic samples, or
            the recipe's epochs of a data set.
        depth_steps: first steps that train the depth branch alone.
        muon: Muon for the depth branch's convolutions in place of AdamW.
        workers: processes that render or read, over all training processes. 0: data sets are read by the training
            processes themselves; rendering takes at least one each.
        scenes: of synthetic data.
    """

    data: tuple[str, ...]
    validation: Path | None = None
    root: Path | None = None
    split: str = ""
    validation_split: str = ""
    size: str = "lite"
    stages: int = 2
    ablate: tuple[str, ...] = ()
    fusion: str = "keypoint"
    recipe: str = "ours"
    batch_size: int | None = None
    learning_rate: float | None = None
    samples: int | None = None
    steps: int | None = None
    epochs: int | None = None
    depth_steps: int = 0
    muon: bool = False
    workers: int = 0
    scenes: SyntheticConfig = field(default_factory=SyntheticConfig)

    @property
    def source(self) -> Source:
        """The kind of data; shards hold synthetic crops."""
        return cast(Source, self.data[0]) if self.data[0] in SOURCES else "synthetic"


def network_config(options: FusionOptions) -> KeypointFusionConfig:
    """The network that is asked for.

    Raises:
        TrainingError: there is no such network; the text says what there is.
    """
    unknown = set(options.ablate) - set(PARTS)
    if unknown:
        raise TrainingError(f"--ablate: expected names among {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")
    parts = FusionParts(**dict.fromkeys(options.ablate, False))
    return _config({"size": options.size, "stages": options.stages, "parts": parts, "fusion": options.fusion})


def config_of(configuration: Mapping[str, Any]) -> KeypointFusionConfig:
    """The network of a checkpoint's `network` entry.

    Raises:
        TrainingError: it describes no Keypoint-Fusion network.
    """
    fields = dict(configuration)
    if not fields:
        raise TrainingError("checkpoint: expected one of `hand_pose train kpt_fusion`, got one without its network")
    fields["parts"] = FusionParts(**fields["parts"])
    fields["widths"] = None if fields["widths"] is None else Widths(**fields["widths"])
    return _config(fields)


def trained(checkpoint: Path) -> KeypointFusion:
    """The averaged network of a checkpoint of `run_fusion`, of whatever size it is.

    Raises:
        TrainingError: no checkpoint, or not one of `hand_pose train kpt_fusion`.
    """
    state = checkpoints.read(checkpoint)
    module = KeypointFusionModule(config_of(state.get("network", {})), Schedule(steps=1))
    checkpoints.load_module(module, state, checkpoint)
    return cast(KeypointFusion, module.average.network)


def _config(fields: Mapping[str, Any]) -> KeypointFusionConfig:
    try:
        return KeypointFusionConfig(**fields)
    except (TypeError, ValueError) as error:
        raise TrainingError(str(error)) from error


def run_fusion(options: FusionOptions, settings: RunSettings) -> Path:
    """Train (or go on training); returns the last checkpoint. `settings.steps` is not read: the options say how long.

    Raises:
        TrainingError: what is asked for cannot be trained; the text says why.
        DatasetError: a data set cannot be read.
        RendererUnavailable: synthetic data without OpenGL.
    """
    chosen = plan(options.recipe, options.source, _CUBES[options.source])
    config = network_config(options)
    size = options.batch_size or chosen.batch_size
    training, validation, count = _sources(options, share_of(size), settings.seed)
    try:
        steps = _steps(options, chosen, size, training)
        module = KeypointFusionModule(
            config,
            chosen.schedule(steps, options.learning_rate),
            chosen.losses,
            options.depth_steps,
            round(chosen.spatial_part * steps),
            decay=chosen.average,
            muon=options.muon,
        )
        recipe = fusion_recipe(module, chosen.training, chosen.validation)
        data = Data(training, validation, count, recipe.assemble, recipe.assemble_validation, recipe.finish)
        return train(module, data, dataclasses.replace(settings, steps=steps))
    finally:
        for source in (training, validation):
            if isinstance(source, CropStream | Kept):
                source.close()


def _steps(options: FusionOptions, chosen: Plan, batch_size: int, training: BatchSource) -> int:
    per_epoch: int | None = getattr(training, "batches_per_epoch", None)
    epochs: int | None = options.epochs or chosen.epochs
    if per_epoch is None or options.source == "synthetic":
        if options.epochs and not (options.steps or options.samples):
            raise TrainingError("--epochs: synthetic data has none; give --samples or --steps")
        per_epoch, epochs = 0, None
    return steps_in_all(options.steps, options.samples, epochs, batch_size, per_epoch)


def _sources(options: FusionOptions, batch_size: int, seed: int) -> tuple[BatchSource, BatchSource, int]:
    """Training and validation batches, and how many of the latter are measured on."""
    workers = options.workers // world_size()
    if options.data[0] in ("dexycb", "ho3d"):
        return _dataset(options, batch_size, seed, workers)
    shards: ShardStream | None = None
    if options.validation is not None:
        shards = ShardStream(options.validation, batch_size, seed)
    if options.data == ("synthetic",):
        # An OpenGL context belongs to one thread, so that a process of its own renders even where one is enough.
        workers = max(workers, 1)
        stream = CropStream(options.scenes, seed, workers, batch_size)
        if shards is not None:
            return stream, shards, shards.batches_per_epoch
        count = max(-(-VALIDATION_SAMPLES // batch_size), world_size())
        other = CropStream(options.scenes, seed + _OTHER_SEED, workers, batch_size)
        return stream, Kept(other, count), count
    if shards is None or options.validation is None:
        raise TrainingError("--validation: expected a folder of shards of another seed than those trained on")
    folders = [Path(folder) for folder in options.data]
    refuse_same(folders, options.validation)
    return ShardStream(folders, batch_size, seed), shards, shards.batches_per_epoch


def _dataset(options: FusionOptions, batch_size: int, seed: int, workers: int) -> tuple[BatchSource, BatchSource, int]:
    name = options.data[0]
    if options.root is None:
        raise TrainingError(f"--root: expected the folder of {name}, got none")
    split, validation = _split_names(name, options.split, options.validation_split)
    splits = open_splits(name, options.root, split, validation, _CUBES[name])
    cube = splits.cube
    training = dataset_crops(splits.training, cube, batch_size, seed, workers)
    check = dataset_crops(splits.validation, cube, batch_size, seed, min(workers, 2))
    # The order is drawn from the seed, so these are always the same samples.
    most = max(DATASET_VALIDATION_SAMPLES // check.batch_size, world_size())
    return training, check, min(check.batches_per_epoch, most)


def _split_names(name: str, split: str, validation: str) -> tuple[str, str]:
    """ "s0" stands for DexYCB's "s0_train" with "s0_val"; HO-3D has "train" and "val"."""
    if name == "ho3d":
        split = split or "train"
        return split, validation or ("val" if split == "train" else "")
    split = split or "s0"
    setup = split.partition("_")[0]
    return (split if "_" in split else f"{split}_train"), validation or f"{setup}_val"


class Kept:
    """The first `count` batches of a stream, drawn once and kept in memory."""

    def __init__(self, stream: CropStream, count: int) -> None:
        self._stream, self._count = stream, count
        self._batches: Sequence[tuple[int, Batch]] = ()

    def batches(self, start: int = 0, step: int = 1) -> Iterator[tuple[int, Batch]]:
        """(number, batch) for start, start + step, ... below `count`; always the same start and step."""
        if not self._batches:
            share = len(range(start, self._count, step))
            drawn = self._stream.batches(start, step)
            self._batches = [batch for _, batch in zip(range(share), drawn, strict=False)]
            if isinstance(drawn, Generator):
                drawn.close()
            self._stream.close()
        yield from self._batches

    def close(self) -> None:
        """Stop the stream's workers."""
        self._stream.close()

"""`hand_pose eval`: `synthetic` measures the whole pipeline, the others networks on data sets and stored scenes."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final, NamedTuple

from hand_pose_ros.cli import eval_datasets, eval_scenes, eval_synthetic, eval_two_hands


class Measure(NamedTuple):
    """What can be measured: its options, how it is run, what it is."""

    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    text: str


WHAT: Final = {
    "synthetic": Measure(
        eval_synthetic.add_arguments, eval_synthetic.run, "the whole pipeline on rendered frames it never saw"
    ),
    "kpt_fusion": Measure(
        eval_datasets.add_arguments,
        eval_datasets.run,
        "Keypoint-Fusion on DexYCB or HO-3D, in the layout of the paper's tables",
    ),
    "keypoint_transformer": Measure(
        eval_two_hands.add_transformer_arguments,
        eval_two_hands.run,
        "Keypoint Transformer on InterHand2.6M, HO-3D, H2O-3D, RHD or stored scenes, in the layout of its Table 1",
    ),
    "handformer2t": Measure(
        eval_two_hands.add_handformer2t_arguments,
        eval_two_hands.run,
        "Handformer2T on InterHand2.6M, RHD, HO-3D, H2O-3D or stored scenes, in the layout of its Tables 1 and 3",
    ),
    "scenes": Measure(
        eval_scenes.add_arguments,
        eval_scenes.run,
        "Handformer2T on stored synthetic scenes, with its standard deviations",
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    commands = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    for name, measure in WHAT.items():
        chosen = commands.add_parser(
            name, help=measure.text, description=measure.text[0].upper() + measure.text[1:] + "."
        )
        measure.add_arguments(chosen)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    return WHAT[args.what].run(args)

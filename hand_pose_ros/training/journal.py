"""What a training writes down: a CSV file always, TensorBoard events where asked for.

Lightning's own CSV logger begins its file anew in every piece, and writes a row only now and then.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lightning.fabric.loggers.tensorboard import TensorBoardLogger

FILE: Final = "log.csv"
_HEADER: Final = ("step", "name", "value")


class Journal:
    """Rows (step, name, value) in `folder`/log.csv. Resumed at `start`, rows of later steps are struck out first.

    Raises:
        ModuleNotFoundError: TensorBoard events are asked for without the package `tensorboard`.
    """

    def __init__(self, folder: Path, start: int, tensorboard: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE
        kept = _rows(path, start) if start else []
        # Replaced as a whole, so that a kill just now costs no rows.
        partial = folder / f".{FILE}.partial"
        with partial.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([_HEADER, *kept])
        partial.replace(path)
        self._file = path.open("a", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        # Events of all pieces lie in one folder; TensorBoard forgets what came after the checkpoint.
        self._board = TensorBoardLogger(folder, "tensorboard", "", purge_step=start + 1) if tensorboard else None

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write down values after `step` steps."""
        self._writer.writerows((step, name, f"{value:.7g}") for name, value in values.items())
        self._file.flush()
        if self._board is not None:
            self._board.log_metrics(values, step)

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        if self._board is not None:
            self._board.finalize("success")


def _rows(path: Path, last: int) -> list[list[str]]:
    """Whole rows of a journal up to step `last`; a kill may have cut the last one."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.reader(file) if len(row) == 3 and row[0].isdigit() and int(row[0]) <= last]

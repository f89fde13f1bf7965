"""The one table printer: plain text for terminals, markdown for documents, JSON for machines."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Table:
    """Rows under named columns. Floats are shown with `digits` decimals (one number, or one per column), NaN as a dash.

    Raises:
        ValueError: a row with another number of cells than there are columns.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    digits: int | tuple[int, ...] = 1

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.title!r}: expected {len(self.columns)} cells in a row, got {row}")
        if isinstance(self.digits, tuple) and len(self.digits) != len(self.columns):
            raise ValueError(
                f"table {self.title!r}: expected digits for {len(self.columns)} columns, got {self.digits}"
            )

    def text(self) -> str:
        """For a terminal: columns aligned, numbers to the right."""
        cells = self._cells()
        widths = [max(len(row[i]) for row in (self.columns, *cells)) for i in range(len(self.columns))]
        right = [all(_is_number(row[i]) for row in self.rows) and bool(self.rows) for i in range(len(self.columns))]
        lines = [self.title, _line(self.columns, widths, right), "  ".join("-" * width for width in widths)]
        lines += [_line(row, widths, right) for row in cells]
        return "\n".join(line.rstrip() for line in lines)

    def markdown(self) -> str:
        """A GitHub table under its title in bold."""
        head = ["| " + " | ".join(self.columns) + " |", "|" + "---|" * len(self.columns)]
        body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in self._cells()]
        return "\n".join([f"**{self.title}**", "", *head, *body])

    def records(self) -> list[dict[str, Cell]]:
        """One mapping per row, numbers unrounded, NaN as None."""
        return [dict(zip(self.columns, map(_json_value, row), strict=True)) for row in self.rows]

    def _cells(self) -> list[tuple[str, ...]]:
        digits = self.digits if isinstance(self.digits, tuple) else (self.digits,) * len(self.columns)
        return [tuple(map(_format, row, digits)) for row in self.rows]


def facts(title: str, values: Mapping[str, Cell], digits: int = 1) -> Table:
    """A table of names and values."""
    return Table(title, ("what", "value"), tuple(values.items()), digits)


@dataclass(frozen=True)
class Report:
    """Tables and the machine-readable figures behind them (`data`: anything JSON takes)."""

    title: str
    tables: tuple[Table, ...]
    data: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """All tables for a terminal."""
        return "\n\n".join([*(table.text() for table in self.tables), *self.notes])

    def markdown(self) -> str:
        """All tables as one markdown document."""
        return "\n\n".join([f"# {self.title}", *(table.markdown() for table in self.tables), *self.notes]) + "\n"

    def json(self) -> str:
        """`data`, and the tables as records, as strict JSON (NaN becomes null)."""
        tables = {table.title: table.records() for table in self.tables}
        content = {"title": self.title, **_json_tree(self.data), "tables": tables, "notes": list(self.notes)}
        return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def write_json(self, path: Path | None) -> None:
        """Write `json` into a file, whose folder is made if need be; None writes nothing."""
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.json(), encoding="utf-8")

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write `<name>.json` and `<name>.md` into a folder, which is made if need be; returns their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = folder / f"{name}.json", folder / f"{name}.md"
        paths[0].write_text(self.json(), encoding="utf-8")
        paths[1].write_text(self.markdown(), encoding="utf-8")
        return paths


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    return "  ".join(
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    )


def _is_number(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, (int, float)) and not isinstance(cell, bool))


def _format(cell: Cell, digits: int) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return f"{cell:.{digits}f}" if isinstance(cell, float) else str(cell)


def _json_value(cell: Any) -> Any:
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    return cell


def _json_tree(value: Any) -> Any:
    """numpy and NaN made fit for JSON."""
    if isinstance(value, Mapping):
        return {str(key): _json_tree(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return _json_tree(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_json_tree(item) for item in value]
    return _json_value(value)

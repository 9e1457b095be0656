"""Scores of each class of nuclei by level: where a remedy for a rare class gains, and what the others pay."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from histoscope.report.effects import OF_CLASSES, Effect

Cells = tuple[Effect, ...]
"""Of one class and level: PQ, then F1."""


@dataclass(frozen=True, slots=True)
class ClassTable:
    """One table of a report.

    Parameters
    ----------
    model, condition : str
    rows : tuple of (str, tuple of Cells)
        Each class with its levels.
    """

    model: str
    condition: str
    rows: tuple[tuple[str, tuple[Cells, ...]], ...]


def is_of_class(metric: str, names: Sequence[str]) -> bool:
    """Whether a metric is of one of these classes alone.

    Examples
    --------
    >>> is_of_class("pq_misc", ["misc"]), is_of_class("f1_50", ["misc"])
    (True, False)
    """
    return metric in {f"{score}_{name}" for score in OF_CLASSES for name in names}


def class_tables(effects: Sequence[Effect], names: Sequence[str]) -> list[ClassTable]:
    """Tables of every network and condition in which classes were measured.

    Parameters
    ----------
    effects : sequence of Effect
        Of a whole study, in the order of its levels.
    names : sequence of str
        The classes.
    """
    mine = [row for row in effects if is_of_class(row.metric, names)]
    found = {(row.model, row.condition, row.level, row.metric): row for row in mine}
    shown = dict.fromkeys((row.model, row.condition) for row in mine if math.isfinite(row.mean))
    tables = []
    for model, condition in shown:
        levels = dict.fromkeys(key[2] for key in found if key[:2] == (model, condition))
        rows = tuple(
            (
                name,
                tuple(
                    tuple(found[model, condition, level, f"{score}_{name}"] for score in OF_CLASSES)
                    for level in levels
                ),
            )
            for name in names
        )
        tables.append(ClassTable(model, condition, rows))
    return tables

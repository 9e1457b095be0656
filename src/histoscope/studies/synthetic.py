"""Levels of the study `synthetic`: what a network learns from, and how many labelled tiles that takes."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

SOURCES = ("procedural", "learned")
"""Synthetic data sets: made by rules, and by a generator that was trained on real tiles."""
SIZES: tuple[int | None, ...] = (1, 2, 4, 8, 16, None)
"""Numbers of labelled real tiles; None is all of them."""
STUDIED: tuple[int | None, ...] = (2, 8, None)


def of_size(tiles: int | None) -> str:
    """Ending of the name of a level that learns from so many real tiles."""
    return "all" if tiles is None else str(tiles)


def many(tiles: int | None) -> str:
    """So many real tiles, in words."""
    return f"{of_size(tiles)} real tile{'' if tiles == 1 else 's'}"


def _levels() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Name, settings and label of every level."""
    for size in SIZES:
        yield f"real_{of_size(size)}", {"tiles": size}, f"{many(size)} only"
    for source in SOURCES:
        alone = {"tiles": 0, "synthetic": source}
        yield source, alone, f"{source.capitalize()} alone"
        first = alone | {"part": "pretraining"}
        yield f"{source}_half", first, f"{source.capitalize()} alone, as long as pretraining"
        for size in SIZES:
            name = of_size(size)
            mixed = {"tiles": size, "synthetic": source, "against": f"real_{name}"}
            yield f"{source}_mixed_{name}", mixed, f"{many(size)} mixed with {source}"
            tuned = {
                "tiles": size,
                "part": "tuning",
                "initial_level": f"{source}_half",
                "against": f"real_{name}",
            }
            yield f"{source}_tuned_{name}", tuned, f"Pretrained on {source}, tuned on {many(size)}"


TISSUE: Mapping[str, Mapping[str, Any]] = {name: settings for name, settings, _ in _levels()}
"""Name of a level -> its settings."""
LABELS: Mapping[str, str] = {name: label[:1].upper() + label[1:] for name, _, label in _levels()}
LEVELS = tuple(name for name, level in TISSUE.items() if level["tiles"] in {0, *STUDIED})
"""Levels of the study by default."""


def baseline(declared: str, levels: Iterable[str]) -> str:
    """Level that others are compared with: the declared one, or the first of another number of tiles.

    Examples
    --------
    >>> baseline("real_2", ["procedural", "real_8", "real_all"]), baseline("none", ["macenko"])
    ('real_8', 'none')
    """
    kind, _, size = declared.rpartition("_")
    sizes = [of_size(each) for each in SIZES]
    alike = [level for level in levels if level.rpartition("_")[::2] in {(kind, each) for each in sizes}]
    return alike[0] if size in sizes and alike else declared


def source_of(level: str, known: Mapping[str, Mapping[str, Any]]) -> str:
    """Name of the synthetic data set that a level needs, itself or for its initial weights; "" for none.

    Parameters
    ----------
    level : str
    known : mapping
        Settings of all levels of its factor.
    """
    begins = known[level].get("initial_level") or level
    return str(known[begins].get("synthetic", ""))

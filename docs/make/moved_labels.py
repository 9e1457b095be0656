"""Label maps that are turned, mirrored or shifted on purpose, and how many of them are named, as a table.

    python docs/make/moved_labels.py data/monuseg data/consep data/tnbc data/lgg_tcga_emory data/dsb2018_he

What a shift leaves empty is background. A tile that is not square is not turned by quarter turns.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from histoscope import data
from histoscope.data.alignment import misplaced
from histoscope.types import Labels

MPP = 0.25  # where files do not say; alignment does not look at it


def shifted(labels: Labels, px: int) -> Labels:
    """Move a label map down."""
    moved = np.zeros_like(labels)
    moved[px:] = labels[:-px]
    return moved


MOVES: dict[str, Callable[[Labels], Labels]] = {
    "as is": lambda labels: labels,
    "turned 90°": lambda labels: np.rot90(labels, 1),
    "180°": lambda labels: np.rot90(labels, 2),
    "270°": lambda labels: np.rot90(labels, 3),
    "mirrored": lambda labels: labels[:, ::-1],
    "shifted 4 px": lambda labels: shifted(labels, 4),
    "8 px": lambda labels: shifted(labels, 8),
    "16 px": lambda labels: shifted(labels, 16),
    "32 px": lambda labels: shifted(labels, 32),
}


def named(root: Path) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Of each move: tiles it was done to, tiles that are named, tiles that are named as an error."""
    dataset = data.open("folder", root, mpp=MPP)
    done, seen, sure = (dict.fromkeys(MOVES, 0) for _ in range(3))
    for sample in dataset:
        if sample.instances is None or not sample.instances.any():
            continue
        for move, apply in MOVES.items():
            labels = np.ascontiguousarray(apply(sample.instances))
            if labels.shape == sample.instances.shape:
                found = misplaced(sample.image, labels)
                done[move] += 1
                seen[move] += found is not None
                sure[move] += found is not None and found.sure
    return done, seen, sure


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("roots", type=Path, nargs="+", help="data sets of the folder layout")
    print("| tiles |", " | ".join(MOVES), "|")
    print("|---|" + "---|" * len(MOVES))
    errors: dict[str, list[int]] = {move: [0, 0] for move in MOVES}
    for root in parser.parse_args().roots:
        done, seen, sure = named(root)
        cells = [f"{seen[move]} of {done[move]}" if done[move] else "" for move in MOVES]
        print(f"| {root.name} |", " | ".join(cells), "|", flush=True)
        for move in MOVES:
            errors[move][0] += sure[move]
            errors[move][1] += done[move]
    print("named as an error:", ", ".join(f"{move} {n} of {of}" for move, (n, of) in errors.items()))


if __name__ == "__main__":
    main()

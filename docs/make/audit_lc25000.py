"""Rediscover the photographs behind LC25000's colon patches, for docs/results/audit_lc25000.md.

    python docs/make/audit_lc25000.py --root data

reads ``ROOT/lc25000_colon`` (2,000 patches in ``images/CLASS/``, and ``index.csv`` with the known groups),
lets the audit propose groups without looking at them, and compares. `--out` keeps the proposed groups.
"""

import argparse
import time
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from histoscope import data
from histoscope.data.leaks.copies import Copy
from histoscope.data.leaks.groups import compare_groups, joined_by
from histoscope.files import write_image, write_text
from histoscope.tables import write_table
from histoscope.types import Image

PAGE = Path(__file__).resolve().parents[1] / "results" / "audit_lc25000.md"
JOINED = PAGE.with_name("audit_lc25000_joined.csv")
SHEET = PAGE.parent / "img" / "audit_groups.jpg"
CELL_PX, GAP_PX, HEAD_PX, COLUMNS = 172, 4, 44, 4
COLOURS = ("#1b9e77", "#d95f02", "#7570b3", "#e7298a")


def agreement_table(known: list[str], links: list[Copy]) -> list[str]:
    """One row for each meaning of "belongs together"."""
    lines = [
        "| joined | groups | adjusted Rand | pair recall | pair precision |",
        "|---|---|---|---|---|",
        f"| known (published list) | {len(set(known))} | | | |",
    ]
    for title, overlap in (("all that overlap (default)", 0.0), ("copies only (`--min-overlap 0.5`)", 0.5)):
        group = joined_by([link for link in links if link.overlap >= overlap], len(known))
        found = compare_groups(known, [str(name) for name in group])
        lines.append(
            f"| {title} | {len(set(group.tolist()))} | {found.adjusted_rand:.3f} | {found.pair_recall:.3f} "
            f"| {found.pair_precision:.3f} |"
        )
    return lines


def link_lines(known: list[str], links: list[Copy]) -> list[str]:
    """How sure single links are."""
    within = [link for link in links if known[link.left] == known[link.right]]
    beyond = [link for link in links if known[link.left] != known[link.right]]
    pairs = sum(size * (size - 1) // 2 for size in Counter(known).values())
    sure = np.percentile([link.n_matches for link in links], [1, 50])
    return [
        (
            f"- {len(within)} of {pairs} known pairs are linked directly ({len(within) / pairs:.1%}); "
            "most of the others are joined through other patches of their group."
        ),
        (
            f"- {len(beyond)} links are between different known groups; median overlap "
            f"{np.median([link.overlap for link in beyond]):.2f}, lowest correlation after alignment "
            f"{min(link.similarity for link in beyond):.2f}."
        ),
        f"- Matches of a link: median {sure[1]:.0f}, 1st percentile {sure[0]:.0f}; 8 are required.",
    ]


def joined_rows(known: list[str], group: np.ndarray, links: list[Copy]) -> list[dict[str, object]]:
    """Known groups that were joined, the most certain first."""
    between: dict[tuple[str, str], list[Copy]] = defaultdict(list)
    for link in links:
        pair = tuple(sorted((known[link.left], known[link.right])))
        if pair[0] != pair[1] and group[link.left] == group[link.right]:
            between[pair[0], pair[1]].append(link)
    rows = sorted(between.items(), key=lambda item: -max(link.n_matches for link in item[1]))
    return [
        {
            "group": one,
            "other": other,
            "links": len(found),
            "most_matches": max(link.n_matches for link in found),
            "largest_overlap": max(link.overlap for link in found),
        }
        for (one, other), found in rows
    ]


def leak_lines(dataset: data.Dataset, known: list[str], links: list[Copy]) -> list[str]:
    """What a random split shares, as known and as found from pictures."""
    split = data.split_by(dataset, "name", stratify="label", seed=0)
    part = {record.name: name for name, members in split for record in members.records}
    where = [part[record.name] for record in dataset.records]
    same = [(a, b) for a, b in combinations(range(len(known)), 2) if known[a] == known[b]]
    crossing = [(a, b) for a, b in same if where[a] != where[b]]
    linked = {(link.left, link.right) for link in links if where[link.left] != where[link.right]}
    test = {place for place, name in enumerate(where) if name == "test"}
    leaked = {place for pair in crossing for place in pair} & test
    seen = {place for pair in linked for place in pair} & test
    return [
        (
            f"- Of {len(crossing)} known pairs that a random 70 / 15 / 15 % split separates, the pictures "
            f"alone show {len(linked & set(crossing))}; {len(linked - set(crossing))} more between known "
            "groups."
        ),
        (
            f"- {len(leaked)} of {len(test)} test patches have a copy in training or validation; from "
            f"pictures, {len(seen & leaked)} of these are found, and {len(seen - leaked)} more."
        ),
    ]


def draw(dataset: data.Dataset, known: list[str], group: np.ndarray, links: list[Copy]) -> Image:
    """Draw six proposed groups, four patches of each in a row; the colour of a frame is the known group."""
    members: dict[int, list[int]] = defaultdict(list)
    for place, name in enumerate(group.tolist()):
        members[name].append(place)
    strength = Counter[int]()
    for link in links:
        if known[link.left] != known[link.right] and group[link.left] == group[link.right]:
            name = int(group[link.left])
            strength[name] = max(strength[name], link.n_matches)
    whole = [name for name, places in members.items() if name not in strength and len(places) == 7]
    joined = [name for name, _ in strength.most_common()]
    chosen = [*whole[:2], joined[1], joined[len(joined) // 3], joined[2 * len(joined) // 3], joined[-1]]
    sheet = Pillow.new("RGB", (COLUMNS * (CELL_PX + GAP_PX), len(chosen) * (CELL_PX + HEAD_PX)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(26)  # letters for a telephone
    for row, name in enumerate(chosen):
        sources = sorted({known[place] for place in members[name]})
        top = row * (CELL_PX + HEAD_PX)
        text = f"{len(members[name])} patches, known as {', '.join(sources)}"
        pen.text((2, top + 4), text, "black", font)
        ordered = sorted(members[name], key=lambda place: known[place])
        spread = np.linspace(0, len(ordered) - 1, min(COLUMNS, len(ordered))).round().astype(int)
        for column, place in enumerate(ordered[k] for k in spread):
            left, low = column * (CELL_PX + GAP_PX), top + HEAD_PX - 4
            frame = COLOURS[sources.index(known[place]) % len(COLOURS)]
            pen.rectangle((left, low, left + CELL_PX - 1, low + CELL_PX - 1), fill=frame)
            inner = (CELL_PX - 10, CELL_PX - 10)
            cell = Pillow.fromarray(dataset[place].image).resize(inner, Pillow.Resampling.LANCZOS)
            sheet.paste(cell, (left + 5, low + 5))
    return np.asarray(sheet)


def into_page(lines: list[str]) -> None:
    """Put the numbers between their two marks in the page."""
    text = PAGE.read_text(encoding="utf-8")
    begin, end = "<!-- numbers: docs/make/audit_lc25000.py -->", "<!-- end of numbers -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    write_text(PAGE, before + "\n".join([begin, "", *lines, "", end]) + after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of the data sets")
    parser.add_argument("--out", type=Path, help="write the proposed groups to this CSV file")
    arguments = parser.parse_args()
    dataset = data.open("class_folder", arguments.root / "lc25000_colon", mpp=0.5)
    started = time.process_time()
    groups = data.propose_groups(dataset)
    seconds = time.process_time() - started
    if arguments.out is not None:
        data.write_groups(arguments.out, dataset, groups)
    known, links = list(groups.known), list(groups.links)
    group = joined_by(links, len(known))
    joined = joined_rows(known, group, links)
    write_table(JOINED, pd.DataFrame(joined))
    lines = [
        *agreement_table(known, links),
        "",
        *link_lines(known, links),
        *leak_lines(dataset, known, links),
        f"- CPU time: {seconds:.0f} s for {len(dataset)} patches of 224 px.",
        f"- {len(joined)} pairs of known groups were joined by links: [{JOINED.name}]({JOINED.name}).",
    ]
    print("\n".join(lines))
    into_page(lines)
    write_image(SHEET, draw(dataset, known, group, links))


if __name__ == "__main__":
    main()

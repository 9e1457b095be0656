"""Draw docs/img/rooms.svg, the layers of the code in docs/architecture.md: python docs/make/rooms.py."""

from pathlib import Path

from drawing import WIDTH, Box, picture, text

OUT = Path(__file__).resolve().parents[1] / "img" / "rooms.svg"
ARRAYS, TORCH, PEOPLE = "pink", "violet", "yellow"
LEGEND = ((ARRAYS, "arrays only, no torch"), (TORCH, "networks"), (PEOPLE, "people and studies"))

# From the top: the packages of each layer, with what is in them. A package uses those below it.
FLOORS = [
    [
        ("cli", "the commands", PEOPLE),
        ("viewer", "in the browser", PEOPLE),
        ("demo", "the first study", PEOPLE),
    ],
    [("report", "tables, figures; no torch", ARRAYS), ("generate", "the learned generator", TORCH)],
    [("studies", "one factor, many runs", PEOPLE)],
    [("predict", "nuclei or classes of images", TORCH), ("explain", "where a network looked", TORCH)],
    [("train", "recipe, loop, tasks", TORCH), ("classify", "features, probe", TORCH)],
    [
        ("jobs", "each file once", ARRAYS),
        ("edits", "corrections", ARRAYS),
        ("export", "GeoJSON, overlays", ARRAYS),
    ],
    [("models", "networks, model folders", TORCH), ("weights", "models that ship", TORCH)],
    [("data", "readers, splits, leaks", ARRAYS), ("synth", "synthetic tissue", ARRAYS)],
    [
        ("stain", "normalise", ARRAYS),
        ("augment", "geometry, colour", ARRAYS),
        ("geometry", "star-convex", ARRAYS),
        ("balance", "rare classes", ARRAYS),
        ("metrics", "scores, intervals", ARRAYS),
    ],
    [
        ("nuclei, labels", "outlines, maps", ARRAYS),
        ("images, files", "read, write", ARRAYS),
        ("types, errors", "Sample", ARRAYS),
    ],
]
HEIGHT, GAP, ACROSS = 50, 8, 3
ABOUT = (
    "Packages from bottom to top: arrays, data and models, training, prediction, studies, the command line"
)


def floor_of(rooms: list[tuple[str, str, str]], top: float) -> tuple[list[str], float]:
    """Draw the packages of a layer on one band, three per row, and return where it ends."""
    rows = [rooms[k : k + ACROSS] for k in range(0, len(rooms), ACROSS)]
    end = top + len(rows) * (HEIGHT + GAP) + GAP
    parts = [f'<rect y="{top}" width="{WIDTH}" height="{end - top}" rx="8" style="fill: var(--band)"/>']
    for number, row in enumerate(rows):
        width = (WIDTH - GAP * (len(row) + 1)) / len(row)
        y = top + GAP + number * (HEIGHT + GAP)
        for k, (name, about, colour) in enumerate(row):
            parts.append(Box(GAP + k * (width + GAP), y, name, about, colour, width, HEIGHT).drawn())
    return parts, end


def main() -> None:
    """Write the file."""
    parts, y = list[str](), 0.0
    for rooms in FLOORS:
        floor, end = floor_of(rooms, y)
        parts, y = parts + floor, end + 6
    x = GAP
    for colour, words in LEGEND:
        style = f"fill: var(--{colour}); stroke: var(--line)"
        parts.append(f'<rect x="{x}" y="{y + 5}" width="14" height="14" rx="3" style="{style}"/>')
        parts.append(text(x + 20, y + 17, words, more='text-anchor="start"'))
        x += 34 + 7 * len(words)
    OUT.write_text(picture(parts, y + 26, ABOUT), encoding="utf-8")


if __name__ == "__main__":
    main()

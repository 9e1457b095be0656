"""Draw docs/img/rooms.svg, the rooms of the code in docs/architecture.md: python docs/make/rooms.py."""

from pathlib import Path

OUT = Path(__file__).resolve().parents[1] / "img" / "rooms.svg"
INK, LINE = "#2d2140", "#8d7aa8"
ARRAYS, TORCH, PEOPLE = "#f9dfe9", "#efe6f7", "#fdf0d5"
LEGEND = ((ARRAYS, "arrays alone: no torch"), (TORCH, "networks"), (PEOPLE, "people and studies"))

# From the top: rooms of a floor, each with what is in it. A room uses what stands below it.
FLOORS = [
    [("cli", "a file a verb", PEOPLE), ("viewer", "look at it", PEOPLE), ("demo", "the first study", PEOPLE)],
    [("report", "tables, figures; no torch", ARRAYS), ("generate", "the learned generator", TORCH)],
    [("studies", "one factor, many runs", PEOPLE)],
    [("predict", "nuclei or classes of images", TORCH), ("explain", "where it looked", TORCH)],
    [("train", "recipe, loop, tasks", TORCH), ("classify", "features, probe", TORCH)],
    [
        ("jobs", "once for each file", ARRAYS),
        ("edits", "corrections", ARRAYS),
        ("export", "GeoJSON, overlays", ARRAYS),
    ],
    [("models", "networks, model folders", TORCH), ("weights", "models that come along", TORCH)],
    [("data", "readers, splits, leaks", ARRAYS), ("synth", "synthetic tissue", ARRAYS)],
    [
        ("stain", "normalise", ARRAYS),
        ("augment", "move, colour", ARRAYS),
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
WIDTH, HEIGHT, GAP = 760, 52, 10


def box(x: float, y: float, width: float, name: str, about: str, colour: str) -> str:
    """Rounded box with the name of a room and what is in it."""
    middle = x + width / 2
    return (
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{HEIGHT}" rx="8" fill="{colour}" '
        f'stroke="{LINE}"/>'
        f'<text x="{middle:.0f}" y="{y + 23:.0f}" font-size="15" font-weight="600">{name}</text>'
        f'<text x="{middle:.0f}" y="{y + 41:.0f}" font-size="12">{about}</text>'
    )


def picture() -> str:
    """The whole picture."""
    parts, height = list[str](), len(FLOORS) * (HEIGHT + GAP) + 50
    for floor, rooms in enumerate(FLOORS):
        width = (WIDTH - GAP * (len(rooms) + 1)) / len(rooms)
        y = GAP + floor * (HEIGHT + GAP)
        parts += [box(GAP + k * (width + GAP), y, width, *room) for k, room in enumerate(rooms)]
    for k, (colour, words) in enumerate(LEGEND):
        x, y = GAP + k * 250, height - 26
        parts.append(f'<rect x="{x}" y="{y}" width="16" height="16" rx="3" fill="{colour}" stroke="{LINE}"/>')
        parts.append(f'<text x="{x + 24}" y="{y + 13}" font-size="13" text-anchor="start">{words}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="Helvetica, Arial, sans-serif" text-anchor="middle" fill="{INK}">'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


if __name__ == "__main__":
    OUT.write_text(picture(), encoding="utf-8")

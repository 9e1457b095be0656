"""Colours, boxes and arrows of the drawings on the pages, which scripts beside this one put together.

A drawing follows the scheme of its page, light or dark, and paints the ground itself: its letters can be read
wherever it is shown. It is narrow enough for a telephone.
"""

from typing import NamedTuple

WIDTH = 440
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif"
SCHEMES = {
    "light": {
        "ground": "#ffffff",
        "ink": "#3f3a4c",
        "line": "#8d7aa8",
        "violet": "#efe6f7",
        "yellow": "#fdf0d5",
        "pink": "#f9dfe9",
        "band": "#f6f4f9",
    },
    "dark": {
        "ground": "#17141f",
        "ink": "#d6d0e2",
        "line": "#9a88b8",
        "violet": "#3a2f55",
        "yellow": "#4a3c1e",
        "pink": "#532840",
        "band": "#211c2d",
    },
}


class Box(NamedTuple):
    """Rounded box with a title and lines below it, its left upper corner at (x, y)."""

    x: float
    y: float
    title: str
    about: str = ""
    colour: str = "violet"
    width: float = 132
    height: float = 54

    def drawn(self) -> str:
        """Draw it."""
        middle, about = self.x + self.width / 2, self.about.split("\n") if self.about else []
        top = self.y + self.height / 2 - 8 * len(about) + 5
        words = [text(middle, top, self.title, size=14, more='font-weight="600"')]
        words += [text(middle, top + 17 + 15 * k, line, size=12) for k, line in enumerate(about)]
        return (
            f'<rect x="{self.x:g}" y="{self.y:g}" width="{self.width:g}" height="{self.height:g}" rx="8" '
            f'style="fill: var(--{self.colour}); stroke: var(--line)"/>{"".join(words)}'
        )


def text(x: float, y: float, words: str, *, size: float = 12, more: str = "") -> str:
    """Words in the middle of (x, y), unless `more` says otherwise."""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" {more}>{words}</text>'


def arrow(start: Box, end: Box) -> str:
    """Arrow from a box to one below or above it if they overlap, else from side to side."""
    if start.x < end.x + end.width and end.x < start.x + start.width:
        x = (max(start.x, end.x) + min(start.x + start.width, end.x + end.width)) / 2
        down = end.y > start.y
        y0, y1 = (start.y + start.height, end.y - 3) if down else (start.y, end.y + end.height + 3)
        return line(f"M{x:g},{y0:g} L{x:g},{y1:g}")
    right = end.x > start.x
    x0, x1 = (start.x + start.width, end.x - 3) if right else (start.x, end.x + end.width + 3)
    y0, y1 = start.y + start.height / 2, end.y + end.height / 2
    middle = (x0 + x1) / 2
    return line(f"M{x0:g},{y0:g} C{middle:g},{y0:g} {middle:g},{y1:g} {x1:g},{y1:g}")


def line(path: str, *, tip: bool = True) -> str:
    """Draw a path of SVG as a line, with the tip of an arrow at its end."""
    end = ' marker-end="url(#tip)"' if tip else ""
    return f'<path d="{path}" fill="none" style="stroke: var(--line)" stroke-width="2"{end}/>'


def picture(parts: list[str], height: float, about: str, *, width: float = WIDTH) -> str:
    """SVG of parts on the ground of the page; `about` is for those who do not see it."""
    tip = '<path d="M0,0 L8,4 L0,8 z" style="fill: var(--line)"/>'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{about}" font-family="{FONT}" '
        f'text-anchor="middle" style="fill: var(--ink)">{paint()}'
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="6" markerHeight="6" '
        f'orient="auto">{tip}</marker></defs>'
    )
    return "\n".join([head, *parts, "</svg>\n"])


def paint() -> str:
    """Colours of both schemes by their names, and the ground."""
    light, dark = (
        ":root { " + "".join(f"--{name}: {value}; " for name, value in colours.items()) + "}"
        for colours in SCHEMES.values()
    )
    rules = f"{light} @media (prefers-color-scheme: dark) {{ {dark} }}"
    return f'<style>{rules}</style><rect width="100%" height="100%" style="fill: var(--ground)"/>'

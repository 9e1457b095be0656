"""Where the templates of reports are, and how they are filled in."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def templates(*, html: bool) -> Environment:
    """Templates of ``studies/templates``; a name that nothing was given for is an error, not a gap."""
    return Environment(
        loader=PackageLoader("histoscope.studies", "templates"),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

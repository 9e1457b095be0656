"""``--mpp``, wherever it is asked."""

import typer


def checked_mpp(option: typer.CallbackParam, value: float | None) -> float | None:
    """Give the value back if a microscope may have it, or raise `ConfigError` with the option's name."""
    from histoscope.images.resolution import check_mpp

    return None if value is None else check_mpp(value, option.opts[0])

"""Check of ``--mpp`` options."""

import typer


def checked_mpp(option: typer.CallbackParam, value: float | None) -> float | None:
    """Callback of an option: the value, or a `ConfigError` if no microscope has such pixels."""
    from histoscope.images.resolution import check_mpp

    return None if value is None else check_mpp(value, option.opts[0])

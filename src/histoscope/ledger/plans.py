"""One plan for all starting processes: a sequence of versions, each made by one of them."""

import json
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from histoscope.errors import CorruptDataError
from histoscope.files import write_text
from histoscope.ledger.exclusive import give_name, names_in, seen_now

Plan = dict[str, Any]
_TRIES, _PAUSE_S = 20, 0.1


def agreed(folder: Path) -> Plan:
    """The plan that is in force; empty if there is none.

    Raises
    ------
    CorruptDataError
        If its file is not a plan.
    """
    return _newest(folder)[1]


def agree(folder: Path, change: Callable[[Plan], Plan]) -> Plan:
    """Change the plan in force, unless another process was faster.

    Version n + 1 is made from version n and gets its name only if that is free; a slower process reads it and
    changes that one. So two processes that start at once agree, and nothing that either planned is lost.

    Parameters
    ----------
    folder : Path
        Folder of the versions; created if missing.
    change : callable
        Maps the plan in force, empty at first, to the new one; called again if another process was faster. If
        it raises, nothing changes.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> agree(folder, lambda plan: {**plan, "a": 1}), agree(folder, lambda plan: {**plan, "b": 2})
    ({'a': 1}, {'a': 1, 'b': 2})
    >>> agreed(folder)
    {'a': 1, 'b': 2}
    """
    while True:
        version, plan = _newest(folder)
        wanted = change(plan)
        if wanted == plan and version:
            return plan
        text = json.dumps(wanted, ensure_ascii=False, indent=0) + "\n"
        draft = folder / f".{secrets.token_hex(8)}.json"
        try:
            write_text(draft, text)
            if give_name(draft, folder / _name(version + 1)) and _is_newest(folder, version + 1):
                for old in range(
                    version - 1, 0, -1
                ):  # the last one is kept for processes that are reading it
                    if not _removed(folder / _name(old)):
                        break
                return wanted
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)


def difference(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Differences between two sets of settings, for people.

    Examples
    --------
    >>> difference({"mpp": 0.5, "tta": False}, {"mpp": 0.25, "tta": False})
    'mpp: 0.5 there, 0.25 now'
    """
    keys = [key for key in {**known, **wanted} if known.get(key) != wanted.get(key)]
    return ", ".join(f"{key}: {known.get(key)!r} there, {wanted.get(key)!r} now" for key in keys)


def _newest(folder: Path) -> tuple[int, Plan]:
    tries = 0
    while version := _last(folder):
        path = folder / _name(version)
        try:
            plan: Plan = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue  # two newer ones have just been made
        except ValueError as error:
            if tries == _TRIES:
                raise CorruptDataError(f"{path} is not a plan ({error}); remove it") from error
            time.sleep(_PAUSE_S)  # without links, it exists before its content
            tries += 1
            continue
        return version, plan
    return 0, {}


def _last(folder: Path) -> int:
    seen_now(folder)
    return max((int(name[:-5]) for name in names_in(folder) if name[:-5].isdigit()), default=0)


def _is_newest(folder: Path, version: int) -> bool:
    """Whether a version is the last; not if its number is old and its first file was deleted."""
    if _last(folder) == version:
        return True
    _removed(folder / _name(version))
    return False


def _name(version: int) -> str:
    return f"{version:06d}.json"


def _removed(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True

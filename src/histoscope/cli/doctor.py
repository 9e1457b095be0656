"""``histoscope doctor``: checks of this machine, with advice."""

import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

CPU_WHEELS = (
    "pip install --force-reinstall torch torchvision --index-url https://download.pytorch.org/whl/cpu"
)
DEFAULT_WHEELS = "pip install --force-reinstall torch torchvision"


@dataclass(frozen=True, slots=True)
class Check:
    """Result of one check: its name, status, finding and advice."""

    name: str
    status: Literal["PASS", "WARN", "FAIL"]
    found: str
    advice: str = ""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Check Python, PyTorch, GPU, memory, caches and disk, with advice on any problem.

    Exit code 0 if everything needed is there (warnings are allowed), 1 if something is missing.
    """
    checks = examine()
    healthy = all(check.status != "FAIL" for check in checks)
    if as_json:
        typer.echo(json.dumps({"healthy": healthy, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        _show(checks)
    if not healthy:
        raise typer.Exit(1)


def examine(folder: Path | None = None) -> list[Check]:
    """Run every check; none of them raises.

    Parameters
    ----------
    folder : Path, optional
        Where results would be written; the working folder if not given.

    Returns
    -------
    list of Check
    """
    probes: list[Callable[[], list[Check]]] = [
        lambda: [python(sys.version_info)],
        libraries,
        torch_pair,
        encoders,
        lambda: [backends()],
        lambda: [viewer()],
        gpu,
        lambda: [cores_and_memory()],
        lambda: [numba_cache()],
        lambda: [disk(folder or Path.cwd())],
    ]
    return [check for probe in probes for check in probe()]


def python(version: tuple[Any, ...]) -> Check:
    """Python 3.11 to 3.13 are tested; older ones cannot read the source."""
    found = ".".join(map(str, version[:3]))
    if version[:2] < (3, 11):
        return Check("Python", "FAIL", found, "Histoscope needs 3.11 or newer: create an environment with it")
    if version[:2] > (3, 13):
        return Check("Python", "WARN", found, "tested on 3.11 to 3.13 only")
    return Check("Python", "PASS", f"{found} ({platform.system()}, {platform.machine()})")


def libraries() -> list[Check]:
    """Installed version of every hard dependency, against the lower bound that Histoscope declares."""
    from importlib import metadata

    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(line) for line in metadata.requires("histoscope") or ()]
    except metadata.PackageNotFoundError:
        return [
            Check("libraries", "WARN", "Histoscope runs from its source folder", "pip install . checks them")
        ]
    found, problems = [f"histoscope {metadata.version('histoscope')}"], []
    for need in wanted:
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(need.name)
        except metadata.PackageNotFoundError:
            problems.append(f"{need.name} is missing")
            continue
        found.append(f"{need.name} {version}")
        if not need.specifier.contains(version, prereleases=True):
            problems.append(f"{need.name} {version} is not {need.specifier}")
    if problems:
        return [
            Check("libraries", "FAIL", "; ".join(problems), "run pip install . again in the source folder")
        ]
    return [Check("libraries", "PASS", ", ".join(found))]


def torch_pair() -> list[Check]:
    """Load torch and torchvision: unless they match, code that uses them cannot be imported."""
    try:
        torch = _import("torch")
    except Exception as error:  # noqa: BLE001  (a broken binary raises anything)
        return [Check("torch", "FAIL", _first_line(error), DEFAULT_WHEELS)]
    checks = [Check("torch", "PASS", f"{torch.__version__}, {torch.get_num_threads()} threads")]
    try:
        vision = _import("torchvision")
        vision.ops.nms(torch.zeros((1, 4)), torch.ones(1), 0.5)
    except Exception as error:  # noqa: BLE001
        return [
            *checks,
            Check("torchvision", "FAIL", _first_line(error), _pair_advice(torch.__version__, error)),
        ]
    ours, theirs = _build(torch.__version__), _build(vision.__version__)
    if ours != theirs:
        found = f"{vision.__version__} with torch {torch.__version__}"
        return [*checks, Check("torchvision", "WARN", found, "different builds: install both from one index")]
    return [*checks, Check("torchvision", "PASS", vision.__version__)]


def encoders() -> list[Check]:
    """Load the libraries that provide encoders and decoders."""
    checks = []
    for name in ("timm", "segmentation_models_pytorch"):
        try:
            checks.append(Check(name, "PASS", _import(name).__version__))
        except Exception as error:  # noqa: BLE001
            is_pair = "torchvision" in str(error)
            advice = "caused by torchvision: see its line" if is_pair else f"pip install {name}"
            checks.append(Check(name, "FAIL", _first_line(error), advice))
    return checks


def backends() -> Check:
    """Libraries that run networks on a CPU, and how to install a missing one."""
    from importlib import metadata

    try:
        from histoscope.models.backends import BACKENDS, choosing, runner
    except Exception as error:  # noqa: BLE001
        return Check("backends", "WARN", _first_line(error), "see the torch line")
    there = choosing.installed()
    found = ", ".join(f"{name} {metadata.version(name)}" for name in there)
    others = [
        f"pip install 'histoscope[{runner.module_of(name).EXTRA}]'" for name in BACKENDS if name not in there
    ]
    advice = f"others may be faster on this processor: {others[0]}" if len(there) == 1 else ""
    return Check("backends", "PASS", found, advice)


def viewer() -> Check:
    """What `histoscope view` needs: the libraries of its server, and OpenSeadragon."""
    from importlib.util import find_spec

    from histoscope.viewer import running

    if not all(find_spec(name) for name in running.LIBRARIES):
        return Check(
            "viewer", "PASS", "not installed", "pip install 'histoscope[viewer]' for histoscope view"
        )
    if not running.VENDOR.is_file():
        advice = "python build_page.py in the source folder, or install again, with a network"
        return Check("viewer", "WARN", "OpenSeadragon is missing: npm was not reached", advice)
    return Check("viewer", "PASS", "installed, with OpenSeadragon")


def gpu() -> list[Check]:
    """Accelerator of torch; a warning if a GPU cannot be used."""
    try:
        torch = _import("torch")
        if torch.cuda.is_available():
            device = torch.cuda.get_device_properties(0)
            count = torch.cuda.device_count()
            return [Check("GPU", "PASS", f"{count} x {device.name}, {device.total_memory / 2**30:.0f} GiB")]
        if torch.backends.mps.is_available():
            return [Check("GPU", "PASS", "Apple Metal")]
    except Exception as error:  # noqa: BLE001
        return [Check("GPU", "WARN", _first_line(error), "see the torch line")]
    if shutil.which("nvidia-smi"):
        advice = (
            "if this machine has a GPU, this build of torch cannot use it; for the CUDA build: "
            f"{DEFAULT_WHEELS}"
        )
        return [Check("GPU", "WARN", "an NVIDIA driver is installed, but torch sees no GPU", advice)]
    return [Check("GPU", "PASS", "none; networks run on the processor")]


def cores_and_memory() -> Check:
    """Processor cores and free memory, within the limits of a container."""
    from histoscope.images import limits

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    memory = limits.free_memory()
    found = f"{cores} cores, {memory / 2**30:.1f} GiB free"
    if memory < 3 * 2**30:
        return Check("cores, memory", "WARN", found, "under 3 GiB: use small patches and batches")
    return Check("cores, memory", "PASS", found)


def numba_cache() -> Check:
    """Folder for compiled kernels; without one, each start compiles them again, which takes half a minute."""
    import histoscope
    from histoscope.compiled import temporary_folder

    chosen = os.environ.get("NUMBA_CACHE_DIR")
    beside = Path(histoscope.__file__).parent / "stain" / "__pycache__"
    folder = Path(chosen) if chosen else beside
    if _writable(folder):
        return Check("kernel cache", "PASS", str(folder))
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "numba"  # noqa: PTH111
    if not chosen and _writable(home):  # Numba's default
        return Check("kernel cache", "PASS", str(home))
    temporary = temporary_folder()
    kept = (
        "kernels are compiled again at each start"
        if temporary is None
        else f"{temporary} is used until it is emptied"
    )
    found = f"{folder} is read-only; {kept}"
    return Check("kernel cache", "WARN", found, "export NUMBA_CACHE_DIR=/a/folder/you/can/write")


def disk(folder: Path) -> Check:
    """Free space in the output folder, and permission to write."""
    if not _writable(folder):
        return Check("disk", "FAIL", f"cannot write to {folder}", "work in a folder of your own")
    free = shutil.disk_usage(folder).free / 2**30
    found = f"{free:.1f} GiB free in {folder}"
    if free < 0.2:
        return Check("disk", "FAIL", found, "free some space: results and models need it")
    if free < 5:
        return Check("disk", "WARN", found, "a study with many runs may fill it")
    return Check("disk", "PASS", found)


def _import(name: str) -> Any:
    import importlib
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of libraries on import do not matter here
        return importlib.import_module(name)


def _pair_advice(torch_version: str, error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"pip install torchvision (the one that matches torch {torch_version})"
    cure = CPU_WHEELS if _build(torch_version) == "cpu" else DEFAULT_WHEELS
    return (
        f"torch {torch_version} and torchvision do not match (a CPU wheel of one with a CUDA wheel of the "
        f"other?); reinstall both from one index: {cure}"
    )


def _build(version: str) -> str:
    return version.partition("+")[2]


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0] if text else 'no message'}"


def _writable(folder: Path) -> bool:
    existing = next((place for place in (folder, *folder.parents) if place.exists()), None)
    return existing is not None and existing.is_dir() and os.access(existing, os.W_OK)


def _show(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.table import Table

    colours = {"PASS": "green", "WARN": "yellow", "FAIL": "bold red"}
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        text = check.found + (f"\n→ {check.advice}" if check.advice else "")
        table.add_row(f"[{colours[check.status]}]{check.status}[/]", check.name, text.replace("[", r"\["))
    console = Console()
    console.print(table)
    bad = [check.name for check in checks if check.status == "FAIL"]
    console.print(f"\n[bold red]not ready: {', '.join(bad)}[/]" if bad else "\n[green]ready[/]")

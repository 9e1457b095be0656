"""The project keeps its own rules: sizes, names, surface, layers at run time, README and CI in step."""

import ast
import importlib
import inspect
import json
import os
import re
import runpy
import tomllib
from pathlib import Path

import pytest
import yaml

import histoscope

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src" / "histoscope").rglob("*.py"))
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
REGISTRIES = {
    "stain": "NORMALIZERS",
    "augment": "AUGMENTATIONS",
    "balance": "BALANCES",
    "metrics": "METRICS",
    "data": "DATASETS",
    "models": "MODELS",
    "studies": "STUDIES",
}
HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "numba",
    "pydantic",
    "pandas",
    "matplotlib",
    "scipy",
    "skimage",
    "cv2",
)
FILE_LINES, FUNCTION_LINES, ARGUMENTS = 400, 60, 8


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def _code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its signature and docstring."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_files_and_functions_stay_readable(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= FILE_LINES, f"{len(lines)} lines; split the file by idea"
    for node in _functions(path):
        assert _code_lines(node) <= FUNCTION_LINES, f"{node.name} has {_code_lines(node)} lines"
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        count = len([argument for argument in given if argument.arg not in {"self", "cls"}])
        # Verbs (an argument is a flag with its help), kernels (arrays and scalars only) and functions that
        # own up to it in their first line may take more.
        owns_up = "PLR0913" in lines[node.lineno - 1]
        is_free = path.parent.name == "cli" or path.name == "_kernels.py" or owns_up
        assert is_free or count <= ARGUMENTS, f"{node.name} takes {count} arguments"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_names_and_habits(path: Path) -> None:
    assert path.stem not in {"utils", "helpers", "common", "misc", "manager", "util", "helper", "tools"}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"print", "eval", "exec"}, f"{node.func.id}() at line {node.lineno}"
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import at line {node.lineno}"
            assert node.module != "__future__", "types are real here: no postponed annotations"
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = (
                [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            )
            assert "pickle" not in names, f"pickle at line {node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
            is_global_random = ast.unparse(node.value) in {"np.random", "numpy.random"}
            assert not (
                is_global_random and node.attr in {"seed", "rand", "randn", "randint", "random", "choice"}
            ), f"global random state at line {node.lineno}; take rng: numpy.random.Generator"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_text_is_read_and_written_as_utf8(path: Path) -> None:
    """Whatever the machine's own encoding is."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            values = {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
            opens = node.func.attr in {"read_text", "write_text"}
            opens |= node.func.attr == "open" and not values.isdisjoint({"r", "w", "x", "a", "a+"})
            named = "encoding" in {keyword.arg for keyword in node.keywords}
            assert named or not opens, f"line {node.lineno}: name the encoding"


def test_the_public_surface_is_pinned() -> None:
    surface = (
        "augment balance classify data edits errors explain export generate geometry images jobs ledger "
        "metrics models nuclei places predict read_image read_labels report slides stain studies synth train "
        "types weights write_image write_labels"
    )
    assert sorted(histoscope.__all__) == surface.split()
    for name in histoscope.__all__:
        assert getattr(histoscope, name) is not None


@pytest.mark.parametrize(("package", "registry"), REGISTRIES.items())
def test_every_registry_entry_is_documented(package: str, registry: str) -> None:
    module = importlib.import_module(f"histoscope.{package}")
    entries = getattr(module, registry)
    assert entries
    page = (ROOT / "docs" / "reference" / f"{package}.md").read_text(encoding="utf-8")
    for key in entries:
        assert key == key.lower(), f"{registry}: {key!r} is not lower case"
        entry = module.get(key) if hasattr(module, "get") else entries[key]
        what = entry if isinstance(entry, type) else type(entry)
        assert len(inspect.getdoc(what) or "") > 20, f"{registry}[{key!r}] has no docstring"
        assert f"`{key}`" in page, f"docs/reference/{package}.md does not name {key!r}"


PACKAGES = sorted({path.parent for path in SOURCES if path.name == "__init__.py"})


@pytest.mark.parametrize("folder", PACKAGES, ids=_name)
def test_tab_finds_all_that_a_package_offers(folder: Path) -> None:
    """Names that load late are in ``dir``, can be had, and are shadowed by no module of that name."""
    module = importlib.import_module(".".join(folder.relative_to(ROOT / "src").parts))
    offered = getattr(module, "__all__", [])
    assert set(offered) <= set(dir(module))
    assert not offered or sorted(offered) == dir(module), "dir shows more than is offered: lazy.attach"
    written = (folder / "__init__.py").read_text(encoding="utf-8")
    for late in sorted(folder.glob("*.py")):
        if late.stem in offered:
            importlib.import_module(f"{module.__name__}.{late.stem}")
    for name in offered:
        meant = module is histoscope or f'"{name}": ""' in written
        assert meant or not inspect.ismodule(getattr(module, name)), f"module {name}.py hides what is offered"


def test_every_package_is_an_attribute_of_histoscope() -> None:
    packages = {folder.name for folder in PACKAGES if folder.parent.name == "histoscope"}
    assert packages - {"cli", "viewer"} <= set(histoscope.__all__)


def test_each_config_is_named_in_the_documentation() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md"))
    assert CONFIGS
    assert [path.name for path in CONFIGS if f"configs/{path.name}" not in pages] == []


@pytest.mark.parametrize("path", CONFIGS, ids=_name)
def test_every_shipped_config_is_valid(path: Path) -> None:
    from histoscope import config, studies
    from histoscope.train.experiment import Experiment
    from histoscope.train.selfsup import Pretraining

    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "study" in values:
        assert studies.read_config(path).runs()
    elif "model" not in values:
        assert config.load(Pretraining, path).train.steps > 0
    else:
        assert config.load(Experiment, path).train.steps > 0


def test_import_is_free(python) -> None:
    done = python("-c", f"import sys, histoscope; print([m for m in {HEAVY!r} if m in sys.modules])")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_loads_nothing_heavy(python, arguments: list[str]) -> None:
    code = f"""
import sys
sys.argv = ["histoscope", *{arguments!r}]
from histoscope.cli.main import main
try:
    main()
except SystemExit as leave:
    assert not leave.code
print("HEAVY", [name for name in {HEAVY!r} if name in sys.modules])
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert "HEAVY []" in done.stdout
    assert "histoscope" in done.stdout.lower()


@pytest.mark.parametrize(
    "package", ["stain", "metrics", "synth", "augment", "balance", "geometry", "files", "types", "errors"]
)
def test_the_array_core_runs_without_torch_and_pydantic(python, package: str) -> None:
    code = f"import sys, histoscope.{package}; print([m for m in ('torch', 'pydantic') if m in sys.modules])"
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_one_version_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["hatch"]["version"]["path"] == "src/histoscope/__init__.py"
    newest = re.search(
        r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert newest is not None
    assert newest[1] == histoscope.__version__
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == histoscope.__version__
    assert citation["license"] == project["project"]["license"] == "Apache-2.0"


def test_readme_gives_two_commands_and_ci_runs_them() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    between = re.search(r"<!-- two commands -->(.*?)<!-- end of two commands -->", readme, re.DOTALL)
    assert between is not None
    lines = [line for line in between[1].splitlines() if line.startswith("pip install")]
    assert lines == ["pip install . && histoscope demo", 'pip install ".[dev]" && pytest']
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "two commands" in script.read_text(encoding="utf-8")
    assert "pip install . &&" not in script.read_text(encoding="utf-8"), "read the lines from README.md"


def test_readme_points_at_what_exists() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} points at {target}"


def test_documentation_navigation_is_complete() -> None:
    # mkdocs.yml has tags that only mkdocs knows, so the pages are found by their names.
    named = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    there = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert named == there


def test_every_dependency_line_gives_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = text.split("dependencies = [", 1)[1].split("\n]", 1)[0]
    for line in filter(None, map(str.strip, block.splitlines())):
        assert "#" in line, f"no reason given: {line}"
        assert ">=" in line, f"no lower bound: {line}"


@pytest.mark.parametrize(
    ("name", "path"), [("cli", "docs/cli.md"), ("settings", "docs/settings.md"), ("readme", "README.md")]
)
def test_a_page_that_is_made_of_code_is_current(name: str, path: str) -> None:
    page = runpy.run_path(str(ROOT / "docs" / "make" / f"{name}.py"))["page"]()
    assert (ROOT / path).read_text(encoding="utf-8") == page, f"run python docs/make/{name}.py"


def test_citation_and_licence_are_well_formed() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "version"} <= set(citation)
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    json.dumps(citation, default=str)

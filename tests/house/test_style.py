"""What CONTRIBUTING.md marks as checked and no linter knows."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "isthmus").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
# Folders whose tests have no single source file to mirror.
FREE_TESTS = {
    *("house", "suite", "real", "docs", "differential", "registry", "attack"),
    *("end_to_end", "effects", "nodes", "faults", "versions", "soak"),
}
# Apps hold the world; below them, time and chance are handed in.
APPS = {"agent", "hub", "dns", "tunnel", "local", "install", "conformance", "cli", "testing"}
TEXT = {".py", ".md", ".toml", ".in", ".txt", ".yaml", ".json", ".sh", ""}
HIDDEN = {
    ".git",
    ".venv",
    "build",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
    ".import_linter_cache",
}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def calls(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


def test_files_are_short() -> None:
    assert not [named(path) for path in SOURCES + TESTS if len(path.read_text().splitlines()) > 600]


def test_functions_fit_on_a_screen() -> None:
    functions = [
        (path, node)
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert not [f"{named(path)}: {node.name}" for path, node in functions if (node.end_lineno or 0) - node.lineno >= 60]


def test_any_lives_in_the_scheme() -> None:
    uses = [
        f"{named(path)}:{node.lineno}"
        for path in SOURCES
        if path.name != "scheme.py"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Name) and node.id == "Any"
    ]
    assert not uses


def test_every_task_has_a_parent() -> None:
    orphans = {"asyncio.create_task", "asyncio.ensure_future", "loop.create_task"}
    assert not [f"{named(path)}:{line} {name}" for path in SOURCES for name, line in calls(path) if name in orphans]


def test_time_and_chance_are_arguments() -> None:
    world = {"time.time", "time.monotonic", "datetime.now", "datetime.utcnow", "random.random"}
    below = [path for path in SOURCES if not APPS & set(path.parts) and path.name != "clock.py"]
    assert not [f"{named(path)}:{line} {name}" for path in below for name, line in calls(path) if name in world]


def has_source(test: Path) -> bool:
    inside = test.relative_to(ROOT / "tests")
    folder = ROOT / "src" / "isthmus" / inside.parent
    stem = inside.stem.removeprefix("test_")
    # A long module's tests may be split: test_merge_ports.py still mirrors merge.py.
    while stem:
        if (folder / f"{stem}.py").exists() or (folder / stem).is_dir():
            return True
        stem = stem.rpartition("_")[0]
    return False


def test_a_test_file_mirrors_a_source_file() -> None:
    bound = [path for path in TESTS if path.relative_to(ROOT / "tests").parts[0] not in FREE_TESTS]
    assert not [named(path) for path in bound if not has_source(path)]


def texts() -> Iterator[tuple[Path, str]]:
    for folder in (path for path in ROOT.iterdir() if path.name not in HIDDEN):
        for path in [folder] if folder.is_file() else folder.rglob("*"):
            if path.is_file() and path.suffix in TEXT and "__pycache__" not in path.parts and path != Path(__file__):
                yield path, path.read_text()


def test_nothing_names_a_machine_or_a_registry() -> None:
    bad = re.compile(r"(?:^|[\s\"'=(])/(?:work|farm|root)/|https?://(?:proxy|registry|files|static|repo1?|deb|pypi)\.")
    found = [
        f"{named(path)}:{number}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if bad.search(line)
    ]
    assert not found


def test_ignored_types_say_why() -> None:
    silent = [
        f"{named(path)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "# type: ignore" in line and not re.search(r"# type: ignore\[[a-z-]+\]\s+#\s*\S", line)
    ]
    assert not silent

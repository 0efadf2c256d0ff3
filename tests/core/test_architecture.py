"""The shape of the package: one direction of imports, one door to Delta, no Spark at import."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "propensity_spark"
ORDER = ("core", "ingest", "features", "trainset", "models", "judge", "serve", "watch", "pipeline")
ENTRY = {"cli"}  # the command is core by place only: it starts the jobs
MODULES = sorted(PACKAGE.rglob("*.py"))


def _name(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def _stage(module: str) -> str:
    first = module.split(".")[0]
    return first if first in ORDER else "core"


def _imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported, at the top or inside a function; relative ones begin with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _own(file: Path) -> set[str]:
    """Stages that a module imports from."""
    inside = (n.removeprefix("propensity_spark.") for n in _imports(ast.parse(file.read_text())) if "propensity_spark." in n)
    return {_stage(name) for name in inside}


def test_the_walk_sees_every_manner_of_importing() -> None:
    text = "import a.b\nfrom c import d\ndef f():\n    from e.f import g as h\n    from . import i\n"
    assert set(_imports(ast.parse(text))) >= {"a.b", "c.d", "e.f.g", ".", "..i"}
    assert {_name(file) for file in MODULES} >= {"", "config", "ingest.events", "pipeline.run"}
    assert _own(PACKAGE / "pipeline" / "ingest.py") == {"core", "ingest", "pipeline"}


def test_every_folder_is_a_known_stage() -> None:
    folders = {folder.name for folder in PACKAGE.iterdir() if folder.is_dir() and any(folder.glob("*.py"))}
    assert folders <= {*ORDER, "config"}


@pytest.mark.parametrize("file", [m for m in MODULES if _name(m) not in ENTRY], ids=_name)
def test_a_module_imports_core_and_earlier_stages_only(file: Path) -> None:
    at = ORDER.index(_stage(_name(file)))
    assert {stage for stage in _own(file) if ORDER.index(stage) > at} == set()
    assert not [name for name in _imports(ast.parse(file.read_text())) if name.startswith(".")], "imports are absolute"


def test_core_imports_only_what_stands_before_it() -> None:
    foundation = {"errors": set(), "schemas": set(), "config": {"errors", "schemas"}, "loading": {"config", "errors"}}
    for module, allowed in foundation.items():
        files = [file for file in MODULES if _name(file).split(".")[0] == module]
        found = {n.split(".")[1] for f in files for n in _imports(ast.parse(f.read_text())) if n.startswith("propensity_spark.")}
        assert files, module
        assert found - {module} <= allowed, module


def test_only_tables_touches_delta() -> None:
    users = {_name(f) for f in MODULES if any(n.split(".")[0] == "delta" for n in _imports(ast.parse(f.read_text())))}
    assert users == {"tables"}


def test_only_tables_names_the_delta_format() -> None:
    """A read or write by `.format("delta")` or a path ending in the log would go around the door."""
    around = {
        _name(file)
        for file in MODULES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("format", "saveAsTable", "forPath", "forName")
        and any(isinstance(a, ast.Constant) and a.value == "delta" for a in node.args)
    }
    assert around == {"tables"}


def test_importing_every_module_starts_no_spark() -> None:
    """Nor Java: in a process of its own, since this one has a session."""
    names = [f"propensity_spark.{_name(file)}".rstrip(".") for file in MODULES if file.name != "__main__.py"]
    script = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "from pyspark import SparkContext\n"
        "assert SparkContext._gateway is None, 'a JVM runs'\n"
        "assert SparkContext._active_spark_context is None, 'a session runs'\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr

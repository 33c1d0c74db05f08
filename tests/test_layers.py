"""The architecture, enforced: imports point down only, siblings stay apart, torch stays in its rooms."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "tenor"

#: From the ground up. A unit is a module or package right under tenor; it imports units of lower rows only.
LAYERS: tuple[frozenset[str], ...] = tuple(
    frozenset(row.split())
    for row in (
        "errors arrays logits litter",
        "arguments seeding files progress processes strings cutting linear",
        "corpus predictions metrics aggregation ngrams",
        "encoding nn batching lexical pooled synthetic devices",
        "prefetch",
        "models baselines",
        "training evaluation",
        "explain",
        "report distributed",
        "demo",
        "cli",
        "__main__",
    )
)

#: Units that may import torch anywhere, and modules that may do so inside functions only.
TORCH_UNITS = frozenset({"nn", "batching", "devices", "prefetch", "models", "training", "explain"})
LAZY_TORCH_MODULES = frozenset({"encoding.sentence", "encoding.static"})

#: What everything left of BATCH and right of PREDICTIONS must run without.
TORCH_FREE = (
    "tenor tenor.cli tenor.corpus tenor.predictions tenor.metrics tenor.aggregation tenor.report"
    " tenor.encoding tenor.ngrams tenor.lexical tenor.pooled tenor.baselines"
).split()


def find_imports(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Every imported module of a file as (line, dotted name, whether inside a function)."""

    def walk(node: ast.AST, lazy: bool) -> Iterator[tuple[int, str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((child.lineno, alias.name, lazy) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                for alias in child.names:  # `from tenor import metrics` names the module tenor.metrics
                    is_root = child.module == "tenor"
                    yield child.lineno, f"tenor.{alias.name}" if is_root else str(child.module), lazy
            yield from walk(child, lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), False)


def find_violations(source: Path) -> list[str]:
    """Every import of the package under `source` that breaks the layers, as sentences; empty = clean."""
    height = {unit: level for level, row in enumerate(LAYERS) for unit in row}
    found = []
    for path in sorted(source.rglob("*.py")):
        module = ".".join(path.relative_to(source).with_suffix("").parts)
        unit = module.split(".")[0]
        if module == "__init__":  # the facade: lazy, and held to that by test_imports.py
            continue
        if unit not in height:
            found.append(f"{module} stands in no layer: add it to LAYERS")
            continue
        for line, name, lazy in find_imports(path):
            place = f"{module}:{line}"
            if name.split(".")[0] == "torch" and unit not in TORCH_UNITS:
                if not (lazy and module in LAZY_TORCH_MODULES):
                    found.append(f"{place} imports torch")
            if not name.startswith("tenor."):
                continue
            target = name.split(".")[1]
            if target in (unit, "__version__"):
                continue
            if target not in height:
                found.append(f"{place} imports {name}: not a unit of the package")
            elif height[target] > height[unit]:
                found.append(f"{place} imports upwards: {name}")
            elif height[target] == height[unit]:
                found.append(f"{place} imports its sibling: {name}")
    return found


def test_no_import_breaks_the_layers() -> None:
    assert find_violations(SOURCE) == []


@pytest.mark.parametrize(
    ("module", "code", "expected"),
    [
        (
            "metrics/scores",
            "from tenor.report.page import x",
            "metrics.scores:1 imports upwards: tenor.report.page",
        ),
        (
            "metrics/scores",
            "import tenor.predictions",
            "metrics.scores:1 imports its sibling: tenor.predictions",
        ),
        ("corpus/views", "def f():\n    from tenor import cli", "corpus.views:2 imports upwards: tenor.cli"),
        ("predictions", "def f():\n    import torch.nn", "predictions:2 imports torch"),
        ("encoding/static", "from torch import nn", "encoding.static:1 imports torch"),
        ("helpers", "", "helpers stands in no layer: add it to LAYERS"),
        ("cli/test", "import tenor.nowhere", "cli.test:1 imports tenor.nowhere: not a unit of the package"),
    ],
)
def test_a_planted_violation_is_caught(tmp_path: Path, module: str, code: str, expected: str) -> None:
    path = tmp_path / f"{module}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code)
    assert find_violations(tmp_path) == [expected]


def test_the_picture_for_contributors_is_the_same() -> None:
    text = (SOURCE.parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    picture = text.partition("## Where things stand")[2].split("```")[1]
    rows = [set(line.split("     ")[0].split()) for line in picture.strip().splitlines()]
    assert rows[::-1] == list(LAYERS[:-1])  # all but __main__


def test_what_may_be_imported_is_not_called_a_violation(tmp_path: Path) -> None:
    (tmp_path / "encoding").mkdir()
    (tmp_path / "encoding/static.py").write_text(
        "import numpy\nfrom tenor.errors import InputError\nfrom tenor.encoding.lsa import encode\n"
        "from tenor.corpus.schema import Label\ndef f():\n    import torch\n"
    )
    assert find_violations(tmp_path) == []


def list_modules(name: str) -> list[str]:
    """A module and, of a package, all modules in it."""
    relative = Path(*name.split(".")[1:])
    if not (SOURCE / relative).is_dir():
        return [name] if (SOURCE / relative.with_suffix(".py")).is_file() else []
    if name == "tenor":
        return [name]
    paths = sorted((SOURCE / relative).rglob("*.py"))
    modules = (".".join(("tenor", *path.relative_to(SOURCE).with_suffix("").parts)) for path in paths)
    return [module.removesuffix(".__init__") for module in modules]


def test_torch_free_parts_do_not_load_torch() -> None:
    modules = [module for name in TORCH_FREE for module in list_modules(name)]
    code = (
        f"import importlib, sys\nfor name in {modules!r}:\n    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

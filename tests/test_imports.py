"""Importing tenor is cheap, says the same to people and type checkers, and changes nothing outside itself."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import tenor

SOURCE = Path(tenor.__file__).parent
HEAVY = {"torch", "numpy", "pandas", "pyarrow", "datasets", "sklearn", "scipy", "matplotlib", "rich", "typer"}


def loaded_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after running `code`."""
    code += "\nimport sys\nsys.stderr.write(' '.join({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_import_tenor_loads_nothing_heavy() -> None:
    assert loaded_after("import tenor; tenor.__version__; dir(tenor)") & HEAVY == set()


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_loads_neither_torch_nor_the_data_stack(arguments: list[str]) -> None:
    code = f"import tenor.cli\ntry:\n    tenor.cli.main({arguments!r})\nexcept SystemExit:\n    pass"
    assert loaded_after(code) & HEAVY == {"typer"}


def test_every_public_name_is_there() -> None:
    for name in tenor.__all__:
        assert getattr(tenor, name) is not None
        assert name in dir(tenor)


def test_star_import_gives_the_public_names() -> None:
    namespace: dict[str, object] = {}
    exec("from tenor import *", namespace)
    assert set(tenor.__all__) <= set(namespace)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'tenor' has no attribute 'nowhere'"):
        tenor.nowhere  # type: ignore[attr-defined]  # noqa: B018


def test_type_checkers_see_the_same_homes() -> None:
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {a.asname: s.module for s in block.body if isinstance(s, ast.ImportFrom) for a in s.names}
    assert seen == tenor._HOMES
    assert list(seen) == sorted(seen, key=lambda name: (seen[name], name))


def test_every_module_has_a_docstring_and_future_annotations() -> None:
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), f"{path} has no docstring"
        if any(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AnnAssign) for node in tree.body):
            second = tree.body[1]
            assert isinstance(second, ast.ImportFrom) and second.module == "__future__", path


GLOBAL_STATE = """
import logging, os, random, signal, sys, warnings
import numpy, torch, datasets, accelerate, sklearn, matplotlib, rich.console, typer

def snapshot():
    return {
        "handlers": [str(h) for h in logging.root.handlers],
        "level": logging.root.level,
        "environment": dict(os.environ),
        "filters": list(warnings.filters),
        "random": random.getstate(),
        "numpy": str(numpy.random.get_state()),
        "torch": torch.random.get_rng_state().tolist(),
        "threads": torch.get_num_threads(),
        "grad": torch.is_grad_enabled(),
        "dtype": str(torch.get_default_dtype()),
        "backend": dict(matplotlib.rcParams.items()).get("backend"),
        "signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
        "hook": sys.excepthook,
        "folder": os.getcwd(),
    }

import importlib
before = snapshot()
for name in MODULES:
    importlib.import_module(name)
after = snapshot()
changed = [key for key in before if before[key] != after[key]]
assert not changed, changed
"""


def test_importing_every_module_changes_no_global_state() -> None:
    paths = sorted(SOURCE.rglob("*.py"))
    modules = [".".join(("tenor", *path.relative_to(SOURCE).with_suffix("").parts)) for path in paths]
    modules = [name.removesuffix(".__init__") for name in modules if not name.endswith("__main__")]
    code = f"MODULES = {modules!r}\n{GLOBAL_STATE}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_public_names_are_kept_after_first_use() -> None:
    module = importlib.import_module("tenor.errors")
    assert tenor.TenorError is module.TenorError
    assert vars(tenor)["TenorError"] is module.TenorError

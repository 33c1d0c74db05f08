"""Nothing here reads or writes a pickle: a model file or corpus from a stranger cannot run code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: Files that make hostile files on purpose, so that tests can show that they are refused.
HOSTILE_MAKERS = frozenset({"tests/hostile/make_hostile.py"})

MODULES = frozenset({"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "shelve", "marshal"})
CALLS = frozenset(
    {
        "torch.load",
        "torch.save",
        "torch.jit.load",
        "torch.jit.save",
        "torch.hub.load",
        "torch.package",
        "joblib.dump",
        "joblib.load",
    }
)
ATTRIBUTES = frozenset({"read_pickle", "to_pickle"})
KEYWORDS = frozenset({"allow_pickle", "weights_only", "trust_remote_code"})


def dotted_name(node: ast.AST) -> str:
    """`a.b.c` of an attribute chain, empty for anything else."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def find_pickling(code: str) -> Iterator[tuple[int, str]]:
    """Every use of a pickling module, function or keyword as (line, what)."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (
                (node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] in MODULES
            )
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (
                (node.lineno, name) for name in names if name.split(".")[0] in MODULES or name in CALLS
            )
        elif isinstance(node, ast.Attribute) and (dotted_name(node) in CALLS or node.attr in ATTRIBUTES):
            yield node.lineno, dotted_name(node) or node.attr
        elif isinstance(node, ast.Call):
            for keyword in node.keywords:
                is_false = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                if keyword.arg in KEYWORDS and not is_false:
                    yield node.lineno, f"{keyword.arg}=..."
            if dotted_name(node.func) in ("__import__", "importlib.import_module") and node.args:
                name = node.args[0]
                if isinstance(name, ast.Constant) and str(name.value).split(".")[0] in MODULES:
                    yield node.lineno, str(name.value)


def test_no_file_uses_pickle() -> None:
    paths = [
        path for folder in ("src", "tests", "benchmarks", "fuzz") for path in (ROOT / folder).rglob("*.py")
    ]
    assert len(paths) > 20
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in paths
        if path.relative_to(ROOT).as_posix() not in HOSTILE_MAKERS
        for line, what in find_pickling(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("import pickle", "pickle"),
        ("def f():\n    from dill import loads", "dill.loads"),
        ("from joblib import dump", "joblib.dump"),
        ("import torch\ntorch.load('x')", "torch.load"),
        ("from torch import save", "torch.save"),
        ("np.load('x', allow_pickle=True)", "allow_pickle=..."),
        ("frame.to_pickle('x')", "frame.to_pickle"),
        ("importlib.import_module('pickle')", "pickle"),
    ],
)
def test_planted_pickling_is_found(code: str, what: str) -> None:
    assert [found for _, found in find_pickling(code)] == [what]


@pytest.mark.parametrize(
    "code", ["np.load('x', allow_pickle=False)", "model.load('x')", "json.load(f)", "np.load('x')"]
)
def test_harmless_code_is_not_flagged(code: str) -> None:
    assert list(find_pickling(code)) == []

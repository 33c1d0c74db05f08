"""Importing tenor is cheap, says the same to people and type checkers, and changes nothing outside itself."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tenor
from tenor.predictions import Predictions, write_predictions

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


FROM_PREDICTIONS = """
import tenor
from tenor.metrics.conformal import fit_conformal
from tenor.metrics.thresholds import choose_threshold

scores = tenor.read_predictions("scores.parquet")
known, test = scores.in_split("validation"), scores.in_split("test")
choose_threshold(known.labels, known.probs, groups=known.groups, splits=known.splits)
fit_conformal(known.labels, known.probs, alpha=0.1, groups=known.groups, splits=known.splits)
tenor.bootstrap_metrics(test.labels, test.probs, test.groups, replicates=20)
assert all(found.difference == 0 for found in tenor.compare(test, test, replicates=20).values())
profiles = tenor.profile_predictions(scores, ("mean", "noisy_or", "score_summary"))
tenor.write_predictions(profiles["mean"], "profiles.parquet")
report = tenor.report_run("scores.parquet")
tenor.write_report(report, "report.html")
tenor.write_model_card(report, "card.md")
"""


def test_from_a_predictions_file_on_nothing_loads_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat(generator.integers(0, 2, 60), 3)
    logits = generator.normal(size=180) + labels
    names = np.array([f"author-{number // 3}" for number in range(180)], dtype=object)
    table = Predictions(
        level="author",
        classes=(0, 1),
        conversation_ids=np.array([f"c{number}" for number in range(180)], dtype=object),
        authors=names,
        groups=names,
        splits=np.repeat(np.array(["validation", "test"], dtype=object), 90),
        labels=labels,
        lengths=np.full(180, 4),
        logits=logits,
        probs=1 / (1 + np.exp(-logits)),
        threshold=0.5,
        model="m",
        model_hash="",
    )
    monkeypatch.chdir(tmp_path)
    write_predictions(table, "scores.parquet")
    assert "torch" not in loaded_after(FROM_PREDICTIONS)
    assert "Profiles" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "card.md").is_file()

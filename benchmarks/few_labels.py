"""How firmly should a model's parts be held to weigh the same, where labels are few?

For each corpus, level, number of labelled sequences and draw: the parts of a start (``tenor.training.start``) are
fitted on whole groups with so many sequences together, and weighed by ``tenor.training.blending`` as they are, as until
2026-11-29 (a precision of 5, whatever the groups), and equally; beside them stands the part of weighted words and
characters alone. Average precision and ROC AUC on sequences of all other groups, means over draws, and over tasks.

Not part of `make bench`: it takes hours.

    python benchmarks/few_labels.py --corpora persuasion conda --sizes 60 120 250 500 --draws 6
    python benchmarks/few_labels.py --corpora outside/office.jsonl.gz --sizes 60 1800 --draws 4
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np

from _common import find_source, print_machine, print_table
from tenor.corpus.corpus import open_corpus
from tenor.corpus.hearing import join_hearers
from tenor.corpus.importing import import_corpus
from tenor.corpus.views import SequenceView, view_sequences
from tenor.encoding.encode import encode_corpus
from tenor.metrics.scores import calculate_metrics
from tenor.training import blending, start

#: Where there are fewer other sequences to measure on, or fewer labels of a class to fit, a draw is left out.
LEAST_TEST, LEAST_LABELS = 150, 5
METRICS = ("average_precision", "roc_auc")
KINDS = ("weighed", "weighed as before", "equal", "words alone")

Scores = dict[str, dict[str, float | None]]


def draw_groups(
    view: SequenceView, size: int, draw: int, most: int
) -> tuple[SequenceView, SequenceView] | None:
    """Whole groups of `size` sequences together, or a little more, and `most` of the others."""
    codes, names = view.groups.rank()
    generator = np.random.default_rng([draw, size, 7])
    rank = np.argsort(generator.permutation(len(names)))[codes]
    last = np.sort(rank)[min(size, len(view)) - 1]
    train, rest = np.flatnonzero(rank <= last), np.flatnonzero(rank > last)
    found = view.select(train), view.select(np.sort(generator.permutation(rest)[:most]))
    is_enough = np.bincount(found[0].labels, minlength=2).min() >= LEAST_LABELS
    return found if len(rest) >= LEAST_TEST and len(train) <= 1.6 * size and is_enough else None


def measure_start(train: SequenceView, test: SequenceView, seed: int) -> Scores:
    """What each way to weigh the same parts reaches on other groups: kind -> metric -> value."""
    fitted = start._fit_all(
        train, seed=seed, with_pooled=True, with_context=True, folds=start.FOLDS, judge=None, progress=False
    )
    parts, test_parts = list(fitted.scores.values()), fitted.score(test)
    found, _ = blending.blend_weights(parts, train.labels, train.group_codes, fitted.folds)
    with mock.patch.multiple(blending, EQUALITY=5.0, FEWEST=0, LEAST=0.0):
        before, _ = blending.blend_weights(parts, train.labels, train.group_codes, fitted.folds)
    weights = dict(zip(KINDS, (found, before, np.full(len(parts), 1 / len(parts))), strict=False))
    scores = {
        kind: sum(w * test_parts[name] for w, name in zip(each, fitted.scores, strict=True))
        for kind, each in weights.items()
    }
    scores["words alone"] = test_parts["own"]
    found_metrics = {}
    for kind, logits in scores.items():
        metrics = calculate_metrics(test.labels, 1 / (1 + np.exp(-np.asarray(logits))), 0.5)
        found_metrics[kind] = {metric: metrics[metric] for metric in METRICS}
    return found_metrics


def read_views(name: str, folder: Path) -> Iterator[SequenceView]:
    """The labelled sequences of a corpus, a level after another."""
    source, title = find_source(name, folder)
    import_corpus(source, folder / "plain")
    encode_corpus(
        folder / "plain", folder / "analyzed", encoder="lsa+dynamics", input_size=128, progress=False
    )
    corpus = open_corpus(folder / "analyzed")
    for level in ("conversation", "author"):
        if corpus.info.classes[level] == (0, 1):  # type: ignore[index]
            view = view_sequences(corpus, level).labelled()  # type: ignore[arg-type]
            yield join_hearers(view) if level == "author" else view
    print(f"{title}: done", flush=True)


def main() -> None:
    """Fit, weigh, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpora", nargs="+", required=True, help="as for accuracy.py")
    parser.add_argument("--sizes", nargs="+", type=int, default=[60, 120, 250, 500])
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--test", type=int, default=1200, help="sequences to measure on, at most")
    options = parser.parse_args()
    print_machine()
    rows, by_size = [], defaultdict(list)
    for name in options.corpora:
        with tempfile.TemporaryDirectory() as scratch:
            for view in read_views(name, Path(scratch)):
                for size in options.sizes:
                    drawn = [draw_groups(view, size, draw, options.test) for draw in range(options.draws)]
                    runs = [measure_start(*pair, seed) for seed, pair in enumerate(drawn) if pair is not None]
                    if runs:
                        means = [
                            np.mean([[run[k][m] for k in KINDS] for run in runs], axis=0) for m in METRICS
                        ]
                        by_size[size].append(np.concatenate(means))
                        title = f"{Path(name).name.split('.')[0]}, {view.level}"
                        rows.append([title, size, len(runs), *(f"{x:.3f}" for x in by_size[size][-1])])
    columns = [*KINDS, *(f"{kind}: ROC AUC" for kind in KINDS)]
    print_table(["task", "sequences", "draws", *columns], rows)
    means = [
        [size, len(found), *(f"{x:.4f}" for x in np.mean(found, axis=0))]
        for size, found in sorted(by_size.items())
    ]
    print_table(["sequences", "tasks", *columns], means)


if __name__ == "__main__":
    main()

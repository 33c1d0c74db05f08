"""Is tenor's default better than what a user would pick instead?

For each corpus, level and seed: a new split by groups, the corpus encoded anew (once, where the encoder learns
nothing of it), a model with tenor's defaults, and on the same sequences the baselines, TF-IDF of words (1-2) and
characters (2-5) with scikit-learn's logistic regression, and, if asked for, the seed's plain recipe (a network that
starts from nothing) and a pretrained encoder of text, which Hugging Face's Trainer fine-tunes on the sequence's
messages as one text (see _finetuned.py). Profiles: tenor's by the aggregation in the model's file (without one by
the mean), as `tenor profile` makes them unless told otherwise, the rivals' by the mean, and TF-IDF's also by the
aggregation that is best on validation (``tfidf_chosen``); where authors have labels of their own, TF-IDF also scores
a conversation as the highest of its authors (``tfidf_authors``). Test average precision and ROC AUC, and the
default's lead with a 95% interval: Student's t over seeds, the variance enlarged by test size over training size, since
the splits overlap (Nadeau & Bengio 2003, "Inference for the Generalization Error", sec. 5).

Not part of `make bench`: ten seeds over all corpora take hours. Results are kept one JSON line a run, so that a stopped
study goes on where it was.

    python benchmarks/accuracy.py --seeds 10 --out bench-out/accuracy.jsonl [--encoder lsa+dynamics] [--plain]
    python benchmarks/accuracy.py --corpora persuasion chitchat --encoder sentence:MODEL --seeds 3
    python benchmarks/accuracy.py --seeds 3 --set hidden_size=256 learning_rate=1e-4
    python benchmarks/accuracy.py --corpora persuasion --seeds 3 --finetuned MODEL --out bench-out/finetuned.jsonl
    python benchmarks/accuracy.py --corpora chats.jsonl.gz --seeds 3 --out bench-out/chats.jsonl

Of a file of your own the levels are those that have labels, 0 and 1; profiles are measured where authors return.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from _common import find_file, find_source, print_machine, print_table
from _finetuned import MAX_TOKENS, finetune
from tenor.aggregation.trained import TRAINED
from tenor.baselines import fit_baselines
from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_corpus
from tenor.corpus.linking import view_authors_in
from tenor.corpus.views import SequenceView, view_sequences
from tenor.encoding.encode import encode_corpus
from tenor.evaluation import predict, profile_predictions
from tenor.evaluation.aggregation import REFERENCE, aggregate_possible, best_by_validation
from tenor.logits import log_odds
from tenor.metrics.scores import calculate_metrics
from tenor.models.model_file import read_metadata
from tenor.predictions import Predictions, concatenate_predictions
from tenor.training.authors import find_labelled_authors
from tenor.training.train import train_model

#: Corpus -> the levels of its question; a profile is measured where authors return.
TASKS = {
    "persuasion": ("conversation", "author"),
    "chitchat": ("conversation", "author"),
    "switchboard": ("conversation", "author"),
    "conda": ("conversation", "author"),
}
PROFILES = ("persuasion", "chitchat", "switchboard")
#: In a file of one's own authors return where there are at most so many for each author sequence.
RETURNING = 0.8
METRICS = ("average_precision", "roc_auc")
RIVALS = (
    "majority",
    "length",
    "tfidf",
    "tfidf_chosen",
    "tfidf_authors",
    "lexical",
    "pooled",
    "blend",
    "finetuned",
    "plain",
)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--corpora",
        nargs="+",
        default=list(TASKS),
        help=f"of {', '.join(TASKS)}, or files that tenor imports",
    )
    parser.add_argument("--seeds", type=int, default=10, help="splits a task: seeds 0, 1, ...")
    parser.add_argument(
        "--fractions", default="0.7,0.1,0.2", help="of train, validation and test; few labels: 0.05,0.01,0.94"
    )
    parser.add_argument("--encoder", default="lsa+dynamics")
    parser.add_argument("--input-size", type=int, default=128, help="of lsa")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="arguments of train_model, values as JSON"
    )
    parser.add_argument("--plain", action="store_true", help="train the seed's plain recipe too")
    parser.add_argument(
        "--finetuned",
        type=Path,
        metavar="FOLDER",
        help="a pretrained encoder to fine-tune too; takes minutes a run",
    )
    parser.add_argument(
        "--max-tokens", type=int, default=MAX_TOKENS, help="of a text, that the fine-tuned encoder reads"
    )
    parser.add_argument("--out", type=Path, default=Path("bench-out/accuracy.jsonl"))
    parser.add_argument(
        "--quick", action="store_true", help="one seed of generated chats, to see that it runs"
    )
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--picture", type=Path, help="a PNG or SVG of the leads to draw")
    options = parser.parse_args()
    for name in options.corpora:
        if name not in TASKS and find_file(name) is None:
            parser.error(f"--corpora: expected one of {', '.join(TASKS)} or a file, found {name!r}")
    return options


def join_texts(view: SequenceView) -> dict[str, list[str]]:
    """Split -> the messages of each of its sequences as one text."""
    return {
        split: [" ".join(messages) for messages in view.in_split(split).texts()]  # type: ignore[arg-type]
        for split in ("train", "validation", "test")
    }


def fit_finetuned(view: SequenceView, seed: int, options: argparse.Namespace) -> dict[str, np.ndarray]:
    """Probabilities of validation and test sequences, by the encoder of ``--finetuned``."""
    labels = {split: view.in_split(split).labels for split in ("train", "validation")}  # type: ignore[arg-type]
    size = {"epochs": 1, "max_tokens": 16} if options.quick else {"max_tokens": options.max_tokens}
    return finetune(join_texts(view), labels, options.finetuned, seed=seed, **size)


def make_tfidf() -> Any:  # noqa: ANN401 - scikit-learn has no types
    """TF-IDF with logistic regression, by scikit-learn alone, as a user would write it."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    return make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, sublinear_tf=True),
        ),
        LogisticRegression(max_iter=1000),
    )


def fit_tfidf(view: SequenceView) -> dict[str, np.ndarray]:
    """Probabilities of validation and test sequences, by TF-IDF."""
    model, texts = make_tfidf(), join_texts(view)
    model.fit(texts["train"], view.in_split("train").labels)
    return {split: model.predict_proba(texts[split])[:, 1] for split in ("validation", "test")}


def fit_tfidf_authors(view: SequenceView) -> dict[str, np.ndarray]:
    """Likewise of conversations, as the highest of their authors' by TF-IDF; {} = these have no labels of their own."""
    authors = find_labelled_authors(view.in_split("train"))
    if authors is None or authors.classes != (0, 1):
        return {}
    model, authors = make_tfidf(), view_authors_in(view)
    train = authors.in_split("train").labelled()
    model.fit(join_texts(train)["train"], train.labels)
    found = {}
    for split in ("validation", "test"):
        some, wanted = authors.in_split(split), view.in_split(split)  # type: ignore[arg-type]
        found[split] = np.zeros(len(wanted))
        probs = model.predict_proba(join_texts(some)[split])[:, 1]
        np.maximum.at(found[split], np.searchsorted(wanted.rows, some.rows), probs)
    return found


def as_predictions(template: Predictions, probs: dict[str, np.ndarray]) -> Predictions:
    """A rival's probabilities in the rows of `template`, validation before test."""
    from dataclasses import replace

    joined = np.concatenate([probs[split] for split in ("validation", "test")])
    return replace(template, logits=log_odds(joined), probs=joined, threshold=0.5)


def measure(predictions: Predictions) -> dict[str, float | None]:
    """Test metrics of one model."""
    test = predictions.in_split("test").labelled()
    found = calculate_metrics(test.labels, test.probs, 0.5 if test.threshold is None else test.threshold)
    return {name: found[name] for name in (*METRICS, "accuracy")}


def make_profiles(sequences: Predictions, model: Path) -> tuple[str, Predictions]:
    """The profiles of a model's own default, and the aggregation's name."""
    trained = read_metadata(model).trained_aggregation
    if trained is None:
        return REFERENCE, profile_predictions(sequences, (REFERENCE,))[REFERENCE]
    return trained.fitted.method, profile_predictions(sequences, (TRAINED,), trained=trained)[TRAINED]


def choose_profiles(sequences: Predictions) -> Predictions:
    """The profiles of the aggregation that is best on validation, of all that read scores alone."""
    tables = aggregate_possible(sequences)
    return tables[best_by_validation(tables)]


def find_levels(name: str, analyzed: Path) -> tuple[str, ...]:
    """The levels of a corpus's question: of a file, those that are labelled.

    Raises:
        SystemExit: there are none, or labels other than 0 and 1.
    """
    if name in TASKS:
        return TASKS[name]
    classes = open_corpus(analyzed).info.classes
    levels = tuple(level for level in ("conversation", "author") if classes[level] == (0, 1))
    if not levels:
        raise SystemExit(f"{name}: expected labels 0 and 1, found {dict(classes)}")
    return levels


def has_profiles(name: str, view: SequenceView) -> bool:
    """Whether authors return, so that profiles are another question than author sequences."""
    return name in PROFILES or (name not in TASKS and len(np.unique(view.authors)) <= RETURNING * len(view))


def run_task(
    name: str, analyzed: Path, level: str, seed: int, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Everything about one level of one split: a record for the sequences, and one for their profiles."""
    view = view_sequences(open_corpus(analyzed), level).labelled()  # type: ignore[arg-type]
    scored: dict[str, Predictions] = {}
    seconds = {}
    given = {name: json.loads(value) for name, _, value in (each.partition("=") for each in options.set)}
    for kind, settings in (("tenor", {}), *((("plain", {"prior": "none"}),) if options.plain else ())):
        begin = time.perf_counter()
        path = train_model(
            level,
            analyzed,
            model_path=analyzed.parent / f"{kind}.safetensors",
            seed=seed,
            copies="warn",  # a few texts stand in two splits of some seeds, for every rival alike
            progress=False,
            **given,
            **settings,
        )
        seconds[kind] = round(time.perf_counter() - begin, 1)
        parts = [predict(path, analyzed, split=split) for split in ("validation", "test")]
        scored[kind] = concatenate_predictions(parts).labelled()
    begin = time.perf_counter()
    scored |= fit_baselines(view)
    seconds["baselines"] = round(time.perf_counter() - begin, 1)
    scored["tfidf"] = as_predictions(scored["lexical"], fit_tfidf(view))
    if by_authors := fit_tfidf_authors(view):
        scored["tfidf_authors"] = as_predictions(scored["lexical"], by_authors)
    if options.finetuned is not None:
        begin = time.perf_counter()
        scored["finetuned"] = as_predictions(scored["lexical"], fit_finetuned(view, seed, options))
        seconds["finetuned"] = round(time.perf_counter() - begin, 1)
    sizes = {split: int((view.splits == split).sum()) for split in ("train", "validation", "test")}
    yield {
        "level": level,
        "sizes": sizes,
        "seconds": seconds,
        "metrics": {name: measure(found) for name, found in scored.items()},
    }
    if level == "author" and has_profiles(name, view):
        aggregation, profiles = make_profiles(scored["tenor"], analyzed.parent / "tenor.safetensors")
        metrics = {"tenor": measure(profiles), "tfidf_chosen": measure(choose_profiles(scored["tfidf"]))}
        for rival in RIVALS:
            if rival in scored:
                metrics[rival] = measure(profile_predictions(scored[rival], (REFERENCE,))[REFERENCE])
        groups = {split: len(np.unique(view.in_split(split).groups)) for split in sizes}  # type: ignore[arg-type]
        yield {
            "level": "profile",
            "aggregation": aggregation,
            "sizes": groups,
            "seconds": {},
            "metrics": metrics,
        }


def analyze(source: Path, folder: Path, vectors: Path, seed: int, options: argparse.Namespace) -> Path:
    """The analyzed corpus of a split, in `folder`; vectors that no split changes are made once, in `vectors`."""
    encode = partial(encode_corpus, encoder=options.encoder, input_size=options.input_size, progress=False)
    divide = partial(
        import_corpus, seed=seed, fractions=[float(each) for each in options.fractions.split(",")]
    )
    if not all(term.startswith(("sentence:", "static:")) for term in options.encoder.split("+")):
        divide(source, folder / "corpus")
        return encode(folder / "corpus", folder / "analyzed", seed=seed)
    if not vectors.exists():
        import_corpus(source, folder / "corpus")
        encode(folder / "corpus", vectors)
    return divide(vectors, folder / "analyzed", columns={"split": None})


def run_study(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All runs, those of an earlier call read back."""
    options.out.parent.mkdir(parents=True, exist_ok=True)
    records = (
        [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    )
    done = {(each["corpus"], each["encoder"], each["set"], each["seed"]) for each in records}
    is_usual = options.fractions == "0.7,0.1,0.2"
    told = " ".join([*options.set, *([] if is_usual else [f"fractions={options.fractions}"])])
    tasks = [(seed, name) for seed in range(options.seeds) for name in options.corpora]
    with tempfile.TemporaryDirectory() as kept:
        for seed, name in tasks:
            if (name, options.encoder, told, seed) in done:
                continue
            found = []
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch)
                source, title = find_source(name, folder, quick=options.quick)
                vectors = Path(kept) / str(options.corpora.index(name))
                analyzed = analyze(source, folder, vectors, seed, options)
                for level in find_levels(name, analyzed):
                    found += list(run_task(name, analyzed, level, seed, options))
            records += [
                {"corpus": name, "title": title, "encoder": options.encoder, "set": told, "seed": seed} | each
                for each in found
            ]
            with options.out.open("a") as file:  # a split's runs at once, so that none is half there
                file.writelines(json.dumps(each) + "\n" for each in records[len(records) - len(found) :])
    wanted = [each for each in records if (each["encoder"], each["set"]) == (options.encoder, told)]
    return [each for each in wanted if each["corpus"] in options.corpora and each["seed"] < options.seeds]


def lead_interval(leads: np.ndarray, share: float) -> tuple[float, float]:
    """The 95% interval of a mean lead (J,) over overlapping splits; share = test size / training size."""
    from scipy.stats import t

    if len(leads) < 2:
        return float("nan"), float("nan")
    error = float(np.sqrt((1 / len(leads) + share) * leads.var(ddof=1)))
    half = float(t.ppf(0.975, len(leads) - 1)) * error
    return float(leads.mean()) - half, float(leads.mean()) + half


@dataclass(frozen=True)
class Lead:
    """How far the default is ahead of a rival: over splits the mean, and a 95% interval of it."""

    rival: str
    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.low):  # one split has no interval
            return f"{self.mean:+.3f}"
        return f"{self.mean:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


def tasks_of(records: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Corpus and level of the runs, in their order."""
    return list(dict.fromkeys((each["corpus"], each["level"]) for each in records))


def values_of(records: Sequence[dict[str, Any]], key: tuple[str, str], metric: str) -> dict[str, np.ndarray]:
    """Who -> the metric of each split (J,), the default first; who is missing from a split is left out."""
    runs = [each["metrics"] for each in records if (each["corpus"], each["level"]) == key]
    names = [name for name in ("tenor", *RIVALS) if all(name in run for run in runs)]
    return {name: np.array([run[name][metric] for run in runs], dtype=np.float64) for name in names}


def lead(records: Sequence[dict[str, Any]], key: tuple[str, str], metric: str, rival: str) -> Lead:
    """The default's lead over a rival, or over the one that is ``best`` on the mean over splits."""
    values = values_of(records, key, metric)
    if rival == "best":
        baselines = [name for name in values if name not in ("tenor", "plain")]
        rival = max(baselines, key=lambda name: float(values[name].mean()))
    sizes = [each["sizes"] for each in records if (each["corpus"], each["level"]) == key]
    share = float(np.mean([size["test"] / size["train"] for size in sizes]))
    leads = values["tenor"] - values[rival]
    return Lead(rival, float(leads.mean()), *lead_interval(leads, share))


def say(key: tuple[str, str]) -> str:
    """A task in words."""
    return f"{Path(key[0]).name}, {key[1]}"


def report(records: Sequence[dict[str, Any]], metric: str) -> None:
    """One table: the default, each rival, and the lead over TF-IDF and over the best baseline."""
    rivals = [name for name in RIVALS if any(name in each["metrics"] for each in records)]
    rows = []
    for key in tasks_of(records):
        values = values_of(records, key, metric)
        cells = [f"{values[name].mean():.3f}" if name in values else "" for name in ("tenor", *rivals)]
        best = lead(records, key, metric, "best")
        rows.append(
            [
                say(key),
                len(values["tenor"]),
                *cells,
                str(lead(records, key, metric, "tfidf")),
                f"{best}, {best.rival}",
            ]
        )
    print(f"Test {metric.replace('_', ' ')}, mean over splits:\n")
    print_table(["task", "splits", "tenor", *rivals, "lead over tfidf", "lead over the best"], rows)
    for rival in ("tfidf", "blend"):
        leads = [lead(records, key, metric, rival).mean for key in tasks_of(records)]
        print(f"Mean lead over {rival}, {len(leads)} tasks: {np.mean(leads):+.4f}\n")


def draw(records: Sequence[dict[str, Any]], metric: str, path: Path) -> None:
    """The default's lead over TF-IDF and over the best of the baselines, a row a task, with 95% intervals."""
    from matplotlib.figure import Figure

    keys = tasks_of(records)[::-1]
    figure = Figure(figsize=(8, 0.9 + 0.42 * len(keys)), layout="constrained")
    axes = figure.subplots()
    for shift, colour, mark, rival in ((0.14, "#1b6ca8", "o", "tfidf"), (-0.14, "#c2571a", "s", "best")):
        for place, key in enumerate(keys):
            found = lead(records, key, metric, rival)
            axes.plot([found.low, found.high], [place + shift] * 2, color=colour, linewidth=1.6)
            said = {"tfidf": "over TF-IDF + logistic regression", "best": "over the best baseline"}[rival]
            axes.plot(
                found.mean,
                place + shift,
                mark,
                color=colour,
                label=said if place == 0 else None,
                markersize=5,
            )
    axes.axvline(0, color="0.4", linewidth=0.8)
    axes.set_yticks(range(len(keys)), [say(key) for key in keys])
    axes.set_xlabel(f"lead in test {metric.replace('_', ' ')}")
    axes.legend(loc="best", fontsize=8)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Run what is missing, print all."""
    options = parse_arguments()
    if options.quick:
        options.seeds, options.corpora = 1, ["chitchat"]
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    print_machine(options.threads)
    records = run_study(options)
    print(f"Encoder {options.encoder}.\n")
    for metric in METRICS:
        report(records, metric)
    if options.picture is not None:
        draw(records, "average_precision", options.picture)


if __name__ == "__main__":
    main()

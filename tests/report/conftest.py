"""Simulated runs to report: three levels, baselines, intervals, histories, errors, an audit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from tenor.metrics.scores import calculate_metrics
from tenor.predictions import Predictions
from tenor.report import (
    AuditFinding,
    Difference,
    ErrorMessage,
    LevelSection,
    Report,
    Scorer,
    Subgroup,
    WorstError,
)


def simulate_predictions(
    level: str,
    count: int,
    *,
    strength: float = 1.2,
    share: float = 0.19,
    classes: tuple[int | str, ...] = (0, 1),
    seed: int = 0,
    threshold: float | None = 0.41,
    model: str = "tenor",
) -> Predictions:
    """A third of the rows in validation, the rest in test; `strength` parts the classes' logits."""
    generator = np.random.default_rng(7)  # the same rows for every scorer
    names = np.array([f"{level}-{number}" for number in range(count)], dtype=object)
    splits = np.where(np.arange(count) % 3 == 0, "validation", "test").astype(object)
    binary = len(classes) == 2
    labels = (
        (generator.random(count) < share).astype(np.int64)
        if binary
        else generator.integers(0, len(classes), count)
    )
    noise = np.random.default_rng(seed)
    if binary:
        logits = noise.normal(-1.4, 1.0, count) + strength * labels
        probs = 1 / (1 + np.exp(-logits))
    else:
        logits = noise.normal(0, 1, (count, len(classes))) + strength * np.eye(len(classes))[labels]
        probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions(
        level=level,  # type: ignore[arg-type]
        classes=classes,
        conversation_ids=None if level == "profile" else names,
        authors=None
        if level == "conversation"
        else np.array([f"person-{n}" for n in range(count)], dtype=object),
        groups=names,
        splits=splits,
        labels=labels,
        lengths=generator.integers(2, 60, count),
        logits=logits,
        probs=probs,
        threshold=threshold if binary else None,
        model=model,
        model_hash="0" * 12,
    )


def simulate_history(epochs: int = 30) -> tuple[dict[str, object], ...]:
    generator = np.random.default_rng(3)
    records = []
    for epoch in range(1, epochs + 1):
        wobble = generator.normal(0, 0.006, 3)
        records.append(
            {
                "epoch": epoch,
                "learning_rate": 1e-4 * min(1.0, epoch / 3) * (0.5 if epoch > 20 else 1.0),
                "train_loss": 0.95 * np.exp(-epoch / 14) + 0.2 + wobble[0],
                "validation_loss": 0.62 * np.exp(-epoch / 7) + 0.44 + 0.002 * max(0, epoch - 18) + wobble[1],
                "validation": {
                    "average_precision": 0.55 - 0.32 * np.exp(-epoch / 6) + wobble[2],
                    "roc_auc": 0.82 - 0.3 * np.exp(-epoch / 5) + wobble[0],
                    "f1": 0.52 - 0.3 * np.exp(-epoch / 5) + wobble[1],
                },
                "threshold": 0.4,
                "seconds": 1.3,
            }
        )
    return tuple(records)


def simulate_section(level: str, count: int, strength: float, seed: int) -> LevelSection:
    """A model, four baselines, and at level profile four aggregations."""
    main = simulate_predictions(level, count, strength=strength, seed=seed)
    model = Scorer("tenor", main, _centred_intervals(main))
    baselines = []
    for number, (name, weaker) in enumerate(
        [
            ("majority", None),
            ("length only", 0.25),
            ("TF-IDF + logistic regression", strength - 0.15),
            ("mean and max of features", strength - 0.35),
        ]
    ):
        other = simulate_predictions(level, count, strength=weaker or 0.0, seed=seed + 10 + number)
        if weaker is None:
            other = _constant(other, 0.19)
        gap = _test_metrics(main)["roc_auc"] - _test_metrics(other)["roc_auc"]  # type: ignore[operator]
        differences = {"roc_auc": Difference(gap, (gap - 0.02, gap + 0.02))}
        baselines.append(Scorer(name, other, _centred_intervals(other), differences))
    aggregations = ()
    if level == "profile":
        names = ("mean", "median", "mean_vote", "total_vote")
        scores = [main if name == "mean" else _votes(main, name, seed + 20) for name in names]
        aggregations = tuple(Scorer(n, s, _centred_intervals(s)) for n, s in zip(names, scores, strict=True))
        model = Scorer("mean", main, model.intervals)
    return LevelSection(
        model=model,
        baselines=tuple(baselines),
        aggregations=aggregations,
        history=() if level == "profile" else simulate_history(),
        best_epoch=None if level == "profile" else 19,
        subgroups=_subgroups() if level == "conversation" else (),
        errors=_errors() if level == "conversation" else (),
        notes=("An author is positive when most of the author's chats are.",) if level == "profile" else (),
    )


def _centred_intervals(predictions: Predictions) -> dict[str, tuple[float, float]]:
    metrics = _test_metrics(predictions)
    names = ("roc_auc", "average_precision", "f1", "precision", "recall", "accuracy")
    return {n: (max(0.0, metrics[n] - 0.045), metrics[n] + 0.04) for n in names if metrics[n] is not None}  # type: ignore[operator]


def _test_metrics(predictions: Predictions) -> dict[str, float | None]:
    rows = predictions.in_split("test").labelled()
    return calculate_metrics(rows.labels, rows.probs, rows.threshold)


def _constant(predictions: Predictions, value: float) -> Predictions:
    full = np.full(len(predictions), value)
    return dataclasses.replace(predictions, probs=full, logits=np.log(full / (1 - full)))


def _votes(predictions: Predictions, name: str, seed: int) -> Predictions:
    noisy = np.clip(predictions.probs + np.random.default_rng(seed).normal(0, 0.05, len(predictions)), 0, 1)
    votes = {"median": noisy, "mean_vote": np.round(noisy * 4) / 4, "total_vote": np.round(noisy * 9)}[name]
    return dataclasses.replace(predictions, probs=votes, threshold=3.0 if name == "total_vote" else 0.4)


def _subgroups() -> tuple[Subgroup, ...]:
    parts = [
        ("2–9", 120, 30, 0.74),
        ("10–29", 410, 80, 0.81),
        ("30–99", 600, 110, 0.83),
        ("100 or more", 90, 12, 0.79),
    ]
    lengths = [
        Subgroup(
            "messages", name, count, positives,
            {"roc_auc": value, "average_precision": value - 0.3, "f1": value - 0.33},
            {"roc_auc": (value - 0.06, value + 0.05)},
        )
        for name, count, positives, value in parts
    ]  # fmt: skip
    languages = [
        Subgroup("language", name, 300, 60, {"roc_auc": value, "average_precision": None}, {})
        for name, value in (("de", 0.78), ("en", 0.82))
    ]
    return (*lengths, *languages)


def _errors() -> tuple[WorstError, ...]:
    talk = [
        ("mira", "hey! how is it going?", -0.2),
        ("tom", "ok.", 0.61),
        ("mira", "what do you do when you are not chatting, mostly?", -0.42),
        ("tom", "Mira, nothing much. you?", 0.35),
        (
            "mira",
            "I restore old radios. It takes ages, and then somebody asks whether it has Bluetooth.",
            -0.95,
        ),
        ("tom", "cool", 0.18),
    ]
    messages = tuple(ErrorMessage(author, text, contribution) for author, text, contribution in talk)
    return (
        WorstError("chat-of-mira-and-tom", None, 0, 1, 0.913, messages),
        WorstError(
            "chat-2", None, 1, 0, 0.041, (ErrorMessage("ann", "well then"), ErrorMessage("tom", "bye"))
        ),
    )


@pytest.fixture(scope="session")
def full_report() -> Report:
    """Everything that a report can hold."""
    return Report(
        title="Which chats leave a participant unimpressed?",
        question="A chat is unimpressed when one of its two participants rated it below 8 of 10.",
        sections=(
            simulate_section("conversation", 1500, 1.25, 1),
            simulate_section("author", 1800, 1.35, 2),
            simulate_section("profile", 700, 1.6, 3),
        ),
        class_names={0: "content", 1: "unimpressed"},
        data={
            "conversations": "2,257",
            "messages": "171,671",
            "authors": "1,004",
            "encoder": "lsa, 256 features",
        },
        audit=(
            AuditFinding("shared groups", "passed", "No conversation stands in two splits."),
            AuditFinding(
                "near-duplicate texts", "warning", "3 pairs above a similarity of 0.8 across splits."
            ),
            AuditFinding("future in training", "passed"),
        ),
        seeds={"splits": 0, "training": 0, "bootstrap": 0},
        versions={"tenor": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6"},
        files={"conversation model": "conversation.safetensors, sha256 8f14e45fceea167a5a36dedd4bea2543"},
        command="tenor demo --out demo --seed 0",
        date="23 November 2026",
        license="apache-2.0",
        with_text=True,
    )


@pytest.fixture(scope="session")
def simulate() -> Callable[..., Predictions]:
    """The function that makes predictions up."""
    return simulate_predictions


HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u202e\x00\ud800 {{ 7 * 7 }} " + "x" * 300
)


@pytest.fixture(scope="session")
def hostile_report(full_report: Report) -> Report:
    """Markup, scripts, forbidden letters and words without end wherever a text can stand."""
    link = "javascript:alert(3)"
    first = full_report.sections[0]
    parts = tuple(Subgroup(name, name, 1, 1, {"roc_auc": 0.5}) for name in (HOSTILE, link))
    section = dataclasses.replace(
        first,
        model=Scorer(HOSTILE, first.model.predictions),
        baselines=(Scorer(HOSTILE, first.model.predictions),),
        subgroups=parts,
        errors=(WorstError(HOSTILE, HOSTILE, 0, 1, 0.5, (ErrorMessage(link, HOSTILE, 0.5),)),),
        notes=(HOSTILE,),
    )
    return Report(
        title=HOSTILE, question=HOSTILE, sections=(section,), class_names={0: HOSTILE, 1: link},
        data={HOSTILE: link}, audit=(AuditFinding(HOSTILE, "failed", HOSTILE),), seeds={HOSTILE: 1},
        versions={link: HOSTILE}, files={HOSTILE: HOSTILE}, command=HOSTILE, date=HOSTILE,
        with_text=True, with_names=True,
    )  # fmt: skip

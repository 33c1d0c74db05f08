"""Every Python block of the seed, verbatim, run in the order of the document by one reader in one session."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SEED = Path(__file__).parents[2] / "shared" / "seed.md"

SEQUENCE_CLASSIFIER = """\
# Initialize a sequence classifier
model = SequenceClassifier(
    input_size=256,          # Input feature dimension
    hidden_size=256,         # Hidden layer dimension
    num_layers=2,            # Number of transformer layers
    num_heads=8,             # Number of attention heads
    dropout=0.3,             # Dropout rate
    kernel_sizes=[3, 5, 7]   # Conv1d kernel sizes
)
"""

PROFILE_CLASSIFIER = """\
# Create a profile classifier
profile_model = ProfileClassifier(
    sequence_classifier=sequence_model,
    threshold=0.5,
    aggregation='mean'  # Options: 'mean', 'median', 'mean_vote', 'total_vote'
)
"""

BASIC_TRAINING = """\
# Train a conversation-level classifier
model_path = train_model(
    model_type='conversation',
    dataset_path='data/analyzed_conversations',
    num_epochs=50,
    batch_size=256,
    learning_rate=1e-4
)

# Train an author-level classifier
author_model_path = train_model(
    model_type='author',
    dataset_path='data/analyzed_conversations',
    num_epochs=75,
    batch_size=256
)
"""

CLASS_IMBALANCE = """\
# Calculate class weights
pos_weight = estimate_pos_weight(
    labels=dataset.labels.numpy(),
    method='focal'  # Options: 'balanced', 'effective', 'focal', 'sqrt'
)
"""

MODEL_EVALUATION = """\
# Evaluate a trained model
metrics = test_model(
    model_type='conversation',
    model_path='models/conversation_classifier.pt',
    dataset_path='data/analyzed_conversations'
)

# Evaluate profile classification
profile_metrics = evaluate_profile_classifier(
    author_model_path='models/author_classifier.pt',
    dataset_path='data/analyzed_conversations',
    aggregation='mean'
)
"""

COMPARISON = """\
results = compare_aggregation_methods(
    author_model_path='models/author_classifier.pt',
    dataset_path='data/analyzed_conversations'
)
"""

COMPLETE_PIPELINE = """\
# 1. Train conversation classifier
conv_model_path = train_model(
    model_type='conversation',
    dataset_path='data/analyzed_conversations',
    num_epochs=50
)

# 2. Train author classifier
author_model_path = train_model(
    model_type='author',
    dataset_path='data/analyzed_conversations',
    num_epochs=75
)

# 3. Evaluate models
test_model('conversation', conv_model_path, 'data/analyzed_conversations')
test_model('author', author_model_path, 'data/analyzed_conversations')

# 4. Compare profile aggregation methods
compare_aggregation_methods(
    author_model_path=author_model_path,
    dataset_path='data/analyzed_conversations'
)
"""

CUSTOM_LOOP = """\
# Initialize model and optimizer
model = SequenceClassifier(input_size=256)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
scheduler = optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode='max')

# Training loop
for epoch in range(num_epochs):
    # Train
    train_loss, train_preds, train_labels = train_epoch(
        model, train_loader, criterion, optimizer, device
    )
    
    # Validate
    val_loss, val_preds, val_labels, val_metrics, threshold = evaluate(
        model, val_loader, criterion, device
    )
    
    # Update learning rate
    scheduler.step(val_metrics['f1'])
"""

BLOCKS = (
    SEQUENCE_CLASSIFIER,
    PROFILE_CLASSIFIER,
    BASIC_TRAINING,
    CLASS_IMBALANCE,
    MODEL_EVALUATION,
    COMPARISON,
    COMPLETE_PIPELINE,
    CUSTOM_LOOP,
)

METRICS = ("accuracy", "precision", "recall", "f1", "roc_auc", "average_precision", "threshold")
AGGREGATIONS = ("mean", "median", "mean_vote", "total_vote")


def require_metrics(metrics: dict[str, Any]) -> None:
    """Every metric of the seed is there, and the planted evidence was found."""
    for name in METRICS:
        assert isinstance(metrics[name], float), name
    for name in ("accuracy", "precision", "recall", "f1", "roc_auc", "average_precision"):
        assert 0.0 <= metrics[name] <= 1.0, name
    assert metrics["roc_auc"] > 0.8


def require_model_file(path: Path) -> None:
    """A safetensors file under any name: eight bytes of header length, then JSON; no pickle, no zip."""
    content = path.read_bytes()
    assert content[8:9] == b"{"
    assert int.from_bytes(content[:8], "little") < len(content)
    # No zip and no pickle. A header's length, with which the file begins, may have the pickle's first byte by chance.
    assert not content.startswith((b"PK", *(b"\x80" + bytes([protocol]) for protocol in range(2, 6))))


def test_the_blocks_are_the_seed_s() -> None:
    if not SEED.is_file():
        pytest.skip(f"{SEED} is not beside this checkout")
    text = SEED.read_text(encoding="utf-8")
    assert tuple(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)) == BLOCKS


def test_a_reader_of_the_seed_can_run_every_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_source: Callable[..., Path]
) -> None:
    import torch

    import tenor

    monkeypatch.chdir(tmp_path)
    source = write_source(tmp_path / "source.jsonl", num_conversations=60, num_authors=40, input_size=256)
    tenor.import_corpus(source, "data/analyzed_conversations")
    session: dict[str, Any] = {}

    def read(block: str) -> None:
        exec(compile(block, "seed.md", "exec"), session)

    read("from tenor import *\nimport torch\nfrom torch import optim")
    read(SEQUENCE_CLASSIFIER)
    assert isinstance(session["model"], torch.nn.Module)
    session["sequence_model"] = session["model"]
    read(PROFILE_CLASSIFIER)
    session["profile_model"].eval()
    assert session["profile_model"](torch.zeros(2, 3, 256)).shape == (1,)

    read(BASIC_TRAINING)
    assert Path(session["model_path"]) == Path("models/conversation_classifier.pt")
    assert Path(session["author_model_path"]) == Path("models/author_classifier.pt")
    require_model_file(Path("models/conversation_classifier.pt"))
    require_model_file(Path("models/author_classifier.pt"))

    session["dataset"] = tenor.load_dataset("data/analyzed_conversations", "conversation", "train")
    read(CLASS_IMBALANCE)
    assert 0.0 < float(session["pos_weight"]) < 100.0

    read(MODEL_EVALUATION)
    require_metrics(session["metrics"])
    require_metrics(session["profile_metrics"])

    read(COMPARISON)
    assert set(AGGREGATIONS) <= set(session["results"])
    for aggregation in AGGREGATIONS:
        require_metrics(session["results"][aggregation])

    first = Path("models/author_classifier.pt").read_bytes()
    read(COMPLETE_PIPELINE)
    assert (
        Path("models/author_classifier.pt").read_bytes() == first
    )  # the same seed and data give the same bits

    validation = tenor.load_dataset("data/analyzed_conversations", "conversation", "validation")
    session["train_loader"] = tenor.make_loader(session["dataset"], batch_size=32, shuffle=True)
    session["val_loader"] = tenor.make_loader(validation, batch_size=32)
    session["criterion"] = torch.nn.BCEWithLogitsLoss(pos_weight=torch.as_tensor(session["pos_weight"]))
    session["device"] = torch.device("cpu")
    session["num_epochs"] = 2
    read(CUSTOM_LOOP)
    assert len(session["train_preds"]) == len(session["train_labels"]) == len(session["dataset"])
    assert len(session["val_preds"]) == len(session["val_labels"]) == len(validation)
    assert session["train_loss"] > 0.0
    assert session["val_loss"] > 0.0
    assert 0.0 <= session["threshold"] <= 1.0
    assert session["val_metrics"]["f1"] == pytest.approx(
        tenor.calculate_metrics_threshold(session["val_labels"], session["val_preds"])[0]["f1"]
    )

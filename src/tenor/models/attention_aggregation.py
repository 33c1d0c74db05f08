"""Learned aggregation: a profile's score from its sequences' embeddings, by attention.

Attention-based multiple-instance learning (Ilse, Tomczak and Welling 2018, https://arxiv.org/abs/1802.04712):
each sequence gets a weight, the weights of a profile sum to 1, the weighted mean is classified.
Knows nothing of messages or authors: embeddings and profile codes go in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from tenor.errors import TrainingError, UsageError
from tenor.linear import fit_regression
from tenor.seeding import derive_seed

#: C of the regressions on mean embeddings that a fit may start from.
_STRENGTHS = (0.001, 0.01, 0.1, 1.0)

Floats = npt.NDArray[np.floating[Any]]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Bags:
    """Labelled profiles and their sequences' embeddings.

    Attributes:
        embeddings: (S, E) float, see SequenceClassifier.embed; of sequences that the embedding model was not
            fitted on, or the weights learn what it has memorised.
        profiles: (S,) int64 in [0, P): which profile each sequence belongs to.
        labels: (P,) int64 from 0.
    """

    embeddings: Floats
    profiles: Codes
    labels: Codes

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together."""
        _check_codes(self.embeddings, self.profiles, len(self.labels))
        if len(self.labels) and self.labels.min() < 0:
            raise UsageError("labels must be at least 0: leave out unlabelled profiles")


class AttentionAggregator(nn.Module):
    """Attention or gated attention over the sequences of each profile, all profiles in one pass.

    Ilse et al. 2018, equation 8: a_k = softmax_k(w' tanh(V h_k)); gated, equation 9:
    a_k = softmax_k(w' (tanh(V h_k) * sigmoid(U h_k))); logits = W (sum_k a_k h_k) + b, with standardised h.
    """

    embedding_mean: Tensor
    embedding_std: Tensor

    def __init__(
        self, embedding_size: int, hidden_size: int = 64, num_classes: int = 2, gated: bool = False
    ) -> None:
        """Build with weights drawn from torch's default generator; see fit_attention for a seeded one.

        Args:
            embedding_size: E.
            hidden_size: width of the attention's hidden layer.
            num_classes: 2 gives one logit a profile, more give one a class.
            gated: equation 9 instead of 8.
        """
        super().__init__()
        self.num_classes = num_classes
        self.register_buffer("embedding_mean", torch.zeros(embedding_size))
        self.register_buffer("embedding_std", torch.ones(embedding_size))
        self.hidden = nn.Linear(embedding_size, hidden_size)
        self.gate = nn.Linear(embedding_size, hidden_size) if gated else None
        self.weight = nn.Linear(
            hidden_size, 1, bias=False
        )  # a bias would shift all weights of a softmax alike
        self.classifier = nn.Linear(embedding_size, 1 if num_classes == 2 else num_classes)

    def forward(self, embeddings: Tensor, profiles: Tensor, num_profiles: int) -> Tensor:
        """Score profiles.

        Args:
            embeddings: (S, E).
            profiles: (S,) int64 in [0, num_profiles).
            num_profiles: P.

        Returns:
            Logits, (P,) for two classes, (P, C) for more; a profile without sequences has the bias alone.
        """
        standardized = self._standardize(embeddings)
        weights = self._attend(standardized, profiles, num_profiles)
        pooled = standardized.new_zeros(num_profiles, embeddings.shape[1])
        pooled = pooled.index_add(0, profiles, weights[:, None] * standardized)  # (P, E)
        logits: Tensor = self.classifier(pooled)
        return logits.squeeze(1) if self.num_classes == 2 else logits

    def _standardize(self, embeddings: Tensor) -> Tensor:
        return (embeddings.to(self.embedding_mean.dtype) - self.embedding_mean) / self.embedding_std

    def _attend(self, standardized: Tensor, profiles: Tensor, num_profiles: int) -> Tensor:
        """The weight of each sequence in its profile, (S,); those of a profile sum to 1."""
        hidden = self.hidden(standardized).tanh()  # (S, hidden)
        if self.gate is not None:
            hidden = hidden * self.gate(standardized).sigmoid()
        return segment_softmax(self.weight(hidden).squeeze(1), profiles, num_profiles)

    @torch.no_grad()
    def score(self, embeddings: Floats, profiles: Codes, num_profiles: int) -> npt.NDArray[np.float64]:
        """Probabilities of profiles from arrays: (P,) for two classes, (P, C) for more.

        Raises:
            UsageError: arrays that do not fit.
        """
        _check_codes(embeddings, profiles, num_profiles)
        device = self.embedding_mean.device
        logits = self(
            _to_tensor(embeddings, device), torch.from_numpy(profiles).to(device), num_profiles
        ).double()
        probs = logits.sigmoid() if self.num_classes == 2 else logits.softmax(dim=1)
        return np.asarray(probs.cpu().numpy())


def segment_softmax(scores: Tensor, segments: Tensor, num_segments: int) -> Tensor:
    """Softmax inside each segment.

    Args:
        scores: (S,).
        segments: (S,) int64 in [0, num_segments), in any order; a segment may be empty.
        num_segments: how many.

    Returns:
        (S,), summing to 1 over each segment that is not empty.
    """
    lowest = scores.new_full((num_segments,), float("-inf"))
    largest = lowest.scatter_reduce(0, segments, scores.detach(), "amax")
    exponentials = (scores - largest[segments]).exp()
    sums = exponentials.new_zeros(num_segments).index_add(0, segments, exponentials)
    return exponentials / sums[segments]


def fit_attention(
    train: Bags,
    validation: Bags,
    *,
    num_classes: int = 2,
    num_scores: int = 0,
    gated: bool = False,
    hidden_size: int = 64,
    seed: int = 0,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-2,
    batch_size: int = 64,
    num_epochs: int = 200,
    patience: int = 20,
) -> AttentionAggregator:
    """Fit with AdamW from the mean; stop when the validation loss no longer falls, and keep the best weights.

    They are kept only where validation shows more than chance: where the loss of the mean that the fit started from is
    higher by more than one standard error of the difference. Else the result is that mean, so that few profiles cost
    nothing but the attempt (the one-standard-error rule; Breiman et al. 1984, "Classification and Regression Trees",
    sec. 3.4.3). The same arguments give the same weights, bit for bit, on the same machine and number of threads.

    Args:
        train: profiles to fit on.
        validation: profiles to stop by; of other groups than train.
        num_classes: how many classes the labels have.
        num_scores: so many of the last embeddings' columns are the sequences' own scores; the mean to start from is of
            them alone. 0 = of all columns.
        gated: gated attention.
        hidden_size: width of the attention's hidden layer.
        seed: of the weights and of the order of the profiles.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        batch_size: profiles a step.
        num_epochs: at most.
        patience: epochs without a lower validation loss before stopping.

    Raises:
        TrainingError: no profiles or no sequences in train or validation, or a loss that is not finite.
        UsageError: a label outside [0, num_classes).
    """
    _check_bags("train", train, num_classes)
    _check_bags("validation", validation, num_classes)
    generator = torch.Generator().manual_seed(derive_seed(seed, "attention"))
    with torch.device("meta"):  # draws nothing from torch's default generator
        model = AttentionAggregator(train.embeddings.shape[1], hidden_size, num_classes, gated)
    model.to_empty(device="cpu")
    _initialize(model, train, generator)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    members = _Members(train)
    whole = _Members(validation).select(np.arange(len(validation.labels)))
    _start_from_mean(model, train, whole, num_scores)
    first, first_losses = _copy_state(model), _validate(model, whole)
    best, best_losses, best_epoch = first, first_losses, 0
    for epoch in range(1, num_epochs + 1):
        order = torch.randperm(len(train.labels), generator=generator).numpy()
        for start in range(0, len(order), batch_size):
            optimizer.zero_grad()
            _losses(model, members.select(order[start : start + batch_size])).mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        losses = _validate(model, whole)
        if not losses.isfinite().all():
            raise TrainingError(
                f"the validation loss of the attention is not finite in epoch {epoch}: lower learning_rate"
            )
        if losses.mean() < best_losses.mean():
            best, best_losses, best_epoch = _copy_state(model), losses, epoch
        elif epoch - best_epoch >= patience:
            break
    model.load_state_dict(best if _is_clearly_lower(best_losses, first_losses) else first)
    return model.eval()


def _check_bags(name: str, bags: Bags, num_classes: int) -> None:
    if not len(bags.labels) or not len(bags.profiles):
        raise TrainingError(f"attention needs labelled profiles with sequences in {name}, found none")
    if bags.labels.max() >= num_classes:
        raise UsageError(f"labels must be below num_classes={num_classes}, found {bags.labels.max()}")


@dataclass(frozen=True)
class _Batch:
    embeddings: Tensor  # (S, E)
    profiles: Tensor  # (S,)
    labels: Tensor  # (P,)


class _Members:
    """Which sequences each profile has, so that profiles can be picked without a loop over them."""

    def __init__(self, bags: Bags) -> None:
        self.bags = bags
        self.order = np.argsort(bags.profiles, kind="stable")
        self.counts = np.bincount(bags.profiles, minlength=len(bags.labels))
        self.starts = np.cumsum(self.counts) - self.counts

    def select(self, chosen: Codes) -> _Batch:
        counts = self.counts[chosen]
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = self.order[np.repeat(self.starts[chosen], counts) + offsets]
        return _Batch(
            _to_tensor(self.bags.embeddings[rows], torch.device("cpu")),
            torch.from_numpy(np.repeat(np.arange(len(chosen)), counts)),
            torch.from_numpy(self.bags.labels[chosen]),
        )


@torch.no_grad()
def _initialize(model: AttentionAggregator, train: Bags, generator: torch.Generator) -> None:
    """Even attention and the base rate; hidden layers Xavier uniform; the embeddings' scale.

    From random attention and a random classifier, validation losses rise before they fall: on generated
    profiles with one telling sequence in forty, half of the fits stopped there. From here none did.
    """
    for layer in (model.hidden, model.gate):
        if layer is not None:
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
    nn.init.zeros_(model.weight.weight)
    nn.init.zeros_(model.classifier.weight)
    counts = np.bincount(train.labels, minlength=model.num_classes) + 0.5
    logs = torch.from_numpy(np.log(counts / counts.sum()))
    model.classifier.bias.copy_(logs[1:] - logs[:1] if model.num_classes == 2 else logs)
    mean, std = (
        train.embeddings.mean(axis=0, dtype=np.float64),
        train.embeddings.std(axis=0, dtype=np.float64),
    )
    model.embedding_mean.copy_(torch.from_numpy(mean))
    model.embedding_std.copy_(torch.from_numpy(np.where(std > 0, std, 1.0)))


def _is_clearly_lower(losses: Tensor, others: Tensor) -> bool:
    """Whether losses (P,) are lower than others of the same profiles by more than a standard error."""
    gains = others - losses
    if len(gains) < 2:
        return False
    return bool(gains.mean() > gains.std() / math.sqrt(len(gains)))


@torch.no_grad()
def _start_from_mean(model: AttentionAggregator, train: Bags, whole: _Batch, num_scores: int) -> None:
    """Set the classifier to the logistic regression on the profiles' means that validation likes best.

    So the fit departs from the mean only where attention pays; without this start it lost to the mean where every
    sequence tells as much, since sharpening the attention is the shorter way down than growing the classifier.
    The base rate stays where no regression beats it on validation.

    Args:
        model: initialised.
        train: what the regressions are fitted to.
        whole: all of validation.
        num_scores: see fit_attention. A regression on all columns of real embeddings (1,536 and more) fits some
            hundred profiles by heart, so where there are scores it reads those alone.
    """
    if len(np.unique(train.labels)) < model.num_classes:
        return
    batch = _Members(train).select(np.arange(len(train.labels)))
    pooled = _mean_embeddings(model, batch)[:, -num_scores:]  # all columns where there are no scores
    scale = np.where(pooled.std(axis=0) > 0, pooled.std(axis=0), 1.0)
    best, best_loss = _copy_state(model), float(_validate(model, whole).mean())
    for strength in _STRENGTHS:
        regression = fit_regression(pooled / scale, train.labels, strength=strength)
        model.classifier.weight[:, -num_scores:] = torch.from_numpy(regression.coef_ / scale)
        model.classifier.bias.copy_(torch.from_numpy(regression.intercept_))
        loss = float(_validate(model, whole).mean())
        if loss < best_loss:
            best, best_loss = _copy_state(model), loss
    model.load_state_dict(best)


def _mean_embeddings(model: AttentionAggregator, batch: _Batch) -> npt.NDArray[np.float64]:
    """(P, E): what the classifier reads under even attention; 0 for a profile without sequences."""
    standardized = model._standardize(batch.embeddings).double()
    sums = standardized.new_zeros(len(batch.labels), standardized.shape[1])
    sums = sums.index_add(0, batch.profiles, standardized)
    counts = torch.bincount(batch.profiles, minlength=len(batch.labels)).clamp_min(1)
    return np.asarray((sums / counts[:, None]).numpy())


def _copy_state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@torch.no_grad()
def _validate(model: AttentionAggregator, batch: _Batch) -> Tensor:
    return _losses(model, batch).double()


def _losses(model: AttentionAggregator, batch: _Batch) -> Tensor:
    """The log loss of each profile, (P,)."""
    logits = model(batch.embeddings, batch.profiles, len(batch.labels))
    if model.num_classes == 2:
        labels = batch.labels.to(logits.dtype)
        return functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return functional.cross_entropy(logits, batch.labels, reduction="none")


def _to_tensor(array: Floats, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device, torch.float32)


def _check_codes(embeddings: Floats, profiles: Codes, num_profiles: int) -> None:
    if embeddings.ndim != 2 or profiles.shape != embeddings.shape[:1] or profiles.dtype != np.int64:
        raise UsageError(
            f"expected embeddings (S, E) and int64 profiles (S,), found {embeddings.shape} and {profiles.dtype} "
            f"{profiles.shape}"
        )
    if len(profiles) and not 0 <= profiles.min() <= profiles.max() < num_profiles:
        raise UsageError(
            f"profiles reach from {profiles.min()} to {profiles.max()}, outside [0, {num_profiles})"
        )

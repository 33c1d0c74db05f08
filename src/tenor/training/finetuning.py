"""Fine-tune a sentence encoder end to end: from a sequence's label back into the transformer that reads its messages.

The encoder's own linear probe comes first, mean and maximum of the message vectors with logistic regression, and then
both are trained together (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform
Out-of-Distribution": the probe first, lest a random head spoil the encoder). The result is a folder that
sentence-transformers reads, and so does ``sentence:FOLDER``. Its vectors of training messages know their labels, so
whatever is judged on training sequences afterwards, out of fold too, looks better than it is: a corpus encoded with it
says so, train_model then weighs what it starts from by validation, and nothing is scored out of fold. Validation and
test, whose labels it has not learned from, tell the truth. Knows nothing of the SequenceClassifier that reads the
features later.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tenor.arguments import check_real, check_seed, check_whole, require_flags
from tenor.batching import require_level
from tenor.corpus.audit import require_both_classes, require_clean_fit, require_split
from tenor.corpus.copies import OnCopies, require_no_copies
from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.splits import hash_training_ids
from tenor.corpus.views import SequenceView, view_sequences
from tenor.encoding.pretrained import FINETUNED_NAME
from tenor.encoding.sentence import open_sentence_model, without_progress_bars
from tenor.errors import CorpusError, TrainingError
from tenor.files import existing, publish_folder, write_json
from tenor.linear import fit_regression, spread_classes
from tenor.progress import progress_bar
from tenor.seeding import derive_seed, numpy_generator
from tenor.training.evidence import CONVINCING, standardized_gain

logger = logging.getLogger(__name__)

#: Of all steps, those in which the learning rate rises to its peak; it falls to 0 over the others (Devlin et al. 2019).
_WARMUP = 0.1
_CLIP_NORM = 1.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Bags:
    """Sequences as lists of texts.

    Attributes:
        texts: of each sequence.
        labels: (N,) class indices.
        groups: (N,) codes.
    """

    texts: list[list[str]]
    labels: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64]

    @classmethod
    def read(cls, view: SequenceView) -> _Bags:
        """Those of a view that have messages; without one there is nothing to pool."""
        view = view.select(np.flatnonzero(view.lengths > 0))
        return cls(list(view.texts()), view.labels, np.asarray(view.group_codes, dtype=np.int64))

    def draw(self, most: int, generator: np.random.Generator) -> list[list[str]]:
        """At most so many texts of each sequence, in their order."""
        return [
            texts
            if len(texts) <= most
            else [texts[place] for place in np.sort(generator.choice(len(texts), most, replace=False))]
            for texts in self.texts
        ]


def finetune_encoder(
    model_type: str,
    dataset_path: str | Path,
    encoder: str,
    dest: str | Path,
    *,
    num_epochs: int = 3,
    batch_size: int = 16,
    learning_rate: float = 2e-5,
    max_messages: int = 32,
    seed: int = 0,
    device: str | None = None,
    copies: OnCopies = "refuse",
    replace: bool = False,
    progress: bool = True,
) -> Path:
    """Fine-tune a sentence-transformers model on the labels of training sequences.

    Meant for a GPU; on a CPU only for small corpora. An epoch's weights are kept only if they convince validation
    (``evidence``); where none does, the folder holds the model as it was. All labelled texts of training and
    validation are held in memory.

    Args:
        model_type: ``"conversation"`` or ``"author"``.
        dataset_path: a corpus with text, labels and splits; features are not needed.
        encoder: a model's folder, or an id of the Hugging Face hub.
        dest: the folder to make, for ``sentence:DEST``.
        num_epochs: passes over the training sequences.
        batch_size: sequences a step.
        learning_rate: AdamW's, at its peak, of the transformer and the head.
        max_messages: of a longer sequence so many are drawn, anew in each epoch.
        seed: of the order, the draws and dropout.
        device: such as ``cuda``; None = the best that this machine has.
        copies: as of train_model.
        replace: allow `dest` to exist; it is replaced when the new one is complete.
        progress: show a bar.

    Returns:
        `dest`.

    Raises:
        CorpusError: no text or no labels.
        SplitError: as of train_model.
        TrainingError: training labels of one class only, or a loss that is not finite.
        UsageError: no such model, or an argument outside its values.
        StorageError: `dest` exists and `replace` is False, or it cannot be written.
        MissingExtraError: sentence-transformers is not installed.
    """
    require_flags(replace=replace, progress=progress)
    seed = check_seed(seed)
    num_epochs = check_whole("num_epochs", num_epochs, 1, 10**9)
    batch_size = check_whole("batch_size", batch_size, 1, 10**9)
    max_messages = check_whole("max_messages", max_messages, 1, 10**9)
    learning_rate = check_real("learning_rate", learning_rate, 0.0, False, 1e3, True)
    dest = Path(dest)
    if dest.exists() and not replace:
        raise existing(dest, FINETUNED_NAME)
    corpus, train, validation, num_classes = _read_corpus(dataset_path, model_type, copies, progress)
    model, folder = open_sentence_model(encoder, device=device)
    tuning = _Tuning(model, num_classes, max_messages, batch_size, seed)
    with progress_bar("fine-tuning", num_epochs * tuning.count_steps(train), enabled=progress) as advance:
        tuning.fit_head(train)
        epoch = _train(tuning, train, validation, num_epochs, learning_rate, advance)
    if epoch == 0:
        logger.warning("no epoch of fine-tuning convinced validation: %s holds the encoder as it was", dest)
    with publish_folder(dest, replace=replace, marker=FINETUNED_NAME) as temporary:
        with without_progress_bars():
            model.save_pretrained(str(temporary), create_model_card=False, safe_serialization=True)
        record = {
            "base": folder.name,
            "level": model_type,
            "kept_epoch": epoch,
            "fitted_split_hash": corpus.info.split_hash,
            "fitted_ids_hash": hash_training_ids(corpus),
        }
        write_json(temporary / FINETUNED_NAME, record)
    return dest


def _read_corpus(
    path: str | Path, level: str, copies: OnCopies, show: bool
) -> tuple[Corpus, _Bags, _Bags, int]:
    corpus = open_corpus(path)
    if not corpus.has_text:
        raise CorpusError(
            f"{corpus.path}: fine-tuning reads texts, and this corpus keeps none (import it with them)"
        )
    view = view_sequences(corpus, require_level(level)).labelled()
    require_clean_fit(view, show=show)
    for split in ("train", "validation"):
        require_split(view, split)
    require_both_classes(view.in_split("train"))
    require_no_copies(view, copies, show=show)
    return (
        corpus,
        _Bags.read(view.in_split("train")),
        _Bags.read(view.in_split("validation")),
        len(view.classes),
    )


def _train(
    tuning: _Tuning,
    train: _Bags,
    validation: _Bags,
    num_epochs: int,
    learning_rate: float,
    advance: Callable[[int], None],
) -> int:
    """Train; the model has the kept epoch's weights afterwards. Gives its number, 0 = as it was."""
    steps = num_epochs * tuning.count_steps(train)
    optimizer = torch.optim.AdamW(tuning.parameters(), lr=learning_rate)
    warm = max(1, round(_WARMUP * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, (steps - step) / max(1, steps - warm + 1))
    )
    first = tuning.losses(validation)
    kept, kept_loss, weights = 0, float(first.mean()), tuning.copy_weights()
    for epoch in range(1, num_epochs + 1):
        with tuning.draw_dropout(epoch):
            for texts, labels in tuning.steps(train, epoch):
                tuning.step(texts, labels, optimizer)
                schedule.step()
                advance(1)
        losses = tuning.losses(validation)
        gain, loss = standardized_gain(first, losses, validation.groups), float(losses.mean())
        logger.info("epoch %d: validation loss %.4f, %.1f standard errors below the first", epoch, loss, gain)
        if gain >= CONVINCING and loss < kept_loss:
            kept, kept_loss, weights = epoch, loss, tuning.copy_weights()
    tuning.load_weights(weights)
    return kept


class _Tuning:
    """A sentence-transformers model with a linear head on mean and maximum of its vectors."""

    def __init__(self, model: Any, num_classes: int, max_messages: int, batch_size: int, seed: int) -> None:  # noqa: ANN401 - the library has no types
        self.model = model
        self.num_classes, self.max_messages, self.batch_size, self.seed = (
            num_classes,
            max_messages,
            batch_size,
            seed,
        )
        self.device = model.device
        width = int(model.encode(["."], show_progress_bar=False).shape[1])
        # fit_head gives it weights: none are drawn from the caller's random numbers
        self.head = nn.utils.skip_init(  # type: ignore[no-untyped-call]
            nn.Linear, 2 * width, 1 if num_classes == 2 else num_classes, device=self.device
        )

    def parameters(self) -> list[nn.Parameter]:
        return [*self.model.parameters(), *self.head.parameters()]

    def count_steps(self, bags: _Bags) -> int:
        return -(-len(bags.texts) // self.batch_size)

    def copy_weights(self) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """The weights now, on the CPU."""
        parts = (self.model.state_dict(), self.head.state_dict())
        encoder, head = ({name: t.detach().cpu().clone() for name, t in part.items()} for part in parts)
        return encoder, head

    def load_weights(self, weights: tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]) -> None:
        self.model.load_state_dict(weights[0])
        self.head.load_state_dict(weights[1])

    def fit_head(self, bags: _Bags) -> None:
        """The linear probe: logistic regression on the pooled vectors of the encoder as it is.

        On the vectors as they come, whose length is about 1: standardised, columns that hardly vary would get weights
        that no step survives.
        """
        table = self._pool_frozen(bags).double().cpu().numpy()
        probe = fit_regression(table, bags.labels)
        coefficients, intercept = spread_classes(
            probe.coef_, probe.intercept_, np.bincount(bags.labels, minlength=self.num_classes)
        )
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(coefficients))
            self.head.bias.copy_(torch.from_numpy(intercept))

    @contextlib.contextmanager
    def draw_dropout(self, epoch: int) -> Iterator[None]:
        """Dropout that follows from the seed and the epoch; the library draws it from torch's own generators."""
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(derive_seed(self.seed, "fine-tuning dropout", epoch))
            yield

    def steps(self, bags: _Bags, epoch: int) -> Iterator[tuple[list[list[str]], npt.NDArray[np.int64]]]:
        """The texts and labels of each step of an epoch; they follow from the seed and the epoch."""
        generator = numpy_generator(derive_seed(self.seed, "fine-tuning", epoch), "draw")
        texts = bags.draw(self.max_messages, generator)
        order = generator.permutation(len(texts))
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            yield [texts[place] for place in chosen], bags.labels[chosen]

    def step(
        self, texts: Sequence[list[str]], labels: npt.NDArray[np.int64], optimizer: torch.optim.Optimizer
    ) -> None:
        """One optimizer step.

        Raises:
            TrainingError: a loss that is not finite.
        """
        self.model.train()
        lengths = [len(each) for each in texts]
        inputs = self.model.preprocess([text for each in texts for text in each])
        inputs = {name: t.to(self.device) for name, t in inputs.items() if isinstance(t, torch.Tensor)}
        vectors = self.model(inputs)["sentence_embedding"].float()
        loss = self._losses(_pool(vectors, lengths), labels).mean()
        if not bool(torch.isfinite(loss)):
            raise TrainingError(f"fine-tuning: the loss is {float(loss)} (lower the learning rate)")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters(), _CLIP_NORM)
        optimizer.step()

    @torch.no_grad()
    def losses(self, bags: _Bags) -> Floats:
        """(N,) each sequence's loss, in eval mode."""
        self.model.eval()
        found = self._losses(self._pool_frozen(bags), bags.labels)
        return found.double().cpu().numpy()

    def _pool_frozen(self, bags: _Bags) -> torch.Tensor:
        self.model.eval()
        texts = bags.draw(self.max_messages, numpy_generator(self.seed, "fine-tuning probe"))
        distinct = {
            text: place for place, text in enumerate(dict.fromkeys(t for each in texts for t in each))
        }
        vectors = self.model.encode(list(distinct), show_progress_bar=False, convert_to_tensor=True).float()
        rows = torch.tensor([distinct[text] for each in texts for text in each], device=vectors.device)
        return _pool(vectors[rows].clone(), [len(each) for each in texts])

    def _losses(self, pooled: torch.Tensor, labels: npt.NDArray[np.int64]) -> torch.Tensor:
        logits, wanted = self.head(pooled), torch.from_numpy(labels).to(self.device)
        if self.num_classes == 2:
            return nn.functional.binary_cross_entropy_with_logits(
                logits[:, 0], wanted.to(logits.dtype), reduction="none"
            )
        return nn.functional.cross_entropy(logits, wanted, reduction="none")


def _pool(vectors: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """(N, 2F): mean and maximum over each sequence's vectors; every sequence has one."""
    parts = torch.split(vectors, list(lengths))
    return torch.stack([torch.cat([part.mean(dim=0), part.amax(dim=0)]) for part in parts])

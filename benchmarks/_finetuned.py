"""The rival from Hugging Face: a pretrained encoder of text, fine-tuned on sequences by the Trainer.

Settings are of those that BERT's paper advises (Devlin et al. 2019, sec. A.3: 3 epochs, batches of 16, a learning rate
of 5e-5), with 10% warm-up and the epoch that is best on validation. Two save time on a CPU: bf16 autocast, and no
dropout of attention weights (that of hidden states stays). A text longer than the cut loses its end. A GPU is used
where torch sees one.

Knows nothing of corpora, splits and tenor: it is given texts and labels.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

EPOCHS = 3
BATCH = 16
LEARNING_RATE = 5e-5
#: Tokens of a text that are read, the first ones: what the sentence encoders of MiniLM's family read by default.
MAX_TOKENS = 256


def measure_epoch(evaluated: Any) -> dict[str, float]:  # noqa: ANN401
    """Average precision of (logits (N, 2), labels (N,)), by which the Trainer chooses the epoch."""
    from sklearn.metrics import average_precision_score

    logits, labels = evaluated
    return {"average_precision": float(average_precision_score(labels, logits[:, 1] - logits[:, 0]))}


def score(model: Any, tokenizer: Any, encoded: Sequence[Mapping[str, Any]]) -> np.ndarray:  # noqa: ANN401
    """(N,) probabilities of label 1, in the order of `encoded`; the Trainer's own come sorted by length."""
    import torch

    order = np.argsort([len(each["input_ids"]) for each in encoded], kind="stable")
    logits = np.empty((len(encoded), 2))
    model.eval()
    for first in range(0, len(order), BATCH):
        chosen = order[first : first + BATCH]
        rows = [{name: encoded[i][name] for name in ("input_ids", "attention_mask")} for i in chosen]
        with torch.inference_mode():
            padded = tokenizer.pad(rows, return_tensors="pt").to(model.device)
            logits[chosen] = model(**padded).logits.double().cpu().numpy()
    return 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))


def finetune(
    texts: Mapping[str, Sequence[str]],
    labels: Mapping[str, Sequence[int]],
    folder: Path,
    *,
    seed: int,
    epochs: int = EPOCHS,
    max_tokens: int = MAX_TOKENS,
) -> dict[str, np.ndarray]:
    """Fine-tune on train, keep the epoch of the best average precision on validation, score validation and test.

    Args:
        texts: train, validation, test -> one text a sequence.
        labels: train, validation -> 0 or 1.
        folder: of a pretrained encoder, as sentence-transformers or transformers save it.
        seed: of the new head, of dropout and of the order.
        epochs: over train.
        max_tokens: of each text, the first ones; the others are cut.

    Returns:
        validation, test -> (N,) probabilities of label 1.
    """
    import torch
    import transformers as hf

    hf.utils.logging.set_verbosity_error()  # else a report that the head's weights are new
    hf.utils.logging.disable_progress_bar()
    hf.set_seed(seed)
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    model = hf.AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=2, attention_probs_dropout_prob=0.0
    )
    encoded: dict[str, list[dict[str, Any]]] = {}
    for split, lines in texts.items():
        found = tokenizer(list(lines), truncation=True, max_length=max_tokens)
        columns = {name: found[name] for name in ("input_ids", "attention_mask")}
        if split in labels:
            columns["labels"] = [int(label) for label in labels[split]]
        encoded[split] = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arguments = hf.TrainingArguments(
            output_dir=scratch, seed=seed, num_train_epochs=epochs, learning_rate=LEARNING_RATE, warmup_steps=0.1,
            per_device_train_batch_size=BATCH, per_device_eval_batch_size=BATCH, bf16=True,
            use_cpu=not torch.cuda.is_available(),
            train_sampling_strategy="group_by_length", eval_strategy="epoch", save_strategy="epoch",
            save_only_model=True, save_total_limit=1, load_best_model_at_end=True,
            metric_for_best_model="average_precision", greater_is_better=True, logging_strategy="no", report_to=[],
            disable_tqdm=True, dataloader_pin_memory=False,
        )  # fmt: skip
        trainer = hf.Trainer(
            model=model, args=arguments, train_dataset=encoded["train"], eval_dataset=encoded["validation"],
            processing_class=tokenizer, data_collator=hf.DataCollatorWithPadding(tokenizer),
            compute_metrics=measure_epoch,
        )  # fmt: skip
        trainer.remove_callback(hf.PrinterCallback)
        trainer.train()
    return {split: score(trainer.model, tokenizer, encoded[split]) for split in ("validation", "test")}

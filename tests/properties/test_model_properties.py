"""A score depends on the messages alone: not on padding, neighbours, order, or batch size.

Bounds are on probabilities: 1e-5 in float32, 1e-2 in bfloat16.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tenor.models.metadata import ModelMetadata
from tenor.models.model_file import load_model, save_model
from tenor.models.profile import ProfileClassifier
from tenor.models.sequence import SequenceClassifier

FP32, BF16 = 1e-5, 1e-2

#: What may stand at padding.
FILLERS = st.sampled_from([0.0, 1.0, -1e4, float("nan"), float("inf")])
LENGTHS = st.lists(st.one_of(st.integers(0, 3), st.integers(0, 20)), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@cache
def make_model(
    width: int = 5, num_layers: int = 1, kernel_sizes: tuple[int, ...] = (3, 5), num_classes: int = 2
) -> SequenceClassifier:
    """A small model in evaluation mode with weights that do something; dropout 0 for the training path."""
    model = SequenceClassifier(width, 16, num_layers, 4, 0.0, kernel_sizes, num_classes)
    generator = torch.Generator().manual_seed(width)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
        model.set_scaling(
            torch.randn(width, generator=generator), torch.rand(width, generator=generator) + 0.5
        )
    return model.eval()


MODELS = st.builds(
    make_model,
    st.sampled_from([1, 5, 24]),
    st.integers(0, 2),
    st.sampled_from([(1,), (3, 5), (3, 5, 7)]),
    st.sampled_from([2, 4]),
)


def make_sequences(
    lengths: list[int], width: int, seed: int, dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [(2.0 * torch.randn(length, width, generator=generator)).to(dtype) for length in lengths]


@dataclass(frozen=True)
class Layout:
    """How sequences are laid out in one batch: where each one's messages stand, and what stands between."""

    extra: int
    filler: float
    scatter_seed: int | None  # None = messages first, padding last

    def batch(self, sequences: list[Tensor]) -> tuple[Tensor, Tensor]:
        length = max(map(len, sequences)) + self.extra
        features = torch.full((len(sequences), length, sequences[0].shape[1]), self.filler)
        features = features.to(sequences[0].dtype)
        mask = torch.zeros(len(sequences), length, dtype=torch.bool)
        for row, sequence in enumerate(sequences):
            places = torch.arange(len(sequence))
            if self.scatter_seed is not None:
                generator = torch.Generator().manual_seed(self.scatter_seed + row)
                places = torch.randperm(length, generator=generator)[: len(sequence)].sort().values
            features[row, places], mask[row, places] = sequence, True
        return features, mask


LAYOUTS = st.builds(Layout, st.integers(0, 9), FILLERS, st.none() | st.integers(0, 99))


def to_probs(logits: Tensor) -> Tensor:
    logits = logits.detach().double()
    return logits.sigmoid() if logits.ndim == 1 else logits.softmax(dim=1)


def score_alone(model: SequenceClassifier, sequences: list[Tensor]) -> Tensor:
    return to_probs(torch.cat([model(sequence[None]) for sequence in sequences]))


def largest_difference(first: Tensor, second: Tensor) -> float:
    assert torch.isfinite(first).all()
    assert torch.isfinite(second).all()
    return float((first - second).abs().max())


@given(MODELS, LENGTHS, LAYOUTS, st.integers(0, 2**16), st.sampled_from([torch.float32, torch.float16]))
def test_any_batch_gives_the_scores_of_each_sequence_alone(
    model: SequenceClassifier, lengths: list[int], layout: Layout, seed: int, dtype: torch.dtype
) -> None:
    sequences = make_sequences(lengths, model.input_size, seed, dtype)
    assert (
        largest_difference(to_probs(model(*layout.batch(sequences))), score_alone(model, sequences)) <= FP32
    )


@given(MODELS, LENGTHS, LAYOUTS, st.integers(0, 2**16))
def test_the_training_path_is_as_invariant(
    model: SequenceClassifier, lengths: list[int], layout: Layout, seed: int
) -> None:
    sequences = make_sequences(lengths, model.input_size, seed)
    alone = score_alone(model, sequences)
    model.train()  # dropout is 0
    try:
        assert largest_difference(to_probs(model(*layout.batch(sequences))), alone) <= FP32
    finally:
        model.eval()


@given(LENGTHS, LAYOUTS, st.integers(0, 2**16), st.randoms(use_true_random=False))
def test_order_and_choice_of_neighbours_do_not_matter(
    lengths: list[int], layout: Layout, seed: int, random: object
) -> None:
    model = make_model()
    sequences = make_sequences(lengths, model.input_size, seed)
    scores = to_probs(model(*layout.batch(sequences)))
    order = list(range(len(sequences)))
    random.shuffle(order)  # type: ignore[attr-defined]
    chosen = order[: max(1, len(order) - 1)]
    again = to_probs(model(*layout.batch([sequences[index] for index in chosen])))
    assert largest_difference(again, scores[chosen]) <= FP32


@given(LENGTHS, LAYOUTS, st.integers(0, 2**16), st.booleans())
def test_bf16_is_invariant_to_its_precision(
    lengths: list[int], layout: Layout, seed: int, autocast: bool
) -> None:
    model = make_model()
    sequences = make_sequences(lengths, model.input_size, seed)
    if not autocast:
        model = SequenceClassifier(**model.config()).eval()
        model.load_state_dict(make_model().state_dict())
        model.bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        together, alone = to_probs(model(*layout.batch(sequences))), score_alone(model, sequences)
    # a model whose weights are cast too, which tenor itself never does, rounds more
    assert largest_difference(together, alone) <= (BF16 if autocast else 2 * BF16)


@settings(max_examples=settings.default.max_examples // 5)
@given(st.lists(st.integers(0, 400), min_size=2, max_size=4), LAYOUTS, st.integers(0, 2**16))
def test_hundreds_of_messages(lengths: list[int], layout: Layout, seed: int) -> None:
    model = make_model(5, 2, (3, 5, 7))
    sequences = make_sequences(lengths, model.input_size, seed)
    assert (
        largest_difference(to_probs(model(*layout.batch(sequences))), score_alone(model, sequences)) <= FP32
    )


def test_ten_thousand_messages_beside_one() -> None:
    model = make_model()
    sequences = make_sequences([10_000, 1], model.input_size, 0)
    with torch.inference_mode():
        together = to_probs(model(*Layout(7, float("nan"), None).batch(sequences)))
        assert largest_difference(together, score_alone(model, sequences)) <= FP32


@pytest.mark.parametrize("enabled", [True, False])
def test_torchs_own_fast_path_changes_nothing(enabled: bool) -> None:
    model = make_model()
    sequences = make_sequences([7, 0, 1, 30], model.input_size, 0)
    expected = score_alone(model, sequences)
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(enabled)
    try:
        assert largest_difference(to_probs(model(*Layout(3, 0.0, None).batch(sequences))), expected) <= FP32
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@pytest.mark.parametrize("backend", ["MATH", "FLASH_ATTENTION"])
def test_every_attention_kernel_is_invariant(backend: str) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    model = make_model()
    sequences = make_sequences([7, 0, 1, 30], model.input_size, 0)
    expected = score_alone(model, sequences)
    with sdpa_kernel(getattr(SDPBackend, backend)):
        assert largest_difference(to_probs(model(*Layout(3, 0.0, None).batch(sequences))), expected) <= FP32


@given(LENGTHS, LAYOUTS, st.integers(0, 2**16), st.data())
def test_a_profile_does_not_depend_on_the_order_of_its_sequences(
    lengths: list[int], layout: Layout, seed: int, data: st.DataObject
) -> None:
    model = ProfileClassifier(make_model(), aggregation=data.draw(st.sampled_from(["mean", "median"])))
    sequences = make_sequences(lengths, 5, seed)
    profiles = data.draw(st.lists(st.integers(0, 3), min_size=len(lengths), max_size=len(lengths)))
    order = data.draw(st.permutations(range(len(lengths))))
    first = model(*layout.batch(sequences), torch.tensor(profiles))
    second = model(
        *layout.batch([sequences[index] for index in order]),
        torch.tensor([profiles[index] for index in order]),
    )
    assert largest_difference(first.detach(), second.detach()) <= FP32


@given(
    MODELS,
    st.text(max_size=20),
    st.floats(0, 1),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)
def test_save_load_save_is_byte_identical(
    model_folder: Path,
    model: SequenceClassifier,
    name: str,
    threshold: float,
    training: dict[str, int],
) -> None:
    metadata = ModelMetadata(
        level="author",
        config=model.config(),
        classes=(0, 1) if model.num_classes == 2 else ("a", "b", "c", name + "d"),
        threshold=threshold,
        encoder_name=name,
        training=training,
    )
    first = save_model(model_folder / "first.pt", model, metadata)
    loaded = load_model(first)
    second = save_model(model_folder / "second.safetensors", loaded.model, loaded.metadata)
    assert loaded.metadata == metadata
    assert first.read_bytes() == second.read_bytes()

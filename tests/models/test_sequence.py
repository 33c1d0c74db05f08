"""The sequence classifier: shapes, masks, scaling, prior, errors, gradients, precision."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from tenor.errors import UsageError
from tenor.models.sequence import SequenceClassifier
from tenor.nn.dropout import set_dropout_generator
from tenor.nn.packing import Packing


def make_model(**changes: object) -> SequenceClassifier:
    arguments = {"input_size": 6, "hidden_size": 16, "num_layers": 2, "num_heads": 4, **changes}
    model = SequenceClassifier(**arguments)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3, generator=generator)
    return model.eval()


def make_batch(lengths: list[int], input_size: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(len(lengths), max(lengths), input_size, generator=generator)
    return features, torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]


def test_the_seeds_arguments_build_the_seeds_model() -> None:
    model = SequenceClassifier(
        input_size=256, hidden_size=256, num_layers=2, num_heads=8, dropout=0.3, kernel_sizes=[3, 5, 7]
    )
    assert model.config() == SequenceClassifier().config()
    assert model.config()["kernel_sizes"] == [3, 5, 7]


@pytest.mark.parametrize(("num_classes", "shape"), [(2, (3,)), (3, (3, 3)), (7, (3, 7))])
def test_shape_of_the_logits(num_classes: int, shape: tuple[int, ...]) -> None:
    features, mask = make_batch([4, 1, 0])
    logits = make_model(num_classes=num_classes)(features, mask)
    assert logits.shape == shape
    assert torch.isfinite(logits).all()


def test_each_row_equals_itself_alone_whatever_stands_at_padding() -> None:
    model = make_model()
    features, mask = make_batch([7, 3, 1, 0])
    alone = torch.cat([model(row[:n][None]) for row, n in zip(features, mask.sum(1).tolist(), strict=True)])
    for filler in (0.0, 1e30, float("nan"), float("inf")):
        together = model(features.masked_fill(~mask[:, :, None], filler), mask)
        torch.testing.assert_close(together.sigmoid(), alone.sigmoid(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("lengths", [[7, 3, 1, 0], [0, 1, 3, 7], [2, 2], [0]])
def test_packed_features_score_as_padded_ones(lengths: list[int]) -> None:
    model = make_model()
    features, mask = make_batch(lengths)
    mask[:, 1:2] = False  # a gap
    torch.testing.assert_close(model(features[mask], mask), model(features, mask), rtol=0, atol=1e-6)
    torch.testing.assert_close(
        model.embed(features[mask], mask), model.embed(features, mask), rtol=0, atol=1e-6
    )


def test_real_messages_keep_their_positions_in_the_order_given() -> None:
    model = make_model()
    features, _ = make_batch([5])
    assert (model(features) - model(features.flip(1))).abs().item() > 1e-3


def test_an_empty_sequence_has_one_score_however_it_is_given() -> None:
    model = make_model()
    expected = (model.head(torch.zeros(1, model.embedding_size)) + model.pooled.bias).item()
    assert model(torch.zeros(1, 0, 6)).item() == pytest.approx(expected, abs=1e-6)
    features, mask = make_batch([4, 0])
    assert model(features, mask)[1].item() == pytest.approx(expected, abs=1e-6)
    assert model(features, torch.zeros_like(mask)).tolist() == pytest.approx([expected] * 2, abs=1e-6)


def test_an_empty_batch_is_allowed() -> None:
    model = make_model()
    assert model(torch.zeros(0, 5, 6)).shape == (0,)
    assert model(torch.zeros(0, 0, 6), torch.zeros(0, 0, dtype=torch.bool)).shape == (0,)


def test_embedding_is_max_over_convolutions_and_mean_over_messages() -> None:
    model = make_model(kernel_sizes=[1], num_layers=0)
    features, mask = make_batch([3, 0])
    embedding = model.embed(features, mask)
    assert embedding.shape == (2, model.embedding_size) == (2, 32)
    packing = Packing.of(mask[:1])
    encoded = model.encoder(model.positions(model.projection(features[0]), packing), packing)  # (T, H)
    weight = model.multiscale.convolutions[0].get_parameter("weight")[:, :, 0]
    scores = encoded @ weight.T + model.multiscale.convolutions[0].get_parameter("bias")
    expected = torch.cat([scores.amax(0).clamp(min=0), encoded.mean(0)])
    torch.testing.assert_close(embedding[0], expected, rtol=1e-4, atol=1e-5)
    assert embedding[1].abs().sum() == 0


def test_features_are_standardised() -> None:
    model = make_model()
    features, mask = make_batch([4, 2])
    mean, std = torch.arange(6.0), torch.arange(1.0, 7.0)
    plain = model(features, mask)
    model.set_scaling(mean.double().numpy(), std.double().numpy())
    torch.testing.assert_close(model(features * std + mean, mask), plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ([0.0] * 5, [1.0] * 6, r"mean must have shape \(6,\), found \(5,\)"),
        ([0.0] * 6, [0.0] * 6, "std must be finite and above 0"),
        ([float("nan")] * 6, [1.0] * 6, "mean must be finite"),
    ],
)
def test_scaling_that_makes_no_sense_raises(mean: list[float], std: list[float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_model().set_scaling(mean, std)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.bfloat16])
def test_features_are_cast_to_the_weights_dtype(dtype: torch.dtype) -> None:
    model = make_model()
    features, mask = make_batch([4, 2])
    logits = model(features.to(dtype), mask)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, model(features.to(dtype).float(), mask))


def test_prior_is_added_to_the_logits() -> None:
    features, mask = make_batch([4, 2])
    model = make_model(num_classes=3)
    with_prior = make_model(num_classes=3, has_prior=True)
    prior = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.0, 5.0]], dtype=torch.float64)
    torch.testing.assert_close(with_prior(features, mask, prior), model(features, mask) + prior.float())


def test_prior_that_is_missing_unwanted_or_misshapen_raises() -> None:
    features, mask = make_batch([4, 2])
    with pytest.raises(UsageError, match="has_prior=True: forward needs a prior"):
        make_model(has_prior=True)(features, mask)
    with pytest.raises(UsageError, match="has_prior=False: forward takes no prior"):
        make_model()(features, mask, torch.zeros(2))
    with pytest.raises(UsageError, match=r"prior must have shape \(2,\), found \(2, 1\)"):
        make_model(has_prior=True)(features, mask, torch.zeros(2, 1))


def test_features_that_do_not_fit_raise() -> None:
    model = make_model()
    with pytest.raises(UsageError, match="reads 6 features a message, found 5: use the corpus encoded with"):
        model(torch.zeros(1, 2, 5))
    with pytest.raises(UsageError, match=r"found torch.float32 of shape \(6,\)"):
        model(torch.zeros(6))
    with pytest.raises(UsageError, match="packed features need the mask"):
        model(torch.zeros(2, 6))
    with pytest.raises(UsageError, match=r"must be \(B, T\) with 2 real messages, found 3 in \(1, 3\)"):
        model(torch.zeros(2, 6), torch.ones(1, 3, dtype=torch.bool))
    with pytest.raises(UsageError, match="found torch.int64"):
        model(torch.zeros(1, 2, 6, dtype=torch.int64))
    with pytest.raises(UsageError, match="mask must be torch.bool"):
        model(torch.zeros(1, 2, 6), torch.ones(1, 2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 10, "num_heads": 4}, "hidden_size must be a multiple of num_heads"),
        ({"kernel_sizes": [4]}, "kernel_sizes must be odd"),
        ({"kernel_sizes": []}, "kernel_sizes must be odd"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, found 1.0"),
        ({"num_classes": 1}, "num_classes must be at least 2, found 1"),
        ({"input_size": 0}, "input_size must be at least 1, found 0"),
        ({"num_layers": -1}, "num_layers must be at least 0, found -1"),
    ],
)
def test_arguments_outside_their_range_raise(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_model(**changes)


@pytest.mark.parametrize("hidden_size", [9, 15])
def test_odd_hidden_sizes_work(hidden_size: int) -> None:
    features, mask = make_batch([4, 2])
    assert torch.isfinite(make_model(hidden_size=hidden_size, num_heads=3)(features, mask)).all()


def test_gradients_of_a_padded_batch_are_the_sum_of_those_alone() -> None:
    model = make_model().double().train()
    for module in model.modules():
        if hasattr(module, "p"):
            module.eval()  # no dropout
    features, mask = make_batch([6, 3, 1, 0])
    model(features, mask).square().sum().backward()
    together = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    for row, length in zip(features, mask.sum(1).tolist(), strict=True):
        model(row[None, :length]).square().sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(together[name], parameter.grad, rtol=1e-9, atol=1e-11, msg=name)


def test_every_parameter_gets_a_finite_gradient_in_training() -> None:
    model = make_model().train()
    features, mask = make_batch([6, 3, 1, 0])
    model(features.masked_fill(~mask[:, :, None], float("nan")), mask).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        # The keys' bias shifts all attention logits of a query alike, so it alone has no effect.
        assert "qkv.bias" in name or parameter.grad.abs().sum() > 0, name


def test_training_is_reproducible_from_the_dropout_generator() -> None:
    model = make_model().train()
    features, mask = make_batch([6, 3])
    results = []
    for _ in range(2):
        set_dropout_generator(model, torch.Generator().manual_seed(4))
        results.append(model(features, mask))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], model(features, mask))


def test_evaluation_does_not_depend_on_any_generator() -> None:
    features, mask = make_batch([6, 3])
    model = make_model()
    assert torch.equal(model(features, mask), model(features, mask))


def test_bf16_autocast_is_close_in_training_and_evaluation() -> None:
    model = make_model()
    features, mask = make_batch([7, 3, 1, 0])
    expected = model(features, mask).sigmoid()
    with torch.autocast("cpu", torch.bfloat16):
        half = model(features, mask).float().sigmoid()
        loss = model.train()(features, mask).float().sum()
    torch.testing.assert_close(half, expected, rtol=0, atol=2e-2)
    loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_bf16_autocast_on_a_cpu_multiplies_matrices_of_few_shapes() -> None:
    model, rows = make_model(), []
    model.projection.register_forward_hook(lambda _, given, __: rows.append(len(given[0])))
    for lengths in ([7, 3, 1, 0], [9, 9], [60], [70]):
        features, mask = make_batch(lengths)
        model(features, mask)
        with torch.autocast("cpu", torch.bfloat16):
            assert model(features, mask).shape == (len(lengths),)
            assert model.embed(features, mask).shape == (len(lengths), model.embedding_size)
    assert rows == [11, 64, 64, 18, 64, 64, 60, 64, 64, 70, 128, 128]


def test_bf16_autocast_leaves_a_model_in_float64_as_it_is() -> None:
    model = make_model().double()
    for lengths in ([7, 3, 1, 0], [40] * 60):  # gathered, and joined
        features, mask = make_batch(lengths)
        with torch.autocast("cpu", torch.bfloat16):
            found = model(features.double(), mask)
        torch.testing.assert_close(found, model(features.double(), mask), rtol=0, atol=1e-12)


def test_fillers_are_zeros_whatever_the_scaling() -> None:
    model = make_model()
    features, mask = make_batch([7, 3, 1])
    features[:, :, 0] = 1e30
    model.set_scaling([1e30, *[0.0] * (model.input_size - 1)], [1.0] * model.input_size)
    with torch.autocast("cpu", torch.bfloat16):
        model.train()(features, mask).sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_copy_and_state_dict_give_the_same_scores() -> None:
    model = make_model()
    features, mask = make_batch([6, 3])
    other = SequenceClassifier(**model.config()).eval()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(features, mask), model(features, mask))
    assert torch.equal(copy.deepcopy(model)(features, mask), model(features, mask))

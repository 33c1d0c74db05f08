"""The model file: what is kept, byte for byte; what is refused at saving; what it does not hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch

from tenor.errors import ModelFileError, StorageError, UsageError
from tenor.lexical import LexicalPrior, count_texts, fit_lexical
from tenor.models.model_file import (
    ModelMetadata,
    find_model_path,
    load_model,
    read_metadata,
    save_model,
)
from tenor.models.sequence import SequenceClassifier

GOLDEN = Path(__file__).parent / "golden"


def make_model(**changes: object) -> SequenceClassifier:
    model = SequenceClassifier(
        **{"input_size": 3, "hidden_size": 4, "num_layers": 1, "num_heads": 2, **changes}
    )  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5, generator=generator)
        model.set_scaling([0.5, -1.0, 2.0], [1.0, 2.0, 0.25])
    return model.eval()


def make_metadata(model: SequenceClassifier, **changes: object) -> ModelMetadata:
    full = {
        "level": "author",
        "config": model.config(),
        "threshold": 0.25,
        "threshold_objective": "f1",
        "profile_thresholds": {"mean": 0.5, "total_vote": 2.0},
        "feature_names": ("a", "b", "c"),
        "encoder_name": "lsa",
        "encoder_hash": "ab" * 32,
        "split_hash": "cd" * 32,
        "training": {"epochs": 3, "validation": {"f1": 0.5, "roc_auc": None}, "kernel": [3, 5]},
        **changes,
    }
    return ModelMetadata(**full)  # type: ignore[arg-type]


def test_everything_comes_back(tmp_path: Path) -> None:
    model = make_model(num_classes=3, kernel_sizes=[1, 5])
    metadata = make_metadata(model, classes=("x", "y", "z"))
    loaded = load_model(save_model(tmp_path / "model.pt", model, metadata))
    assert loaded.metadata == metadata
    assert loaded.lexical is None
    assert not loaded.model.training
    assert loaded.model.config() == model.config()
    features = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(loaded.model(features), model(features))


def test_a_setting_of_a_former_name_is_read_under_its_own(tmp_path: Path) -> None:
    model = make_model()
    training = {"config": {"seed": 3, "max_padded_messages": 4096}}
    save_model(tmp_path / "m.safetensors", model, make_metadata(model, training=training))
    found = read_metadata(tmp_path / "m.safetensors").training["config"]
    assert found == {"seed": 3, "micro_batch_messages": 4096}


def test_a_loaded_model_can_be_trained_further(tmp_path: Path) -> None:
    model = make_model()
    loaded = load_model(save_model(tmp_path / "m", model, make_metadata(model))).model.train()
    loaded(torch.zeros(2, 3, 3)).sum().backward()
    assert all(parameter.grad is not None for parameter in loaded.parameters())
    torch.optim.SGD(loaded.parameters(), 0.1).step()


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    model = make_model()
    metadata = make_metadata(model)
    first = save_model(tmp_path / "first.safetensors", model, metadata).read_bytes()
    assert save_model(tmp_path / "second.pt", model, metadata).read_bytes() == first
    loaded = load_model(tmp_path / "second.pt")
    assert save_model(tmp_path / "third", loaded.model, loaded.metadata).read_bytes() == first


def fit_small_lexical(num_classes: int) -> LexicalPrior:
    words = ["red apple", "green pear", "blue plum"]
    labels = np.arange(30) % num_classes
    texts = [f"{words[label]} {index}" for index, label in enumerate(labels)]
    own = fit_lexical(texts, labels, num_classes=num_classes)
    return LexicalPrior({"own": own, "peak": fit_lexical(texts[::-1], labels, num_classes=num_classes)})


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_lexical_prior_comes_back(tmp_path: Path, num_classes: int) -> None:
    model = make_model(num_classes=num_classes, has_prior=True)
    lexical = fit_small_lexical(num_classes)
    metadata = make_metadata(model, classes=tuple(range(num_classes)))
    path = save_model(tmp_path / "first", model, metadata, lexical=lexical)
    loaded = load_model(path)
    assert loaded.lexical is not None
    texts = ["red", "a green pear", ""]
    assert list(loaded.lexical.models) == ["own", "peak"]
    for part, saved in lexical.models.items():
        np.testing.assert_array_equal(loaded.lexical.models[part].logits(texts), saved.logits(texts))
    again = save_model(tmp_path / "again", loaded.model, loaded.metadata, lexical=loaded.lexical)
    assert again.read_bytes() == path.read_bytes()


def test_a_lexical_prior_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    plain, several = make_model(), make_model(num_classes=3, has_prior=True)
    with pytest.raises(ModelFileError, match="there is a lexical prior, but config.has_prior is false"):
        save_model(tmp_path / "m", plain, make_metadata(plain), lexical=fit_small_lexical(2))
    metadata = make_metadata(several, classes=("a", "b", "c"))
    with pytest.raises(ModelFileError, match="the lexical prior has 1 outputs, the model 3"):
        save_model(tmp_path / "m", several, metadata, lexical=fit_small_lexical(2))
    assert not (tmp_path / "m").exists()


def test_the_file_holds_no_text_of_the_prior(tmp_path: Path) -> None:
    canaries = [f"canary{index:04d}" for index in range(1000)]
    lexical = LexicalPrior({"own": fit_lexical([f"{word} flies" for word in canaries], np.arange(1000) % 2)})
    model = make_model(has_prior=True)
    content = save_model(tmp_path / "m", model, make_metadata(model), lexical=lexical).read_bytes()
    assert not [word for word in canaries if word.encode() in content]


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    model = make_model()
    path = save_model(tmp_path / "m", model, make_metadata(model))
    before = torch.get_rng_state()
    load_model(path)
    assert torch.equal(before, torch.get_rng_state())


def test_safetensors_itself_reads_the_file(tmp_path: Path) -> None:
    model = make_model()
    path = save_model(tmp_path / "m.safetensors", model, make_metadata(model))
    with safetensors.safe_open(path, framework="numpy") as file:
        assert set(file.keys()) == set(model.state_dict())
        np.testing.assert_array_equal(file.get_tensor("feature_std"), [1.0, 2.0, 0.25])


def test_narrow_weights_are_kept_as_float32(tmp_path: Path) -> None:
    model = make_model().bfloat16()
    loaded = load_model(save_model(tmp_path / "m", model, make_metadata(model))).model
    assert loaded.projection.weight.dtype == torch.float32
    assert torch.equal(loaded.projection.weight, model.projection.weight.float())


def test_wide_weights_are_refused(tmp_path: Path) -> None:
    model = make_model().double()
    with pytest.raises(ModelFileError, match="torch.float64: weights are kept in float32, not written"):
        save_model(tmp_path / "m", model, make_metadata(model))
    assert not (tmp_path / "m").exists()


def test_weights_that_are_not_finite_are_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    model = make_model()
    path = save_model(tmp_path / "m", model, make_metadata(model))
    before = path.read_bytes()
    with torch.no_grad():
        model.projection.weight[0, 0] = float("nan")
    with pytest.raises(ModelFileError, match=r"tensor projection\.weight holds NaN or infinity, not written"):
        save_model(path, model, make_metadata(model))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"level": "profile"}, "metadata.level must be one of 'conversation', 'author', found a string"),
        (
            {"threshold": float("nan")},
            "metadata.threshold must be a finite number or null, found a number that",
        ),
        (
            {"training": {"path": Path("x")}},
            "metadata.training.'path' must be a JSON value, found a value of",
        ),
        ({"training": {"loss": float("inf")}}, "metadata.training.'loss' must be finite"),
        ({"training": {1: 2}}, "metadata.training must have strings as keys"),
        ({"classes": ("a", 1)}, "metadata.classes must be different numbers or different strings"),
        ({"classes": (0, 1, 2)}, "metadata.classes must have config.num_classes = 2 entries, found 3"),
        ({"feature_names": ("a", 2)}, r"metadata.feature_names\[1\] must be a string"),
        ({"profile_thresholds": {"mean": "x"}}, "metadata.profile_thresholds.'mean' must be a finite number"),
        ({"config": {}}, "metadata.config is not the model's config, not written"),
    ],
)
def test_metadata_that_the_format_does_not_allow_are_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    model = make_model()
    with pytest.raises(ModelFileError, match=message):
        save_model(tmp_path / "m", model, make_metadata(model, **changes))
    assert not (tmp_path / "m").exists()


def test_a_model_takes_the_place_of_a_model_and_of_no_other_file(tmp_path: Path) -> None:
    assert find_model_path(None, "author") == Path("models/author_classifier.pt")
    with pytest.raises(UsageError, match="must name a file, but .* is a folder"):
        find_model_path(tmp_path, "author")
    own = tmp_path / "thesis.pt"
    for content in (b"PK\x03\x04 what torch.save wrote", b"{}", b'\x40\0\0\0\0\0\0\0{"weight":{}}'):
        own.write_bytes(content)
        with pytest.raises(UsageError, match=r"found another file at .*thesis\.pt \(name another"):
            find_model_path(own, "author")
    own.write_bytes(b"")
    assert find_model_path(own, "author") == own
    model = make_model()
    save_model(own, model, make_metadata(model))
    assert find_model_path(str(own), "author") == own


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    model = make_model()
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        save_model(tmp_path / "file" / "m", model, make_metadata(model))


def test_metadata_are_read_without_torch() -> None:
    code = (
        "import sys\nfrom tenor.models.model_file import read_metadata\n"
        f"assert read_metadata({str(GOLDEN / 'v1.safetensors')!r}).level == 'author'\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_golden_file_of_version_1_loads_and_scores_as_ever() -> None:
    """The file was written by the first version; it must load for ever, so it is never written again."""
    loaded = load_model(GOLDEN / "v1.safetensors")
    assert loaded.metadata == read_metadata(GOLDEN / "v1.safetensors")
    assert loaded.metadata.format_version == 1
    assert loaded.metadata.profile_thresholds == {"mean": 0.5, "total_vote": 2.0}
    features = torch.linspace(-1.0, 1.0, 24).view(2, 4, 3)
    mask = torch.tensor([[True] * 4, [True, False, False, False]])
    assert loaded.model(features, mask).tolist() == pytest.approx([0.220479, 0.137603], abs=1e-5)


def test_golden_file_with_an_aggregation_makes_profiles_as_ever() -> None:
    """Written when author models learned an aggregation; never written again."""
    trained = read_metadata(GOLDEN / "v1-profiles.safetensors").trained_aggregation
    assert trained is not None
    assert (trained.threshold, trained.rule, trained.fitted.method) == (0.375, "f1", "log_odds")
    found = trained.fitted.logits(np.array([1.0, -2.0, 0.5]), np.array([0, 0, 1]), 2)
    # the sum times 2^-.5 and the count times 2^-.5, standardised, weighed
    expected = [
        1.25 * (-1 / 2**0.5 - 0.25) / 2 + 0.5 * (2**0.5 - 1.5) / 0.5 - 0.75,
        1.25 * (0.5 - 0.25) / 2 + 0.5 * (1 - 1.5) / 0.5 - 0.75,
    ]
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


def test_golden_file_with_every_part_of_a_prior_loads_and_scores_as_ever() -> None:
    """Written when authors joined the prior of conversations; never written again."""
    prior = load_model(GOLDEN / "v1-authors.safetensors").lexical
    assert prior is not None and prior.surface is not None and prior.authors is not None
    expected = {
        "own": 2.301478, "bayes": 1.163041, "characters": 1.823766, "character_bayes": 1.544094, "first": 2.301478,
        "rest": 2.301478, "peak": 2.301478,
    }  # fmt: skip
    found = {part: float(model.logits(["please pay you"])[0]) for part, model in prior.models.items()}
    assert found == pytest.approx(expected, abs=1e-5)
    counts = count_texts(["please pay you", "hello"])
    assert prior.authors.score_authors(counts)[:, 0].tolist() == pytest.approx(
        [5.008613, -5.662671], abs=1e-5
    )
    assert prior.authors.logits(counts, np.zeros(2, np.int64), 1).tolist() == pytest.approx(
        [5.760766], abs=1e-5
    )

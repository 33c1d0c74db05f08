"""What a model file says of itself, and the check of that JSON, key by key and type by type.

Knows nothing of files, tensors or torch.
"""

from __future__ import annotations

import dataclasses
import math
import types
from dataclasses import dataclass, field
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from tenor import __version__
from tenor.aggregation.trained import TRAINED, TrainedAggregation, from_json
from tenor.corpus.class_order import describe_positive
from tenor.corpus.schema import Label
from tenor.errors import ModelFileError, UsageError
from tenor.metrics.thresholds import Threshold

#: Written into every model file; a file with a higher number is refused.
MODEL_FORMAT_VERSION = 1

_MAX_LISTED = 5  # names that one message lists
_MAX_DEPTH = 16  # of nested JSON in ModelMetadata.training


@dataclass(frozen=True)
class ModelMetadata:
    """Everything about a model but its weights; plain JSON values.

    Attributes:
        level: what the model reads: whole conversations or one author's messages in them.
        config: the arguments of SequenceClassifier, see SequenceClassifier.config.
        classes: the labels as the user wrote them, in the order of the logits; (0, 1) for binary labels.
        threshold: of the probability, chosen on validation; None for several classes or when not chosen.
        threshold_objective: what the threshold was chosen by, such as "f1".
        profile_thresholds: a threshold for each aggregation that has one.
        aggregation: of an author model, how its training learned to make profiles (tenor.aggregation.trained); None
            where it did not.
        feature_names: names of the features, in order; may be empty.
        encoder_name: the encoder that made the features; None for features made elsewhere.
        encoder_hash: its hash; None for features made elsewhere.
        split_hash: of the assignment of groups to splits that the model was trained under.
        training: numbers and names about the fit (epochs, seed, validation metrics); never text of messages.
        tenor_version: the version that made the model.
        format_version: of the file.
    """

    level: Literal["conversation", "author"]
    config: dict[str, Any]
    classes: tuple[Label, ...] = (0, 1)
    threshold: float | None = None
    threshold_objective: str | None = None
    profile_thresholds: dict[str, float] = field(default_factory=dict)
    aggregation: dict[str, Any] | None = None
    feature_names: tuple[str, ...] = ()
    encoder_name: str | None = None
    encoder_hash: str | None = None
    split_hash: str | None = None
    training: dict[str, Any] = field(default_factory=dict)
    tenor_version: str = field(default_factory=lambda: __version__)
    format_version: int = MODEL_FORMAT_VERSION

    @property
    def threshold_rule(self) -> str:
        """The rule of the threshold; f1 where none was chosen."""
        return "f1" if self.threshold_objective is None else self.threshold_objective

    @property
    def is_of_own_loop(self) -> bool:
        """Whether a loop outside tenor trained it, of which nothing is known."""
        return self.training.get("loop") == "own"

    @property
    def is_start_alone(self) -> bool:
        """Whether no epoch convinced validation, so that the network adds nothing to what it started from."""
        prior = self.training.get("config", {}).get("prior", "none")
        return prior != "none" and self.training.get("best_epoch") == 0

    @property
    def trained_aggregation(self) -> TrainedAggregation | None:
        """The aggregation in the file, with its threshold."""
        if self.aggregation is None:
            return None
        fitted = from_json(self.aggregation, len(self.classes))
        return TrainedAggregation(fitted, self.profile_thresholds.get(TRAINED), self.threshold_rule)

    @property
    def trained_choice(self) -> dict[str, Any] | None:
        """How the threshold of ``trained`` was chosen, as Threshold's fields; None where the file does not say."""
        choices = self.training.get("thresholds")
        found = choices.get(TRAINED) if isinstance(choices, dict) else None
        if not isinstance(found, dict):
            return None
        try:
            _read_fields(Threshold, found, "training.thresholds")
        except ModelFileError:
            return None
        return found if found["value"] == self.profile_thresholds.get(TRAINED) else None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What to know of how its scores come about, in sentences."""
        found = []
        positive = describe_positive(self.classes)
        if positive is not None:
            found.append(positive)
        if self.is_of_own_loop:
            found.append("the model was trained by a loop of its maker's own, of which the file says nothing")
        if self.is_start_alone:
            found.append("the model is its start alone: no epoch of the network convinced validation of more")
        if self.training.get("has_authors"):
            found.append("the model also scores each author in a conversation, as authors' labels taught it")
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values, checked; what parse_metadata reads back to an equal object.

        Raises:
            ModelFileError: a field that the format does not allow.
        """
        values = {entry.name: _plain(getattr(self, entry.name)) for entry in dataclasses.fields(self)}
        if self.aggregation is None:  # so that versions that know none read the file
            del values["aggregation"]
        parse_metadata(values)
        return values


@dataclass(frozen=True)
class _Config:
    """The arguments of SequenceClassifier with the largest values that a file may ask for."""

    input_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    dropout: float
    kernel_sizes: tuple[int, ...]
    num_classes: int
    has_prior: bool


_CONFIG_RANGES = {
    "input_size": (1, 1 << 20),
    "hidden_size": (1, 1 << 16),
    "num_layers": (0, 256),
    "num_heads": (1, 1 << 16),
    "num_classes": (2, 1 << 20),
}


def parse_metadata(values: Any) -> ModelMetadata:  # noqa: ANN401 - any JSON value
    """Check JSON values against ModelMetadata and build it.

    Args:
        values: what the JSON of the file holds.

    Raises:
        ModelFileError: an unknown or missing key, a wrong type, a value out of range; it names the key.
    """
    if isinstance(values, dict):
        values = {"aggregation": None, **values}  # earlier versions wrote none
    metadata: ModelMetadata = _read_fields(ModelMetadata, values, "metadata")
    config: _Config = _read_fields(_Config, metadata.config, "metadata.config")
    settings = metadata.training.get("config")
    if isinstance(settings, dict) and "max_padded_messages" in settings:  # its former name
        settings["micro_batch_messages"] = settings.pop("max_padded_messages")
    for name, (least, most) in _CONFIG_RANGES.items():
        value = getattr(config, name)
        if not least <= value <= most:
            raise ModelFileError(f"metadata.config.{name} must be from {least} to {most}, found {value}")
    if not 0.0 <= config.dropout < 1.0:
        raise ModelFileError(f"metadata.config.dropout must be in [0, 1), found {config.dropout}")
    if not 1 <= len(config.kernel_sizes) <= 64 or any(
        size % 2 == 0 or not 0 < size < 1024 for size in config.kernel_sizes
    ):
        raise ModelFileError("metadata.config.kernel_sizes must be 1 to 64 odd numbers below 1024")
    if config.hidden_size % config.num_heads:
        raise ModelFileError("metadata.config.hidden_size must be a multiple of num_heads")
    _check_classes(metadata.classes, config.num_classes)
    _check_aggregation(metadata)
    _check_json(metadata.training, "metadata.training", _MAX_DEPTH)
    if metadata.format_version != MODEL_FORMAT_VERSION:
        raise ModelFileError(
            f"metadata.format_version must be {MODEL_FORMAT_VERSION}, found {metadata.format_version}"
        )
    return metadata


def _check_aggregation(metadata: ModelMetadata) -> None:
    """Refuse an aggregation that is not an author model's, whole, and with a threshold where there are two classes."""
    if metadata.aggregation is None:
        return
    if metadata.level != "author":
        raise ModelFileError(f"metadata.aggregation is for authors, found level {metadata.level!r}")
    if (len(metadata.classes) == 2) != (TRAINED in metadata.profile_thresholds):
        raise ModelFileError(
            f"metadata.profile_thresholds must have {TRAINED!r} of two classes, and of two alone"
        )
    try:
        from_json(metadata.aggregation, len(metadata.classes))
    except UsageError as error:
        raise ModelFileError(f"metadata.aggregation: {error}") from error


def _check_classes(classes: tuple[Label, ...], num_classes: int) -> None:
    if len(classes) != num_classes:
        raise ModelFileError(
            f"metadata.classes must have config.num_classes = {num_classes} entries, found {len(classes)}"
        )
    if (
        len({(type(label), label) for label in classes}) != len(classes)
        or len({type(x) for x in classes}) != 1
    ):
        raise ModelFileError("metadata.classes must be different numbers or different strings")


def _read_fields(cls: type[Any], values: object, where: str) -> Any:  # noqa: ANN401 - an instance of cls
    """Build a dataclass from a JSON object that has exactly its fields, each of the annotated type."""
    if not isinstance(values, dict):
        raise ModelFileError(f"{where} must be an object, found {_type_name(values)}")
    hints = get_type_hints(cls)
    unknown = sorted(map(str, values.keys() - hints.keys()))
    missing = sorted(hints.keys() - values.keys())
    if unknown:
        raise ModelFileError(f"{where} has unknown keys: {list_names(unknown)}")
    if missing:
        raise ModelFileError(f"{where} lacks keys: {list_names(missing)}")
    return cls(**{name: _read_value(values[name], hint, f"{where}.{name}") for name, hint in hints.items()})


def _read_value(value: object, hint: Any, where: str) -> Any:  # noqa: ANN401 - a value of the hinted type
    """Check one JSON value against a type annotation; lists become tuples, whole numbers floats where due."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        matching = [option for option in arguments if _matches(value, option)]
        if matching:
            return _read_value(value, matching[0], where)
    elif origin is Literal:
        if isinstance(value, str) and value in arguments:
            return value
        raise ModelFileError(f"{where} must be one of {list_names(arguments)}, found {_type_name(value)}")
    elif origin is tuple and isinstance(value, list):
        return tuple(_read_value(item, arguments[0], f"{where}[{i}]") for i, item in enumerate(value))
    elif origin is dict and isinstance(value, dict):
        inner = arguments[1]
        if inner is Any:
            return value
        return {key: _read_value(item, inner, f"{where}.{_quote(key)}") for key, item in value.items()}
    elif origin is None and _matches(value, hint):
        return float(value) if hint is float else value  # type: ignore[arg-type] # _matches says a number
    raise ModelFileError(f"{where} must be {_describe(hint)}, found {_type_name(value)}")


def _matches(value: object, hint: Any) -> bool:  # noqa: ANN401 - a type annotation
    if hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, get_origin(hint) or hint)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer too large for a float
        return False


def _check_json(value: object, where: str, depth: int) -> None:
    """Refuse what JSON has no form for: objects, keys that are not strings, numbers that are not finite."""
    if depth == 0:
        raise ModelFileError(f"{where} is nested deeper than {_MAX_DEPTH}")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ModelFileError(f"{where} must have strings as keys, found {_type_name(key)}")
            _check_json(item, f"{where}.{_quote(key)}", depth - 1)
    elif isinstance(value, list):
        for item in value:
            _check_json(item, f"{where}[]", depth - 1)
    elif isinstance(value, float | int) and not _is_finite(value):
        raise ModelFileError(f"{where} must be finite")
    elif value is not None and not isinstance(value, str | bool | int | float):
        raise ModelFileError(f"{where} must be a JSON value, found {_type_name(value)}")


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Tuples as lists, dicts copied, all the way down; anything else as it is."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def list_names(names: Any) -> str:  # noqa: ANN401 - any iterable of names
    """Up to five names, quoted and shortened, for one message."""
    listed = list(names)
    more = f" and {len(listed) - _MAX_LISTED} more" if len(listed) > _MAX_LISTED else ""
    return ", ".join(map(_quote, listed[:_MAX_LISTED])) + more


def _quote(name: object) -> str:
    """A name out of a file, safe to print: escaped, at most 60 characters."""
    text = str(name)
    return ascii(text if len(text) <= 60 else text[:57] + "...")


def _describe(hint: Any) -> str:  # noqa: ANN401 - a type annotation
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(option) for option in arguments)
    if origin is tuple:
        return f"a list, each {_describe(arguments[0])}"
    names = {
        str: "a string",
        int: "an integer",
        float: "a finite number",
        bool: "true or false",
        type(None): "null",
    }
    return "an object" if origin is dict else names[hint]


def _type_name(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "a number that is not finite"
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), f"a value of type {type(value).__name__}")

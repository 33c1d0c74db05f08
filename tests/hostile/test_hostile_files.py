"""Every hostile model file is refused with its own message, and nothing in it is executed."""

from __future__ import annotations

import importlib.util
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from tenor.corpus.corpus import open_corpus
from tenor.errors import CorpusError, ModelFileError
from tenor.models.model_file import load_model, read_metadata


def load_maker() -> ModuleType:
    path = Path(__file__).with_name("make_hostile.py")
    spec = importlib.util.spec_from_file_location("make_hostile", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_hostile"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


maker = load_maker()
NAMES = sorted({**maker.CONTAINERS, **maker.CHANGES})

#: Faults that only the arrays or the config's shapes show; reading metadata alone does not look there.
IN_ARRAYS = {name for name in NAMES if "weight" in name or "std" in name} | {
    "other_config",
    "missing_tensor",
    "path_as_name",
    "lexical_unasked",
    "lexical_part",
    "lexical_unknown",
    "wrong_shape",
}

PICKLES = sorted(
    name for name in NAMES if name.startswith("pickle_p") or name in ("pickle_text", "torch_archive")
)
DAMAGED = ["cut_in_data", "flipped_bit", "longer"]
OTHERS = sorted(set(NAMES) - {*PICKLES, *DAMAGED, "newer_version", "path_as_name"})


@dataclass(frozen=True)
class Hostile:
    files: dict[str, tuple[Path, str]]
    sentinel: Path


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    folder = tmp_path_factory.mktemp("hostile")
    sentinel = folder / "EXECUTED"
    return Hostile(maker.make_hostile_files(folder / "files", sentinel, seed=3), sentinel)


def test_there_are_enough_with_enough_different_messages(hostile: Hostile) -> None:
    assert len(NAMES) == len(maker.CONTAINERS) + len(maker.CHANGES) >= 60
    assert len({message for _, message in hostile.files.values()}) >= 55


def check_refused(name: str, hostile: Hostile) -> None:
    """The file's own message, from every reader that looks there, and nothing of it was executed."""
    path, message = hostile.files[name]
    for read in (load_model, read_metadata):
        if read is read_metadata and name in IN_ARRAYS:
            continue
        with pytest.raises(ModelFileError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert message in str(caught.value)
        assert len(str(caught.value)) < 1000
    assert not hostile.sentinel.exists()


@pytest.mark.parametrize("name", PICKLES)
def test_fault_34_a_pickle_under_any_name_is_refused_and_not_executed(name: str, hostile: Hostile) -> None:
    check_refused(name, hostile)


@pytest.mark.parametrize("name", OTHERS)
def test_fault_35_other_content_is_refused_listing_it(name: str, hostile: Hostile) -> None:
    check_refused(name, hostile)


@pytest.mark.parametrize("name", DAMAGED)
def test_fault_36_damage_is_refused_by_the_checksum(name: str, hostile: Hostile) -> None:
    check_refused(name, hostile)


def test_fault_37_a_newer_version_is_refused_with_both_versions(hostile: Hostile) -> None:
    check_refused("newer_version", hostile)


def test_fault_38_a_path_as_a_name_is_refused(hostile: Hostile) -> None:
    check_refused("path_as_name", hostile)


def test_the_bombs_are_live(tmp_path: Path) -> None:
    source = maker.Source(b"", tmp_path / "EXECUTED", random.Random(0))
    maker.detonate(source.pickled(4))
    assert source.sentinel.exists()


def test_taken_apart_and_sealed_again_a_good_file_loads(tmp_path: Path) -> None:
    path = tmp_path / "good"
    path.write_bytes(maker.take_apart(maker.make_good(path, seed=0)).seal())
    assert load_model(path).metadata == read_metadata(path)


def test_a_flipped_bit_anywhere_is_caught(tmp_path: Path) -> None:
    path, chance = tmp_path / "flipped", random.Random(0)
    good = maker.make_good(path, seed=0)
    for place in range(0, len(good), 3):
        changed = bytearray(good)
        changed[place] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(ModelFileError):
            read_metadata(path)


def test_a_file_cut_off_anywhere_is_caught(tmp_path: Path) -> None:
    path = tmp_path / "cut"
    good = maker.make_good(path, seed=0)
    for length in range(0, len(good), 3):
        path.write_bytes(good[:length])
        with pytest.raises(ModelFileError):
            read_metadata(path)


def test_a_missing_file_and_a_folder_are_errors_too(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="absent.pt: cannot be read: No such file or directory"):
        load_model(tmp_path / "absent.pt")
    with pytest.raises(ModelFileError, match="cannot be read: Is a directory"):
        read_metadata(tmp_path)
    (tmp_path / "tenor.json").write_text("{}")
    with pytest.raises(
        ModelFileError, match="Is a directory .it is a corpus: the model comes first, then the corpus"
    ):
        read_metadata(tmp_path)
    (tmp_path / "model").write_bytes(b"x")
    with pytest.raises(
        CorpusError, match="model: expected a corpus folder, found a file: a source is imported first"
    ):
        open_corpus(tmp_path / "model")

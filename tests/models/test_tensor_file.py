"""The container: arrays of every dtype and shape come back, the checksum covers every byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tenor.errors import ModelFileError
from tenor.models.tensor_file import open_tensor_file, write_tensor_file

ARRAYS = {
    "float32": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
    "float64": np.array([np.pi, -0.0]),
    "int64": np.array([[-(2**62)], [2**62]]),
    "int32": np.arange(5, dtype=np.int32),
    "uint8": np.frombuffer(b"bytes", dtype=np.uint8),
    "empty": np.zeros((0, 7), dtype=np.float32),
    "scalar": np.array(3.5),
}


def test_arrays_and_metadata_come_back(tmp_path: Path) -> None:
    metadata = {"format_version": 1, "text": 'äöü \x00 "quoted" \\', "nested": [1, None, {"a": True}]}
    write_tensor_file(tmp_path / "f", ARRAYS, metadata)
    file = open_tensor_file(tmp_path / "f", newest_version=1)
    assert file.metadata == metadata
    arrays = file.read()
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        assert arrays[name].shape == array.shape
        assert arrays[name].tobytes() == array.tobytes()


def test_order_and_memory_layout_do_not_change_the_bytes(tmp_path: Path) -> None:
    array = np.arange(6.0).reshape(2, 3)
    write_tensor_file(tmp_path / "a", {"x": array, "y": array.T}, {"a": 1, "b": 2})
    write_tensor_file(tmp_path / "b", {"y": array.T.copy(), "x": np.asfortranarray(array)}, {"b": 2, "a": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_metadata_that_hold_a_false_checksum_do_not_confuse(tmp_path: Path) -> None:
    zeros = {"format_version": 1, "a": "0" * 64, "z": ["0" * 200]}
    write_tensor_file(tmp_path / "f", {"0" * 64: np.zeros(64)}, zeros)
    assert open_tensor_file(tmp_path / "f", 1).metadata == zeros


def test_no_arrays_are_allowed(tmp_path: Path) -> None:
    write_tensor_file(tmp_path / "f", {}, {})
    assert open_tensor_file(tmp_path / "f", 1).read() == {}


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([1.0, np.nan]), "tensor x holds NaN or infinity, not written"),
        (np.array([-np.inf], dtype=np.float32), "tensor x holds NaN or infinity, not written"),
        (np.array(["text"]), "tensor x has dtype <U4, which the format does not know"),
        (np.array([object()]), "tensor x has dtype object"),
        (np.zeros(1, dtype=">f4"), "tensor x has dtype >f4"),
    ],
)
def test_arrays_that_the_format_does_not_allow_are_refused(
    tmp_path: Path, array: np.ndarray, message: str
) -> None:
    with pytest.raises(ModelFileError, match=message):
        write_tensor_file(tmp_path / "f", {"x": array}, {})
    assert not list(tmp_path.iterdir())


def test_a_file_that_shrinks_between_opening_and_reading_is_refused(tmp_path: Path) -> None:
    write_tensor_file(tmp_path / "f", ARRAYS, {})
    file = open_tensor_file(tmp_path / "f", 1)
    (tmp_path / "f").write_bytes((tmp_path / "f").read_bytes()[:-8])
    with pytest.raises(ModelFileError, match="the file changed while it was read"):
        file.read()

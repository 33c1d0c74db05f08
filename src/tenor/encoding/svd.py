"""The leading singular vectors of a sparse matrix: as scikit-learn's TruncatedSVD, on all cores, in less memory.

In float64, because in float32 the vectors of neighbouring singular values turn into one another by some 3e-4
with the number of threads of the matrix library. Here the bits depend on the matrix and the seed alone. Knows
nothing of texts.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tenor.processes import count_cores

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]

_OVERSAMPLES = 10
_POWER_ITERATIONS = 2
#: Directions that hold less than this share of the first one's energy are rounding noise: singular values
#: below a millionth of the first.
_LEAST_ENERGY_SHARE = 1e-12
#: Columns multiplied at a time: their rows then stay in the processor's cache while the matrix passes by.
_SLAB = 32
_ROWS_AT_A_TIME = 2048


@dataclass(frozen=True, slots=True)
class LeadingDirections:
    """What `find_leading_directions` found, by falling singular value.

    Attributes:
        values: (K,) float64 singular values, K at most what was asked for: directions without any energy are
            left out.
        vectors: (D, K) float32 right singular vectors; a vector's greatest component is positive.
        variance_shares: (K,) float64 share of the variance of the matrix's N rows along each; 0 where they have none.
    """

    values: DoubleArray
    vectors: FloatArray
    variance_shares: DoubleArray


def find_leading_directions(matrix: csr_matrix, count: int, *, seed: int) -> LeadingDirections:
    """Randomized singular value decomposition of a sparse A, rows few against columns.

    Two power iterations on A A^T from N x (count + 10) normal numbers, made well conditioned by LU in between
    (Halko, Martinsson and Tropp 2011, doi:10.1137/090771806, algorithms 4.4 and 5.1). The best `count` directions
    of the row space A^T Q are found from Q^T A A^T Q and A A^T Q, so nothing but the result is D long: for N < D
    the same as scikit-learn's ``TruncatedSVD(n_iter=2, power_iteration_normalizer="LU")`` in float64, to rounding.

    Args:
        matrix: (N, D) CSR, any float type.
        count: how many directions, at least 1.
        seed: of the first draw.
    """
    from scipy.linalg import lu
    from scipy.sparse import csr_matrix
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    doubles = matrix.data.astype(np.float64)
    matrix = csr_matrix((doubles, matrix.indices, matrix.indptr), matrix.shape)  # the indices are shared
    draw = np.random.RandomState(seed)  # noqa: NPY002 - the numbers that scikit-learn draws
    basis = draw.normal(size=(matrix.shape[0], count + _OVERSAMPLES))
    # One thread for what is dense: the same bits on any number of cores. The sparse products have all of them.
    with threadpool_limits(1, user_api="blas"):
        for _ in range(_POWER_ITERATIONS):
            basis = lu(_multiply(matrix, basis), permute_l=True, overwrite_a=True, check_finite=False)[0]
        image = _multiply(matrix, basis.copy())
        mixing, energies = _rotate(basis, image, count)
        means = image.sum(axis=0) @ mixing / len(image)
        del image
        vectors = _project(matrix, basis, mixing)
    variances = np.maximum(energies / len(basis) - means**2, 0.0)
    total = _total_variance(matrix)
    return LeadingDirections(np.sqrt(energies), vectors, variances / total if total > 0 else 0 * variances)


def _multiply(matrix: csr_matrix, columns: DoubleArray) -> DoubleArray:
    """A A^T times (N, C) columns, which are overwritten and returned."""

    def multiply_slab(slab: slice) -> None:
        columns[:, slab] = matrix @ (matrix.T @ np.ascontiguousarray(columns[:, slab]))

    _for_each_slab(multiply_slab, columns.shape[1])
    return columns


def _rotate(basis: DoubleArray, image: DoubleArray, count: int) -> tuple[DoubleArray, DoubleArray]:
    """The mixing M, (C, K), that makes A^T Q M the leading right singular vectors, and their squared values.

    With Q^T A A^T Q = E L E^T, the columns of A^T Q E L^(-1/2) are an orthonormal basis of the row space, and A
    maps it to H = A A^T Q E L^(-1/2), whose own singular vectors turn it into the leading ones.
    """

    def square(rows: slice) -> DoubleArray:
        turned = image[rows] @ whitening
        found: DoubleArray = turned.T @ turned
        return found

    energies, turns = np.linalg.eigh(_sum_over_rows(lambda rows: basis[rows].T @ image[rows], len(image)))
    kept = energies > _LEAST_ENERGY_SHARE * energies[-1]
    whitening = turns[:, kept] / np.sqrt(energies[kept])
    energies, turns = np.linalg.eigh(_sum_over_rows(square, len(image)))
    leading = np.flatnonzero(energies > 0)[::-1][:count]
    return whitening @ turns[:, leading], energies[leading]


def _project(matrix: csr_matrix, basis: DoubleArray, mixing: DoubleArray) -> FloatArray:
    """A^T Q M, (D, K), each column with its greatest component positive."""
    vectors = np.empty((matrix.shape[1], mixing.shape[1]), np.float32)

    def project_slab(slab: slice) -> None:
        found = matrix.T @ (basis @ mixing[:, slab])
        found *= np.where(found.max(axis=0) >= -found.min(axis=0), 1.0, -1.0)
        vectors[:, slab] = found

    _for_each_slab(project_slab, mixing.shape[1])
    return vectors


def _total_variance(matrix: csr_matrix) -> float:
    """The sum of the columns' variances."""
    means = np.bincount(matrix.indices, matrix.data, matrix.shape[1]) / matrix.shape[0]
    return float(np.square(matrix.data).sum() / matrix.shape[0] - np.square(means).sum())


def _for_each_slab(work: Callable[[slice], None], width: int) -> None:
    """Call `work` on all columns, some at a time, on all cores: sparse products release the interpreter's lock."""
    with ThreadPoolExecutor(count_cores()) as pool:
        for _ in pool.map(work, _cut(width, _SLAB)):
            pass


def _sum_over_rows(work: Callable[[slice], DoubleArray], num_rows: int) -> DoubleArray:
    """The sum of what `work` makes of the rows, some at a time, on all cores, added in their order."""
    with ThreadPoolExecutor(count_cores()) as pool:
        parts = pool.map(work, _cut(num_rows, _ROWS_AT_A_TIME))
        total = next(parts)
        for part in parts:
            total += part
    return total


def _cut(count: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, count, size)]

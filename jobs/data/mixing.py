"""Numbers that look random but are a pure function of their inputs: the same in every process and library version.

The random generators of numpy may change their streams between versions; a row that was drawn for a cell must not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_MASK_64 = (1 << 64) - 1


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit numbers one to one.

    Args:
        values: any shape, at least one dimension (scalars would warn about overflow).
    Source:
        Steele, Lea, Flood (2014), "Fast splittable pseudorandom number generators": splitmix64.
    """
    x = values + _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))


def keyed(values: NDArray[np.uint64], key: int) -> NDArray[np.uint64]:
    """Scramble numbers in a way that depends on a key: different keys give unrelated orders."""
    key_1 = mixed(np.array([key & _MASK_64], dtype=np.uint64))
    return mixed(values ^ key_1)


def uniforms(values: NDArray[np.uint64], key: int) -> NDArray[np.float64]:
    """Numbers in [0, 1), one for each value."""
    return (keyed(values, key) >> np.uint64(11)).astype(np.float64) * 2.0**-53

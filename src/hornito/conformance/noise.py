# SPDX-License-Identifier: MIT
"""What does the reference driver's test feed a network with? Always the same noise, so ours can be the same.

Source: Mesa 25.0.7, src/gallium/targets/teflon: test_teflon.cpp seeds with 4, test_executor.cpp draws from 0..254, by
xtensor's random numbers on libstdc++: std::mt19937, and the unbiased product of its uniform_int_distribution.
"""

import numpy as np
from numpy.typing import NDArray

SEED = 4
RANGE = 255  # 255 itself is never drawn


def mersenne_words(count: int, seed: int) -> NDArray[np.uint64]:
    """The first words, of 32 bits, of C++'s std::mt19937."""
    raw = np.random.RandomState(seed).bytes(4 * count)
    return np.frombuffer(raw, "<u4").astype(np.uint64)


def reference_noise(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The bytes that the test gives a network's first input."""
    count = int(np.prod(shape))
    products = mersenne_words(count + count // 1000 + 16, SEED) * np.uint64(RANGE)
    # What would make some values likelier than others is drawn anew: as good as never.
    kept = products[(products & np.uint64(0xFFFFFFFF)) >= np.uint64((1 << 32) % RANGE)]
    return (kept[:count] >> np.uint64(32)).astype(np.uint8).reshape(shape)

# SPDX-License-Identifier: MIT
"""Does the comparison with the goldens notice a single wrong bit?"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hornito.hardware.chips import find_chip
from hornito.hardware.nn import NNDescriptor
from hornito.hardware.tp import TPDescriptor
from hornito.stream import Buffer, BufferKind, Submission, read_archive
from tests.compiler import goldens, plain
from tests.compiler.comparison import coefficients_end, differences

FLIPS = 30  # of each of the three: streams, descriptors, coefficients; for each file
FILES = ["mb-000", "mb-001", "mb-002", "mb-011", "mobiledet-004", "mobiledet-076", "yolox-106"]
WORDS = {BufferKind.NN: NNDescriptor.WORDS, BufferKind.TP: TPDescriptor.WORDS}


def flipped(data: NDArray[np.uint8], bit: int) -> NDArray[np.uint8]:
    copy = data.copy()
    copy[bit // 8] ^= 1 << bit % 8
    return copy


def with_data(submission: Submission, number: int, data: NDArray[np.uint8]) -> Submission:
    buffers: list[Buffer] = list(submission.buffers)
    buffers[number] = dataclasses.replace(buffers[number], data=data)
    return dataclasses.replace(submission, buffers=tuple(buffers))


def padded(buffer: Buffer, length: int) -> NDArray[np.uint8]:
    assert buffer.data is not None
    return np.pad(buffer.data[:length], (0, max(0, length - len(buffer.data))))


@pytest.mark.parametrize("name", FILES)
def test_every_flipped_bit_is_found(shared: Path, name: str) -> None:
    ours = goldens.compiled(shared, name).archive.submissions[1]
    theirs = goldens.golden(shared, name).submissions[1]
    rng = np.random.default_rng(sum(name.encode()))
    unnoticed = []
    for _ in range(FLIPS):
        bit = int(rng.integers(32 * len(theirs.stream)))
        stream = flipped(theirs.stream.astype("<u4").view(np.uint8), bit).view("<u4")
        if not differences(ours, dataclasses.replace(theirs, stream=stream), goldens.CHIP):
            unnoticed.append(("stream", bit))
    descriptors = [number for number, buffer in enumerate(theirs.buffers) if buffer.kind in WORDS]
    blobs = [number for number, buffer in enumerate(theirs.buffers) if buffer.kind is BufferKind.COEFFICIENTS]
    for number in [*rng.choice(descriptors, FLIPS), *rng.choice(blobs, FLIPS)]:
        buffer = theirs.buffers[number]
        if buffer.kind is BufferKind.COEFFICIENTS:
            length = coefficients_end(padded(buffer, 64), 0, goldens.CHIP)
        else:
            length = 4 * WORDS[buffer.kind]
        bit = int(rng.integers(8 * length))
        if not differences(ours, with_data(theirs, number, flipped(padded(buffer, length), bit)), goldens.CHIP):
            unnoticed.append((f"{buffer.kind} {number}", bit))
    assert unnoticed == []


def _only_nn_job(submission: Submission) -> tuple[NNDescriptor, int]:
    """The descriptor of a submission's first NN job, and the number of its coefficients' buffer."""
    buffer = next(buffer for buffer in submission.buffers if buffer.kind is BufferKind.NN)
    descriptor = NNDescriptor.decode(padded(buffer, 136).view("<u4").tolist())
    number = submission.buffer_at(descriptor.kernel_address << 6)
    assert number is not None
    return descriptor, number


def test_of_padding_kernels_just_the_offsets_count(shared: Path) -> None:
    name = "mobiledet-096"  # 12 outputs, so 4 of the 16 kernels on 8 cores are padding
    ours = goldens.compiled(shared, name).archive.submissions[1]
    theirs = goldens.golden(shared, name).submissions[1]
    descriptor, number = _only_nn_job(theirs)
    length = coefficients_end(padded(theirs.buffers[number], 64), 0, goldens.CHIP)
    blob = padded(theirs.buffers[number], length)
    outputs, cores = descriptor.out_image_z_size, goldens.CHIP.nn_cores
    assert outputs % cores
    plane = descriptor.out_image_x_stride * descriptor.out_image_y_stride
    bits: dict[str, list[int]] = {"counts": [], "does not": []}
    for core in plain.decode(blob.tobytes(), descriptor, cores):
        for kernel in core.kernels:
            start, real = 8 * core.start, kernel.offset < outputs * plane
            bits["counts"] += [start + kernel.offset_bit + bit for bit in (0, 13, 31)]
            own = bits["counts" if real else "does not"]
            own += [start + kernel.bias_bit + 31, start + kernel.weight_bits[0], start + kernel.weight_bits[-1] + 7]
        bits["counts"] += [8 * core.start, 8 * core.start + 9]  # zero-run width, number of kernels
    rng = np.random.default_rng(1)
    assert bits["does not"]
    for expected, places in bits.items():
        for bit in rng.choice(places, 40):
            found = differences(ours, with_data(theirs, number, flipped(blob, int(bit))), goldens.CHIP)
            assert bool(found) == (expected == "counts"), (expected, bit)


def test_moved_buffers_make_no_difference(shared: Path) -> None:
    ours = goldens.compiled(shared, "mb-002").archive.submissions[1]
    pages = [-(-buffer.end // 4096) for buffer in ours.buffers]
    moved = ours.moved([0x40000000 - 4096 * page for page in pages])
    assert differences(ours, moved, goldens.CHIP) == []


def test_two_buffers_for_one_are_found(shared: Path) -> None:
    """Output and input of a layer in one place is another network, though each address alone looks right."""
    ours = goldens.compiled(shared, "mb-002").archive.submissions[1]
    number = next(number for number, buffer in enumerate(ours.buffers) if buffer.kind is BufferKind.NN)
    data = padded(ours.buffers[number], 136).view("<u4").copy()
    data[7] = data[6]
    assert differences(ours, with_data(ours, number, data.view(np.uint8)), goldens.CHIP)


def test_version_8_compares_its_own_coefficients(shared: Path) -> None:
    chip = find_chip("vipnano-si-plus")
    theirs = read_archive(shared / "goldens" / "vipnano-si-plus" / "mb-002.npz").submissions[1]
    assert differences(theirs, theirs, chip) == []
    descriptor, number = _only_nn_job(theirs)
    end = coefficients_end(padded(theirs.buffers[number], 64), descriptor.out_image_z_size, chip)
    blob = padded(theirs.buffers[number], end + 64)
    for bit in (0, 8 * 64, 8 * end - 1):
        assert differences(theirs, with_data(theirs, number, flipped(blob, bit)), chip)
    assert differences(theirs, with_data(theirs, number, flipped(blob, 8 * end)), chip) == []

# SPDX-License-Identifier: MIT
"""Do TP cores move bytes as the databook's model says, and refuse what it does not cover?"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornito.crew import Crew
from hornito.hardware.tp import TPDescriptor
from hornito.virtual.faults import Fault, MMUFault
from hornito.virtual.npu import tp
from tests.virtual.machine import Bytes, Memory, as_bytes, executor, tp_stream
from tests.virtual.reference import move

TRANSPOSE = """
00000004 00080008 00000004 00000020 00000000 00070003 20000018 00000000 00080001 00080001 F0000000 00000000
80000002 F0001000 00000001 00000040 00040008 00000008 00000000 00010008 00000000 00000000 00010001 00000000
0000000A 00000000 03FFFFFF 00000000 03FFFFFF 07000000 00000007"""
DETRANSPOSE = """
00000008 00010020 00000008 00000100 00000000 001F0007 20000018 00000000 00010001 00010001 F0000000 00000000
80000002 F0001000 00000004 00000000 00010008 00000020 00000001 00040008 00000100 00000000 00010001 00000000
0000000A 00000000 03FFFFFF 00000000 03FFFFFF 03000000 00000003"""
RESHUFFLE = """
00000008 00040008 00000008 00000040 00000000 00090009 20000018 00000000 000A000A 000A000A F0000000 00000000
80000016 F0001000 00000019 00000001 00050002 00000032 00000005 00050002 00000000 00000000 00010001 00000064
0000000A 00000000 03FFFFFF 00000000 03FFFFFF 07000000 00000007"""
RESHUFFLE_CORE_1 = """
00000008 00040002 00000008 00000040 00000000 00010009 20000018 00000000 0002000A 0002000A F0000020 00000000
C0000016 F000100A 00000019 00000001 00050002 00000032 00000005 00010002 00000000 00000000 00010001 00000064
0000000A 00000000 03FFFFFF 00000000 03FFFFFF 07000000 00000007"""
PAD_CORE_1 = """
00000008 00010008 00000008 00000040 FFFFFFFF 00080008 20000018 00000000 000A000A 000A000A F0000040 00000000
C0000002 F0001064 00000000 00000001 000A0001 0000000A 00000000 0001000A 00000000 00000000 00010001 00000064
0000000A 00000000 03FFFFFF 00000000 03FFFFFF 07000000 00000007"""
INPUT, OUTPUT, CODE = 0xF0000000, 0xF0001000, 0xF0008000


def descriptor(**fields: Any) -> TPDescriptor:
    """A copy of 4x4 bytes; ``fields`` say otherwise."""
    values: dict[str, Any] = {
        "in_image_x_size": 4,
        "in_image_y_size": 4,
        "in_image_z_size": 1,
        "in_image_stride": 4,
        "in_image_slice": 16,
        "in_window_x_end": 3,
        "in_window_y_end": 3,
        "in_tile_x_size": 4,
        "in_tile_y_size": 4,
        "in_tile_x_inc": 4,
        "in_tile_y_inc": 4,
        "in_image_base_address": INPUT,
        "out_image_base_address": OUTPUT,
        "in_zp": 0,
        "out_zp": 0,
        "out_loop_0_inc": 0,
        "out_loop_6_inc": 1,
    }
    return TPDescriptor(**values | fields)


def execute(*descriptors: Bytes, data: Bytes, fill: int = 0) -> Bytes:
    """Run a job of these descriptors; gives the output's 64 KiB."""
    with Memory() as memory:
        for number, words in enumerate(descriptors):
            memory.add(CODE + 0x80000 + number * 0x1000, len(words), words)
        memory.add(0xF0000000, 0x1000, data)
        out = memory.add(0xF0001000, 0x10000)
        out[:] = fill
        executor().run(memory.space, tp_stream(*(CODE + 0x80000 + n * 0x1000 for n in range(len(descriptors)))))
        assert memory.guards_are_whole()
        return out.copy()


def words(text: str) -> Bytes:
    return np.array([int(word, 16) for word in text.split()], "<u4").view(np.uint8)


def image() -> Bytes:
    return np.random.default_rng(1).integers(0, 256, (8, 8, 4), dtype=np.uint8)


def test_transpose_vector() -> None:
    data = image()
    assert (execute(words(TRANSPOSE), data=data.reshape(-1))[:256] == data.transpose(2, 0, 1).reshape(-1)).all()


def test_detranspose_vector() -> None:
    data = image()
    planar = np.ascontiguousarray(data.transpose(2, 0, 1)).reshape(-1)
    assert (execute(words(DETRANSPOSE), data=planar)[:256] == data.reshape(-1)).all()


def reshuffled() -> tuple[Bytes, Bytes]:
    planar = np.ascontiguousarray(image().transpose(2, 0, 1))
    padded = np.pad(planar, ((0, 0), (0, 2), (0, 2)), constant_values=7)
    parts = [padded[z, row::2, column::2] for z in range(4) for row in (0, 1) for column in (0, 1)]
    return planar.reshape(-1), np.stack(parts)


def test_reshuffle_vector() -> None:
    planar, expected = reshuffled()
    assert (execute(words(RESHUFFLE), data=planar)[:400] == expected.reshape(-1)).all()


def with_no_flush(text: str, no_flush: int) -> Bytes:
    vector = words(text)
    vector.view("<u4")[12] = vector.view("<u4")[12] & 0xBFFFFFFF | no_flush << 30
    return vector


def test_reshuffle_vector_of_one_core_among_four() -> None:
    planar, expected = reshuffled()
    out = execute(with_no_flush(RESHUFFLE_CORE_1, 0), data=planar)[:400].reshape(16, 5, 5)
    assert (out[:, 2] == expected[:, 2]).all()


def test_pad_vector_of_one_core_among_four() -> None:
    planar = np.ascontiguousarray(image().transpose(2, 0, 1))
    out = execute(with_no_flush(PAD_CORE_1, 0), data=planar.reshape(-1))
    assert (out[100:200].reshape(10, 10) == np.pad(planar[1], 1, constant_values=7)).all()
    assert not out[:100].any() and not out[200:].any()


def test_two_cores_run_as_one_job() -> None:
    data = np.arange(32, dtype=np.uint8)
    first = descriptor(no_flush=1)
    second = descriptor(in_image_base_address=INPUT + 16, out_image_base_address=OUTPUT + 16)
    assert (execute(as_bytes(first), as_bytes(second), data=data)[:32] == data).all()
    with pytest.raises(Fault, match="no_flush = 0 on core 0 of 2"):
        execute(as_bytes(second), as_bytes(second), data=data)
    with pytest.raises(Fault, match="no_flush = 1 on core 0 of 1"):
        execute(as_bytes(first), data=data)


def test_zero_points_shift_and_saturate() -> None:
    data = np.array([0, 1, 10, 250, 255, 128, 9, 11] * 2, np.uint8)
    out = execute(as_bytes(descriptor(in_zp=10, out_zp=20)), data=data)[:16]
    assert out.tolist() == np.clip(data.astype(int) + 10, 0, 255).tolist()


def test_in_place_reads_the_input_as_it_was() -> None:
    fields = {"out_image_base_address": INPUT, "out_loop_6_inc": -1}
    reverse = descriptor(**{**fields, "out_image_base_address": INPUT + 15})
    with Memory() as memory:
        memory.add(CODE, 124, as_bytes(reverse))
        view = memory.add(INPUT, 0x1000, np.arange(16, dtype=np.uint8))
        executor().run(memory.space, tp_stream(CODE))
        assert view[:16].tolist() == list(range(15, -1, -1))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_descriptor_agrees_with_the_plain_model(data: st.DataObject) -> None:
    tile = [data.draw(st.integers(1, 5), f"tile {axis}") for axis in "xy"]
    step = [data.draw(st.integers(1, 6), f"step {axis}") for axis in "xy"]
    tiles = [data.draw(st.integers(1, 3), f"tiles {axis}") for axis in "xy"]
    start = [data.draw(st.integers(-4, 4), f"start {axis}") for axis in "xy"]
    end = [s + t + d * (n - 1) - 1 for s, t, d, n in zip(start, tile, step, tiles, strict=True)]
    stride = data.draw(st.integers(0, 9), "stride")
    counts = [data.draw(st.integers(1, 4), f"count {loop}") for loop in range(6)]
    incs = [data.draw(st.integers(-20, 20), f"inc {loop}") for loop in range(7)]
    if data.draw(st.booleans(), "fitting"):  # loops over the tile, each element with a place of its own
        counts = [data.draw(st.integers(1, 3), f"count {loop}") for loop in range(4)] + [1, 1]
        tile = [counts[0] * counts[1], counts[2] * counts[3]]
        step, tiles = tile, [1, data.draw(st.integers(1, 2), "tiles y")]
        end = [s + t * n - 1 for s, t, n in zip(start, tile, tiles, strict=True)]
        reach = 1
        for loop in data.draw(st.permutations([0, 1, 2, 3, 6]), "order"):
            incs[loop] = reach * data.draw(st.sampled_from([1, 1, -1]), f"sign {loop}")
            reach *= counts[loop] if loop < 6 else 8
    d = descriptor(
        in_image_x_size=data.draw(st.integers(0, 8), "x size"),
        in_image_y_size=data.draw(st.integers(0, 8), "y size"),
        in_image_z_size=data.draw(st.integers(0, 4), "z size"),
        in_image_stride=stride,
        in_image_slice=data.draw(st.integers(0, 70), "slice"),
        in_window_x_start=start[0],
        in_window_y_start=start[1],
        in_window_x_end=end[0],
        in_window_y_end=end[1],
        in_tile_x_size=tile[0],
        in_tile_y_size=tile[1],
        in_tile_x_inc=step[0],
        in_tile_y_inc=step[1],
        out_image_base_address=OUTPUT + 0x8000,
        in_zp=data.draw(st.integers(0, 255), "in_zp"),
        out_zp=data.draw(st.integers(0, 255), "out_zp"),
        **{f"out_loop_{loop}_inc": inc for loop, inc in enumerate(incs)},
        **{f"out_loop_{loop}_count": count for loop, count in enumerate(counts)},
    )
    source = np.random.default_rng(2).integers(0, 256, 0x1000, dtype=np.uint8)
    expected = np.full(0x10000, 0x5A, np.uint8)
    for address, value in move(d, lambda address: int(source[address - INPUT])).items():
        expected[address - OUTPUT] = value
    assert (execute(as_bytes(d), data=source, fill=0x5A) == expected).all()


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"in_tile_x_size": 0}, "in_tile_x_size = 0"),
        ({"in_tile_y_inc": 0}, "in_tile_y_inc = 0"),
        ({"in_tile_x_size": 3}, "in_tile_x_size = 3, in_tile_x_inc = 4 do not divide the window 0..3"),
        ({"in_window_x_start": 5}, "window is empty"),
        ({"out_loop_3_count": 0}, "out_loop_3_count = 0"),
        ({"out_loop_2_reset": 1}, "out_loop_2_reset = 1"),
        ({"out_loop_1_reset": 1}, "out_loop_1_reset = 1, but loops 0 and 1 count 1 for in_tile_x_size = 4"),
        ({"out_loop_3_reset": 1}, "out_loop_3_reset = 1, but loops 2 and 3 count 1 for in_tile_y_size = 4"),
        (
            {
                **{"in_window_x_end": 32767, "in_window_y_end": 32767, "in_image_z_size": 65535},
                **{"in_tile_x_size": 32768, "in_tile_y_size": 32768, "out_loop_6_inc": 0},
            },
            "elements; the model stops at",
        ),
    ],
)
def test_a_descriptor_without_a_meaning_is_refused(fields: dict[str, int], why: str) -> None:
    with pytest.raises(Fault, match=why) as caught:
        execute(as_bytes(descriptor(**fields)), data=np.zeros(16, np.uint8))
    assert (caught.value.unit, caught.value.job, caught.value.address) == ("TP", 0, CODE + 0x80000)


@pytest.mark.parametrize(
    ("word", "value", "why"),
    [
        (6, 0x20000019, "in_tile_sequence = 0x1"),
        (12, 0x00000002, "last = 0"),
        (24, 0x0100000A, "w24"),
        (2, 0x10004, "w2"),
    ],
)
def test_an_unknown_value_is_refused(word: int, value: int, why: str) -> None:
    bytes_ = as_bytes(descriptor()).copy()
    bytes_.view("<u4")[word] = value
    with pytest.raises(Fault, match=why):
        execute(bytes_, data=np.zeros(16, np.uint8))


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"in_image_base_address": 0xEFFFFFFF}, 0xEFFFFFFF),
        ({"in_image_z_size": 2, "in_image_slice": 0xFFFFFFFF}, 0xF0011000),
        ({"out_image_base_address": 0xF0010FF1}, 0xF0011000),
        ({"out_loop_6_inc": -1, "out_image_base_address": 0xF000000E}, 0xEFFFFFFF),
        ({"out_image_base_address": 0}, 0),
    ],
)
def test_an_address_outside_every_buffer_is_refused(fields: dict[str, int], address: int) -> None:
    with pytest.raises(MMUFault) as caught:
        execute(as_bytes(descriptor(**fields)), data=np.zeros(16, np.uint8))
    assert (caught.value.job, caught.value.address) == (0, address)


@pytest.mark.parametrize("program", [TRANSPOSE, DETRANSPOSE, RESHUFFLE, RESHUFFLE_CORE_1, PAD_CORE_1])
def test_shared_among_threads_gives_the_same(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tp, "WORTH_A_THREAD", 1)
    found = []
    for workers in (1, 2, 3, 100):
        crew = Crew(workers)
        with Memory() as memory:
            content = words(program).view("<u4").copy()
            content[12] &= ~np.uint32(1 << 30)  # alone, a core is the last one
            memory.add(CODE + 0x80000, 124, content.view(np.uint8))
            memory.add(INPUT, 0x1000, image().reshape(-1))
            out = memory.add(OUTPUT, 0x10000)
            tp.TPUnit(crew).run(memory.space, (CODE + 0x80000,))
            assert memory.guards_are_whole()
            found.append(out.tolist())
        crew.close()
    assert found.count(found[0]) == len(found)


@pytest.mark.parametrize("inside", [True, False])
def test_a_single_pixel_is_moved(inside: bool) -> None:
    place = 3 if inside else 4
    fields = {f"in_window_{axis}_{end}": place for axis in "xy" for end in ("start", "end")}
    fields |= {f"in_tile_{axis}_{what}": 1 for axis in "xy" for what in ("size", "inc")}
    found = execute(as_bytes(descriptor(in_zp=9, out_zp=9, **fields)), data=np.arange(16, dtype=np.uint8))
    assert found[0] == (15 if inside else 9)

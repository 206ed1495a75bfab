# SPDX-License-Identifier: MIT
"""What does an NN job do? Fetch and check a descriptor, decode its coefficients, convolve, store."""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornito.cost import Work, nn_work
from hornito.crew import ALONE, Crew
from hornito.errors import Unsupported
from hornito.hardware import array
from hornito.hardware.chips import Chip
from hornito.hardware.nn import ARITHMETIC, BYTES, MAX_TILE_X, NEGATIVE_SHIFT, CachingMode, NNDescriptor, Pooling
from hornito.virtual.faults import Fault, MMUFault
from hornito.virtual.memory import AddressSpace
from hornito.virtual.npu import kernels
from hornito.virtual.npu.coefficients import READERS
from hornito.virtual.npu.convolution import ACCUMULATOR_LIMIT, Bound, Factor, Target, Window, as_one_row, prepare
from hornito.virtual.npu.hazards import Footprint
from hornito.virtual.npu.weights import KernelShape, shape_of

_ADDRESSES = {name: (NNDescriptor.layout()[name], shift) for name, shift in NNDescriptor.addresses().items()}
_REST = np.full(NNDescriptor.WORDS, 0xFFFFFFFF, np.uint32)  # the bits of a descriptor that are no address
for _field, _ in _ADDRESSES.values():
    _REST[_field.word] &= np.uint32(~_field.mask & 0xFFFFFFFF)
_CACHE_BYTES = 192 << 20
_LAYERS_KEPT = 4096


@dataclass(frozen=True)
class Layer:
    """A checked descriptor without its addresses. ``skip``: bytes from the input's address to the window's image;
    ``reads``: how many of it are read, 0 where only the border is; ``writes``: from the first output to the last."""

    skip: int
    reads: int
    writes: int
    window: Window
    target: Target
    shape: KernelShape
    descriptor: NNDescriptor


@dataclass(frozen=True, eq=False)
class ReadyLayer:
    """A job that was fetched and checked, and what it has to do."""

    work: Work
    layer: Layer
    convolution: Bound
    source: int
    destination: int

    @property
    def footprint(self) -> Footprint:
        """The image that it reads, coefficients aside, and the planes that it writes."""
        start = self.source + self.layer.skip
        reads, writes = (start, start + self.layer.reads), (self.destination, self.destination + self.layer.writes)
        return Footprint((reads,), (writes,))


@dataclass(frozen=True, eq=False)
class _Decoded:
    """Coefficients as they were in memory, what became of them, and the whole job's work."""

    blob: NDArray[np.uint8]
    convolution: Bound
    work: Work
    nbytes: int


class NNUnit:
    """All NN cores of a chip. Keeps what it decoded, and uses it again only where memory still holds the same bytes."""

    def __init__(self, chip: Chip, cache_bytes: int = _CACHE_BYTES, crew: Crew = ALONE) -> None:
        reader = READERS.get(chip.coefficient_format)
        if reader is None:
            raise Unsupported(
                f"{chip.name}: the virtual NPU does not model coefficients of format "
                f"{chip.coefficient_format.value!r}; use --device cpu or another --chip"
            )
        self._chip = chip
        self._reader = reader
        self._layers: dict[bytes, Layer] = {}
        self._decoded: OrderedDict[tuple[bytes, int], _Decoded] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._crew = crew

    def run(self, space: AddressSpace, address: int) -> None:
        """Execute the descriptor at ``address``. Raises Fault before anything is written."""
        self.execute(space, self.fetch(space, address))

    def fetch(self, space: AddressSpace, address: int) -> ReadyLayer:
        """Read and check the descriptor at ``address``, and its coefficients. Raises Fault."""
        words = space.view(address, BYTES).view("<u4")[: NNDescriptor.WORDS].copy()
        at = {
            name: (int(words[field.word]) & field.mask) >> field.lsb << shift
            for name, (field, shift) in _ADDRESSES.items()
        }
        coefficients, source, destination = at["kernel_address"], at["in_image_address"], at["out_image_address"]
        words &= _REST
        key = words.tobytes()
        layer = self._layers.get(key)
        if layer is None:
            try:
                layer = _layer(words, self._chip)
            except Fault as fault:
                fault.address = address
                raise
            if len(self._layers) >= _LAYERS_KEPT:
                self._layers.clear()
            self._layers[key] = layer
        decoded = self._convolution(space, key, layer, coefficients)
        return ReadyLayer(decoded.work, layer, decoded.convolution, source, destination)

    def _convolution(self, space: AddressSpace, key: bytes, layer: Layer, address: int) -> _Decoded:
        """The decoded coefficients that memory holds now."""
        shape = layer.shape
        known = self._decoded.get((key, address))
        if known is not None and _is_there(space, address, known.blob):
            self._decoded.move_to_end((key, address))
            return known
        try:
            header = space.view(address, self._reader.header(shape, self._chip))
            size = self._reader.size(header, shape, self._chip)
            kept = space.view(address, size).copy()  # decoded from the copy: nobody can change it on the way
            weights = self._reader.decode(kept, shape, self._chip)
        except MMUFault:
            raise
        except Fault as fault:
            fault.address = address
            raise
        convolution = prepare(weights, shape, ARITHMETIC[self._chip.nn_version].centre)
        decoded = _Decoded(
            kept,
            convolution.bind(layer.window, layer.target, self._crew.workers),
            nn_work(layer.descriptor, size, self._chip),
            kept.nbytes + convolution.nbytes,
        )
        self._keep((key, address), decoded)
        return decoded

    def _keep(self, key: tuple[bytes, int], decoded: _Decoded) -> None:
        """Remember this; forget what was not used for longest, where there is too much."""
        self._decoded[key] = decoded
        self._decoded.move_to_end(key)
        bytes_kept = sum(entry.nbytes for entry in self._decoded.values())
        while bytes_kept > self._cache_bytes:
            _, oldest = self._decoded.popitem(last=False)
            bytes_kept -= oldest.nbytes

    def execute(self, space: AddressSpace, ready: ReadyLayer) -> None:
        """Convolve and store. Raises Fault before anything is written."""
        layer, convolution, destination = ready.layer, ready.convolution, ready.destination
        low = ready.source + layer.skip
        image = space.view(low, layer.reads) if layer.reads else np.zeros(1, np.uint8)
        out = space.view(destination, layer.writes, write=True)
        if destination < low + layer.reads and low < destination + layer.writes:
            image = image.copy()  # the output is computed from the input as it was
        if convolution.safe:
            convolution.run(image, out, self._crew)
            return
        result = out.copy()
        worst = convolution.run(image, result, self._crew)
        if worst >= ACCUMULATOR_LIMIT:
            raise Fault(f"an accumulator of {worst:.0f} in size; the model stops at {ACCUMULATOR_LIMIT}", unit="NN")
        out[:] = result


def _is_there(space: AddressSpace, address: int, blob: NDArray[np.uint8]) -> bool:
    """Whether memory still holds those bytes."""
    try:
        found = space.view(address, len(blob))
    except MMUFault:
        return False  # other coefficients may be shorter
    return bool(kernels.same(_wide(found), _wide(blob)))


def _wide(blob: NDArray[np.uint8]) -> NDArray[np.uint32]:
    return blob.view(np.uint32)


def _reads(w: Window, planes: int) -> int:
    """How many bytes of its image a window reads; they begin with the first pixel."""
    last_y = min(w.y_size - 1, w.step * (w.out_y - 1) + w.kernel_y - 1 + w.offset_y)
    last_x = min(w.x_size - 1, w.step * (w.out_x - 1) + w.kernel_x - 1 + w.offset_x)
    if last_y < 0 or last_x < 0:
        return 0  # only the border is read
    return (planes - 1) * w.plane_stride + last_y * w.row_stride + last_x + 1


def _layer(words: NDArray[np.uint32], chip: Chip) -> Layer:
    """Check a descriptor, addresses aside, against all that is known of it. Raises Fault naming field and value."""
    problem = next(NNDescriptor.violations(words.tolist()), None)
    if problem is not None:
        raise _fault(problem)
    d = NNDescriptor.decode(words.tolist())
    _check_version(d, chip)
    _check_sizes(d, chip)
    _check_tile(d, chip)
    _check_caches(d, chip)
    first_pixel = d.pooling == Pooling.FIRST_PIXEL
    step = 2 if first_pixel else 1
    offset_x, offset_y = d.offsets(chip.offset_bits)
    unread_x, unread_y = max(0, offset_x), max(0, offset_y)  # columns and rows that no output sees
    window = Window(
        plane_stride=d.in_image_x_stride * d.in_image_y_stride,
        row_stride=d.in_image_x_stride,
        x_size=max(0, d.in_image_x_size - unread_x),
        y_size=max(0, d.in_image_y_size - unread_y),
        border=d.in_image_border_const,
        offset_x=min(0, offset_x),
        offset_y=min(0, offset_y),
        step=step,
        kernel_x=d.kernel_xy_size,
        kernel_y=d.kernel_y_size,
        out_x=d.out_image_x_size // step,
        out_y=d.out_image_y_size // step,
    )
    plane = d.out_image_x_stride * d.out_image_y_stride
    lowest = d.out_zero_point if d.relu else 0
    arithmetic = ARITHMETIC[chip.nn_version]
    factor = Factor((1 << arithmetic.mantissa_bits) + d.multiplier, arithmetic.shift_base + d.shift)
    target = Target(plane, d.out_image_x_stride, window.out_x, lowest, d.out_zero_point, factor)
    window, target = as_one_row(window, target)
    shape = shape_of(d)
    writes = (shape.outputs - 1) * target.plane_stride + (window.out_y - 1) * target.row_stride + target.x_size
    skip = unread_y * d.in_image_x_stride + unread_x
    return Layer(skip, _reads(window, shape.planes), writes, window, target, shape, d)


def _fault(text: str) -> Fault:
    return Fault(f"descriptor: {text}", unit="NN")


def _check_version(d: NNDescriptor, chip: Chip) -> None:
    """Refuse what this generation, or this chip, does not have."""
    version = chip.nn_version
    if d.multiplier >> ARITHMETIC[version].mantissa_bits:
        raise _fault(f"post_multiplier {d.multiplier:#x}: version {version} has fewer bits")
    modern = int(version >= 8)
    for name in ("no_z_offset", "no_flush"):
        if getattr(d, name) != modern:
            raise _fault(f"{name} = {1 - modern}: {'always' if modern else 'never'} set on version {version}")
    if d.depthwise and not chip.depthwise:
        raise _fault(f"depthwise = 1: never set on {chip.name}")
    if d.depthwise and d.channels != d.out_image_z_size:
        raise _fault(f"depthwise = 1 with {d.channels} input and {d.out_image_z_size} output channels")
    for name in ("in_image_x_offset_bit_4", "in_image_y_offset_bit_4"):
        if getattr(d, name) and chip.offset_bits < 5:
            raise _fault(f"{name} = 1: offsets of {chip.name} have {chip.offset_bits} bits")
    if modern and d.shift >= NEGATIVE_SHIFT:
        raise _fault(f"post_shift {d.shift}: that it means {d.shift - 2 * NEGATIVE_SHIFT} is inferred only")
    first_pixel = d.pooling == Pooling.FIRST_PIXEL
    if first_pixel and not chip.first_pixel_pooling:
        raise _fault(f"pooling = {d.pooling}: {chip.name} has no first-pixel pooling")
    if d.pooling_xy_size == first_pixel:
        raise _fault(f"pooling_xy_size = {d.pooling_xy_size} with pooling = {d.pooling}: never written so")


def _check_sizes(d: NNDescriptor, chip: Chip) -> None:
    """Refuse sizes that do not fit together, or do not fit the chip."""
    step = 2 if d.pooling == Pooling.FIRST_PIXEL else 1
    for name in (
        *("in_image_x_size", "in_image_y_size", "out_image_x_size", "out_image_y_size", "out_image_z_size"),
        *("channels", "kernel_xy_size", "kernel_y_size", "kernels_per_core"),
        *("out_image_tile_x_size", "out_image_tile_y_size"),
    ):
        if not getattr(d, name):
            raise _fault(f"{name} = 0")
    for name in ("kernel_xy_size", "kernel_y_size"):
        if getattr(d, name) > chip.max_kernel:
            raise _fault(f"{name} = {getattr(d, name)}: {chip.name} has kernels up to {chip.max_kernel}")
    if d.out_image_tile_x_size > MAX_TILE_X:
        raise _fault(f"out_image_tile_x_size = {d.out_image_tile_x_size}: at most {MAX_TILE_X}")
    if d.in_image_border_const > 255:
        raise _fault(f"in_image_border_const = {d.in_image_border_const}: at most 255")
    for name in ("out_image_x_size", "out_image_y_size"):
        if getattr(d, name) % step:
            raise _fault(f"{name} = {getattr(d, name)}: must be even with first-pixel pooling")
    for size, stride in (("out_image_x_size", "out_image_x_stride"), ("out_image_y_size", "out_image_y_stride")):
        if getattr(d, size) // step > getattr(d, stride):
            raise _fault(f"{size} = {getattr(d, size)} does not fit {stride} = {getattr(d, stride)}")


def _check_tile(d: NNDescriptor, chip: Chip) -> None:
    """Refuse a tile whose input or whose sums the unit has no room for."""
    width, height = d.out_image_tile_x_size, d.out_image_tile_y_size
    shared = array.interleave(chip.nn_version, width, d.kernel_xy_size)
    rows = array.most_rows(chip, shared, d.kernel_y_size)
    if height > rows:
        raise _fault(
            f"out_image_tile_y_size = {height}: with tiles {width} wide and kernels {d.kernel_y_size} high the input "
            f"buffer of {chip.input_depth} lines is enough for {rows}"
        )
    step = 2 if d.pooling == Pooling.FIRST_PIXEL else 1
    kernels = array.most_kernels(chip, d.kernel_y_size, (width, height), shared, step)
    if d.kernels_per_core > kernels:
        raise _fault(
            f"kernels_per_core = {d.kernels_per_core}: with tiles of {width}x{height} the accumulators, "
            f"{chip.accumulator_depth} deep, hold {kernels}"
        )


def _check_caches(d: NNDescriptor, chip: Chip) -> None:
    """Refuse windows beyond the SRAM, and those that share bytes of it."""
    for which in ("kernel", "image"):
        for end in ("start", "end"):
            name = f"{which}_cache_{end}_address"
            if getattr(d, name) > chip.vip_sram:
                raise _fault(f"{name} = {getattr(d, name):#x}: the chip has {chip.vip_sram:#x} bytes of SRAM")
    if CachingMode.NONE in (d.kernel_caching_mode, d.image_caching_mode):
        return
    first = max(d.kernel_cache_start_address, d.image_cache_start_address)
    if first < min(d.kernel_cache_end_address, d.image_cache_end_address):
        raise _fault(f"image_cache_start_address = {d.image_cache_start_address:#x}: both caches have byte {first:#x}")

# SPDX-License-Identifier: MIT
"""Do programs that know nothing of Hornito find the node, and does it work for them? And does our own driver?"""

import ctypes.util
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from hornito.cli.main import main
from hornito.runtime import Session, open_device
from hornito.stream import NpuSegment, read_archive
from tests.runtime.networks import Layer, noise
from tests.supervisor.conftest import Run
from tests.virtual.machine import golden_places, run_golden
from tests.virtual.test_goldens import reference

STRANGER = Path(__file__).parent / "stranger.py"

needs_libdrm = pytest.mark.skipif(
    ctypes.util.find_library("drm") is None, reason="libdrm.so.2 is not installed (Debian: libdrm2)"
)


@pytest.fixture(scope="module")
def submissions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled layer, and an input for it."""
    folder = tmp_path_factory.mktemp("layer")
    (folder / "layer.tflite").write_bytes(Layer(kernel=3, rows=14, columns=14, inputs=16, outputs=24).model())
    assert main(["compile", str(folder / "layer.tflite"), "-o", str(folder / "layer.npz"), "--chip", "vipnano-qi"]) == 0
    np.save(folder / "input.npy", noise((1, 14, 14, 16), np.uint8, 1))
    return folder


@needs_libdrm
def test_a_stranger_runs_a_submission_and_reads_right_outputs(submissions: Path, run: Run, tmp_path: Path) -> None:
    place = submissions / "layer.npz"
    archive = read_archive(place)
    (segment,) = archive.segments
    assert isinstance(segment, NpuSegment)
    submission = archive.submissions[segment.submission]
    (taken,), (given,) = submission.inputs, submission.outputs
    address = [submission.buffers[port.buffer].address + port.offset for port in (taken, given)]
    feed = [str(segment.submission), str(submissions / "input.npy"), str(address[0])]
    read = ["--read", str(address[1]), str(given.bytes), str(tmp_path / "out.npy")]
    outcome = run(sys.executable, str(STRANGER), str(place), *feed, *read)
    assert (outcome.code, outcome.err) == (0, "")
    lines = ["nodes: /dev/dri/renderD128", "driver: etnaviv 1 4 0", "core: 0x8000 0x7120"]
    assert outcome.out.splitlines() == [*lines, *(f"submission {n}: status 1" for n in range(len(archive.submissions)))]
    device = open_device("virtual")
    assert device is not None
    with device:
        session = Session(archive, device, 1)
        found = session.run({taken.tensor.index: np.load(submissions / "input.npy")})
        session.close()
    assert np.array_equal(np.load(tmp_path / "out.npy"), found[given.tensor.index].reshape(-1))


@needs_libdrm
def test_a_stranger_runs_a_golden(shared: Path, run: Run, tmp_path: Path) -> None:
    name = "mb-000"
    places = golden_places(shared, "vipnano-qi")[name]
    interpreter = reference(shared / "models" / f"{name}.tflite", 1)
    tensors = {place.tensor: interpreter.get_tensor(place.tensor) for place in places}
    golden = shared / "goldens" / "vipnano-qi" / f"{name}.npz"
    (taken,), (given,) = ([p for p in places if p.role == role] for role in ("input", "output"))
    np.save(tmp_path / "in.npy", tensors[taken.tensor])
    arguments = [str(golden), str(taken.submission), str(tmp_path / "in.npy"), str(taken.address)]
    read = ["--read", str(given.address), str(given.bytes), str(tmp_path / "out.npy")]
    outcome = run(sys.executable, str(STRANGER), *arguments, *read)
    assert (outcome.code, outcome.err) == (0, "")
    found = np.load(tmp_path / "out.npy")
    assert np.array_equal(found, run_golden(read_archive(golden), places, tensors)[given.tensor].reshape(-1))
    assert np.abs(found.astype(int) - tensors[given.tensor].reshape(-1).astype(int)).max() <= 1


def test_our_own_driver_uses_the_node_as_a_real_one(submissions: Path, run: Run, tmp_path: Path) -> None:
    outputs = [tmp_path / "exec.npy", tmp_path / "alone.npy"]
    arguments = ["run", str(submissions / "layer.tflite"), "--input", str(submissions / "input.npy"), "--output"]
    hornito = [sys.executable, "-m", "hornito.cli.main"]
    outcome = run(*hornito, *arguments, str(outputs[0]), "--device", "/dev/dri/renderD128")
    assert outcome.code == 0, outcome.err
    assert "device: /dev/dri/renderD128 (vipnano-qi-88-0)" in outcome.err
    assert main([*arguments, str(outputs[1]), "--device", "virtual"]) == 0
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_another_chip_s_node_is_another(run: Run) -> None:
    code = (
        "import fcntl; a = bytearray(16); a[4] = 2; fcntl.ioctl(open('/dev/dri/renderD128', 'rb+', 0), 0xC0106440, a)"
    )
    outcome = run(python=f"{code}; print(a[8:10].hex())", options=("--chip", "imx8mp"))
    assert (outcome.code, outcome.out) == (0, "0280\n")


@pytest.mark.skipif(shutil.which("drmdevice") is None, reason="drmdevice is not installed (Debian: libdrm-tests)")
def test_drmdevice_sees_a_sane_device(run: Run) -> None:
    outcome = run("drmdevice")
    assert (outcome.code, outcome.err) == (0, "")
    for text in ("--- Devices reported 1 ---", "nodes[2] /dev/dri/renderD128", "/soc/npu@ff100000", "vivante,gc"):
        assert text in outcome.out


@pytest.mark.skipif(shutil.which("drm_info") is None, reason="drm_info is not installed (Debian: drm-info)")
def test_drm_info_finds_a_node_that_drives_no_screen(run: Run) -> None:
    outcome = run("drm_info", "/dev/dri/renderD128")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err.startswith("drmModeGetResources: ")

# SPDX-License-Identifier: MIT
"""Does the page of a recording show, in a real browser, what it should, on any screen and to any hand?"""

import dataclasses
import io
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hornito.cli.main import main
from hornito.stream import BufferKind, write_archive
from hornito.trace.load import load
from hornito.trace.pictures import coloured, mosaic, png
from hornito.trace.records import WHOLE_SUBMIT, Done, Header, JobTime, Recording, Store, Written
from hornito.trace.report import report
from hornito.trace.show import Options, show
from hornito.trace.submissions import add_submission
from tests.browser import Browser, Page
from tests.trace.samples import archive, recorded

Open = Callable[..., Page]


def made(times: int = 1, name: str = "in", *, timed: bool = False) -> Recording:
    """A convolution between two moves, submitted so often, with contents of all its tensors."""
    store = Store()
    random = np.random.default_rng(1)
    compiled = archive()
    submission = next(one for one in compiled.submissions if one.inputs)
    port = submission.inputs[0]
    named = dataclasses.replace(port, tensor=dataclasses.replace(port.tensor, name=name))
    submission = dataclasses.replace(submission, inputs=(named, *submission.inputs[1:]))
    for number in range(times):
        add_submission(store, submission)
        after = [
            Written(place, store.keep(random.integers(1, 256, buffer.size, np.uint8).tobytes()))
            for place, buffer in enumerate(submission.buffers)
            if buffer.kind is BufferKind.TENSOR
        ]
        for job in range(3 if timed else 0):
            store.events.append(JobTime(number, job, "NN", 1000 * job, 1000))
        if timed:
            store.events.append(JobTime(number, WHOLE_SUBMIT, "", 0, 4_500_000))
        store.events.append(Done(number, 500, 1, tuple(after)))
    return store.recording("made.trace", Header("test", compiled.chip))


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Open:
    """Opens the page of a recording."""

    def shown(recording: Recording, width: int = 1200, dark: bool = False) -> Page:
        place = tmp_path / "report.html"
        place.write_bytes(report(recording))
        return browser.open(place, width, 900, dark=dark)

    return shown


def data(page: bytes) -> dict[str, dict[str, dict[str, object]]]:
    """What the page's script reads."""
    found = re.search(rb'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    loaded: dict[str, dict[str, dict[str, object]]] = json.loads(found[1])
    return loaded


def names(shown: Page, group: str) -> list[str]:
    """The jobs that a part of the page has, in order."""
    found: list[str] = shown.evaluate(
        f"[...document.querySelectorAll('{group} [data-job]')].map(cell => cell.dataset.job)"
    )
    return found


def title(shown: Page) -> str:
    """Of the job that is shown; "" where none is."""
    return str(
        shown.evaluate("(box => box.open ? box.querySelector('h2').innerText : '')(document.querySelector('dialog'))")
    )


def test_every_job_is_there_and_nothing_is_loaded_or_goes_wrong(opened: Open, tmp_path: Path) -> None:
    shown = opened(load(recorded(tmp_path / "F.trace")))
    numbers = names(shown, ".graph")
    assert len(numbers) == 3 and sorted(names(shown, ".lanes")) == numbers
    units = shown.evaluate("[...document.querySelectorAll('.graph .name b')].map(unit => unit.innerText)")
    assert [unit.split()[1] for unit in units] == ["TP", "NN", "TP"]
    assert shown.evaluate("document.querySelectorAll('.calls path').length") == 1
    for number in numbers:
        shown.click(f".graph [data-job='{number}']")
        assert title(shown).startswith(f"Job {number}:")
        shown.press("Escape")
    assert shown.errors == []
    assert [one for one in shown.requested if not one.startswith("data:")] == [shown.evaluate("location.href")]


def test_listing_behind_a_job_is_that_of_show(opened: Open) -> None:
    recording = made()
    shown = opened(recording)
    shown.click(".graph [data-job='0.1']")
    assert shown.evaluate("document.querySelector('dialog pre').textContent") == ""  # until it is opened
    shown.click("dialog summary")
    while not (text := str(shown.evaluate("document.querySelector('dialog pre').textContent"))):
        time.sleep(0.01)  # a browser tells that something was opened a little later
    expected = [line.text.rstrip("?") for line in show(recording, Options())]
    assert len(text.splitlines()) > 50
    assert [line for line in text.splitlines() if not any(one.startswith(line.rstrip("?")) for one in expected)] == []
    facts = str(shown.evaluate("document.querySelector('dialog dl').innerText"))
    assert "time, modelled" in facts and "reads from\njob 0.0" in facts and "read by\njob 0.2" in facts


def test_keyboard_alone_reaches_every_job(opened: Open) -> None:
    shown = opened(made())
    shown.evaluate("document.querySelector('.graph [data-job]').focus()")
    shown.press("ArrowDown")
    shown.press("Enter")
    assert title(shown).startswith("Job 0.1: NN")
    shown.press("ArrowRight")
    assert title(shown).startswith("Job 0.2: TP")
    shown.press("ArrowRight")
    assert title(shown).startswith("Job 0.2: TP")
    shown.press("Escape")
    assert title(shown) == ""
    assert shown.evaluate("document.activeElement.dataset.job") in ("0.1", "0.2")
    stops = shown.evaluate("document.querySelectorAll('.graph [tabindex=\"0\"]').length")
    assert stops == 1 and shown.errors == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_page_fits_a_telephone(dark: bool, opened: Open) -> None:
    shown = opened(made(), 390, dark)
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390
    shown.click(".graph [data-job='0.1']")
    assert shown.evaluate("document.querySelector('dialog').getBoundingClientRect().right") <= 390
    colour = str(shown.evaluate("getComputedStyle(document.body).backgroundColor"))
    lightness = [int(part) for part in colour[4:-1].split(",")]
    assert max(lightness) < 60 if dark else min(lightness) > 200
    assert shown.errors == []


@pytest.mark.parametrize("width", [390, 1200])
def test_bars_are_as_long_as_jobs_take(width: int, opened: Open) -> None:
    shown = opened(made(), width)
    drawn = shown.evaluate("[...document.querySelectorAll('.cost i')].map(bar => bar.getBoundingClientRect().width)")
    said = shown.evaluate("[...document.querySelectorAll('.cost i')].map(bar => parseFloat(bar.style.width))")
    scale = max(drawn) / max(said)
    assert drawn == pytest.approx([max(1, share * scale) for share in said], abs=1)


def test_tensors_are_drawn_where_the_recording_has_them(opened: Open) -> None:
    shown = opened(made())
    shown.click(".graph [data-job='0.1']")
    found = shown.evaluate("[...document.querySelectorAll('.pictures img')].map(image => image.alt)")
    assert [words.split()[0] for words in found] == ["reads", "writes"]
    page = report(made())
    assert {"0.1.reads", "0.1.writes"} < set(data(page)["pictures"])


def test_page_of_a_submission_file_has_neither_calls_nor_contents(opened: Open, tmp_path: Path) -> None:
    place = tmp_path / "O.npz"
    write_archive(place, archive())
    shown = opened(load(place))
    text = str(shown.evaluate("document.body.innerText"))
    assert "No calls were recorded." in text and "no contents of tensors" in text
    assert "modelled for" in text and len(names(shown, ".graph")) == 3 and shown.errors == []


def test_names_in_a_recording_are_text_wherever_they_stand(opened: Open) -> None:
    shown = opened(made(name="</script><script>alert(1)</script><b id=bad>"))
    shown.click(".graph [data-job='0.0']")
    assert shown.errors == [] and shown.evaluate("document.getElementById('bad')") is None
    assert shown.evaluate("document.querySelectorAll('script').length") == 2


def test_submits_that_repeat_are_drawn_once_and_told() -> None:
    page = report(made(4)).decode()
    assert "3 submits (1 to 3) do the same as submit 0" in page
    assert set(data(page.encode())["jobs"]) == {"0.0", "0.1", "0.2"}


def test_times_of_the_recording_come_before_the_model_s() -> None:
    page = report(made(timed=True)).decode()
    assert "the device&#x27;s own times, as recorded" in page and "no times of jobs" not in page
    assert "4.50 ms from being handed in until its fence" in page
    assert "no times of jobs" in report(made()).decode()


def test_report_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = recorded(tmp_path / "F.trace"), tmp_path / "report.html"
    assert main(["trace", "report", str(source), "-o", str(target)]) == 0
    assert "report.html" in capsys.readouterr().err
    assert target.read_bytes().startswith(b"<!DOCTYPE html>")


def test_recording_that_was_cut_gives_a_page_that_says_so(tmp_path: Path) -> None:
    source = recorded(tmp_path / "F.trace")
    content = source.read_bytes()
    for length in range(len(content) // 3, len(content), len(content) // 7):
        source.write_bytes(content[:length])
        recording = load(source)
        page = report(recording).decode()
        assert recording.problem and '<ul class="problems">' in page


def test_what_is_no_recording_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "F.trace"
    source.write_bytes(b"no recording")
    assert main(["trace", "report", str(source), "-o", str(tmp_path / "x.html")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1 and not (tmp_path / "x.html").exists()


def test_page_of_a_whole_network_is_small(shared: Path, tmp_path: Path) -> None:
    place = tmp_path / "m.npz"
    assert main(["compile", str(shared / "models/mobilenet_v1_1.0_224_quant.tflite"), "-o", str(place)]) == 0
    page = report(load(place))
    assert len(page) < 1_000_000 and len(data(page)["jobs"]) == 33


def test_lines_of_a_network_with_many_branches_leave_room_on_a_telephone(shared: Path, opened: Open) -> None:
    shown = opened(load(shared / "goldens/vipnano-qi/yolox.npz"), 390)
    assert len(names(shown, ".graph")) > 100
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390
    assert max(shown.evaluate("[...document.querySelectorAll('.graph svg')].map(drawn => drawn.clientWidth)")) <= 90
    assert shown.errors == []


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 7, 5), (1000, 1, 1), (32, 112, 112), (1, 400, 3), (70, 2, 2)])
def test_mosaic_is_small_and_a_png_that_others_read(shape: tuple[int, int, int]) -> None:
    planes = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    image, shown = mosaic(planes)
    assert max(image.shape) <= 220 and 1 <= shown <= shape[0]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(image)))), image)


def test_colours_stay_what_they_are() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(coloured(pixels))))), pixels)


def test_edges_go_from_each_writer_to_its_readers() -> None:
    recording = made()
    jobs = data(report(recording))["jobs"]
    reads = [dict(job["facts"])["reads from"] for job in jobs.values()]  # type: ignore[call-overload]
    assert reads == ["no earlier job", "job 0.0", "job 0.1"]

# SPDX-License-Identifier: MIT
"""Is a fetched model the right one, whole, in its place, or else not there at all? Against a server on this machine."""

import io
import threading
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from hornito.errors import BadInput
from hornito.examples.content import content_digest
from hornito.examples.fetch import DOWNLOADS, Download, fetch
from hornito.model import Conv2DOptions, ModelBuilder, Padding, affine, find_model, read_model


def small_model(names: str = "small", bump: int = 0, output_scale: float = 0.1) -> bytes:
    """A classifier of 4 classes; ``bump`` changes one weight."""
    builder = ModelBuilder()
    value = builder.input(names, (1, 64, 64, 1), np.uint8, quantization=affine(1 / 128, 128))
    weights = np.random.default_rng(1).integers(0, 255, (4, 64, 64, 1), np.uint8)
    weights[2, 3, 1, 0] += bump
    value = builder.conv2d(
        value,
        weights,
        np.arange(4),
        weights_quantization=affine(0.01, 128),
        quantization=affine(output_scale, 100),
        options=Conv2DOptions(Padding.VALID),
    )
    builder.output(builder.softmax(builder.reshape(value, (1, 4))))
    return builder.build(names)


LABELS = b"zero\none\ntwo\nthree\n"
SMALL = Download(
    name="small",
    description="of the tests",
    url="http://127.0.0.1:9/unset.zip",
    model="*.tflite",
    labels="labels*.txt",
    digest=content_digest(read_model(small_model())),
    most_bytes=1 << 20,
)
DOWNLOADS_HERE: Mapping[str, Download] = {"small": SMALL}


def archive(model: bytes | None = None, labels: bytes = LABELS, **more: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("some/folder/small.tflite", small_model() if model is None else model)
        packed.writestr("labels_small.txt", labels)
        packed.writestr("__MACOSX/._small.tflite", b"shadow")
        for name, content in more.items():
            packed.writestr(name, content)
    return stream.getvalue()


@dataclass
class Server:
    """What the server is to do, and what it was asked: the Range of each request and its If-Range, "" where there was
    none."""

    content: bytes = b""
    status: int = 200
    ranges: bool = True
    tag: str | None = '"one"'
    date: str | None = None
    declared: bool = True  # whether it says how long the answer is
    stop_after: int | None = None  # break the connection after so many bytes of an answer
    stall: bool = False  # say nothing more after that, but hold the line
    url: str = ""
    asked: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range", "")
        self.asked.append(wanted)
        self.versions.append(request.headers.get("If-Range", ""))
        request.close_connection = True
        if self.status != 200:
            request.send_error(self.status)
            return
        start = 0
        fresh = self.versions[-1] in ("", self.tag, self.date)
        if wanted and self.ranges and fresh:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(self.content):
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{len(self.content)}")
                request.end_headers()
                return
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        else:
            request.send_response(200)
        if self.tag is not None:
            request.send_header("ETag", self.tag)
        if self.date is not None:
            request.send_header("Last-Modified", self.date)
        body = self.content[start:]
        if self.declared:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body if self.stop_after is None else body[: self.stop_after])
        request.wfile.flush()
        if self.stall:
            self.released.wait(30)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on the loopback that does what its fields say."""
    state = Server(archive())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802, the name that http.server calls
            state.answer(self)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        state.url = f"http://127.0.0.1:{listener.server_address[1]}/small.zip"
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield state
        finally:
            state.released.set()
            listener.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("HORNITO_CACHE", str(folder))
    monkeypatch.delenv("HORNITO_MODELS", raising=False)
    return folder


def stored(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file())


BOTH = ["small.labels.txt", "small.tflite"]
PARTS = ["small.zip.part", "small.zip.part.json"]


def refused(server: Server, timeout: float = 10.0) -> str:
    with pytest.raises(BadInput) as caught:
        fetch("small", url=server.url, timeout=timeout, downloads=DOWNLOADS_HERE)
    text = str(caught.value)
    assert "\n" not in text and text.startswith(server.url) and "offline" in text
    return text


def test_whole_download_is_stored_where_models_are_found(server: Server, cache: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    done = fetch(
        "small", url=server.url, downloads=DOWNLOADS_HERE, progress=lambda part, whole: seen.append((part, whole))
    )
    assert done.downloaded and server.url in done.remark
    assert find_model("small") == done.model and done.model.read_bytes() == small_model()
    assert (
        done.labels is not None
        and done.labels.read_bytes() == LABELS
        and done.labels == cache / "models" / "small.labels.txt"
    )
    assert seen[0] == (0, len(server.content)) and seen[-1] == (len(server.content), len(server.content))
    assert stored(cache) == BOTH


def test_what_is_there_already_is_left_alone(server: Server, cache: Path) -> None:
    fetch("small", url=server.url, downloads=DOWNLOADS_HERE)
    again = fetch("small", url=server.url, downloads=DOWNLOADS_HERE)
    assert not again.downloaded and "already" in again.remark
    assert server.asked == [""]


def test_broken_model_in_the_cache_is_fetched_again(server: Server, cache: Path) -> None:
    first = fetch("small", url=server.url, downloads=DOWNLOADS_HERE)
    first.model.write_bytes(small_model(bump=1))
    assert fetch("small", url=server.url, downloads=DOWNLOADS_HERE).downloaded
    assert first.model.read_bytes() == small_model()


@pytest.mark.parametrize("tag", ['"one"', None])
def test_truncated_body_is_resumed_by_the_next_call(server: Server, cache: Path, tag: str | None) -> None:
    server.stop_after, server.tag = 5000, tag
    text = refused(server)
    assert f"ended after 5000 of {len(server.content)} bytes" in text and "5000 bytes that came are kept" in text
    assert stored(cache) == PARTS
    server.stop_after = None
    seen: list[int] = []
    fetch("small", url=server.url, downloads=DOWNLOADS_HERE, progress=lambda part, whole: seen.append(part))
    assert server.asked == ["", "bytes=5000-"] and seen[0] == 5000
    assert stored(cache) == BOTH


DATE = "Mon, 02 Mar 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("tag", "date", "version"),
    [
        ('"one"', None, '"one"'),
        ('"one"', DATE, '"one"'),
        ('W/"one"', DATE, DATE),
        ('W/"one"', None, ""),
        (None, None, ""),
    ],
)
def test_resuming_asks_for_the_same_version(
    server: Server, cache: Path, tag: str | None, date: str | None, version: str
) -> None:
    server.stop_after, server.tag, server.date = 5000, tag, date
    refused(server)
    server.stop_after = None
    fetch("small", url=server.url, downloads=DOWNLOADS_HERE)
    assert (server.asked, server.versions) == (["", "bytes=5000-"], ["", version])


def test_server_without_ranges_starts_over(server: Server, cache: Path) -> None:
    server.stop_after, server.ranges = 5000, False
    refused(server)
    server.stop_after = None
    seen: list[int] = []
    fetch("small", url=server.url, downloads=DOWNLOADS_HERE, progress=lambda part, whole: seen.append(part))
    assert server.asked == ["", "bytes=5000-"] and seen[0] == 0
    assert stored(cache) == BOTH


def test_new_version_on_the_server_starts_over(server: Server, cache: Path) -> None:
    server.stop_after = 5000
    refused(server)
    server.stop_after, server.tag, server.content = None, '"two"', archive(more=b"another")
    fetch("small", url=server.url, downloads=DOWNLOADS_HERE)
    assert stored(cache) == BOTH


def test_part_of_another_address_is_not_continued(server: Server, cache: Path) -> None:
    server.stop_after = 5000
    refused(server)
    server.stop_after = None
    fetch("small", url=server.url.replace("small", "other"), downloads=DOWNLOADS_HERE)
    assert server.asked == ["", ""]


def test_part_that_is_whole_already_needs_no_more(server: Server, cache: Path) -> None:
    server.stop_after = 5000
    refused(server)
    (cache / "downloads" / "small.zip.part").write_bytes(server.content)
    fetch("small", url=server.url, downloads=DOWNLOADS_HERE)
    assert stored(cache) == BOTH


def test_part_longer_than_the_whole_is_dropped(server: Server, cache: Path) -> None:
    server.stop_after = 5000
    refused(server)
    (cache / "downloads" / "small.zip.part").write_bytes(server.content + b"more")
    assert "run it again" in refused(server)
    server.stop_after = None
    assert fetch("small", url=server.url, downloads=DOWNLOADS_HERE).downloaded


def test_unknown_length_is_told_as_none(server: Server, cache: Path) -> None:
    server.declared = False
    seen: list[int | None] = []
    fetch("small", url=server.url, downloads=DOWNLOADS_HERE, progress=lambda part, whole: seen.append(whole))
    assert set(seen) == {None} and stored(cache) == BOTH


def test_interrupt_keeps_what_came_and_stores_nothing(server: Server, cache: Path) -> None:
    def interrupt(part: int, whole: int | None) -> None:
        if part:
            raise KeyboardInterrupt

    server.stop_after = 3000
    with pytest.raises(KeyboardInterrupt):
        fetch("small", url=server.url, downloads=DOWNLOADS_HERE, progress=interrupt)
    assert stored(cache) == PARTS
    server.stop_after = None
    fetch("small", url=server.url, downloads=DOWNLOADS_HERE)
    assert server.asked == ["", "bytes=3000-"] and stored(cache) == BOTH


def test_download_that_brings_nothing_leaves_nothing(server: Server, cache: Path) -> None:
    server.stall, server.stop_after = True, 0
    assert "bytes that came" not in refused(server, timeout=0.2)
    assert stored(cache) == []

    def interrupt(part: int, whole: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("small", url=server.url, timeout=0.2, downloads=DOWNLOADS_HERE, progress=interrupt)
    assert stored(cache) == []


def test_silent_server_times_out(server: Server, cache: Path) -> None:
    server.stall, server.stop_after = True, 2000
    text = refused(server, timeout=0.2)
    assert "no answer in time" in text and "the 2000 bytes that came are kept" in text
    assert stored(cache) == PARTS


@pytest.mark.parametrize("status", [404, 403, 500])
def test_refusal_of_the_server_is_named(server: Server, cache: Path, status: int) -> None:
    server.status = status
    assert str(status) in refused(server)
    assert stored(cache) == []


def test_server_that_is_not_there_is_named(server: Server, cache: Path) -> None:
    server.url = "http://127.0.0.1:9/small.zip"
    assert "can't be reached" in refused(server)
    assert stored(cache) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (archive(small_model(bump=1)), "tensors are not those of small"),
        (archive(small_model(output_scale=0.2)), "tensors are not those of small"),
        (archive(b"no model"), "not those|convert"),
        (archive(labels=b"zero\none\n"), "has 2 labels, the model 4 outputs"),
        (archive(labels=b"\xff\xfe\0"), "no UTF-8"),
        (archive(**{"second.tflite": b"?"}), "has 2 files"),
        (b"garbage" * 1000, "no sound zip archive"),
        (b"", "no sound zip archive"),
        (archive()[:-30] + bytes(30), "no sound zip archive"),
        (archive(bytes(1 << 21)), "more than 1048576"),
        (archive() + bytes(1 << 21), "more than the 1048576"),
    ],
    ids=["weight", "scale", "no-model", "labels", "binary", "two", "garbage", "empty", "damaged", "bomb", "endless"],
)
def test_wrong_content_is_refused_and_nothing_stored(server: Server, cache: Path, content: bytes, says: str) -> None:
    import re

    server.content = content
    assert re.search(says, refused(server))
    assert not (cache / "models").exists() or not list((cache / "models").iterdir())
    server.content = archive()
    assert fetch("small", url=server.url, downloads=DOWNLOADS_HERE).downloaded


def test_flipped_bits_in_an_archive_are_refused_or_harmless(server: Server, cache: Path) -> None:
    generator = np.random.default_rng(3)
    for _ in range(40):
        content = bytearray(archive())
        content[int(generator.integers(len(content)))] ^= 1 << int(generator.integers(8))
        server.content = bytes(content)
        try:
            done = fetch("small", url=server.url, downloads=DOWNLOADS_HERE)
        except BadInput as error:
            assert "\n" not in str(error)
        else:
            assert content_digest(read_model(done.model)) == SMALL.digest
            done.model.unlink()


def test_names_in_an_archive_lead_nowhere(server: Server, cache: Path, tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        packed.writestr("../../../escaped.tflite", small_model())
        packed.writestr("/tmp/../labels.txt", LABELS)
    server.content = stream.getvalue()
    fetch("small", url=server.url, downloads=DOWNLOADS_HERE)
    assert stored(tmp_path) == BOTH


def test_other_names_in_the_model_do_not_matter(server: Server) -> None:
    server.content = archive(small_model(names="renamed"))
    assert fetch("small", url=server.url, downloads=DOWNLOADS_HERE).downloaded


def test_unknown_name_and_address_are_refused(cache: Path) -> None:
    with pytest.raises(BadInput, match="nonsense: no such download; there are mobilenet_v1"):
        fetch("nonsense")
    for url in ("file:///etc/passwd", "ftp://127.0.0.1/a", "small.zip"):
        with pytest.raises(BadInput, match="no address of the web"):
            fetch("small", url=url, downloads=DOWNLOADS_HERE)


def test_unwritable_cache_is_refused(server: Server, cache: Path) -> None:
    cache.write_bytes(b"a file in the way")
    with pytest.raises(BadInput, match="HORNITO_CACHE"):
        fetch("small", url=server.url, downloads=DOWNLOADS_HERE)


def test_second_process_is_refused(server: Server, cache: Path) -> None:
    import fcntl

    (cache / "downloads").mkdir(parents=True)
    with (cache / "downloads" / "small.zip.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BadInput, match="another process"):
            fetch("small", url=server.url, downloads=DOWNLOADS_HERE)
    assert server.asked == []


def test_mobilenet_is_known_by_its_tensors(server: Server, shared: Path, cache: Path) -> None:
    model = (shared / "models" / "mobilenet_v1_1.0_224_quant.tflite").read_bytes()
    labels = (shared / "models" / "labels_mobilenet_quant_v1_224.txt").read_bytes()
    assert content_digest(read_model(model)) == DOWNLOADS["mobilenet_v1"].digest
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        packed.writestr("mobilenet_v1_1.0_224_quant.tflite", model)
        packed.writestr("labels_mobilenet_quant_v1_224.txt", labels)
    server.content, server.stop_after = stream.getvalue(), 3 << 20
    with pytest.raises(BadInput, match="are kept"):
        fetch("mobilenet_v1", url=server.url)
    server.stop_after = None
    fetch("mobilenet_v1", url=server.url)
    assert find_model("mobilenet_v1").read_bytes() == model
    assert not fetch("mobilenet_v1", url=server.url).downloaded
    (cache / "models" / "mobilenet_v1.tflite").unlink()
    broken = bytearray(model)
    broken[len(broken) // 2] ^= 1
    server.content = archive(bytes(broken), labels)
    with pytest.raises(BadInput, match="tensors are not those of mobilenet_v1"):
        fetch("mobilenet_v1", url=server.url)
    assert not (cache / "models" / "mobilenet_v1.tflite").exists()

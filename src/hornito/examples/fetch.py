# SPDX-License-Identifier: MIT
"""How does a model that the examples use get here? Downloaded, judged by its content, put where models are found."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from zipfile import BadZipFile, LargeZipFile, ZipFile, ZipInfo
from zlib import error as ZlibError

from hornito.errors import BadInput
from hornito.examples.content import content_digest
from hornito.examples.download import Progress, discard, download
from hornito.examples.labels import parse_labels
from hornito.files import cache_directory, make_folder, write_atomically
from hornito.model import Graph, read_model

MOST_MEMBERS = 1000


@dataclass(frozen=True)
class Download:
    """A model that can be fetched: a zip archive that holds it and, with some, its labels.

    ``model`` and ``labels`` are patterns for the names of the files in the archive, its folders left out; each must
    meet exactly one. ``digest`` is ``content_digest`` of the right model. Archive and contents are refused beyond
    ``most_bytes``.
    """

    name: str
    description: str
    url: str
    model: str
    labels: str | None
    digest: str
    most_bytes: int = 1 << 26


@dataclass(frozen=True)
class Fetched:
    """Where a model and its labels are; ``remark`` says how they came there, in one line."""

    model: Path
    labels: Path | None
    downloaded: bool
    remark: str


DOWNLOADS: Mapping[str, Download] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Download(
                name="mobilenet_v1",
                description="MobileNet V1 1.0 224, uint8: names one of 1,000 things in a picture",
                url="https://storage.googleapis.com/download.tensorflow.org/models/tflite/"
                "mobilenet_v1_1.0_224_quant_and_labels.zip",
                model="*.tflite",
                labels="labels*.txt",
                digest="e167da37015d10238b05190d39ad0600d2347120e32afda9795f525b03fd0da3",
            ),
        )
    }
)


def models_directory() -> Path:
    """Where fetched models are stored; ``hornito.model.find_model`` looks here last."""
    return cache_directory() / "models"


def fetch(
    name: str,
    *,
    url: str | None = None,
    progress: Progress | None = None,
    timeout: float = 30.0,
    downloads: Mapping[str, Download] = DOWNLOADS,
) -> Fetched:
    """Have the model of that name in the cache: downloaded from ``url`` (else from where it is known to be) if needed.

    A sound one that is there already is left alone, and no connection made. What an interrupted or broken download got
    is kept, and the next call goes on from there. ``progress`` is told the bytes so far and those of the whole, or None
    where the server does not say. ``timeout``, in seconds, is for each answer of the server, not for the whole.

    Raises BadInput, one line naming the address and the cause, for an unknown name, whatever goes wrong on the way, and
    content that is not the model's; then nothing is stored.
    """
    entry = downloads.get(name)
    if entry is None:
        raise BadInput(f"{name}: no such download; there are {', '.join(sorted(downloads))}")
    url = entry.url if url is None else url
    folder = models_directory()
    model = folder / f"{name}.tflite"
    labels = folder / f"{name}.labels.txt" if entry.labels is not None else None
    if _stored(entry, model, labels):
        return Fetched(model, labels, False, f"{model}: is there already, nothing to download")

    offline = f"offline, unpack that archive elsewhere and put its {entry.model} here as {model}"
    if labels is not None:
        offline += f" and its {entry.labels} as {labels}"
    # One folder for parts: two runs of the same name meet there, and the second is refused.
    part = cache_directory() / "downloads" / f"{name}.zip.part"
    _make_folder(part.parent)
    _make_folder(folder)
    download(url, part, most_bytes=entry.most_bytes, timeout=timeout, progress=progress, cure=offline)
    try:
        model_bytes, labels_bytes = _unpack(part, entry)
    except BadInput as error:
        # To go on from what is no good would lead here again.
        discard(part)
        raise BadInput(f"{url}: {error}; nothing was stored; {offline}") from error
    if labels is not None and labels_bytes is not None:
        write_atomically(labels, labels_bytes)
    write_atomically(model, model_bytes)  # last: who finds a model finds its labels too
    discard(part)
    return Fetched(model, labels, True, f"{model}: fetched from {url}")


def _make_folder(folder: Path) -> None:
    try:
        make_folder(folder)
    except OSError as error:
        raise BadInput(f"{folder}: can't be made ({error.strerror}); set HORNITO_CACHE to a place that can") from error


def _outputs(graph: Graph) -> int:
    """How many labels a classifier needs."""
    shape = graph.tensor(graph.outputs[0]).shape if graph.outputs else ()
    return shape[-1] if shape else 1


def _judge(entry: Download, model: bytes) -> Graph:
    """The graph of a model that is the right one; raises BadInput for any other."""
    graph = read_model(model)
    found = content_digest(graph)
    if found != entry.digest:
        raise BadInput(f"the model's tensors are not those of {entry.name} (digest {found}, not {entry.digest})")
    return graph


def _stored(entry: Download, model: Path, labels: Path | None) -> bool:
    """Whether the right model, and enough labels, are in their places."""
    try:
        graph = _judge(entry, model.read_bytes())
        if labels is not None:
            parse_labels(labels.read_bytes(), _outputs(graph), str(labels))
    except (OSError, BadInput):
        return False
    return True


def _unpack(archive: Path, entry: Download) -> tuple[bytes, bytes | None]:
    """The bytes of the model and of the labels in an archive, judged. Nothing is written, so no name in it matters.

    Raises BadInput for what is no archive, lacks them, holds more than it may, or holds others.
    """
    try:
        with ZipFile(archive) as packed:
            members = packed.infolist()
            if len(members) > MOST_MEMBERS:
                raise BadInput(f"the archive has {len(members)} files, more than {MOST_MEMBERS}")
            model = _member(packed, members, entry.model, entry.most_bytes)
            labels = None if entry.labels is None else _member(packed, members, entry.labels, entry.most_bytes)
    except BadInput:
        raise
    # What zipfile raises for damage, passwords, and methods that it does not know.
    except (BadZipFile, LargeZipFile, ZlibError, RuntimeError, EOFError, OSError, ValueError, IndexError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"what came is no sound zip archive ({text})") from error
    graph = _judge(entry, model)
    if labels is not None:
        parse_labels(labels, _outputs(graph), "the labels in the archive")
    return model, labels


def _member(packed: ZipFile, members: list[ZipInfo], pattern: str, most_bytes: int) -> bytes:
    """The contents of the only file in an archive whose name, folders left out, meets a pattern."""
    found = [
        member
        for member in members
        # macOS adds a shadow of each file, under the same name behind "._" and in this folder.
        if not member.is_dir()
        and not member.filename.startswith("__MACOSX/")
        and fnmatchcase(member.filename.rpartition("/")[2], pattern)
    ]
    if len(found) != 1:
        raise BadInput(f"the archive has {len(found)} files that meet {pattern}, not one")
    if found[0].file_size > most_bytes:
        raise BadInput(f"the archive's {pattern} has {found[0].file_size} bytes, more than {most_bytes}")
    # The header may lie about the size: read no more than it may be.
    with packed.open(found[0]) as stream:
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise BadInput(f"the archive's {pattern} has more than {most_bytes} bytes")
    return content

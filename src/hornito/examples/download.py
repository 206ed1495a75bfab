# SPDX-License-Identifier: MIT
"""How does a file come over HTTP when lines break? Into a part file that the next attempt goes on from."""

import fcntl
import http.client
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from hornito.errors import BadInput
from hornito.files import write_atomically

CHUNK = 1 << 16
# The bytes that are here, and those of the whole, or None where the server does not say.
Progress = Callable[[int, int | None], None]


class _Failure(Exception):
    """Why a download stopped, in words that follow the address."""


def download(
    url: str,
    part: Path,
    *,
    most_bytes: int,
    timeout: float = 30.0,
    progress: Progress | None = None,
    cure: str = "try again later",
) -> None:
    """Have the whole of ``url`` in ``part``, going on from what an earlier call for the same address left there.

    A file beside it remembers which version that was, so that a newer one on the server starts anew; so does a server
    that can't go on. Nothing is tried twice. Raises BadInput: one line with the address, the cause, whether what came
    was kept, and ``cure``; an interrupt passes through, and what came is kept.
    """
    if not url.startswith(("http://", "https://")):
        raise BadInput(f"{url}: is no address of the web; give one that begins with https://")
    try:
        stream = part.open("r+b" if part.exists() else "w+b")
    except OSError as error:
        raise BadInput(f"{part}: can't be written ({error.strerror}); set HORNITO_CACHE to a place that can") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BadInput(f"{part}: is being downloaded by another process; wait for it to end") from error
        try:
            _receive(url, part, stream, most_bytes, timeout, progress)
        except BaseException as error:
            stream.flush()
            kept = stream.seek(0, os.SEEK_END)
            if not kept:
                discard(part)
            if not isinstance(error, _Failure):
                raise
            again = f"the {kept} bytes that came are kept, run it again to go on; " if kept else ""
            raise BadInput(f"{url}: {error}; {again}{cure}") from error.__cause__


def discard(part: Path) -> None:
    """Forget a part file and what is remembered of it."""
    _memory(part).unlink(missing_ok=True)
    part.unlink(missing_ok=True)


def _memory(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _remembered(part: Path, url: str) -> str | None:
    """Which version the part is of: an ETag, a date, "" where the server gave none; None if it can't be continued."""
    try:
        memory = json.loads(_memory(part).read_bytes())
        if memory["url"] == url and isinstance(memory["version"], str):
            return str(memory["version"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _version(response: http.client.HTTPResponse) -> str:
    """What If-Range may name: a strong ETag, else a date."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _receive(
    url: str, part: Path, stream: BinaryIO, most_bytes: int, timeout: float, progress: Progress | None
) -> None:
    """Ask for what is missing and append it. Raises _Failure."""
    version = _remembered(part, url)
    have = stream.seek(0, os.SEEK_END) if version is not None else 0
    headers = {"User-Agent": "hornito", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if version:
            headers["If-Range"] = version
    try:
        # The scheme was checked above; urllib follows redirections to the web only.
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout) as response:
            start, total = _placed(response, have)
            if total is not None and total > most_bytes:
                raise _Failure(f"has {total} bytes, more than the {most_bytes} that it may have")
            if not start:
                stream.truncate(0)
                write_atomically(_memory(part), json.dumps({"url": url, "version": _version(response)}).encode())
            stream.seek(start)
            _copy(response, stream, start, total, most_bytes, progress)
    except BadInput:
        raise  # it is a ValueError, but none of the connection's
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:
            # Range Not Satisfiable: nothing lies behind what is here.
            if error.headers.get("Content-Range") == f"bytes */{have}":
                if progress is not None:
                    progress(have, have)
                return
            stream.truncate(0)
            raise _Failure(f"the server has no more bytes than the {have} that were here; run it again") from error
        raise _Failure(f"the server answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _Failure(f"can't be reached ({_words(error.reason)})") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Failure(f"the connection failed ({_words(error)})") from error


def _words(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


def _placed(response: http.client.HTTPResponse, have: int) -> tuple[int, int | None]:
    """Where in the file an answer begins, and the size of the whole. Raises _Failure for one that fits nowhere."""
    if response.status == 206:
        place = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", response.headers.get("Content-Range", ""))
        if place is None or int(place[1]) != have:
            raise _Failure(f"the server sent another part than the one from byte {have}")
        return have, None if place[2] == "*" else int(place[2])
    if response.status != 200:
        raise _Failure(f"the server answers {response.status} {response.reason}")
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if re.fullmatch(r"\d{1,18}", length) else None


def _copy(
    response: http.client.HTTPResponse,
    stream: BinaryIO,
    start: int,
    total: int | None,
    most_bytes: int,
    progress: Progress | None,
) -> None:
    """Append what comes. Raises _Failure where it ends early or never, or can't be written."""
    done = start
    if progress is not None:
        progress(done, total)
    while piece := response.read1(CHUNK):  # as it comes: what is here when the line breaks is kept
        done += len(piece)
        if done > most_bytes:
            stream.truncate(0)
            raise _Failure(f"has more than the {most_bytes} bytes that it may have")
        try:
            stream.write(piece)
            stream.flush()
        except OSError as error:
            raise _Failure(f"can't be stored in {stream.name} ({error.strerror})") from error
        if progress is not None:
            progress(done, total)
    if total is not None and done != total:
        if done > total:
            stream.truncate(0)
        raise _Failure(f"ended after {done} of {total} bytes")

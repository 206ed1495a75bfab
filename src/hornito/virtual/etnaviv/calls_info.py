# SPDX-License-Identifier: MIT
"""What does the virtual kernel tell about itself and its chip? VERSION, GET_CAP, GET_PARAM."""

import errno

from hornito.uapi import drm, etnaviv
from hornito.virtual.etnaviv.answers import check_pipe, refuse
from hornito.virtual.etnaviv.books import Books
from hornito.virtual.etnaviv.caller import Caller
from hornito.virtual.etnaviv.client import OpenFile

_VERSION = (1, 4, 0)
_TEXTS = {"name": b"etnaviv", "date": b"20151214", "desc": b"etnaviv DRM"}
# PRIME is what the DRM core does for every driver; sync objects are what etnaviv's driver_features leave out.
_CAPS = {
    drm.Cap.TIMESTAMP_MONOTONIC: 1,
    drm.Cap.PRIME: drm.PRIME_IMPORT | drm.PRIME_EXPORT,
    drm.Cap.SYNCOBJ: 0,
    drm.Cap.SYNCOBJ_TIMELINE: 0,
}


def version(books: Books, file: OpenFile, arg: drm.Version, caller: Caller) -> None:
    arg.version_major, arg.version_minor, arg.version_patchlevel = _VERSION
    for field, text in _TEXTS.items():
        room, pointer = getattr(arg, f"{field}_len"), getattr(arg, field)
        setattr(arg, f"{field}_len", len(text))
        if pointer:
            caller.write(pointer, text[:room])


def get_cap(books: Books, file: OpenFile, arg: drm.GetCap, caller: Caller) -> None:
    value = _CAPS.get(arg.capability)  # type: ignore[call-overload]
    if value is None:
        raise refuse(errno.EOPNOTSUPP)  # what a driver that shows no picture answers
    arg.value = value


def get_param(books: Books, file: OpenFile, arg: etnaviv.GetParam, caller: Caller) -> None:
    check_pipe(arg.pipe)
    value = books.parameters.get(arg.param)
    if value is None:
        raise refuse(errno.EINVAL)
    arg.value = value

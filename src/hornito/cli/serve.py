# SPDX-License-Identifier: MIT
"""``hornito serve``: lend a device of this machine to another one."""

import argparse
import contextlib
import json
import os
import secrets
import signal
from collections.abc import Iterator

from hornito.cli.options import add_json, positive, remark

_MIB = 1 << 20
_TOKEN_BYTES = 16
_STOP = {signal.SIGINT, signal.SIGTERM}
_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Prints the address for --device and the token for $HORNITO_TOKEN that clients need (a new token each time, "
        "unless $HORNITO_TOKEN is set here too). Nothing is encrypted: across a network, use ssh -L."
    )
    parser.add_argument(
        "--listen",
        metavar="PLACE",
        default="127.0.0.1:0",
        help="HOST:PORT (port 0: any that is free) or unix:PATH (default: 127.0.0.1:0)",
    )
    parser.add_argument("--device", metavar="NAME", default="auto", help="what to lend: a name of 'hornito devices'")
    parser.add_argument("--chip", metavar="NAME", help="which chip to emulate (default: vipnano-qi)")
    parser.add_argument(
        "--memory", metavar="MIB", type=positive, default=1024, help="device memory for all clients together (1024)"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from hornito.cli.progress import preparation
    from hornito.errors import BadInput
    from hornito.remote import Address
    from hornito.remote.protocol import TOKEN_VARIABLE, check_token
    from hornito.runtime import Emulation, open_device
    from hornito.server import Limits, Server

    address = Address.to_listen(options.listen)
    given = os.environ.get(TOKEN_VARIABLE)
    token = secrets.token_urlsafe(_TOKEN_BYTES) if given is None else check_token(given, f"${TOKEN_VARIABLE}")
    device = open_device(options.device, options.chip, preparation(), emulation=Emulation(apart=True))
    if device is None:
        raise BadInput(f"device {options.device!r} is no NPU, so there is nothing to lend; use --device virtual")
    with device, _signals_kept(), Server(device, address, token, Limits(memory=options.memory * _MIB)) as server:
        place = str(server.address)
        if options.json:
            found = {"address": place, "token": token, "device": device.name, "chip": device.chip.name}
            print(json.dumps(found))  # one line, for who reads it while we run
        else:
            print(place)
            if given is None:
                print(f"{TOKEN_VARIABLE}={token}")
        print(end="", flush=True)
        remark(f"lends {device.name} ({device.chip.name}) until it is interrupted")
        if given is not None:
            remark(f"clients need the token that ${TOKEN_VARIABLE} is set to here")
        if address.host and not _is_loopback(address.host):
            remark("other machines can reach this, and nothing is encrypted: prefer 127.0.0.1 and ssh -L")
        number = signal.sigwait(_STOP)
        remark("ending")
        ended = server.close()
        if not ended:
            os._exit(_code(number))  # a job is still running, and would hold the device for as long as it likes
    return _code(number)


def _code(number: int) -> int:
    return _INTERRUPTED if number == signal.SIGINT else 0


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """The signals that end the server wait for ``sigwait``, in this thread and those that begin in the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host == "::1" or host.startswith("127.")

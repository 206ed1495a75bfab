# SPDX-License-Identifier: MIT
"""What does the user want? Finds the verb, runs it, and turns errors into one line and an exit code."""

import argparse
import contextlib
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn

from hornito import __version__
from hornito.errors import HornitoError

# Verb: its module, and its line in the help. Modules are imported only when their verb is used.
VERBS = {
    "label-image": ("label_image", "name what a picture shows: the five likeliest labels"),
    "detect": ("detect", "find what a picture shows, and draw boxes around it"),
    "inspect": ("inspect", "list a model's operators and tensors"),
    "plan": ("plan", "show which job of a model runs on NN, TP or CPU, and why"),
    "compile": ("compile", "compile a model to a submission file"),
    "run": ("run", "run a model or a submission file on arrays"),
    "benchmark": ("benchmark", "measure a model's latency, and compare it with the CPU"),
    "conformance": ("conformance", "compare a device, operator by operator, with LiteRT"),
    "exec": ("exec", "run any program with a virtual NPU as its render node"),
    "trace": ("trace", "show, compare and analyse what programs send to an NPU"),
    "devices": ("devices", "list the devices found, real and virtual"),
    "serve": ("serve", "lend a device of this machine to another one"),
    "doctor": ("doctor", "test the NPU found here against the virtual one, and write a report"),
    "fetch": ("fetch", "download a model that the examples use"),
}
INTERRUPTED, TERMINATED = (128 + number for number in (signal.SIGINT, signal.SIGTERM))
PASS_A_STATUS_ON = (("exec",), ("trace", "record"))  # verbs whose exit code is another program's ...
OWN_FAILURE = 125  # ... so that all failures of ours share this one, as env's do
TAKE_SIGTERM = (("serve",), *PASS_A_STATUS_ON)  # verbs that have an end of their own for it


class _Terminated(BaseException):
    """Somebody sent SIGTERM: everything is put away as after Ctrl-C."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line, as all other errors do."""

    usage_status = 2  # the exit code

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.set_defaults(parser=self)  # in the end that of the verb, or of its action

    def error(self, message: str) -> NoReturn:
        self.exit(self.usage_status, f"{self.prog}: {' '.join(message.split())}; see '{self.prog} --help'\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``hornito`` with these arguments (default: the process's own). Returns the exit code.

    Raises SystemExit after ``--help`` and ``--version``, and for arguments that make no sense.
    """
    _occupy_standard_descriptors()
    remarks = logging.StreamHandler(sys.stderr)
    remarks.setFormatter(logging.Formatter("hornito: %(message)s"))
    logging.getLogger("hornito").addHandler(remarks)
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        status, ours = _run_told(words)
    finally:
        logging.getLogger("hornito").removeHandler(remarks)
    return OWN_FAILURE if ours and _passes_a_status_on(words) else status


def _run_told(words: list[str]) -> tuple[int, bool]:
    """The exit code, and whether it tells of a failure of ours: then that was said in one line."""
    try:
        with contextlib.nullcontext() if _is_one_of(TAKE_SIGTERM, words) else _orderly_sigterm():
            return _run(words), False
    except HornitoError as error:
        return (error.exit_code, True) if error.told else _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except _Terminated:
        return _fail("terminated", TERMINATED)
    except BrokenPipeError:
        _give_up_output()
        return 128 + signal.SIGPIPE, True
    except OSError as error:
        place = error.filename
        if place is None and _output_is_stuck():
            _give_up_output()
            return _fail(f"standard output: can't be written ({error.strerror or error}); name a place that can", 2)
        return _fail(f"{'' if place is None else f'{place}: '}{error.strerror or error}", 2)
    except MemoryError:
        return _fail("out of memory; use a smaller model, or end other programs", 4)
    except Exception as error:
        if os.environ.get("HORNITO_DEBUG"):
            raise
        return _fail(f"internal error: {type(error).__name__}: {error}; please report it with HORNITO_DEBUG=1 set", 1)


def _verb(words: list[str]) -> str | None:
    return next((word for word in words if not word.startswith("-")), None)


@contextlib.contextmanager
def _orderly_sigterm() -> Iterator[None]:
    """A SIGTERM raises in the block, so that nothing half written stays; unless it is the caller's own already."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise _Terminated("terminated")

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _is_one_of(verbs: Sequence[tuple[str, ...]], words: list[str]) -> bool:
    named = tuple(word for word in words if not word.startswith("-"))
    return any(named[: len(verb)] == verb for verb in verbs)


def _passes_a_status_on(words: list[str]) -> bool:
    return _is_one_of(PASS_A_STATUS_ON, words)


class _ParserOfPrograms(_Parser):
    """Of the verbs that run other programs; their actions' parsers are of the same class."""

    usage_status = OWN_FAILURE


def _run(arguments: list[str]) -> int:
    parser = (_ParserOfPrograms if _passes_a_status_on(arguments) else _Parser)(
        prog="hornito",
        description="Runs, shows and emulates machine learning on the Vivante NPUs of embedded Linux boards.",
        epilog="'hornito VERB --help' tells more about each. Exit codes: 0 done, 1 a comparison differs, 2 bad input, "
        "3 not supported, 4 the device failed, 130 interrupted, 143 terminated.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=24),
    )
    parser.add_argument("--version", action="version", version=f"hornito {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    chosen = _verb(arguments)
    for verb, (module, text) in VERBS.items():
        own = verbs.add_parser(verb, help=text, description=text[0].upper() + text[1:] + ".")
        if verb == chosen:
            importlib.import_module(f"hornito.cli.{module}").add_arguments(own)
    try:
        options, unknown = parser.parse_known_args(arguments)
        if unknown:
            options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        status = importlib.import_module(f"hornito.cli.{VERBS[options.verb][0]}").run(options)
    finally:
        # A reader that has gone must be noticed here, not when Python shuts down; after --help, too.
        if sys.stdout is not None:
            sys.stdout.flush()
    return int(status)


def _output_is_stuck() -> bool:
    """Whether what was printed can't leave: what could not be written stays in the buffer and fails again."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        return True
    return False


def _occupy_standard_descriptors() -> None:
    """Where standard input, output or error is closed, no file of ours may get its number: who writes there would
    write into it. Programs that we start find it closed, as they would without us."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number


def _give_up_output() -> None:
    """Nobody takes our output any more: what is left of it must not be flushed there at exit."""
    if sys.stdout is None:
        return
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _fail(text: str, code: int) -> tuple[int, bool]:
    if sys.stderr is not None:
        print("hornito: " + " ".join(text.split()), file=sys.stderr)
    return code, True


if __name__ == "__main__":
    sys.exit(main())

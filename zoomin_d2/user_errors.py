"""User errors: one line on standard error and exit code 2 (Ctrl-C: 130); a traceback with --debug.

Used by tools/ and datasets/. The program's own bugs keep their traceback.
"""

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from zoomin_d2.frames import CorruptFrameError

EXIT_CODE = 2
_PACKAGE = Path(__file__).resolve().parent


class UserError(SystemExit):
    """A user's mistake, as a message; uncaught, it ends the program with exit code 2."""

    def __init__(self, message: str):
        super().__init__(message)
        self.code = EXIT_CODE


def add_debug_option(parser: argparse.ArgumentParser) -> None:
    """The option that `one_line_errors` takes."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def users_mistake(error: BaseException) -> str | None:
    """The message for the user; None if the program is, or may be, to blame.

    The user can fix files that are missing, damaged or not writable, values that our own code
    refuses (not a library's), and packages that it reports as missing.
    """
    if isinstance(error, UserError | OSError | CorruptFrameError):
        return str(error)
    if isinstance(error, ValueError | ImportError) and _is_ours(error.__traceback__):
        return str(error)
    return None


def _is_ours(traceback: TracebackType | None) -> bool:
    """Whether the innermost call is in this package, or in the checkout that it lies in."""
    if traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    file = Path(traceback.tb_frame.f_code.co_filename).resolve()
    is_installed = "site-packages" in file.parts
    return _PACKAGE in file.parents or (_PACKAGE.parent in file.parents and not is_installed)


@contextmanager
def one_line_errors(debug: bool = False) -> Iterator[None]:
    """Wraps a program: a user's mistake becomes one line and exit code 2.

    Args:
        debug: let the error through, for its traceback.

    Raises:
        SystemExit: with code 2, after a user's mistake; with 130, after Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        if debug:
            raise
        print(f"{Path(sys.argv[0]).name}: stopped", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except (Exception, UserError) as error:
        message = users_mistake(error)
        if message is None or debug:
            raise_for_traceback(error)
        print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
        sys.exit(EXIT_CODE)


def raise_for_traceback(error: BaseException) -> NoReturn:
    """Raise an error so that it leaves a traceback; for a UserError, raise its cause."""
    cause = error.__cause__ if isinstance(error, UserError) else None
    if cause is None:
        raise error
    raise cause from cause.__cause__

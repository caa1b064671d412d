"""The user's own mistakes: one line on standard error and exit code 2; a traceback for --debug.

Used by tools/ and datasets/. What a program did wrong itself keeps its traceback.
"""

import argparse
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
    """A mistake of the user's, in words; uncaught, it ends the program with exit code 2."""

    def __init__(self, message: str):
        super().__init__(message)
        self.code = EXIT_CODE


def add_debug_option(parser: argparse.ArgumentParser) -> None:
    """The option that `one_line_errors` takes."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def users_mistake(error: BaseException) -> str | None:
    """What to tell the user; None if the program is to blame, or may be.

    Files that are missing, damaged or cannot be written are the user's to mend, and so is a value
    that our own code, not a library's, refuses, and a package that it reports as missing.
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
    """Around a program: a mistake of the user's becomes one line and exit code 2.

    Args:
        debug: let the error through, for its traceback.

    Raises:
        SystemExit: with 2, after a mistake of the user's.
    """
    try:
        yield
    except (Exception, UserError) as error:
        message = users_mistake(error)
        if message is None or debug:
            raise_for_traceback(error)
        print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
        sys.exit(EXIT_CODE)


def raise_for_traceback(error: BaseException) -> NoReturn:
    """Raise an error so that it leaves a traceback: of a UserError, what it came from."""
    cause = error.__cause__ if isinstance(error, UserError) else None
    if cause is None:
        raise error
    raise cause from cause.__cause__

"""The optional packages, and how to install them."""

from collections.abc import Iterator
from contextlib import contextmanager

# Extra of the package -> what pip cannot install with it.
_BESIDES = {"train": ", and Detectron2 (README, Install)"}


@contextmanager
def extra(name: str, what: str) -> Iterator[None]:
    """Wraps imports of packages that belong to an extra.

    Args:
        name: of the extra, as in setup.py. what: needs the extra; the subject of the message.

    Raises:
        ModuleNotFoundError: a package is not installed; the message says what to install.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "zoomin_d2":
            raise
        raise ModuleNotFoundError(
            f"{what} needs the package '{package}': pip install 'zoomin_d2[{name}]'"
            f"{_BESIDES.get(name, '')}",
            name=package,
        ) from error

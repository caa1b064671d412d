"""What is not installed with the package alone, and how to get it."""

from collections.abc import Iterator
from contextlib import contextmanager

# Extra of the package -> what pip cannot bring with it.
_BESIDES = {"train": ", and Detectron2 (README, Install)"}


@contextmanager
def extra(name: str, what: str) -> Iterator[None]:
    """For imports of packages that belong to an extra.

    Args:
        name: of the extra, as setup.py names it. what: what needs it, the message's subject.

    Raises:
        ModuleNotFoundError: one of them is not installed; says what to install.
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

"""Options as Python code gives them; the command checks its own texts (cli/values.py)."""

import math
from numbers import Real
from typing import Any, get_args

from zoomin_d2.video.errors import OptionError


def check_choice(name: str, value: object, choices: Any) -> None:
    """Raises OptionError unless `value` is one of the words of `choices`, a Literal."""
    words = get_args(choices)
    if value not in words:
        raise OptionError(f"{name} must be {', '.join(words)}, got {value!r}")


def check_number(name: str, value: Any, most: float | None = None) -> None:
    """Raises OptionError unless `value` is None or a finite number from 0 to `most`; without
    `most`, above 0."""
    if value is None:
        return
    is_number = isinstance(value, Real) and math.isfinite(value)
    if not is_number or not (value > 0 if most is None else 0 <= value <= most):
        span = "above 0" if most is None else f"from 0 to {most:g}"
        raise OptionError(f"{name} must be a number {span}, got {value!r}")

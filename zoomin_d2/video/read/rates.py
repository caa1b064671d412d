"""Frame rates and timestamps as exact numbers."""

from fractions import Fraction

Rate = int | float | str | Fraction  # "60000/1001", "59.94"
NTSC = Fraction(1000, 1001)


def parse_rate(value: Rate) -> Fraction:
    """60, 59.94, "59.94" or "60000/1001" as frames per second; decimals of the NTSC family become
    exact.

    Raises:
        ValueError: not a positive number.
    """
    try:
        rate = exact(value)
    except ValueError:
        raise ValueError(f"not a frame rate: {value!r} (examples: 60, 59.94, 60000/1001)") from None
    if rate <= 0:
        raise ValueError(f"a frame rate must be above 0, got {value}")
    if isinstance(value, Fraction):
        return rate
    return standard_rate(rate, Fraction(1, 20_000))


def exact(value: Rate) -> Fraction:
    """A number exactly as written: 2.4 is 12/5. Raises ValueError."""
    try:
        return Fraction(str(value)) if isinstance(value, float) else Fraction(value)
    except (TypeError, ValueError, ZeroDivisionError):
        raise ValueError(f"not a number: {value!r}") from None


def standard_rate(rate: Fraction, tolerance: Fraction = Fraction(1, 100_000)) -> Fraction:
    """`rate`, or the member k * 1000 / 1001 of the NTSC family that it rounds (23.976, 29.97)."""
    if rate.denominator == 1:
        return rate
    candidate = max(1, round(rate / NTSC)) * NTSC
    return candidate if abs(candidate - rate) <= rate * tolerance else rate


class SourceClock:
    """Timestamps in ticks -> exact times; undoes the rounding of coarse clocks (Matroska's ms).

    A timestamp within one tick of k / rate after the first frame is taken to mean exactly that;
    others (variable frame rate) are kept.
    """

    def __init__(self, time_base: Fraction, rate: Fraction | None, first: Fraction):
        self.rate = rate
        self.first = first
        self.time_base = time_base
        self._tolerance = time_base if rate is None else min(time_base, 1 / (8 * rate))

    def snap(self, time: Fraction) -> Fraction:
        """The exact time (seconds) of a timestamp."""
        if self.rate is None:
            return time
        exact = self.first + round((time - self.first) * self.rate) / self.rate
        return exact if abs(exact - time) <= self._tolerance else time

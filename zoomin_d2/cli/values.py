"""Texts of options in, values out; each raises argparse.ArgumentTypeError for others."""

import argparse
from fractions import Fraction
from typing import Literal

from zoomin_d2.inference.tiles import LEAST_SIDE
from zoomin_d2.video.errors import OptionError
from zoomin_d2.video.read.filter_graph import parse_filters
from zoomin_d2.video.read.rates import parse_rate
from zoomin_d2.video.time.shutter import check_shutter


def multi(text: str) -> int:
    """A whole number of output frames per input frame."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be a whole number, not {text!r}; --fps takes any rate"
        ) from None


def rate(text: str) -> Fraction:
    """Frames per second, exact."""
    try:
        return parse_rate(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def positive(text: str) -> Fraction:
    """A number above 0, exact."""
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"not a number: {text!r}") from None
    if value <= 0:
        raise argparse.ArgumentTypeError(f"must be above 0: {text}")
    return value


def seconds(text: str) -> Fraction:
    """A time in seconds, above 0."""
    return positive(text.removesuffix("s"))


def shutter(text: str) -> float:
    """Degrees."""
    angle = float(positive(text))
    try:
        check_shutter(angle)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return angle


def filters(text: str) -> str:
    """A chain of FFmpeg's video filters."""
    try:
        parse_filters(text)
    except OptionError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("--filter ")) from None
    return text


def threshold(text: str) -> float:
    """A level, 0 to 255."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"not a number: {text!r}") from None
    if not 0 <= value <= 255:
        raise argparse.ArgumentTypeError(f"must be from 0 to 255: {text}")
    return value


def gap(text: str) -> float | None:
    """Seconds, or None for "off"."""
    return None if text == "off" else float(seconds(text))


def flow_scale(text: str) -> float | Literal["auto"]:
    """A number, or "auto"."""
    try:
        return "auto" if text == "auto" else float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be auto or a number, not {text!r}") from error


def tile(text: str) -> int | Literal["auto"] | None:
    """A side in pixels, "auto", or None for "off"."""
    if text == "auto":
        return "auto"
    if text == "off":
        return None
    if text.isdecimal() and int(text) >= LEAST_SIDE:
        return int(text)
    raise argparse.ArgumentTypeError(
        f"must be auto, off, or a number of at least {LEAST_SIDE}, not {text!r}"
    )

"""The options of a job as plain keywords."""

import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from zoomin_d2.video.errors import OptionError
from zoomin_d2.video.jobs.container_job import JobOptions
from zoomin_d2.video.time.cut_list import Cut, read_cuts
from zoomin_d2.video.time.pipeline import StreamOptions
from zoomin_d2.video.write.encoder import EncodeOptions

# Not for users: what the model and the output decide.
_SET_BY_OTHERS = {"extra", "light", "model", "queue_size", "stored_as"}


def job_options(**options: Any) -> JobOptions:
    """JobOptions from its own fields and those of StreamOptions and EncodeOptions; `cuts` may also
    be the file of a list.

    Raises:
        TypeError: a job has no option of that name; the message lists the options.
        OptionError: an option has no such value.
    """
    job, stream, encode = (
        {field.name for field in fields(kind)}
        for kind in (JobOptions, StreamOptions, EncodeOptions)
    )
    known = (job | stream | encode) - {"stream", "encode"}
    if unknown := sorted(set(options) - known):
        offer = ", ".join(sorted(known - _SET_BY_OTHERS))
        raise TypeError(
            f"unknown option '{unknown[0]}'; beside the arguments of the call, known are {offer}"
        )
    if options.get("cuts") is not None:
        options["cuts"] = _cuts(options["cuts"])

    def of(names: set[str]) -> dict[str, Any]:
        return {name: value for name, value in options.items() if name in names}

    return JobOptions(
        stream=StreamOptions(**of(stream)), encode=EncodeOptions(**of(encode)), **of(job)
    )


def _cuts(given: Any) -> tuple[Cut, ...]:
    if isinstance(given, str | os.PathLike):
        try:
            return read_cuts(Path(given))
        except ValueError as error:
            raise OptionError(f"cuts: {error}") from error
    if not (isinstance(given, Sequence) and all(isinstance(cut, Cut) for cut in given)):
        raise OptionError(f"cuts must be a .csv file or a list of Cut, got {given!r}")
    return tuple(given)

"""The options of a job as plain keywords."""

from dataclasses import fields
from typing import Any

from zoomin_d2.video.jobs.container_job import JobOptions
from zoomin_d2.video.time.pipeline import StreamOptions
from zoomin_d2.video.write.encoder import EncodeOptions

# Not for users: what the model and the output decide.
_SET_BY_OTHERS = {"extra", "light", "model", "queue_size", "stored_as"}


def job_options(**options: Any) -> JobOptions:
    """JobOptions from its own fields and those of StreamOptions and EncodeOptions.

    Raises:
        TypeError: a job has no option of that name; the message lists the options.
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

    def of(names: set[str]) -> dict[str, Any]:
        return {name: value for name, value in options.items() if name in names}

    return JobOptions(
        stream=StreamOptions(**of(stream)), encode=EncodeOptions(**of(encode)), **of(job)
    )

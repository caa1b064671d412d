"""The report of a finished job, and durations in words."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

DAMAGED, LOSSES = 4, 9


@dataclass
class Report:
    """One job.

    Attributes:
        input, output: names.
        source_frames, output_frames, made_frames: counts; "made" is by the model.
        repeated_frames: left out and re-timed (dedupe).
        overlay_frames: made frames in which text or the like was kept still.
        unsure_frames: made frames that in part could not be trusted and were replaced there;
            unsure_area: the mean share of such pixels in them, 0 to 1.
        blended_frames: mixed from two source frames, within fades and dissolves or across cuts.
        cuts: seconds in the source. fps: of the output, "60000/1001".
        duration: of the output in seconds.
        damage: what could not be read, as a message; "" if nothing.
        dropped: what the output lacks that the input has. warnings: what differs from the input,
            or is worth knowing.
        seconds: how long the job took.
    """

    input: str
    output: str
    source_frames: int = 0
    output_frames: int = 0
    made_frames: int = 0
    repeated_frames: int = 0
    overlay_frames: int = 0
    unsure_frames: int = 0
    unsure_area: float = 0.0
    blended_frames: int = 0
    cuts: list[float] = field(default_factory=list)
    fps: str = ""
    width: int = 0
    height: int = 0
    encoder: str = ""
    duration: float = 0.0
    damage: str = ""
    dropped: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """Exit code: 0, DAMAGED, or LOSSES if part of an undamaged input is missing."""
        return DAMAGED if self.damage else LOSSES if self.dropped else 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def duration_words(seconds: float) -> str:
    """3.2 s is "4 s", 75 s is "1 min 15 s", 7201 s is "2 h 1 min": never less than it takes."""
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = math.ceil(whole / 60)
    return f"{minutes // 60} h {minutes % 60} min"

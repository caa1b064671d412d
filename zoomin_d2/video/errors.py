"""Everything that can go wrong with a video, by name; each has the exit code of the command."""


class VideoError(RuntimeError):
    """Base of the named errors. `exit_code` is what `zoomin-interpolate` returns."""

    exit_code = 1


class BadInputError(VideoError):
    """The input is not something that holds frames: not a video, no video stream, no frames, a
    codec that nothing here decodes, images of different sizes."""

    exit_code = 3


class DamagedVideoError(VideoError):
    """Frames that the file should hold cannot be decoded (`on_damage="fail"`)."""

    exit_code = 4


class OutputError(VideoError):
    """The output cannot be written: exists already, no such folder, not writable, an encoder or a
    container that does not fit, another run is writing it."""

    exit_code = 5


class DiskFullError(VideoError):
    """No room for the output. What was finished is kept; `resume` goes on."""

    exit_code = 6


class ModelError(VideoError):
    """The model failed: out of memory at the smallest tile, or a result that is no frame."""

    exit_code = 7


class VerificationError(VideoError):
    """The finished file's duration or frame count is not what it must be: a bug, please report.
    The file is kept as `<name>.failed.<ext>`."""

    exit_code = 8


class InterruptedRunError(VideoError):
    """Stopped by the user; what was finished is kept and playable."""

    exit_code = 130

"""Everything that can go wrong with a video, by name; each error has an exit code."""


class VideoError(RuntimeError):
    """Base of the named errors. `exit_code` is what `zoomin-interpolate` returns."""

    exit_code = 1


class BadInputError(VideoError):
    """The input cannot be used: it is not a video, has no video stream or no frames, uses a codec
    that is not supported, or has images of different sizes."""

    exit_code = 3


class OptionError(VideoError):
    """An option does not fit the input or the model: a mask of another size, a fallback for unsure
    pixels with a model that has no flow, a filter that refuses its options or these frames."""

    exit_code = 2


class DamagedVideoError(VideoError):
    """Frames of the file cannot be decoded (`on_damage="fail"`)."""

    exit_code = 4


class OutputError(VideoError):
    """The output cannot be written: it already exists, its folder is missing or not writable, the
    encoder or container does not fit, or another run is writing it."""

    exit_code = 5


class OutputBusyError(OutputError):
    """Another run is writing the output."""


class DiskFullError(VideoError):
    """No room for the output. Finished work is kept; `resume` continues."""

    exit_code = 6


class ModelError(VideoError):
    """The model failed: out of memory at the smallest tile, or its result is not a frame."""

    exit_code = 7


class VerificationError(VideoError):
    """The finished file failed verification (duration, frame count): a bug, please report it. The
    file is kept as `<name>.failed.<ext>`."""

    exit_code = 8


class InterruptedRunError(VideoError):
    """Stopped by the user; finished work is kept and playable."""

    exit_code = 130

"""A file of weights in, tensors out; nothing in the file is ever run as code.

.pth is read by torch with ``weights_only=True``, .safetensors by its library, and .pkl (the zoo of
Detectron2) by an unpickler that knows numpy arrays and nothing else.
"""

import codecs
import collections
import hashlib
import io
import os
import pickle
import pickletools
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import load_file


class UnreadableWeightsError(ValueError):
    """A file of weights is truncated, damaged, or holds something other than weights.

    Attributes:
        file_name: the file.
        reason: what is wrong with it.
    """

    def __init__(self, file_name: str | os.PathLike, reason: str):
        super().__init__(f"{file_name}: {reason}")
        self.file_name = str(file_name)
        self.reason = reason

    def __reduce__(self):
        return type(self), (self.file_name, self.reason)


def sha256_of(path: str | os.PathLike) -> str:
    """The SHA-256 of a file's content, in hex."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def check_sha256(
    path: str | os.PathLike,
    expected: str | None,
    advice: str = "Delete it, then download it or install its package again",
) -> None:
    """Raises UnreadableWeightsError if a file has another hash than expected."""
    found = sha256_of(path)
    if expected is None or found != expected.lower():
        raise UnreadableWeightsError(
            path,
            f"is damaged or a different file: its sha256 is {found}, expected {expected}. {advice}",
        )


def read_weights(file_name: str) -> dict[str, Any]:
    """Read a .pth, .safetensors or .pkl file.

    Returns:
        a dict with "model" (name -> tensor or numpy array) and whatever else the file has.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableWeightsError: it is not a file of weights, or is damaged.
    """
    try:
        if file_name.endswith(".safetensors"):
            data: dict[str, Any] = {"model": load_file(file_name)}
        elif file_name.endswith(".pkl"):
            with open(file_name, "rb") as f:
                content = f.read()
            _require_small_memo(content)
            data = _as_checkpoint(ArrayUnpickler(io.BytesIO(content), encoding="latin1").load())
        else:
            data = torch.load(file_name, map_location="cpu", weights_only=True)
            if isinstance(data, dict) and "model" not in data:
                data = {"model": data}
    except FileNotFoundError:
        raise
    # Parsers of hostile bytes raise nearly anything: KeyError, TypeError, struct.error, and
    # MemoryError where a damaged length asks for it.
    except Exception as error:
        raise UnreadableWeightsError(file_name, _reason(error)) from error
    weights = data.get("model") if isinstance(data, dict) else None
    if not isinstance(weights, dict) or not all(
        isinstance(k, str) and isinstance(v, torch.Tensor | np.ndarray) for k, v in weights.items()
    ):
        raise UnreadableWeightsError(file_name, "holds something other than named tensors")
    return data


def _reason(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError) and "weights_only" in str(error):
        # torch's own message suggests switching the protection off
        return (
            "is truncated or damaged, or holds more than tensors and plain values; such a file "
            "could run code and is not read"
        )
    first_line = str(error).splitlines()[0] if str(error) else "no message"
    return f"is truncated or damaged ({type(error).__name__}: {first_line})"


def _as_checkpoint(data: Any) -> dict:
    """The two layouts of .pkl files, as Detectron2's `DetectionCheckpointer` reads them."""
    if "model" in data and "__author__" in data:
        return data
    blobs = data.get("blobs", data)
    model = {k: v for k, v in blobs.items() if not k.endswith("_momentum")}
    return {"model": model, "__author__": "Caffe2", "matching_heuristics": True}


def _require_small_memo(content: bytes) -> None:
    """A pickle may number its memo entries freely, and Python allocates memory up to the number."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if opcode.name not in ("PUT", "BINPUT", "LONG_BINPUT"):
            continue
        if isinstance(argument, int) and argument > count:
            raise pickle.UnpicklingError(f"opcode {count} uses memo index {argument}")


def _empty_array(kind: type, shape: tuple, typecode: Any) -> np.ndarray:
    """numpy's own pickles call this to create an array, which they then fill."""
    if kind is not np.ndarray or tuple(shape) != (0,):
        raise pickle.UnpicklingError("an array that does not start empty")
    return np.empty((0,), np.uint8)


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Bytes as protocol 2 stores them."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"unsupported encoding {encoding}")
    return codecs.encode(text, encoding)


def _scalar(dtype: np.dtype, data: bytes) -> Any:
    """A numpy number; zoo files store some of their metadata this way."""
    if dtype.hasobject:
        raise pickle.UnpicklingError("a scalar that is an object")
    return np.frombuffer(data, dtype, count=1)[0]


def _from_buffer(
    data: bytes, dtype: np.dtype, shape: tuple, order: Literal["C", "F"]
) -> np.ndarray:
    """An array as protocol 5 stores it."""
    if dtype.hasobject:
        raise pickle.UnpicklingError("an array of objects")
    return np.frombuffer(data, dtype).reshape(shape, order=order)


_ALLOWED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): lambda: b"",  # how protocol 2 stores empty bytes
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _empty_array),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}


class ArrayUnpickler(pickle.Unpickler):
    """Unpickles containers of numbers, strings and numpy arrays.

    Raises:
        pickle.UnpicklingError: the stream names anything else.
    """

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it names {module}.{name}, which is not an array: such a file could run code and "
                "is not read"
            ) from None

"""Files of weights: every format comes back as it was written, and none of them can run code."""

import collections
import os
import pickle

import numpy as np
import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from safetensors.torch import save_file

from zoomin_d2.modeling.safe_checkpointer import SafeCheckpointer
from zoomin_d2.weight_files import UnreadableWeightsError, read_weights


class _Evil:
    """What an attacker would put into a pickle: it is called when the file is read."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_zoo_pickle_reads_as_pickle_does(tmp_path, protocol):
    model = collections.OrderedDict(
        a=np.arange(6, dtype=np.float32).reshape(2, 3),
        b=np.asfortranarray(np.arange(6).reshape(2, 3)),
        c=np.array(3, np.int64),
        d=np.zeros((0, 4), np.float16),
    )
    content = {"model": model, "__author__": "somebody", "number": np.float64(0.5), "b": b"\x80a"}
    path = tmp_path / "w.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    data = read_weights(str(path))
    assert data["number"] == 0.5 and data["b"] == b"\x80a"
    for name, array in model.items():
        assert data["model"][name].dtype == array.dtype
        assert np.array_equal(data["model"][name], array)


def test_caffe2_blobs(tmp_path):
    path = tmp_path / "w.pkl"
    path.write_bytes(pickle.dumps({"blobs": {"w": np.ones(2), "w_momentum": np.ones(2)}}))
    theirs = DetectionCheckpointer(torch.nn.Linear(1, 1))._load_file(str(path))
    ours = read_weights(str(path))
    assert ours.keys() == theirs.keys() and ours["model"].keys() == theirs["model"].keys() == {"w"}


@pytest.mark.parametrize("suffix", [".pkl", ".pth"])
def test_a_file_that_would_run_code_does_not(tmp_path, suffix):
    trap, path = tmp_path / "trap", tmp_path / f"evil{suffix}"
    content = {"model": {"w": np.ones(1)}, "__author__": _Evil(trap)}
    if suffix == ".pkl":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(UnreadableWeightsError, match="could run code"):
        read_weights(str(path))
    assert not trap.exists()


def test_arrays_of_another_kind_are_refused(tmp_path):
    path = tmp_path / "w.pkl"
    path.write_bytes(pickle.dumps({"model": {"w": np.array([1, None])}, "__author__": "x"}, 2))
    with pytest.raises((UnreadableWeightsError, TypeError)):
        SafeCheckpointer(torch.nn.Linear(1, 1)).load(str(path))

    class _HugeArray:
        def __reduce__(self):
            return np.empty(0).__reduce__()[0], (np.ndarray, (10**12,), b"b")

    path.write_bytes(pickle.dumps(_HugeArray()))
    with pytest.raises(UnreadableWeightsError, match="start empty"):
        read_weights(str(path))


@pytest.mark.parametrize("suffix", [".pkl", ".pth", ".safetensors"])
def test_damaged_files_are_named(tmp_path, suffix):
    whole = tmp_path / f"whole{suffix}"
    weights = {"w": torch.arange(4096, dtype=torch.float32)}
    if suffix == ".pkl":
        content = {"model": {"w": weights["w"].numpy()}, "__author__": "x"}
        whole.write_bytes(pickle.dumps(content))
    elif suffix == ".pth":
        torch.save({"model": weights}, whole)
    else:
        save_file(weights, whole)
    content = whole.read_bytes()
    path = tmp_path / f"broken{suffix}"
    for length in (0, 1, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(UnreadableWeightsError, match="broken"):
            read_weights(str(path))
    with pytest.raises(FileNotFoundError):
        read_weights(str(tmp_path / f"none{suffix}"))


@pytest.mark.parametrize("content", [[1, 2], {"model": 3}, {"model": {"w": 3}}, torch.ones(2)])
def test_a_file_of_something_else_is_named(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(UnreadableWeightsError, match="named tensors"):
        read_weights(str(tmp_path / "other.pth"))


def test_next_file_after_an_unreadable_one(tmp_path):
    model = torch.nn.Linear(2, 1)
    torch.save({"model": {"weight": torch.full((1, 2), 5.0)}}, tmp_path / "good.pth")
    (tmp_path / "bad.pth").write_bytes(b"half")
    checkpointer = SafeCheckpointer(model)
    with pytest.raises(UnreadableWeightsError):
        checkpointer.load(str(tmp_path / "bad.pth"))
    checkpointer.load(str(tmp_path / "good.pth"))
    assert model.weight.tolist() == [[5.0, 5.0]]

"""Copies to a device and back: order, and how many pieces of work are begun."""

import pytest
import torch

from zoomin_d2 import transfer
from zoomin_d2.transfer import IN_FLIGHT, Transfer, overlapped, pairs_in_flight

CPU = torch.device("cpu")


@pytest.mark.parametrize("in_flight", [1, 2, 3, 9])
def test_work_begins_before_waiting(in_flight):
    events = []

    def work(k):
        events.append(f"begin {k}")
        return lambda: events.append(f"wait {k}") or k

    assert list(overlapped(map(work, range(5)), in_flight)) == list(range(5))
    for k in range(5):
        begun_before = [e for e in events[: events.index(f"wait {k}")] if e.startswith("begin")]
        assert len(begun_before) == min(5, k + in_flight)


def test_a_failure_keeps_its_place():
    def work(k):
        if k == 3:
            raise ValueError("broken")
        return lambda: k

    results = overlapped(map(work, range(5)), 1)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(results)


def test_a_cpu_copies_nothing():
    copies, frame = Transfer(), torch.rand(1, 3, 4, 4)
    assert copies.upload(frame, CPU) is frame
    assert copies.download([frame])()[0] is frame
    assert pairs_in_flight(CPU) == 1
    assert pairs_in_flight(CPU, workers=2) == 2 * IN_FLIGHT
    assert pairs_in_flight(torch.device("cuda")) == IN_FLIGHT


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.bfloat16, torch.float32])
def test_gaps_between_rows_are_not_copied(monkeypatch, dtype):
    """A decoder's rows are longer than they are wide."""
    new = torch.empty_like
    # page-locked memory needs a GPU
    monkeypatch.setattr(torch, "empty_like", lambda x, pin_memory: new(x))
    frame = torch.arange(40).view(4, 10).to(dtype)[:, :8]
    packed = transfer._page_locked(frame)
    assert packed.is_contiguous() and torch.equal(packed, frame) and not frame.is_contiguous()


@pytest.mark.needs_gpu
def test_to_a_gpu_and_back():
    device, copies = torch.device("cuda:0"), Transfer()
    frames = [torch.randint(0, 256, (1, 3, 270, 480), dtype=torch.uint8) for _ in range(20)]
    waits = (copies.download([copies.upload(f, device) + 1, f]) for f in frames)
    for frame, (there, here) in zip(frames, overlapped(waits, IN_FLIGHT)):
        assert there.device.type == "cpu" and there.is_pinned()
        assert torch.equal(there, frame + 1) and here is frame


def test_a_gpu_without_streams_is_waited_for():
    """Apple's and Intel's: what comes back is on the CPU, where frames become pictures."""

    class OnGpu:
        device, is_cuda = torch.device("mps"), False

        def cpu(self):
            return "on the CPU"

    assert Transfer().download([OnGpu()])() == ["on the CPU"]

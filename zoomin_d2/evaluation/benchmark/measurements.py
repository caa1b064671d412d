"""Single measurements: a method and a size in, numbers out."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from zoomin_d2.evaluation.complexity import count_macs_of_call
from zoomin_d2.evaluation.metrics import psnr
from zoomin_d2.evaluation.timing import peak_memory, synchronize, time_call
from zoomin_d2.inference.peers import TimedModel, TimedPeer
from zoomin_d2.inference.streaming import interpolate_stream

Method = TimedModel | TimedPeer


@dataclass(frozen=True)
class Effort:
    """How long one measurement may take: maximum calls, maximum seconds."""

    calls: int = 20
    seconds: float = 20.0


def random_frames(height: int, width: int, n: int, device: torch.device) -> list[torch.Tensor]:
    """Two smooth 8-bit frames, the second moved by 2 % of the width."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(n, 3, max(height // 16, 2), max(width // 16, 2), generator=generator)
    frame = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")
    frame = (frame.clamp(0, 1) * 255).to(torch.uint8).to(device)
    return [frame, frame.roll(max(width // 50, 1), dims=3)]


def latency(
    method: Method,
    height: int,
    width: int,
    device: torch.device,
    effort: Effort,
    batch: int = 1,
) -> dict:
    """Milliseconds per call with `batch` pairs, peak memory, frames per second."""
    pair = [method.prepare(x) for x in random_frames(height, width, batch, device)]
    timing = time_call(
        lambda: method(*pair), device, num_calls=effort.calls, max_seconds=effort.seconds
    )
    # A recorded graph has its own memory pool, which its replays do not allocate again.
    memory = None
    if method.mode != "graph":
        memory = peak_memory(lambda: method.unrecorded(*pair), device)
    return {
        "median_ms": round(timing.median, 4),
        "p10_ms": round(timing.low, 4),
        "p90_ms": round(timing.high, 4),
        "fps": round(1e3 * batch / timing.median, 3),
        "peak_memory_mb": None if memory is None else round(memory / 2**20, 1),
    }


def several_times(
    method: TimedModel, height: int, width: int, device: torch.device, effort: Effort
) -> dict:
    """One call for t = 1/4, 1/2, 3/4."""
    frame_1, frame_2 = (method.prepare(x) for x in random_frames(height, width, 1, device))
    timing = time_call(
        lambda: method.many(frame_1, frame_2, (0.25, 0.5, 0.75)),
        device,
        num_calls=effort.calls,
        max_seconds=effort.seconds,
    )
    return {"median_ms": round(timing.median, 4), "fps": round(3e3 / timing.median, 3)}


def streamed(
    method: TimedModel, height: int, width: int, device: torch.device, effort: Effort
) -> dict:
    """Frames per second from and to host memory, doubling the rate of a stream of frames."""
    pair = random_frames(height, width, 1, torch.device("cpu"))
    arrays = [x[0].permute(1, 2, 0).contiguous().numpy() for x in pair]

    def run(n: int) -> float:
        synchronize(device)
        start = time.perf_counter()
        frames = (arrays[k % 2] for k in range(n))
        made = sum(len(x) for x in interpolate_stream(method.engine, device, frames))
        return made / (time.perf_counter() - start)

    first = run(5)
    return {"fps": round(run(int(min(max(first * effort.seconds / 4, 4), 200)) + 1), 3)}


def quality(method: Method, samples: Sequence[dict], device: torch.device) -> dict:
    """Mean PSNR over triplets of one or several sizes.

    Raises:
        ValueError: the method reports random weights, so the number would mislead.
    """
    values = []
    for sample in samples:
        pair = [method.prepare(sample[k][None].to(device)) for k in ("frame_1", "frame_2")]
        pred = method(*pair).cpu()
        if method.random_weights:  # a peer may know only after its first frame
            raise ValueError("the method's weights are random")
        values.append(min(psnr(pred, sample["frame_t"][None]).item(), 100.0))
    return {"PSNR": round(sum(values) / len(values), 4), "images": len(values)}


def peer_macs(method: TimedPeer, height: int, width: int, device: torch.device) -> float:
    """kMAC per pixel of whatever a peer runs through PyTorch."""
    pair = [method.prepare(x) for x in random_frames(height, width, 1, device)]
    method(*pair)  # one-time work does not count
    return count_macs_of_call(lambda: method(*pair), height, width).kilo_per_pixel

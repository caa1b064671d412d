"""Time a model on the CPU in PyTorch, ONNX Runtime, and OpenVINO, in turns, beside a peer.

    PYTHONPATH=peers:examples python -m tests.stress cpu_backends \\
      --peer rife_peer:rife_v4_6 rife_peer:rife_v4_6_channels_last --threads 1
    python -m tests.stress cpu_backends --calls 0 --dataset triplets_dev     # PSNR only

All methods take turns, one call each, so that what else runs on the machine slows all of them. The
time of the process on its cores says more than the clock where the machine is shared, and with one
thread it has no waiting in it. Our frames are 8-bit, the peer's float. A peer also runs in bfloat16
(autocast; its positions lose digits, so this is for times only), and in OpenVINO if its network can
be exported.
"""

import argparse
import time
from collections.abc import Callable
from io import BytesIO
from statistics import median

import torch
from torch import Tensor, nn

from zoomin_d2 import Interpolator
from zoomin_d2.cli.tool_arguments import frame_size
from zoomin_d2.evaluation.benchmark.frame import read_samples
from zoomin_d2.evaluation.metrics import psnr
from zoomin_d2.inference.peers import Peer, load_peer

BACKENDS = ("torch", "torch:bf16", "onnx:cpu", "openvino", "openvino:int8")


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="fast")
    parser.add_argument("--backend", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--peer", nargs="*", default=[], metavar="MODULE:FUNCTION")
    parser.add_argument("--size", nargs="+", type=frame_size, default=[(480, 640), (720, 1280)])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--calls", type=int, default=7)
    parser.add_argument("--dataset", help="PSNR on these triplets")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    models = {name: _model(args.model, name) for name in args.backend}
    if args.calls:
        for height, width in args.size:
            _time(models, args.peer, height, width, args.calls)
    if args.dataset:
        _score(models, args.dataset)


def _model(name: str, backend: str) -> Interpolator:
    in_torch = {"torch": torch.float32, "torch:bf16": torch.bfloat16}
    options: dict = {"backend": backend}
    if backend in in_torch:
        options = {"device": "cpu", "dtype": in_torch[backend]}
    return Interpolator.from_pretrained(name, tile=None, flow_scale=1, **options)


def _time(
    models: dict[str, Interpolator], peers: list[str], height: int, width: int, calls: int
) -> None:
    texture = torch.rand(1, 3, height, width + 6, generator=torch.Generator().manual_seed(0))
    texture = nn.functional.avg_pool2d(texture, 7, stride=1, padding=3)
    floats = texture[..., :-6].contiguous(), texture[..., 6:].contiguous()
    bytes_ = [(x * 255).to(torch.uint8) for x in floats]
    runs: dict[str, Callable] = {}
    for name, model in models.items():
        runs[name] = lambda model=model: model(*bytes_)
    with torch.no_grad():
        for name in peers:
            peer = load_peer(name)
            runs[name] = lambda peer=peer: peer(*floats)
            if "torch:bf16" in models:
                runs[f"{name}, bf16"] = _in_bfloat16(load_peer(name), floats)
        if peers and "openvino" in models:
            for precision in ("f32", "bf16"):
                run = _in_openvino(load_peer(peers[0]), floats, precision)
                runs[f"{peers[0]}, openvino {precision}"] = run
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        for turn in range(calls + 1):
            for name, run in runs.items():
                begin = time.process_time(), time.perf_counter()
                run()
                taken = time.process_time() - begin[0], time.perf_counter() - begin[1]
                if turn:  # the first call compiles
                    seconds[name].append(taken)
    print(f"\n{width}x{height}, {torch.get_num_threads()} threads, ms: least and median")
    print(f"{'':46} {'cores':>15} {'clock':>15}")
    for name, taken in seconds.items():
        columns = [f"{1e3 * min(x):7.0f} {1e3 * median(x):7.0f}" for x in zip(*taken)]
        print(f"{name:46} {' '.join(columns)}", flush=True)


class _Traced(nn.Module):
    def __init__(self, peer: Peer):
        super().__init__()
        self.module = peer.module  # its weights, for the exporter
        self.peer = peer

    def forward(self, frame_1: Tensor, frame_2: Tensor) -> Tensor:
        return self.peer(frame_1, frame_2)


def _in_bfloat16(peer: Peer, frames: tuple[Tensor, Tensor]) -> Callable:
    def run() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return peer(*frames)

    return run


def _in_openvino(peer: Peer, frames: tuple[Tensor, Tensor], precision: str) -> Callable:
    import openvino

    peer(*frames)  # some load their network at the first call
    buffer = BytesIO()
    torch.onnx.export(_Traced(peer).eval(), frames, buffer, dynamo=False, opset_version=17)
    options = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
    }
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(BytesIO(buffer.getvalue())), "CPU", options)
    request = compiled.create_infer_request()
    inputs = [x.numpy() for x in frames]
    return lambda: request.infer(inputs)


def _score(models: dict[str, Interpolator], dataset: str) -> None:
    samples = read_samples(dataset)
    print(
        f"\nPSNR on {dataset}, {len(samples)} triplets: mean, and least and most beyond the first"
    )
    first: list[float] = []
    for name, model in models.items():
        scores = []
        for sample in samples:
            frame_1, frame_2, truth = (sample[f"frame_{x}"][None] for x in "12t")
            made = model(frame_1, frame_2)
            scores.append(psnr(made / 255, truth / 255).item())
        first = first or scores
        beyond = [a - b for a, b in zip(scores, first)]
        mean = sum(scores) / len(scores)
        print(f"{name:20} {mean:.4f} {min(beyond):+.4f} {max(beyond):+.4f}", flush=True)

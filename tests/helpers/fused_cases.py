"""Run by test_fused_generators.py in its own process: fused networks against their forward."""

import sys

import torch

from zoomin_d2 import get_zoomin_cfg
from zoomin_d2.generators import FastGenerator
from zoomin_d2.generators.output import motion_of
from zoomin_d2.inference.engine import InferenceEngine
from zoomin_d2.modeling import build_generator

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

torch.backends.cudnn.allow_tf32 = False  # the definition is to be exact


def odd_fast():
    """Widths that are no multiples of what the kernels want."""
    cfg = get_zoomin_cfg()
    cfg.MODEL.GENERATOR.NAME = "fast"
    fast = cfg.MODEL.GENERATOR.FAST
    fast.PYRAMID_CHANNELS, fast.DECODER_CHANNELS = [8, 20, 16, 8], [12, 16, 16, 24]
    fast.DECODER_BLOCKS, fast.CORRELATION_RADII = [1, 1, 2, 1], [0, 0, 1, 2]
    fast.SYNTHESIS_CHANNELS = [12, 24]
    return cfg


def odd_fine():
    """All that `fast` can have: mixed warp, linear blocks, a volume at 1/4, refinement, detail, and
    a fifth level."""
    cfg = odd_fast()
    fast = cfg.MODEL.GENERATOR.FAST
    fast.PYRAMID_CHANNELS, fast.DECODER_CHANNELS = [8, 20, 16, 8, 8], [12, 16, 16, 24, 8]
    fast.DECODER_BLOCKS, fast.LINEAR_BLOCKS = [1, 1, 1, 1, 1], [1, 0, 0, 1, 0]
    fast.CORRELATION_RADII = [0, 1, 0, 1, 1]
    fast.LAST_WARP, fast.REFINE_CHANNELS, fast.DETAIL = "mixed", 12, 1.0
    return cfg


def odd_paper():
    cfg = get_zoomin_cfg()
    generator = cfg.MODEL.GENERATOR.PAPER
    generator.FLOW_CHANNELS, generator.CONTEXT_CHANNELS = [8, 16, 12], 12
    generator.SYNTHESIS_CHANNELS = 8
    return cfg


def network(cfg):
    """With weights that move something."""
    torch.manual_seed(0)
    network = build_generator(cfg).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() == 1:
                parameter.normal_(std=0.1)
            elif "head" in name:
                parameter.normal_(std=0.03 if cfg.MODEL.GENERATOR.NAME == "fast" else 0.2)
    return network.to(DEVICE)


def compare(network, few: bool):
    """Few: one frame of one pair, because the interpreter is slow."""
    engine = InferenceEngine(network, DEVICE, torch.float32, triton=True, cuda_graphs=False)
    random = torch.Generator().manual_seed(1)
    cases = [(1, (12, 27), torch.uint8), (2, (16, 16), torch.float32)]
    for n, size, dtype in cases[:1] if few else cases:
        frames = [torch.rand(n, 3, *size, generator=random).to(DEVICE) for _ in range(2)]
        exact = frames
        if dtype == torch.uint8:
            channels_last = torch.channels_last
            frames = [(x * 255).to(dtype).contiguous(memory_format=channels_last) for x in frames]
            exact = [x / 255 for x in frames]
        ts = [0.5, 0.3] if n == 1 else [torch.linspace(0.2, 0.8, n, device=DEVICE)]
        ts = ts[-1:] if few else ts
        if isinstance(network, FastGenerator) and n == 1:
            made, length = fused_frames(engine, frames, exact, ts)
            lengths = [motion_of(network(*exact, torch.tensor([t], device=DEVICE))) for t in ts]
            ratio = float(length) / float(max(lengths))  # found at half the size, and not refined
            assert abs(ratio - 1) < (0.1 if network.refine is None else 0.25), ratio
        else:
            made = engine(*frames, ts)
        for t, pred in zip(ts, made):
            t = t if isinstance(t, torch.Tensor) else torch.full((n,), t, device=DEVICE)
            with torch.no_grad():
                expected = network(*exact, t)
            assert expected.flow_1t.abs().max() > 1 and expected.pred_frame.std() > 0.1
            assert pred.dtype == dtype and pred.shape == frames[0].shape
            assert pred.stride() == frames[0].stride()
            if dtype == torch.uint8:
                assert (pred.float() - 255 * expected.pred_frame).abs().max() < 0.51
            else:
                torch.testing.assert_close(pred, expected.pred_frame, atol=2e-5, rtol=0)


def fused_frames(engine, frames, exact, ts):
    """A pair's frames and the length of its motion; asserts that flows, mask, and coarse frame are
    the definition's."""
    pair = engine.with_motion(*frames, ts)
    for t, (_, out) in zip(ts, engine.outputs_of(*exact, pair, ts)):
        expected = engine.generator(*exact, torch.tensor([t], device=DEVICE))
        for key in ("flow_1t", "flow_2t", "blend_mask", "coarse_frame"):
            torch.testing.assert_close(out.maps[key], expected.maps[key], atol=1e-3, rtol=1e-4)
    return [made.frame for made in pair.made], pair.length


configs = {"fast": odd_fast, "fine": odd_fine, "paper": odd_paper}
compare(network(configs[sys.argv[1]]()), few=sys.argv[1] == "fine" and DEVICE.type == "cpu")
print("equal")

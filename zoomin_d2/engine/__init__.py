"""Training: what steps when, and how a run survives being stopped."""

from zoomin_d2.extras import extra

with extra("train", "training"):
    from zoomin_d2.engine.checkpointing import AtomicCheckpointer
    from zoomin_d2.engine.ema import EMAHook, GeneratorEMA
    from zoomin_d2.engine.hooks import AdversarialHook, VisualizationHook
    from zoomin_d2.engine.resilience.launching import run_distributed
    from zoomin_d2.engine.resilience.nonfinite import NonFiniteError
    from zoomin_d2.engine.setup import setup_cfg, setup_run
    from zoomin_d2.engine.trainer import InterpolationTrainer

__all__ = [
    "AdversarialHook",
    "AtomicCheckpointer",
    "EMAHook",
    "GeneratorEMA",
    "InterpolationTrainer",
    "NonFiniteError",
    "VisualizationHook",
    "run_distributed",
    "setup_cfg",
    "setup_run",
]

"""Config in, a trained and evaluated model out: the parts of a training and their order."""

import logging
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import closing, nullcontext

import detectron2.utils.comm as comm
import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, hooks
from detectron2.engine.train_loop import TrainerBase
from detectron2.evaluation import DatasetEvaluator, verify_results
from detectron2.modeling import build_model
from detectron2.utils.events import (
    CommonMetricPrinter,
    EventWriter,
    JSONWriter,
    TensorboardXWriter,
)
from torch import nn

from zoomin_d2.data import (
    build_interpolation_test_loader,
    build_interpolation_train_loader,
    stream_seed,
)
from zoomin_d2.engine.checkpointing import AtomicCheckpointer
from zoomin_d2.engine.config_ranges import check_ranges
from zoomin_d2.engine.distributed import broadcast_from_main, wrap_for_ddp
from zoomin_d2.engine.ema import EMAHook, GeneratorEMA
from zoomin_d2.engine.hooks import (
    FirstIterationHook,
    ResumableBestCheckpointer,
    ResumableEvalHook,
    ResumablePeriodicCheckpointer,
    VisualizationHook,
    build_adversarial_hook,
)
from zoomin_d2.engine.resilience import run_record
from zoomin_d2.engine.resilience.nonfinite import NonFiniteGuard, WeightCheckHook
from zoomin_d2.engine.resilience.provenance import (
    collect_provenance,
    describe_weights,
    drop_kept_record,
    read_provenance,
)
from zoomin_d2.engine.resilience.termination import SaveOnTermination
from zoomin_d2.engine.solver import build_lr_scheduler, build_optimizer, keep_settings
from zoomin_d2.engine.train_loop import GuardedTrainer
from zoomin_d2.evaluation import InterpolationEvaluator
from zoomin_d2.evaluation.tf32 import disable_tf32
from zoomin_d2.modeling.generator_options import generator_options

logger = logging.getLogger(__name__)


class InterpolationTrainer(DefaultTrainer):
    """Detectron2's SimpleTrainer for the generator; everything else is in hooks.

    `DefaultTrainer.__init__` builds the data loader before it knows where a resumed run stands,
    and a checkpointer that does not write atomically. So only its parts are used (`test`,
    `build_writers`, `run_step`, `state_dict`), as Detectron2's documentation advises.
    """

    def __init__(self, cfg: CfgNode):
        TrainerBase.__init__(self)
        cfg = self.auto_scale_workers(cfg, comm.get_world_size())
        self.cfg = cfg
        self.start_iter = 0
        self.stream_seed = stream_seed(cfg)
        self.num_samples = 0  # position in the stream: samples used so far, over all processes
        self.num_skipped = 0  # unreadable records that this process has replaced
        self.max_iter = cfg.SOLVER.MAX_ITER
        self._rng_state = None
        self._records_summary = None  # of the training data, as the checkpoint recorded it
        self.provenance = read_provenance(cfg.OUTPUT_DIR)
        model = self.build_model(cfg)
        num_parameters = sum(p.numel() for p in model.generator.parameters())
        logger.info("Generator '%s': %d parameters", cfg.MODEL.GENERATOR.NAME, num_parameters)
        optimizer = self.build_optimizer(cfg, model)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        if model.frozen_rpn is not None:
            broadcast_from_main(model.frozen_rpn)  # matters for random weights only
        if cfg.SOLVER.CUDA_GRAPH:
            # This comes before DistributedDataParallel holds the parameters, whose gradients could
            # not be recorded then (cudaErrorStreamCaptureImplicit), and before data workers'
            # threads use the GPU. Weights that are loaded later go to the same place in memory.
            num_samples = cfg.SOLVER.IMS_PER_BATCH // comm.get_world_size()
            model.record_training(num_samples, tuple(cfg.INPUT.CROP_SIZE))
        self.guard = NonFiniteGuard(
            cfg.OUTPUT_DIR,
            skip=cfg.SOLVER.SKIP_NONFINITE,
            load_batch=self._load_batch,
            get_state=lambda: self.checkpointer.contents(),
        )
        self._trainer = GuardedTrainer(
            wrap_for_ddp(model),
            guard=self.guard,
            data_loader=None,  # `train` builds it: its position depends on the checkpoint
            optimizer=optimizer,
            gather_metric_period=cfg.SOLVER.METRIC_PERIOD,
        )
        self.bare_model = model
        checkpointables = {"trainer": weakref.proxy(self)}
        self.ema = None
        if cfg.SOLVER.EMA.ENABLED:
            self.ema = GeneratorEMA(model, cfg.SOLVER.EMA.DECAY)
            checkpointables["ema_model"] = self.ema
        self.checkpointer = AtomicCheckpointer(
            model,
            cfg.OUTPUT_DIR,
            extra={
                "provenance": self.provenance,
                "generator_options": generator_options(cfg),  # so that using it needs no yaml
            },
            **checkpointables,
        )
        self.register_hooks(self.build_hooks())

    @staticmethod
    def auto_scale_workers(cfg: CfgNode, num_workers: int) -> CfgNode:
        """Like DefaultTrainer's, also for the keys of this package.

        Raises:
            ValueError: a scaled value is out of its range.
        """
        scaled = DefaultTrainer.auto_scale_workers(cfg, num_workers)
        if scaled is not cfg:
            scaled.defrost()
            ratio = cfg.SOLVER.REFERENCE_WORLD_SIZE / num_workers
            for node, key in (
                (scaled.SOLVER, "PAPER_DECAY_ITERS"),
                (scaled.SOLVER.DISCRIMINATOR, "START_ITER"),
            ):
                node[key] = round(node[key] * ratio)
            check_ranges(scaled)
            scaled.freeze()
        return scaled

    def build_hooks(self) -> list[hooks.HookBase | None]:
        """Networks first, then the schedule, then hooks that read their state; writers last."""
        cfg = self.cfg
        is_main = comm.is_main_process()
        is_on_cpu = self.bare_model.device.type == "cpu"
        is_tested = len(cfg.DATASETS.TEST) > 0
        if not is_tested:
            logger.warning(
                "DATASETS.TEST is empty: nothing is evaluated, and no best checkpoint is kept"
            )

        def evaluate():
            self._last_eval_results = self.test_averaged()
            return self._last_eval_results

        adversarial = build_adversarial_hook(
            cfg, self.bare_model, self.guard, self.build_lr_scheduler
        )
        best = None
        if is_main and is_tested:
            metric = self._best_metric()
            measured = {
                "metric": metric,
                "dataset": cfg.DATASETS.TEST[0],
                "run_id": self.provenance.get("run_id"),
            }
            best = ResumableBestCheckpointer(
                cfg.TEST.EVAL_PERIOD, self.checkpointer, metric, measured
            )
        weight_check = WeightCheckHook(
            self.guard,
            cfg.SOLVER.CHECKPOINT_PERIOD,
            {
                "generator": self.bare_model.generator,
                "average": self.ema.generator if self.ema else None,
                "discriminator": adversarial.discriminator if adversarial else None,
            },
        )
        return [
            adversarial,
            EMAHook(self.ema) if self.ema else None,
            FirstIterationHook(self._trainer, is_on_cpu) if is_main else None,
            hooks.IterationTimer(),  # after the hooks above: their time is part of an iteration
            hooks.LRScheduler(),
            weight_check,
            ResumablePeriodicCheckpointer(
                self.checkpointer, cfg.SOLVER.CHECKPOINT_PERIOD, max_to_keep=3
            )
            if is_main
            else None,
            SaveOnTermination(self.checkpointer, cfg.SOLVER.METRIC_PERIOD, weight_check.check),
            ResumableEvalHook(
                cfg.TEST.EVAL_PERIOD,
                evaluate,
                lambda: best.read().get("evaluated", 0) if best else 0,
            )
            if is_tested
            else None,
            best,
            VisualizationHook(self.bare_model, cfg.VIS_PERIOD) if is_main else None,
            hooks.PeriodicWriter(self.build_writers(), period=cfg.SOLVER.METRIC_PERIOD)
            if is_main
            else None,
        ]

    def _best_metric(self) -> str:
        # With one test set, `test` leaves the level of the dataset out of its results.
        names = self.cfg.DATASETS.TEST
        return "interpolation/PSNR" if len(names) <= 1 else f"{names[0]}/interpolation/PSNR"

    def resume_or_load(self, resume: bool = True) -> None:
        """Like DefaultTrainer's. A new run in a used OUTPUT_DIR does not continue the old one."""
        if not resume:
            self.checkpointer.warn_of_earlier_run()
        self.iter = -1
        self.checkpointer.resume_or_load(self.cfg.MODEL.WEIGHTS, resume=resume)
        if self.iter < 0 and self.ema is not None:
            self.ema.restart()  # from MODEL.WEIGHTS, not from the weights before they were loaded
        self.start_iter = self.iter + 1  # a checkpoint has the iteration that just finished

    def train(self) -> OrderedDict | None:
        if self.start_iter >= self.max_iter:
            logger.warning(
                "Nothing is left to train: the run in %s has finished %d iterations and "
                "SOLVER.MAX_ITER is %d. To continue it, set a larger SOLVER.MAX_ITER",
                self.cfg.OUTPUT_DIR,
                self.start_iter,
                self.max_iter,
            )
        self._trainer.data_loader = self.build_train_loader(
            self.cfg, self.num_samples, seed=self.stream_seed
        )
        summary = self._trainer.data_loader.records_summary
        run_record.check_data(self._records_summary, summary)
        self._records_summary = summary
        if self._rng_state is not None:
            # Making the iterator draws from the generator, so the old state is restored after it.
            _ = self._trainer._data_loader_iter
            run_record.set_rng_state(self._rng_state, self.cfg.MODEL.DEVICE)
        with closing(self._trainer):  # its data workers
            return super().train()

    def test_averaged(self) -> OrderedDict:
        """Evaluate the averaged generator (the trained one without EMA)."""
        # After the last step, `iter` is one higher. A run may be past a lowered MAX_ITER.
        iteration = min(self.iter + 1, max(self.max_iter, self.start_iter))
        provenance = {**self.provenance, "iteration": iteration}
        evaluators = self._evaluators(self.cfg, provenance)
        with self.ema.applied() if self.ema else nullcontext():
            return self.test(self.cfg, self.bare_model, evaluators)

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module, evaluators: list | None = None) -> OrderedDict:
        """Like DefaultTrainer's, in full float32: a score must not depend on the device."""
        with disable_tf32():
            return super().test(cfg, model, evaluators)

    def _load_batch(self, iteration: int) -> list[dict]:
        """This process's batch in the current or an earlier iteration, for the guard."""
        if iteration == self.iter:
            return self._trainer.last_batch
        position = self._position - (self.iter - iteration) * self.cfg.SOLVER.IMS_PER_BATCH
        stream = {"seed": self.stream_seed, "frames": self._trainer.data_loader.frames}
        return next(iter(self.build_train_loader(self.cfg, position, **stream)))

    def run_step(self) -> None:
        self._position = self.num_samples
        super().run_step()
        if self.iter == self.start_iter and comm.is_main_process():
            self._replace_earlier_run()
        self.num_samples += self.cfg.SOLVER.IMS_PER_BATCH
        skipped = self.bare_model.step_record.num_skipped
        if skipped:  # zoomin_d2/data logs each file; here the count becomes a curve
            self.num_skipped += skipped
            self.storage.put_scalar("data/skipped_records", self.num_skipped)

    def _replace_earlier_run(self) -> None:
        """Not before an iteration has finished: a run that fails before may be a mistake."""
        drop_kept_record(self.cfg.OUTPUT_DIR)
        if self.start_iter == 0:
            self.checkpointer.forget_earlier_run()

    def state_dict(self) -> dict:
        state = super().state_dict()
        state["stream"] = {
            "seed": self.stream_seed,
            "num_samples": self.num_samples,
            "records": self._records_summary,
        }
        state["config"] = run_record.config_record(self.cfg)
        state["rng"] = run_record.get_rng_state(self.cfg.MODEL.DEVICE)  # the main process's
        return state

    def load_state_dict(self, state_dict: dict) -> None:
        run_record.check_config(state_dict.get("config", {}), run_record.config_record(self.cfg))
        stream = state_dict["stream"]
        self._records_summary = stream.get("records")
        self.stream_seed = stream["seed"]
        self.num_samples = stream["num_samples"]
        if comm.is_main_process():
            self._rng_state = state_dict["rng"]
        with keep_settings(self._trainer.optimizer, self.scheduler):
            super().load_state_dict(state_dict)

    def build_writers(self) -> list[EventWriter]:
        """Detectron2's writers, but files get the values themselves, not their running median.

        (The default is the median of 20 logged values: with METRIC_PERIOD 20, of 400 iterations.)
        """
        folder = self.cfg.OUTPUT_DIR
        return [
            CommonMetricPrinter(self.max_iter),
            JSONWriter(f"{folder}/metrics.json", window_size=1),
            TensorboardXWriter(folder, window_size=1),
        ]

    @classmethod
    def build_train_loader(cls, cfg: CfgNode, start_position: int = 0, **stream):
        return build_interpolation_train_loader(cfg, start_position, **stream)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str):
        return build_interpolation_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        return InterpolationEvaluator(
            dataset_name,
            output_dir=f"{cfg.OUTPUT_DIR}/inference/{dataset_name}",
            num_saved=cfg.TEST.NUM_SAVED,
            extra_metrics=cfg.TEST.METRICS,
        )

    @classmethod
    def _evaluators(cls, cfg: CfgNode, provenance: Mapping) -> list[DatasetEvaluator]:
        evaluators = [cls.build_evaluator(cfg, x) for x in cfg.DATASETS.TEST]
        for evaluator in evaluators:
            if isinstance(evaluator, InterpolationEvaluator):
                evaluator.provenance = dict(provenance)
        return evaluators

    @classmethod
    def evaluate(cls, cfg: CfgNode, resume: bool = False) -> OrderedDict:
        """Score the (averaged) weights of MODEL.WEIGHTS, or of the run in OUTPUT_DIR.

        Args:
            resume: take the last checkpoint of OUTPUT_DIR.

        Raises:
            ValueError: if there are no weights: an untrained generator nearly averages its inputs,
                and its score would look like a result.
            SystemExit: the results are not TEST.EXPECTED_RESULTS.
        """
        model = cls.build_model(cfg)
        checkpointer = AtomicCheckpointer(model, cfg.OUTPUT_DIR, prefer_ema=True)
        weights = (resume and checkpointer.newest_good_checkpoint()) or cfg.MODEL.WEIGHTS
        if not weights:
            raise ValueError(
                "--eval-only needs weights: give MODEL.WEIGHTS FILE, or --resume with the "
                "OUTPUT_DIR of a training"
            )
        checkpoint = checkpointer.load(weights, checkpointables=[])
        checkpointer.warn_of_other_options(generator_options(cfg))
        provenance = {**collect_provenance(cfg), **describe_weights(weights, checkpoint)}
        results = cls.test(cfg, model, cls._evaluators(cfg, provenance))
        if comm.is_main_process():
            verify_results(cfg, results)
        return results

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        return build_model(cfg)

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        return build_optimizer(cfg, model.generator.parameters())

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer):
        return build_lr_scheduler(cfg, optimizer)

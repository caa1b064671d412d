"""SIGTERM in (a scheduler takes the machine back), or Ctrl-C; a saved checkpoint and exit code 143,
or 130, out."""

import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

import detectron2.utils.comm as comm
import torch
from detectron2.engine import HookBase

from zoomin_d2.engine.checkpointing import AtomicCheckpointer

logger = logging.getLogger(__name__)

EXIT_CODE = 128 + signal.SIGTERM
# A process that cannot finish an iteration (its peer is dead) waits no longer than this.
GRACE_SECONDS = 45


class SaveOnTermination(HookBase):
    """After SIGTERM, all processes finish the iteration, the main one saves, and all exit with 143.

    So does a single process after Ctrl-C (SIGINT), with 130; after a second one, it saves nothing.
    Every process needs it, after all hooks whose state a checkpoint holds. Several processes agree
    in every iteration if that is cheap (gloo), else every ``period`` iterations.

    Args:
        checkpointer: saves ``model_<iteration>``, from which --resume continues.
        period: iterations.
        check: called before saving; raises if the state is not worth saving.
    """

    def __init__(
        self,
        checkpointer: AtomicCheckpointer,
        period: int,
        check: Callable[[], None] = lambda: None,
    ):
        self.checkpointer = checkpointer
        self.period = period
        self.check = check
        self._asked = 0  # the signal
        self._timer: threading.Timer | None = None
        self._before: dict[int, signal.Handlers | Callable | int | None] = {}
        self._owner = os.getpid()

    def before_train(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._owner = os.getpid()
            signals = [signal.SIGTERM, *([signal.SIGINT] if comm.get_world_size() == 1 else [])]
            self._before = {x: signal.signal(x, self._handle) for x in signals}

    def after_train(self) -> None:
        for signum, handler in self._before.items():
            if handler is not None:  # else it was not installed from Python
                signal.signal(signum, handler)
        if self._timer is not None:
            self._timer.cancel()

    def after_step(self) -> None:
        if not self._all_agree():
            return
        if self._timer is not None:
            self._timer.cancel()
        iteration = self.trainer.iter
        if iteration + 1 < self.trainer.max_iter:  # else the training has finished and was saved
            self.check()
            self.checkpointer.save(f"model_{iteration:07d}", iteration=iteration)
            comm.synchronize()
            logger.info(
                "%s: saved after iteration %d; --resume continues from there",
                signal.Signals(self._asked or signal.SIGTERM).name,
                iteration,
            )
            raise SystemExit(128 + (self._asked or signal.SIGTERM))

    def _all_agree(self) -> bool:
        if comm.get_world_size() == 1:
            return self._asked > 0
        if torch.distributed.get_backend() != "gloo" and (self.trainer.iter + 1) % self.period:
            return False
        return any(comm.all_gather(self._asked))

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        # Data workers, forked from this process, have handlers of their own: data/worker_setup.py.
        if os.getpid() != self._owner:
            return
        if signum == signal.SIGINT and self._asked:
            raise KeyboardInterrupt
        if signum == signal.SIGINT:
            logger.info("Ctrl-C: saving after this iteration; again to stop without saving")
        if not self._asked:
            self._asked = signum
            if comm.get_world_size() > 1:
                self._timer = threading.Timer(GRACE_SECONDS, self._give_up)
                self._timer.daemon = True
                self._timer.start()

    @staticmethod
    def _give_up() -> None:
        logger.error(
            "SIGTERM: no iteration finished within %d s, so nothing was saved; --resume continues "
            "from the last checkpoint",
            GRACE_SECONDS,
        )
        os._exit(EXIT_CODE)

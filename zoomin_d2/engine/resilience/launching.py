"""A main function in; it runs in as many processes as asked for, on one or several machines.

Either Detectron2's `launch` starts them, or torchrun has started them already.
"""

import argparse
import functools
import logging
import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist
from detectron2.engine import launch
from detectron2.utils import comm
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from zoomin_d2.engine.resilience.termination import EXIT_CODE
from zoomin_d2.user_errors import UserError, one_line_errors, raise_for_traceback, users_mistake

# How long a process waits for others that take longer to evaluate or save.
TIMEOUT = timedelta(minutes=30)


def run_distributed(main: Callable[[argparse.Namespace], object], args: argparse.Namespace) -> None:
    """Call ``main(args)`` in every process of the run; SIGTERM reaches all of them.

    A process that fails ends the run: with its traceback, or with one line if the user can fix the
    cause (`user_errors`). On its machine the run ends within about a minute; processes on other
    machines fail when they next talk to it.

    Args:
        args: of Detectron2's `default_argument_parser`; ``debug`` is optional, and ``dist_url`` is
            of use with several machines only: on one, a free port is chosen.

    Raises:
        SystemExit: with 143 after SIGTERM, with 2 after a user error, such as a --machine-rank or
            --dist-url with which the machines cannot find each other.
        torch.multiprocessing.ProcessRaisedException: one of several processes failed.
    """
    debug = getattr(args, "debug", False)
    with one_line_errors(debug):
        if "TORCHELASTIC_RUN_ID" in os.environ:
            _run_under_torchrun(main, args)
        else:
            _run_by_launch(main, args, debug)


def _check_machines(args: argparse.Namespace) -> None:
    """Raises ValueError for options with which processes could not find each other."""
    if args.num_gpus < 0:
        raise ValueError(f"--num-gpus {args.num_gpus}: must be 0 or more")
    if not 0 <= args.machine_rank < args.num_machines:
        raise ValueError(
            f"--machine-rank {args.machine_rank}: {args.num_machines} machines have the ranks 0 to "
            f"{args.num_machines - 1} (--num-machines)"
        )
    address = re.fullmatch(r"tcp://.+:(\d+)|file:///.+", args.dist_url)
    if args.num_machines > 1 and (address is None or int(address[1] or 0) > 65535):
        raise ValueError(
            f"--dist-url '{args.dist_url}' must be tcp://ADDRESS:PORT, of the first machine, or "
            "file:///PATH, which all machines share"
        )


def _run_by_launch(main: Callable, args: argparse.Namespace, debug: bool) -> None:
    _check_machines(args)
    before = None
    if args.num_gpus * args.num_machines > 1:
        before = signal.signal(signal.SIGTERM, _pass_on)
        main = functools.partial(_carry_mistake, main, debug)
    try:
        launch(
            functools.partial(run_and_leave, main),
            args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            # Detectron2's default is one port per user: two runs on one machine would collide.
            dist_url=args.dist_url if args.num_machines > 1 else "auto",
            args=(args,),
            timeout=TIMEOUT,
        )
    except ProcessRaisedException as error:
        _, marker, line = str(error).rpartition(_MARKER)
        if not marker:
            raise
        raise UserError(line.strip()) from error
    except ProcessExitedException as error:
        if error.exit_code not in (EXIT_CODE, -signal.SIGTERM):
            raise
        sys.exit(EXIT_CODE)
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


class _UserErrorInProcess(Exception):
    """Carries a user error to the parent process, which gets nothing but the traceback."""


_MARKER = f"{_UserErrorInProcess.__name__}: "


def _carry_mistake(main: Callable, debug: bool, args: argparse.Namespace) -> None:
    try:
        main(args)
    except (Exception, UserError) as error:
        message = users_mistake(error)
        if message is None or debug:
            raise_for_traceback(error)
        raise _UserErrorInProcess(message) from None


def run_and_leave(main: Callable[..., object], *args: object) -> None:
    """Call ``main(*args)``; a process of a group then leaves it, and ends here with exit code 0.

    Detectron2's `launch` does neither. The process ends here because the group's threads may live
    on (DDP keeps the group alive) and want Python's lock while the interpreter shuts down, which
    sometimes aborts a finished process ("terminate called without an active exception").
    """
    main(*args)
    if dist.is_initialized():
        dist.destroy_process_group()
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _pass_on(signum: int, frame: object) -> None:
    for child in multiprocessing.active_children():
        if child.pid is not None and child.is_alive():
            os.kill(child.pid, signum)


def _run_under_torchrun(main: Callable, args: argparse.Namespace) -> None:
    has_gpu = torch.cuda.is_available()
    dist.init_process_group("nccl" if has_gpu else "gloo", timeout=TIMEOUT)
    comm.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))
    if has_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    comm.synchronize()
    run_and_leave(main, args)

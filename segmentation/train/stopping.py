"""Ctrl-C and SIGTERM in training: the iteration ends, a checkpoint is written, and the next run goes on from it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

import torch
from mmengine.dist import all_reduce, is_distributed, is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# torchrun and timeout pass on a signal that a terminal has sent to every process already.
_RELAYED_WITHIN_S = 1.0
# What signal.signal takes and gives back; None is a handler that was not set from Python.
_Handler = Callable[[int, FrameType | None], object] | int | None


class Stopped(Exception):
    """Training has ended because of a signal.

    Args:
        number: of the signal.
        iteration: the last one that was trained.
        checkpoint: from which the next run goes on; None where none could be written at this point.
    """

    def __init__(self, number: int, iteration: int, checkpoint: Path | None):
        super().__init__(f"stopped by {signal.Signals(number).name} after iteration {iteration}")
        self.number = number
        self.iteration = iteration
        self.checkpoint = checkpoint


class StopSignals:
    """Remembers the first SIGINT or SIGTERM; a second one, a second or more later, ends the process at once.

    Args:
        say: whether a line tells the user that the signal was heard.
        clock: seconds that only grow.
    """

    def __init__(self, *, say: bool = True, clock: Callable[[], float] = time.monotonic):
        self.received: int | None = None
        self._say = say
        self._clock = clock
        self._received_at = 0.0
        self._owner = os.getpid()
        self._before: dict[int, _Handler] = {}

    def listen(self) -> None:
        """Take the signals over, in the main thread."""
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._receive)

    def release(self) -> None:
        """Give the signals back to who had them."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            return  # a worker that has just been forked
        if self.received is None:
            self.received, self._received_at = number, self._clock()
            # The workers may have been ended with us; torch would raise an error for that in the midst of an iteration.
            self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if self._say:
                # Not print: the signal may have come in the midst of one.
                os.write(2, b"stopping after this iteration (once more: at once)\n")
        elif self._clock() - self._received_at >= _RELAYED_WITHIN_S:
            signal.signal(number, signal.SIG_DFL)
            os.kill(self._owner, number)


class StopHook(Hook):
    """Ends training with a checkpoint after the iteration in which a signal came.

    Every process of a distributed training leaves after the same iteration: they exchange after each whether any has
    received a signal, since one that left alone would have the others wait for its gradients for ever.

    Attributes:
        began: whether training itself has begun, after everything was built and loaded.
    """

    # After the hook that writes the regular checkpoints.
    priority = "LOWEST"

    def __init__(self, signals: StopSignals):
        self.began = False
        self._signals = signals

    def before_train(self, runner: Runner) -> None:
        """Listen, and have the workers that load chips leave Ctrl-C to this process."""
        self.began = True
        self._signals.listen()
        for loop in (runner.train_loop, runner.val_loop):
            if loop is not None:
                loop.dataloader.worker_init_fn = partial(_ignore_interrupts, then=loop.dataloader.worker_init_fn)

    def after_train_iter(self, runner: Runner, *_: object, **__: object) -> None:
        """Leave after this iteration if a signal has come to any process."""
        number = self._received_by_any()
        trained = runner.iter + 1
        # The last iteration is followed by the validation, where a signal is heard as well.
        if number and trained < runner.max_iters:
            raise Stopped(number, trained, _write_checkpoint(runner, trained))

    def after_val_iter(self, runner: Runner, *_: object, **__: object) -> None:
        """Leave in the midst of a validation, which is not repeated.

        Only the process that writes leaves: it needs the others for nothing here, and their launcher ends them.
        """
        if self._signals.received and is_main_process():
            raise Stopped(self._signals.received, runner.iter, _write_checkpoint(runner, runner.iter))

    def after_train(self, _runner: Runner) -> None:
        """Stop listening."""
        self._signals.release()

    def leave_without_workers(self, runner: Runner, error: RuntimeError) -> None:
        """Leave if the workers have been ended by the same signal as this process, which then cannot go on.

        Raises:
            Stopped: a signal has come and the error is torch's about lost workers, found between two iterations.
        """
        if self._signals.received and "DataLoader worker (pid" in str(error):
            raise Stopped(self._signals.received, runner.iter, _write_checkpoint(runner, runner.iter)) from None

    def _received_by_any(self) -> int:
        """The number of a signal that any process has received, 0 for none."""
        number = self._signals.received or 0
        if is_distributed():
            shared = torch.tensor(number)
            all_reduce(shared, op="max")
            number = int(shared)
        return number


def _ignore_interrupts(worker: int, then: Callable[[int], None] | None) -> None:
    """What a worker of a data loader does first: a terminal's Ctrl-C comes to it too, and would break the loader.

    SIGTERM has to end it, since that is how Python ends the workers that are left when it exits.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if then is not None:
        then(worker)


def _write_checkpoint(runner: Runner, trained: int) -> Path | None:
    """Have MMEngine's own hook write a checkpoint, unless it just has; None within an epoch of a config that counts so.

    Args:
        runner: of the training.
        trained: number of iterations behind it.
    """
    hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    if not hooks or hooks[0].by_epoch:
        return None
    hook = hooks[0]
    path = Path(hook.out_dir) / hook.filename_tmpl.format(trained)
    if hook.last_ckpt != str(path):
        hook._save_checkpoint_with_step(runner, trained, meta={"epoch": runner.epoch, "iter": trained})
    return path

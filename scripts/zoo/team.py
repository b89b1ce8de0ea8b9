"""Processes of one thread each that train one model together: each takes a share of the batch, gradients are added up in shared memory.

On few cores that other work wants too, this is much faster than threads, which wait for each other inside every operation.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal

import torch

PR_SET_PDEATHSIG = 1


class Team:
    """`rank` of `size` processes; rank 0 is the one that was started."""

    def __init__(self, size: int, capacity: int):
        """Forks `size - 1` processes, which go on from here; sums of up to `capacity` numbers can be taken."""
        self.size, self.rank = size, 0
        self._barrier = multiprocessing.get_context("fork").Barrier(size)
        # Two buffers in turn: no process is more than one barrier ahead of another.
        self._buffers = torch.zeros(2, size, capacity).share_memory_()
        self._turn = 0
        parent = os.getpid()
        for rank in range(1, size):
            if os.fork() == 0:
                self.rank = rank
                signal.signal(signal.SIGTERM, signal.SIG_IGN)  # rank 0 saves first, and its end ends the others
                ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != parent:
                    os._exit(1)
                break

    def wait(self) -> None:
        self._barrier.wait()

    def add_up(self, tensors: list[torch.Tensor]) -> None:
        """Replaces each tensor by its sum over the processes."""
        if self.size == 1:
            return
        buffer = self._buffers[self._turn]
        self._turn = 1 - self._turn
        count = sum(tensor.numel() for tensor in tensors)
        torch.cat([tensor.flatten() for tensor in tensors], out=buffer[self.rank, :count])
        self.wait()
        total = buffer[:, :count].sum(0)
        for tensor, part in zip(tensors, total.split([tensor.numel() for tensor in tensors])):
            tensor.copy_(part.view_as(tensor))

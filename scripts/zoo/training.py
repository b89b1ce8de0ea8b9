"""Shared by the trainers: resumable state, learning-rate schedule, moving average of weights."""

from __future__ import annotations

import json
import math
import os
import pathlib
import signal
import sys
import time

import torch


def save_atomically(state: dict, path: pathlib.Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def learning_rate(step: int, total: int, peak: float, warm_up: int = 200) -> float:
    """Linear warm-up, then a cosine to 1 % of the peak."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    progress = (step - warm_up) / max(total - warm_up, 1)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1))))


class Average:
    """Exponential moving average of a module's parameters."""

    def __init__(self, module: torch.nn.Module, decay: float):
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: torch.nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():
            self.values[name].lerp_(value, 1 - decay)


class Run:
    """A resumable training run; `run.step` continues from the latest checkpoint."""

    def __init__(
        self,
        folder: pathlib.Path,
        module,
        optimizer,
        total: int,
        peak: float,
        average: float = 0.999,
        decays: bool = True,
        leads: bool = True,
        warm_up: int = 200,
    ):
        """Resumes if there is a checkpoint. If `decays` is false, the rate stays at its peak; only a run with `leads` writes files."""
        self.path = folder / "checkpoint.pt"
        self.log_path = folder / "log.jsonl"
        self.module, self.optimizer, self.total, self.peak = module, optimizer, total, peak
        self.average = Average(module, average)
        self.decays, self.leads, self.warm_up = decays, leads, warm_up
        self.step = 0
        self.seconds = 0.0
        folder.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            module.load_state_dict(state["module"])
            optimizer.load_state_dict(state["optimizer"])
            self.average.values = state["average"]
            self.step, self.seconds = state["step"], state["seconds"]
            print(f"resumed {self.path} at step {self.step}", flush=True)
        self._since = time.time()
        self._losses: list[float] = []
        self._stop = False
        if leads:
            signal.signal(signal.SIGTERM, self._request_stop)

    def _request_stop(self, *_) -> None:
        self._stop = True

    def begin_step(self) -> None:
        rate = learning_rate(self.step, self.total if self.decays else math.inf, self.peak, self.warm_up)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)

    def end_step(self, loss: float, every: int = 100, save_every: int = 200) -> None:
        self.step += 1
        if not self.leads:
            return
        self.average.update(self.module, self.step - 1)
        self._losses.append(loss)
        if self.step % every == 0:
            elapsed = time.time() - self._since
            row = {"step": self.step, "loss": sum(self._losses) / len(self._losses), "seconds": self.seconds + elapsed}
            self._losses = []
            print(json.dumps(row), flush=True)
            with self.log_path.open("a") as log:
                log.write(json.dumps(row) + "\n")
        if self.step % save_every == 0 or self.step == self.total or self._stop:
            self.save()
        if self._stop:
            print(f"stopped at step {self.step}; run again to resume", flush=True)
            sys.exit(0)

    def save(self) -> None:
        elapsed = time.time() - self._since
        state = {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.values,
            "step": self.step,
            "seconds": self.seconds + elapsed,
        }
        save_atomically(state, self.path)

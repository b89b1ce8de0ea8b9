"""Muon (K. Jordan 2024; scaled as in arXiv 2502.16982) for hidden matrices, AdamW for all other parameters."""

from __future__ import annotations

import collections

import torch

from team import Team


def orthogonalised(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Newton-Schulz iteration: moves the singular values of each matrix, [count, n, m] with n <= m, close to one."""
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x


class Muon(torch.optim.Optimizer):
    """Groups with `"matrices": True` use Muon, the others AdamW. The processes of a team divide the matrix products of Muon."""

    def __init__(self, groups: list[dict], team: Team, betas=(0.9, 0.99), momentum=0.95, weight_decay=0.01):
        super().__init__(groups, dict(lr=1e-3, matrices=False, betas=betas, momentum=momentum, weight_decay=weight_decay))
        self.team = team

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            if group["matrices"]:
                self._step_matrices(group)
            else:
                self._step_others(group)

    def _step_matrices(self, group: dict) -> None:
        by_shape = collections.defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
            direction = parameter.grad.lerp(state["momentum"], group["momentum"])
            flat = direction if direction.shape[0] <= direction.shape[1] else direction.T
            by_shape[tuple(flat.shape)].append((parameter, flat))
        stacks = [torch.stack([flat for _, flat in entries]) for entries in by_shape.values()]
        for stack in stacks:
            own = slice(self.team.rank, None, self.team.size)
            mine = orthogonalised(stack[own])
            stack.zero_()
            stack[own] = mine
        self.team.all_reduce(stacks)
        for entries, stack in zip(by_shape.values(), stacks):
            scale = 0.2 * max(stack.shape[1:]) ** 0.5  # the size of an AdamW step
            for (parameter, _), update in zip(entries, stack):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                update = update if update.shape == parameter.shape else update.T
                parameter.add_(update, alpha=-group["lr"] * scale)

    def _step_others(self, group: dict) -> None:
        first, second = group["betas"]
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if not state:
                state["step"] = torch.zeros(())
                state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
            state["step"] += 1
            steps = state["step"].item()
            state["mean"].lerp_(parameter.grad, 1 - first)
            state["square"].mul_(second).addcmul_(parameter.grad, parameter.grad, value=1 - second)
            spread = (state["square"] / (1 - second**steps)).sqrt_().add_(1e-8)
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.addcdiv_(state["mean"], spread, value=-group["lr"] / (1 - first**steps))

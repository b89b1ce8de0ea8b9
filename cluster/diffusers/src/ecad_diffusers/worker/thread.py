"""The computing thread: opens the model and evaluates one task at a time while the main thread communicates."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from ..schedule import Schedule, ScheduleError, Shape
from . import messages_pb2 as pb
from .errors import WorkerError
from .evaluator import Cancelled, CandidateError, Evaluator, Returned
from .profile import Profile

MOST_IMAGES = 256
"""The largest batch that a run configuration allows."""


class EvaluationThread:
    """Requests in, outcomes out; only values cross over."""

    def __init__(self) -> None:
        self.outcomes: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.progress = (0, 0)
        self.profile = Profile()
        # Readable once there is an outcome, so that the main thread need not wait for its next turn.
        self.arrivals, self._announce = os.pipe()
        self._requests: queue.SimpleQueue[Callable[[], tuple[str, Any]] | None] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        self._evaluator: Evaluator | None = None
        self._thread = threading.Thread(target=self._run, name="evaluation", daemon=True)
        self._thread.start()

    def open(self, make: Callable[[], Evaluator]) -> None:
        """Outcome `opened` with the canary's values and seconds, or `failed` with the reason."""

        def request() -> tuple[str, Any]:
            self._evaluator = None
            try:
                with self.profile.activity("opening the model"):
                    evaluator = make()
                    evaluator.profile = self.profile
                start = time.perf_counter()
                with self.profile.activity("canary"):
                    values = evaluator.canary()
            except Exception as error:
                return "failed", _line(error)
            self._evaluator = evaluator
            return "opened", (values, time.perf_counter() - start)

        self._requests.put(request)

    def measure_costs(self, images: int) -> None:
        """Outcome `measured` with a `costs.Measured`, or `failed` with the reason."""
        self._cancelled.clear()

        def request() -> tuple[str, Any]:
            try:
                if self._evaluator is None:
                    raise WorkerError("costs were requested before the model was opened")
                if not 1 <= images <= MOST_IMAGES:
                    raise WorkerError(f"the run requests costs of a batch of {images} images; expected 1 to {MOST_IMAGES}")
                with self.profile.activity("costs"):
                    return "measured", self._evaluator.measure_costs(images, self._advance)
            except Cancelled:
                return "cancelled", None
            except Exception as error:
                return "failed", _line(error)

        self._requests.put(request)

    def evaluate(self, assignment: Any) -> None:
        """Outcome `evaluated` with fields of a TaskResult and seconds, `cancelled`, or `task-failed` with candidate and reason."""
        self._cancelled.clear()
        self.progress = (0, 0)

        def request() -> tuple[str, Any]:
            start = time.perf_counter()
            try:
                result = self._compute(assignment)
            except Cancelled:
                return "cancelled", None
            except CandidateError as error:
                return "task-failed", (error.candidate, _line(error))
            except Exception as error:
                return "task-failed", (None, _line(error))
            return "evaluated", (result, time.perf_counter() - start)

        self._requests.put(request)

    def _compute(self, assignment: Any) -> dict[str, Any]:
        """The fields of a TaskResult that depend on the kind of the task."""
        if self._evaluator is None:
            raise WorkerError("a task was assigned before the model was opened")
        items = [(item.prompt_index, item.seed) for item in assignment.items]
        if assignment.kind == pb.Assignment.KIND_MEASURE_REUSE:
            if len(items) != 1 or assignment.candidates:
                raise WorkerError(f"the task has {len(items)} images and {len(assignment.candidates)} candidates; expected one image and no candidates to measure reuse")
            with self.profile.activity("reuse errors"):
                return {"reuse_errors": self._evaluator.measure_reuse(items[0], self._advance)}
        if assignment.kind not in (pb.Assignment.KIND_EVALUATE, pb.Assignment.KIND_RENDER):
            raise WorkerError(f"the task is of kind {assignment.kind}, which this worker does not know; expected evaluate, render or measure_reuse")
        candidates = [(candidate.candidate_id, schedule(candidate, self._evaluator.shape)) for candidate in assignment.candidates]
        if not candidates or not items:
            raise WorkerError("the task has no images; expected at least one candidate and one prompt")
        thumbnails = {(item.prompt_index, item.seed) for item in assignment.thumbnails}
        returned = Returned(assignment.return_images, thumbnails, assignment.return_references, assignment.image_pixels)
        with self.profile.activity("rendering" if assignment.kind == pb.Assignment.KIND_RENDER else "evaluation"):
            return {"images": self._evaluator.evaluate(candidates, items, assignment.measure_latency, returned, self._advance)}

    def cancel(self) -> None:
        self._cancelled.set()

    def stop(self, timeout: float) -> bool:
        """Cancels what is going on; whether the thread has ended within the time."""
        self.cancel()
        self._requests.put(None)
        self._thread.join(timeout)
        if self._thread.is_alive():
            return False
        os.close(self.arrivals)
        os.close(self._announce)
        return True

    def _advance(self, done: int, total: int) -> None:
        self.progress = (done, total)
        if self._cancelled.is_set():
            raise Cancelled

    def _run(self) -> None:
        while (request := self._requests.get()) is not None:
            self.outcomes.put(request())
            os.write(self._announce, b"1")


def schedule(candidate: Any, shape: Shape) -> Schedule:
    """The schedule of an assigned candidate."""
    genome, count = candidate.genome, candidate.gene_count
    if count != shape.genes:
        raise CandidateError(candidate.candidate_id, f"the genome has {count} genes; expected {shape.genes} for {shape}")
    packed = int.from_bytes(genome, "little")
    if len(genome) != (count + 7) // 8 or packed >> count:
        raise CandidateError(candidate.candidate_id, f"malformed genome: {len(genome)} bytes; expected {count} genes in {(count + 7) // 8} bytes")
    digits = f"{packed:0{count}b}"[::-1]
    gate = candidate.gate_step if candidate.HasField("gate_step") and candidate.gate_step else None
    try:
        return Schedule(shape, tuple(digit == "1" for digit in digits), gate)
    except ScheduleError as error:
        raise CandidateError(candidate.candidate_id, str(error)) from None


def _line(error: Exception) -> str:
    """The error in one line of at most 1,000 characters."""
    return " ".join(str(error).split())[:1000] or type(error).__name__

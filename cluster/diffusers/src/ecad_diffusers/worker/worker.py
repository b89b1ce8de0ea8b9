"""A worker's life: it registers, proves itself, evaluates tasks and reports results until the run ends."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import random
import signal
import socket as sockets
import tempfile
import time
from typing import Any

import torch
import zmq

from .. import __version__
from . import messages_pb2 as pb
from . import protocol
from .connection import ENGINE, PRECISIONS, Options, device_class, open_socket, processor
from .errors import WorkerError
from .evaluator import Evaluator, Settings
from .fingerprint import fingerprint
from .model_scorers import MODEL_TYPES, find_models
from .scorers import SCORERS
from .spool import Spool
from .thread import EvaluationThread

log = logging.getLogger("ecad-torch-worker")

SHORTEST_PAUSE, LONGEST_PAUSE = 0.25, 32.0
REQUEST_PAUSE = 5.0
ACKNOWLEDGEMENT_SECONDS = 5.0


class Worker:
    """The main thread only communicates, so heartbeats are sent during evaluations."""

    def __init__(self, options: Options):
        self.options = options
        self._session = os.urandom(16)
        self._image_hash = fingerprint(options.model, image_only=True)
        try:
            self._model_hash = fingerprint(options.model)
        except WorkerError as error:
            self._model_hash = ""  # A run with prompt embeddings does not need the text encoders.
            log.warning("text encoders not offered: %s", error)
        self._scorer_folders = find_models(options.scorers, options.model)
        self._spool = Spool(options.spool)
        self._engine = EvaluationThread()
        self._stage = "joining"
        self._welcome: Any = None
        self._canary: Any = None
        self._costs: Any = None
        self._task: tuple[int, int] | None = None
        self._task_started = 0.0
        self._download: _Download | None = None
        self._unacknowledged: dict[tuple[int, int], bytes] = {}
        self._pause = SHORTEST_PAUSE
        self._next_registration = self._next_heartbeat = 0.0
        self._next_request: float | None = None
        self._signals: list[int] = []
        self._drain_deadline: float | None = None
        self._socket: Any = None
        self._monitor: Any = None

    def run(self) -> None:
        """Works until the run finishes or a signal ends the process; raises WorkerError if it cannot go on."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, lambda received, _: self._signals.append(received))
        context = zmq.Context()
        self._connect(context)
        try:
            while True:
                poller = zmq.Poller()
                poller.register(self._socket, zmq.POLLIN)
                poller.register(self._engine.arrivals, zmq.POLLIN)
                ready = dict(poller.poll(100))
                if self._engine.arrivals in ready:
                    os.read(self._engine.arrivals, 64)
                if self._socket in ready:
                    frames = self._socket.recv_multipart()
                    if len(frames) == 1 and self._handle(*protocol.decode(frames[0])):
                        return
                if self._handshake_failed() and time.monotonic() >= self._next_registration:
                    self._connect(context)
                    self._stage = "joining"
                    self._next_registration = time.monotonic() + self._pause
                    self._pause = min(2 * self._pause, LONGEST_PAUSE)
                while not self._engine.outcomes.empty():
                    self._report(*self._engine.outcomes.get())
                self._handle_signals()
                reason = self._reason_to_leave()
                if reason:
                    log.info(reason)
                    self._engine.cancel()
                    self._send(goodbye=pb.Goodbye(reason=reason))
                    return
                self._send_due()
        finally:
            log.info("time: %s", self._engine.profile.summary())
            self._socket.close(linger=2000)
            self._monitor.close()
            context.term()

    def stop(self, timeout: float = 5.0) -> bool:
        """Ends the computing thread; false if it is still inside PyTorch after the time."""
        return self._engine.stop(timeout)

    # Connection

    def _connect(self, context: Any) -> None:
        if self._socket is not None:
            self._socket.disable_monitor()
            self._socket.close(linger=0)
        self._socket, self._monitor = open_socket(context, self._session, self.options.coordinator, self.options.key)

    def _handshake_failed(self) -> bool:
        """Whether the coordinator rejected the connection, which libzmq does not retry."""
        failed = False
        while self._monitor.poll(0):
            self._monitor.recv_multipart()
            failed = True
        if failed:
            log.warning("the coordinator at %s rejected the connection: this worker's key is not authorized, or only one side uses encryption", self.options.coordinator)
        return failed

    def _send(self, **body: Any) -> None:
        self._send_bytes(protocol.encode(**body))

    def _send_bytes(self, data: bytes) -> None:
        try:
            self._socket.send(data, zmq.DONTWAIT)
        except zmq.Again:
            pass  # Everything that matters is sent again after the next registration.

    def _handle(self, kind: str, body: Any) -> bool:
        """Handles a message; true once the run has finished."""
        now = time.monotonic()
        if kind == "finish":
            log.info("finished: %s", body.reason[:1000])
            self._spool.remove_if_empty()
            return True
        if kind == "welcome":
            self._join(body)
        elif kind == "refusal":
            if not body.retry:
                raise WorkerError(f"the coordinator refused this worker: {body.reason[:1000]}")
            if self._stage != "joining":
                log.info("registering again: %s", body.reason[:1000])
            self._stage, self._next_registration = "joining", now + self._pause
        elif kind == "blob_chunk":
            self._receive_chunk(body)
        elif kind == "assignment":
            # A repeated request can be answered twice.
            if self._task is None and self._drain_deadline is None and self._stage == "idle":
                self._task, self._task_started, self._stage = (body.task_id, body.lease_epoch), now, "evaluating"
                self._engine.evaluate(body)
        elif kind == "wait" and self._stage == "idle":
            seconds = body.retry_seconds if math.isfinite(body.retry_seconds) else 60.0
            self._next_request = now + min(max(seconds, 0.05), 60.0)
        elif kind == "cancel" and self._task == (body.task_id, body.lease_epoch):
            self._engine.cancel()
        elif kind == "acknowledgement":
            key = (body.task_id, body.lease_epoch)
            log.debug("result of task %d %s", body.task_id, "acknowledged" if body.accepted else "discarded by the coordinator")
            if self._unacknowledged.pop(key, None) is not None and self._welcome:
                self._spool.remove(self._welcome.run_id, key)
        return False

    def _send_due(self) -> None:
        now = time.monotonic()
        if self._stage == "joining":
            if now >= self._next_registration:
                self._register()
            return
        if self._next_request is not None and now >= self._next_request:
            if self._stage == "idle":
                self._request_task()
            elif self._stage == "downloading":
                self._request_chunk()
        if now < self._next_heartbeat:
            return
        heartbeat = pb.Heartbeat(load=os.getloadavg()[0])
        if self._task:
            heartbeat.task_id = self._task[0]
            heartbeat.images_done, heartbeat.images_total = self._engine.progress
        self._send(heartbeat=heartbeat)
        seconds = self._welcome.heartbeat_seconds if math.isfinite(self._welcome.heartbeat_seconds) else 2.0
        self._next_heartbeat = now + min(max(seconds, 0.1), 60.0)

    # Joining

    def _register(self) -> None:
        options = self.options
        registration = pb.Registration(
            session_id=self._session,
            engine_version=__version__,
            worker_name=options.name,
            host=sockets.gethostname(),
            cpu=processor(),
            blas=f"torch {torch.__version__}",
            threads=torch.get_num_threads(),
            engine=ENGINE,
            precisions=options.precisions,
            device_class=device_class(options.device),
            model_hash=self._model_hash,
            image_model_hash=self._image_hash,
            walltime_left_seconds=options.walltime_left,
            scorer_hashes=sorted(self._scorer_folders),
        )
        self._send(registration=registration)
        self._next_registration = time.monotonic() + self._pause * random.uniform(0.75, 1.25)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _join(self, welcome: Any) -> None:
        own = self._image_hash if welcome.HasField("embeddings") else self._model_hash
        if welcome.settings.model_hash != own:
            raise WorkerError(f"{self.options.model}: fingerprint is {own[:12]}; expected the run's model with {welcome.settings.model_hash[:12]}")
        self._pause, self._next_heartbeat = SHORTEST_PAUSE, 0.0
        same = self._welcome is not None and self._welcome == welcome
        if not same:
            self._canary = self._costs = None
            self._unacknowledged = self._spool.results(welcome.run_id)
        self._welcome = welcome
        # The costs precede the results, because the coordinator models their latencies with them.
        if self._costs is not None:
            self._send(cost_report=self._costs)
        for data in self._unacknowledged.values():
            self._send_bytes(data)
        if same:
            self._rejoin()
            return
        log.info("joined run %s: opening %s on %s", welcome.run_id[:100], self.options.model, self.options.device)
        if welcome.HasField("embeddings"):
            if self._download:
                self._download.discard()
            self._download = _Download(welcome.embeddings)
            self._stage = "downloading"
            self._request_chunk()
        else:
            self._open(None)

    def _rejoin(self) -> None:
        """Continues where the worker was before it lost the coordinator."""
        if self._download:
            self._stage = "downloading"
            self._request_chunk()
            return
        if self._canary is not None:
            self._send(canary=self._canary)
        if self._canary is None or (self._costs is None and self._welcome.HasField("cost_image_count")):
            self._stage = "opening"
            return
        if self._task:
            self._stage = "evaluating"
        else:
            self._request_task()

    def _open(self, embeddings: str | None) -> None:
        settings = _settings(self._welcome, self._scorer_folders)
        options = self.options
        dtype = PRECISIONS.get(self._welcome.settings.precision or "float32")
        if dtype is None or options.dtype not in (None, dtype):
            raise WorkerError(f"the run's precision is {self._welcome.settings.precision[:40]}; this worker computes in {', '.join(options.precisions)}")
        if self._welcome.settings.engine != ENGINE:
            raise WorkerError(f"the run's engine is {self._welcome.settings.engine[:40] or 'native'}, this worker's is {ENGINE}: join it with ecad-worker run")
        self._stage = "opening"

        def make() -> Evaluator:
            try:
                return Evaluator(options.model, settings, embeddings, options.device, dtype, options.batch)
            finally:
                if embeddings:
                    os.unlink(embeddings)

        self._engine.open(make)

    def _request_chunk(self) -> None:
        if self._download:
            self._next_request = time.monotonic() + REQUEST_PAUSE
            self._send(blob_request=pb.BlobRequest(sha256=self._download.digest, offset=self._download.offset))

    def _receive_chunk(self, chunk: Any) -> None:
        if self._stage != "downloading" or self._download is None:
            return
        path = self._download.receive(chunk)
        if path:
            self._download = None
            self._open(path)
        elif chunk.sha256 == self._download.digest:
            self._request_chunk()

    # Tasks

    def _request_task(self) -> None:
        self._stage = "idle"
        if self._drain_deadline is not None:
            self._next_request = None
            return
        self._next_request = time.monotonic() + REQUEST_PAUSE
        self._send(task_request=pb.TaskRequest(walltime_left_seconds=self.options.walltime_left))

    def _request_task_if_joined(self) -> None:
        if self._stage != "joining":
            self._request_task()

    def _report(self, outcome: str, value: Any) -> None:
        if outcome == "failed":
            raise WorkerError(value)
        if outcome == "opened":
            values, seconds = value
            self._canary = pb.Canary(values=values, seconds=seconds)
            if self._stage != "joining":
                self._send(canary=self._canary)
            if self._welcome.HasField("cost_image_count"):
                self._engine.measure_costs(self._welcome.cost_image_count)
            else:
                self._request_task_if_joined()
            return
        if outcome == "measured":
            self._costs = pb.CostReport(table=value.table, uncached_seconds=value.uncached_seconds, fit_error=value.fit_error)
            log.info("costs of the components measured: uncached %.3f s, median error %.1f %%", value.uncached_seconds, 100 * value.fit_error)
            if self._stage != "joining":
                self._send(cost_report=self._costs)
            self._request_task_if_joined()
            return
        if self._task is None:
            return  # The cancelled measurement of costs; the worker is leaving.

        key, self._task = self._task, None
        if outcome == "evaluated":
            content, seconds = value
            result = pb.TaskResult(task_id=key[0], lease_epoch=key[1], task_seconds=seconds, **content)
            protocol.seal(result)
            data = protocol.encode(task_result=result)
            self._spool.store(self._welcome.run_id, key, data)
            self._unacknowledged[key] = data
            self._send_bytes(data)
        elif outcome == "task-failed":
            candidate, reason = value
            log.warning("task %d failed: %s", key[0], reason)
            failure = pb.TaskFailure(task_id=key[0], lease_epoch=key[1], candidate_id=candidate, reason=reason)
            self._send(task_failure=failure)
        self._request_task_if_joined()

    # Leaving

    def _handle_signals(self) -> None:
        """Drains on SIGTERM and on Slurm's warning (SIGUSR1); SIGINT or a second signal ends the grace period."""
        if not self._signals:
            return
        grace = self.options.grace
        if signal.SIGUSR1 in self._signals and self.options.walltime_left is not None:
            grace = max(0.0, self.options.walltime_left - 10)
        if signal.SIGINT in self._signals or len(self._signals) > 1:
            grace = 0.0
        deadline = time.monotonic() + grace
        if self._drain_deadline is None:
            self._drain_deadline = deadline
        elif grace == 0:
            self._drain_deadline = min(self._drain_deadline, deadline)

    def _reason_to_leave(self) -> str | None:
        if self._drain_deadline is None:
            return None
        now = time.monotonic()
        if self._task:
            done, total = self._engine.progress
            left = (now - self._task_started) / done * (total - done) if done else 0.0
            return f"shutting down: returning task {self._task[0]}" if now + left >= self._drain_deadline else None
        if self._unacknowledged and now < self._drain_deadline + ACKNOWLEDGEMENT_SECONDS:
            return None
        return "shutting down: no task is running"


def _settings(welcome: Any, scorer_folders: dict[str, str]) -> Settings:
    """The run's settings; raises WorkerError for those that this worker cannot follow."""
    settings = welcome.settings
    prompts = sorted(welcome.prompts, key=lambda prompt: prompt.index)
    if [prompt.index for prompt in prompts] != list(range(len(prompts))):
        raise WorkerError(f"the run's prompt indices are not 0 to {len(prompts) - 1}")
    folders = {}
    for name in settings.scorers:
        if name in SCORERS:
            continue
        if name not in MODEL_TYPES:
            raise WorkerError(f'the run uses the scorer "{name[:100]}"; this worker has {", ".join([*SCORERS, *MODEL_TYPES])}')
        digest = next((model.hash for model in settings.scorer_models if model.scorer == name), "")
        if digest not in scorer_folders:
            raise WorkerError(f"this worker lacks the run's model of scorer {name} with fingerprint {digest[:12]}; pass a copy with --scorer, or place it next to the model")
        folders[name] = scorer_folders[digest]
    for name, value, limit in (("steps", settings.step_count, 1000), ("height", settings.height, 16384), ("width", settings.width, 16384)):
        if not 1 <= value <= limit:
            raise WorkerError(f"the run's {name} is {value}; expected 1 to {limit}")
    if not 0 <= settings.guidance_scale <= 1000:
        raise WorkerError(f"the run's guidance scale is {settings.guidance_scale}; expected 0 to 1000")
    return Settings(
        settings.step_count, settings.height, settings.width, settings.guidance_scale,
        [prompt.text for prompt in prompts], settings.negative_prompt, list(settings.scorers), folders,
    )  # fmt: skip


class _Download:
    """A file that the coordinator sends in chunks; one is requested at a time."""

    def __init__(self, reference: Any):
        if len(reference.sha256) != 32:
            raise WorkerError(f"the coordinator announced prompt embeddings with a digest of {len(reference.sha256)} bytes; expected 32")
        self.digest: bytes = reference.sha256
        self.offset = 0
        self._size = reference.byte_count
        self._hash = hashlib.sha256()
        self._file = tempfile.NamedTemporaryFile(prefix="ecad-", suffix=".safetensors", delete=False)

    def receive(self, chunk: Any) -> str | None:
        """The path of the complete file, or None."""
        if chunk.sha256 != self.digest or chunk.offset != self.offset:
            return None
        if not chunk.content or len(chunk.content) > self._size - self.offset:
            self.discard()
            raise WorkerError("the coordinator does not have the prompt embeddings that it announced")
        self._file.write(chunk.content)
        self._hash.update(chunk.content)
        self.offset += len(chunk.content)
        if self.offset < self._size:
            return None
        self._file.close()
        if self._hash.digest() != self.digest:
            self.discard()
            raise WorkerError("the prompt embeddings were corrupted: their SHA-256 differs from the announced one")
        return self._file.name

    def discard(self) -> None:
        self._file.close()
        if os.path.exists(self._file.name):
            os.unlink(self._file.name)

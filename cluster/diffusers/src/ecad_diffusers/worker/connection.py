"""How a worker connects, and what it is: options, socket, engine, precisions and device class."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import time
from typing import Any

import torch
import zmq
import zmq.utils.z85

from .. import __version__
from . import messages_pb2 as pb
from . import protocol
from .errors import WorkerError
from .identity import Key

ENGINE = "torch"
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Those of a run's `model.precision`."""


@dataclasses.dataclass
class Options:
    """The configuration of a worker; `dtype` None for the run's precision, `batch` None for whole tasks, `walltime_end` a time.time()."""

    coordinator: str
    key: Key | None
    model: str
    name: str
    spool: str
    device: torch.device
    dtype: torch.dtype | None = None
    batch: int | None = None
    scorers: list[str] = dataclasses.field(default_factory=list)
    grace: float = 20.0
    walltime_end: float | None = None

    @property
    def precisions(self) -> list[str]:
        """The precisions that the worker offers, by their names in a run configuration."""
        return [name for name, dtype in PRECISIONS.items() if self.dtype in (None, dtype)]

    @property
    def walltime_left(self) -> float | None:
        return None if self.walltime_end is None else max(0.0, self.walltime_end - time.time())


def open_socket(context: Any, session: bytes, endpoint: str, key: Key | None) -> tuple[Any, Any]:
    """A socket to the coordinator, and the monitor of its rejected handshakes."""
    socket = context.socket(zmq.DEALER)
    for option, value in (
        (zmq.ROUTING_ID, session), (zmq.MAXMSGSIZE, protocol.MESSAGE_BYTES), (zmq.SNDHWM, 64), (zmq.RCVHWM, 64), (zmq.HEARTBEAT_IVL, 3000),
        (zmq.HEARTBEAT_TIMEOUT, 15000), (zmq.HANDSHAKE_IVL, 10000), (zmq.CONNECT_TIMEOUT, 10000), (zmq.RECONNECT_IVL, 1000),
        (zmq.RECONNECT_IVL_MAX, 32000), (zmq.LINGER, 2000), (zmq.IPV6, 1), (zmq.IMMEDIATE, 1),
    ):  # fmt: skip
        socket.setsockopt(option, value)
    if key:
        socket.curve_publickey = zmq.utils.z85.encode(key.public)
        socket.curve_secretkey = zmq.utils.z85.encode(key.secret)
        socket.curve_serverkey = zmq.utils.z85.encode(key.coordinator)
    monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)
    try:
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        raise WorkerError(f"--coordinator is {endpoint}: {error}; expected an endpoint such as tcp://head:5555") from None
    return socket, monitor


def check_connection(options: Options, timeout: float = 5.0) -> str:
    """Asks the coordinator whether this worker may join; a line on the run, or WorkerError with the reason."""
    context = zmq.Context()
    socket, monitor = open_socket(context, os.urandom(16), options.coordinator, options.key)
    socket.setsockopt(zmq.SNDTIMEO, int(1000 * timeout))
    try:
        socket.send(protocol.encode(probe=pb.Probe(engine_version=__version__, engine=ENGINE, precisions=options.precisions)))
        if not socket.poll(1000 * timeout):
            raise zmq.Again
        kind, body = protocol.decode(socket.recv_multipart()[0])
    except zmq.Again:
        cause = "it rejected the handshake: this worker's key is not authorized, or only one side uses encryption" if monitor.poll(0) else "expected a running coordinator"
        raise WorkerError(f"{options.coordinator}: no answer within {timeout:.0f} s; {cause}") from None
    finally:
        socket.disable_monitor()
        socket.close(linger=0)
        monitor.close()
        context.term()
    if kind == "refusal":
        raise WorkerError(f"the coordinator refuses this worker: {body.reason[:1000]}")
    if kind != "probe_reply":
        raise WorkerError(f"{options.coordinator}: answered with {kind}; expected a coordinator")
    return (
        f"ok: run {body.run_id[:100]} ({body.engine[:40]}, {body.precision[:40]}), coordinator {body.engine_version[:40]}, {body.workers} workers; "
        f"this worker is a {device_class(options.device)}"
    )


def processor() -> str:
    """The processor model."""
    try:
        with open("/proc/cpuinfo") as file:
            found = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def device_class(device: torch.device) -> str:
    """What devices have in common on which equal work takes equal time."""
    version = f"torch {torch.__version__}"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {version}"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"{processor()}, {version}, {threads} thread{'' if threads == 1 else 's'}"
    return f"{device.type} of {processor()}, {version}"

"""The program `ecad-torch-worker`."""

from __future__ import annotations

import argparse
import logging
import os
import pathlib
import re
import socket
import sys
import time

import diffusers
import torch

from .. import __version__
from ..pipelines import open_device
from ..schedule import ScheduleError
from .connection import PRECISIONS, Options, check_connection
from .errors import WorkerError
from .identity import Key
from .worker import Worker


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="ecad-torch-worker", description="Join a run of ecad-coordinator and evaluate its candidates with PyTorch.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--coordinator", required=True, metavar="ENDPOINT", help="such as tcp://head:5555")
    parser.add_argument("--key", metavar="FILE", help="key file of this worker, created by: ecad-coordinator keys new NAME")
    parser.add_argument("--insecure-plaintext", action="store_true", help="connect to another machine without key or encryption; only for trusted networks")
    parser.add_argument("--models", metavar="DIR", help="model directory in the diffusers layout; must equal the run's model")
    parser.add_argument("--check", action="store_true", help="only check whether this worker may join, in one line; needs no --models")
    parser.add_argument("--scorer", action="append", default=[], metavar="DIR", help="scorer model; those next to the model are found")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", metavar="DEVICE", help="torch device (default: cuda if there is one)")
    parser.add_argument("--dtype", choices=sorted(PRECISIONS), help="join only runs of this precision (default: runs of either)")
    parser.add_argument("--batch", type=int, metavar="N", help="most images per batch (default: those of a task)")
    parser.add_argument("--name", default=socket.gethostname(), help="name of the worker in reports (default: the key's, or the host's)")
    parser.add_argument("--spool", metavar="DIR", help="directory of unacknowledged results (default: ~/.local/state/ecad-torch-worker/NAME)")
    parser.add_argument("--grace", type=float, default=20.0, metavar="SECONDS", help="time for the current task after SIGTERM (default: 20)")
    parser.add_argument("--walltime", type=float, metavar="SECONDS", help="until the batch system ends this worker (default: the end of the Slurm job, if any)")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"], help="default: info")
    options = parser.parse_args(arguments)
    if options.batch is not None and options.batch < 1:
        parser.error(f"--batch {options.batch}: expected at least 1")
    local = re.match(r"tcp://(localhost|127\.|\[::1\])|ipc://", options.coordinator)
    if not options.key and not local and not options.insecure_plaintext:
        parser.error("--key FILE is required to connect to another machine (or --insecure-plaintext on a trusted network)")
    diffusers.utils.logging.disable_progress_bar()
    logging.basicConfig(level=options.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    end = os.environ.get("SLURM_JOB_END_TIME", "")
    walltime = time.time() + options.walltime if options.walltime is not None else float(end) if end.isdigit() and int(end) else None
    try:
        key = Key.read(options.key) if options.key else None
        name = key.name if key and key.name else options.name
        spool = options.spool or str(pathlib.Path.home() / ".local/state/ecad-torch-worker" / re.sub("[^A-Za-z0-9._-]", "-", name))
        if options.check:
            print(check_connection(Options(options.coordinator, key, "", name, spool, open_device(options.device), PRECISIONS.get(options.dtype))))
            return
        if options.models is None:
            parser.error("--models DIR is required")
        if not pathlib.Path(options.models, "model_index.json").is_file():
            raise WorkerError(f"--models is {options.models}; expected a model directory with model_index.json")
        dtype = PRECISIONS.get(options.dtype)
        worker = Worker(Options(options.coordinator, key, options.models, name, spool, open_device(options.device), dtype, options.batch, options.scorer, options.grace, walltime))
    except (WorkerError, ScheduleError) as error:
        sys.exit(f"error: {error}")
    status = 0
    try:
        worker.run()
    except (WorkerError, ScheduleError) as error:
        print(f"error: {error}", file=sys.stderr)
        status = 1
    if not worker.stop():
        # PyTorch aborts the process if the interpreter ends while a thread is inside it.
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    main()

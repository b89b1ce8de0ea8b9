"""Why a worker ends."""


class WorkerError(Exception):
    """The worker cannot start or go on; the text is one line."""

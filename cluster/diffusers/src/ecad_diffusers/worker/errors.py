"""Why a worker ends."""


class WorkerError(Exception):
    """The worker cannot start or go on; the text is one line, also if it quotes lines of a message."""

    def __str__(self) -> str:
        return " ".join(super().__str__().splitlines())

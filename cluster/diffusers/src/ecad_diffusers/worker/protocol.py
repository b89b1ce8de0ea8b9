"""Messages as frames: versions, limits and checksums; Sources/Messages describes the protocol."""

from __future__ import annotations

import struct
import zlib
from typing import Any

from google.protobuf.message import DecodeError

from . import messages_pb2 as pb
from .errors import WorkerError

VERSION = 2
MESSAGE_BYTES = 64 << 20
TEXT_BYTES = 16_384
ELEMENTS = 100_000
GENOME_BYTES = 65_536
SCORERS = 64


class MessageError(WorkerError):
    """A frame is no valid message of the coordinator."""


def encode(**body: Any) -> bytes:
    """One message of a worker; the keyword names the field of the envelope's body."""
    data: bytes = pb.WorkerMessage(protocol_version=VERSION, **body).SerializeToString(deterministic=True)
    if len(data) > MESSAGE_BYTES:
        raise WorkerError(f"a message has {len(data)} bytes; expected at most {MESSAGE_BYTES}")
    return data


def decode(data: bytes) -> tuple[str, Any]:
    """The name and the content of a coordinator's message. Refusals of every protocol version are readable."""
    if len(data) > MESSAGE_BYTES:
        raise MessageError(f"the coordinator's message has {len(data)} bytes; expected at most {MESSAGE_BYTES}")
    try:
        preamble = pb.Preamble.FromString(data)
        version = preamble.protocol_version
        if version != VERSION:
            if preamble.HasField("refusal"):
                return "refusal", preamble.refusal
            raise MessageError(f"the coordinator speaks protocol version {version}; expected {VERSION}")
        envelope = pb.CoordinatorMessage.FromString(data)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(f"the coordinator's message is malformed: {str(error)[:200]}") from None
    name = envelope.WhichOneof("body")
    if name is None:
        raise MessageError("the coordinator's message has no known content")
    body = getattr(envelope, name)
    _check(name, body)
    return name, body


def _check(name: str, body: Any) -> None:
    if name == "welcome":
        _at_most("welcome.prompts", len(body.prompts), ELEMENTS)
        _at_most("welcome.settings.scorers", len(body.settings.scorers), SCORERS)
        for prompt in body.prompts:
            _at_most("welcome.prompts.text", len(prompt.text.encode()), TEXT_BYTES)
    if name == "assignment":
        _at_most("assignment.candidates", len(body.candidates), ELEMENTS)
        _at_most("assignment.items", len(body.items), ELEMENTS)
        for candidate in body.candidates:
            _at_most("assignment.candidates.genome", len(candidate.genome), GENOME_BYTES)


def _at_most(field: str, found: int, limit: int) -> None:
    if found > limit:
        raise MessageError(f"the coordinator's message has {found} in {field}; expected at most {limit}")


def seal(result: Any) -> None:
    """Sets the checksum of a TaskResult's content, as Sources/Messages/TaskResult.swift defines it."""
    result.checksum = checksum(result)


def checksum(result: Any) -> int:
    def integer(value: int) -> bytes:
        return struct.pack("<Q", value & (2**64 - 1))

    def number(value: float) -> bytes:
        return struct.pack("<d", value)

    parts = [integer(result.task_id), integer(result.lease_epoch), number(result.task_seconds), integer(len(result.images))]
    for image in result.images:
        parts += [integer(image.candidate_id), integer(image.prompt_index), integer(image.seed), number(image.denoise_seconds), number(image.decode_seconds)]
        parts += [integer(1), number(image.reference_seconds)] if image.HasField("reference_seconds") else [integer(0)]
        parts.append(integer(len(image.scores)))
        for name in sorted(image.scores, key=str.encode):
            parts += [integer(len(name.encode())), name.encode(), number(image.scores[name])]
        parts += [integer(1), integer(len(image.png)), image.png] if image.HasField("png") else [integer(0)]
        parts += [integer(len(image.reference_png)), image.reference_png] if image.HasField("reference_png") else []
    if result.reuse_errors:
        parts += [integer(len(result.reuse_errors)), result.reuse_errors]
    return zlib.crc32(b"".join(parts))

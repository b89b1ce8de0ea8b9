"""JSON from untrusted files: strict parsing, and checks whose errors name the file and the place in it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterator
from typing import Any, NoReturn

from .schedule import ScheduleError

DEPTH_LIMIT = 64


def parse(data: bytes, file: str) -> Node:
    """Parses one document; duplicate keys, NaN, lone surrogates and more than 64 levels of nesting are errors."""

    def fail(problem: str) -> NoReturn:
        raise ScheduleError(f"{file}: not valid JSON: {problem}")

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            keys = [key for key, _ in pairs]
            fail(f'the key "{next(key for key in keys if keys.count(key) > 1)}" occurs twice')
        return result

    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        fail(f"byte {error.start} is not UTF-8")
    if _depth(text) > DEPTH_LIMIT:
        fail(f"nested deeper than {DEPTH_LIMIT} levels")
    try:
        value = json.loads(
            text,
            object_pairs_hook=members,
            parse_constant=lambda word: fail(f"unexpected {word}"),
            parse_int=lambda literal: int(literal) if len(literal) < 20 else float(literal),
        )
        # json accepts the escape of half a surrogate pair, which no UTF-8 text can hold.
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise ScheduleError(f"{file}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}") from None
    except UnicodeEncodeError:
        fail("an escape of half a surrogate pair")
    return Node(value, file, "")


def _depth(text: str) -> int:
    """The deepest nesting of brackets outside strings."""
    depth = deepest = 0
    quoted = escaped = False
    for character in text:
        if quoted:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                quoted = False
        elif character == '"':
            quoted = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


@dataclasses.dataclass(frozen=True)
class Node:
    """A value of a document with its path; null counts as absent."""

    value: Any
    file: str
    path: str

    def mismatch(self, expected: str) -> NoReturn:
        found = "an object" if isinstance(self.value, dict) else "an array" if isinstance(self.value, list) else json.dumps(self.value)
        raise ScheduleError(f"{self.file}: {self.path or 'the document'} is {found}; expected {expected}")

    def unknown(self, expected: str) -> NoReturn:
        raise ScheduleError(f"{self.file}: {self.path}: unknown key; expected {expected}")

    def missing(self, key: str, hint: str = "") -> NoReturn:
        raise ScheduleError(f"{self.file}: {self._join(key)} is missing{'; ' + hint if hint else ''}")

    def object(self) -> dict[str, Any]:
        if not isinstance(self.value, dict):
            self.mismatch("an object")
        return self.value

    def members(self) -> Iterator[tuple[str, Node]]:
        for key, value in self.object().items():
            yield key, Node(value, self.file, self._join(key))

    def optional(self, key: str) -> Node | None:
        value = self.object().get(key)
        return None if value is None else Node(value, self.file, self._join(key))

    def required(self, key: str, hint: str = "") -> Node:
        members = self.object()
        if key not in members:
            self.missing(key, hint)
        return Node(members[key], self.file, self._join(key))

    def allow_only(self, keys: Collection[str]) -> None:
        for key, member in self.members():
            if key not in keys:
                member.unknown(", ".join(keys) or "none")

    def integer(self, low: int, high: int) -> int:
        if type(self.value) is not int or not low <= self.value <= high:
            self.mismatch(f"an integer from {low} to {high}")
        return self.value

    def number(self) -> float:
        if type(self.value) not in (int, float):
            self.mismatch("a number")
        return float(self.value)

    def boolean(self) -> bool:
        if type(self.value) is not bool:
            self.mismatch("true or false")
        return self.value

    def string(self) -> str:
        if not isinstance(self.value, str):
            self.mismatch("a string")
        return self.value

    def _join(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

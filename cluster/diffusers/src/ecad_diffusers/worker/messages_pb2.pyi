# Written by hand: generated stubs need the types of one version of protobuf.
from typing import Any

def __getattr__(name: str) -> Any: ...

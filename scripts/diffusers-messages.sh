#!/usr/bin/env bash
# Regenerates the Python code of the wire protocol from Sources/Messages/Messages.proto. Needs Debian's protobuf-compiler; its code runs
# with every later version of the protobuf package.
set -euo pipefail
cd "$(dirname "$0")/.."
package=cluster/diffusers/src/ecad_diffusers/worker
protoc --proto_path=Sources/Messages --python_out="$package" Messages.proto
mv "$package/Messages_pb2.py" "$package/messages_pb2.py"

#!/bin/sh
# Regenerates Sources/Messages/Messages.pb.swift from Messages.proto.
# Requires protoc (Debian: protobuf-compiler); the Swift plug-in is built from the package's dependency.
set -eu
cd "$(dirname "$0")/.."
swift build --product protoc-gen-swift
protoc --plugin="$(swift build --show-bin-path)/protoc-gen-swift" \
    --swift_out=Sources/Messages --swift_opt=Visibility=Package --swift_opt=UseAccessLevelOnImports=false \
    -I Sources/Messages Sources/Messages/Messages.proto

#!/bin/sh
# Regenerates the committed protobuf code: Sources/Messages/Messages.pb.swift and Sources/Evolution/SavedSearch.pb.swift.
# requires protoc (Debian: protobuf-compiler); its Swift plug-in is built from the package's own dependency.
set -eu
cd "$(dirname "$0")/.."
swift build --product protoc-gen-swift
plugin="$(swift build --show-bin-path)/protoc-gen-swift"

# generate FOLDER FILE VISIBILITY
generate() {
    protoc --plugin="$plugin" --swift_out="$1" --swift_opt=Visibility="$3" --swift_opt=UseAccessLevelOnImports=false \
        -I "$1" "$1/$2"
}

generate Sources/Messages Messages.proto Package
generate Sources/Evolution SavedSearch.proto Internal

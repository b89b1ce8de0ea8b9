# Sourced by other scripts: checks the Swift toolchain and installs missing system libraries (Debian, Ubuntu).

require_swift() {
  if ! command -v swift >/dev/null 2>&1; then
    echo "error: swift not found; install Swift 6.2 or later (https://www.swift.org/install/linux) and add its usr/bin to the PATH" >&2
    exit 1
  fi
  local version
  version=$(swift --version 2>/dev/null | sed -nE 's/.*Swift version ([0-9]+\.[0-9]+).*/\1/p' | head -n 1)
  if [ "$(printf '%s\n' 6.2 "$version" | sort -V | head -n 1)" != 6.2 ]; then
    echo "error: Swift is $version; expected 6.2 or later (https://www.swift.org/install/linux)" >&2
    exit 1
  fi
}

install_missing() {
  local packages="libopenblas-dev libzmq3-dev libsodium-dev libpng-dev libjpeg-dev libsqlite3-dev sqlite3 pkg-config g++"
  local missing=() package
  for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  command -v python3 >/dev/null 2>&1 || missing+=(python3)  # scripts/check-modules.py
  [ ${#missing[@]} -eq 0 ] && return
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "error: apt-get not found; install the equivalents of: ${missing[*]}" >&2
    exit 1
  fi
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "error: not root and sudo not found; install: ${missing[*]}" >&2; exit 1; }
    sudo=(sudo)
  fi
  echo "installing: ${missing[*]}"
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

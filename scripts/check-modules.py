#!/usr/bin/env python3
"""Compares the imports of every target with its dependencies in Package.swift, and Sources/README.md with both.

Fails if a target imports a module that it does not declare, declares one that it does not import, or if the table in
Sources/README.md lists other targets or dependencies. With --fix the dependencies in that table are rewritten.
"""
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = ROOT / "Sources" / "README.md"
SYSTEM = {"Dispatch", "Foundation", "FoundationEssentials", "Glibc", "Synchronization", "Testing"}
IMPORT = re.compile(
    r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|package|internal|private|fileprivate)\s+)?"
    r"import\s+(?:(?:struct|class|enum|protocol|func|var|let|typealias)\s+)?(\w+)", re.MULTILINE)


def dependencies(target):
    """Names of a target's dependencies: targets and products of packages."""
    return {(d.get("byName") or d.get("target") or d.get("product"))[0] for d in target["dependencies"]}


def swift_files(target):
    folder = ROOT / (target.get("path") or f"{'Tests' if target['type'] == 'test' else 'Sources'}/{target['name']}")
    return list(folder.rglob("*.swift"))


def imports(target):
    return {name for file in swift_files(target) for name in IMPORT.findall(file.read_text())} - SYSTEM


def check_imports(targets):
    programs = {t["name"] for t in targets if t["type"] == "executable"}
    for target in targets:
        if not swift_files(target):
            continue
        declared, imported = dependencies(target), imports(target)
        own = {target["name"], target["name"].replace("-", "_")}
        for name in sorted(imported - declared - own):
            yield f"{target['name']} imports {name}, which Package.swift does not declare for it"
        # Tests start programs without importing them.
        for name in sorted(declared - imported - programs):
            yield f"{target['name']} depends on {name} in Package.swift, but does not import it"


def check_table(targets, fix):
    expected = {
        t["name"]: ", ".join(f"`{d}`" for d in sorted(dependencies(t), key=str.lower)) or "-"
        for t in targets if t["type"] != "test" and not (t.get("path") or "").startswith("Tests/")
    }
    lines, seen = README.read_text().split("\n"), set()
    for number, line in enumerate(lines):
        row = re.fullmatch(r"\| `([\w-]+)` \| (.+) \| (.+) \|", line)
        if not row:
            continue
        name, responsibility, listed = row.groups()
        seen.add(name)
        if name not in expected:
            yield f"Sources/README.md lists {name}, which is not a target"
        elif listed != expected[name]:
            lines[number] = f"| `{name}` | {responsibility} | {expected[name]} |"
            if not fix:
                yield f"Sources/README.md: {name} depends on {listed}; expected {expected[name]}"
    for name in sorted(expected.keys() - seen):
        yield f"Sources/README.md does not list {name}"
    if fix:
        README.write_text("\n".join(lines))


def main():
    package = json.loads(subprocess.run(
        ["swift", "package", "dump-package"], cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    problems = list(check_imports(package["targets"])) + list(check_table(package["targets"], "--fix" in sys.argv[1:]))
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

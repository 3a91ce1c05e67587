# SPDX-License-Identifier: BSL-1.0
"""Checks that the version is written once, that every header opens its namespace by that version, and that
what others read it from agrees: `version.py PROJECT_DIRECTORY [TAG]`."""

import pathlib
import re
import sys

# Files that must name a version for those who read nothing else, and where.
NAMED = {
    ".github/CHANGELOG.md": r"^## (\d+\.\d+\.\d+)",
    ".github/packaging/vcpkg/ports/selectors/vcpkg.json": r'^  "version": "(.+)",$',
    ".github/packaging/conan/recipes/selectors/config.yml": r'^  "(.+)":$',
    ".github/packaging/conan/recipes/selectors/all/conandata.yml": r'^  "(.+)":$',
    ".github/packaging/meson/meson.build": r"^  version: '(.+)',$",
    ".github/packaging/bazel/MODULE.bazel": r'^    version = "(.+)",$',
    ".github/packaging/xmake/xmake.lua": r'^    add_versions\("(.+)",',
    ".github/packaging/debian/changelog": r"^selectors \((.+)-\d+\) ",
}
INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*<selectors/([^>]+)>", re.M)
PLAIN = re.compile(r"^[ \t]*(?:inline )?namespace selectors\b(?!.*=).*\{", re.M)


def version_of(text):
    """The version of version.hpp as text, such as 0.2.0."""
    return ".".join(
        re.search(rf"^#define SELECTORS_VERSION_{part} (\d+)$", text, re.M)[1]
        for part in ("MAJOR", "MINOR", "PATCH")
    )


def reaches(file, target, headers, seen=()):
    """Whether a header includes another, by itself or through those that it includes."""
    return file == target or any(
        other in headers and other not in seen and reaches(other, target, headers, (*seen, file))
        for other in INCLUDE.findall(headers[file])
    )


def complaints(headers, named, tag=None):
    """HEADERS: {name: text}, of include/selectors; NAMED: {name: (expression, text)}; TAG: such as v0.2.0."""
    version = version_of(headers["version.hpp"])
    found = []
    for name, text in headers.items():
        if PLAIN.search(text):
            found.append(f"{name} opens namespace selectors itself: write namespace SELECTORS_NAMESPACE")
        if "namespace SELECTORS_NAMESPACE" in text and not reaches(name, "version.hpp", headers):
            found.append(f"{name} does not include version.hpp, which defines SELECTORS_NAMESPACE")
        if name != "version.hpp" and re.search(rf"\bv?{version.replace('.', '[._]')}\b", text):
            found.append(f"{name} writes the version itself")
    for name, (expression, text) in named.items():
        newest = re.search(expression, text, re.M)
        if not newest or newest[1] != version:
            found.append(f"the newest version in {name} is not {version}")
    if tag is not None and tag != f"v{version}":
        found.append(f"the tag {tag} is not v{version}")
    return found


def main():
    root = pathlib.Path(sys.argv[1])
    directory = root / "include/selectors"
    headers = {
        str(path.relative_to(directory)): path.read_text() for path in sorted(directory.rglob("*.hpp"))
    }
    named = {name: (expression, (root / name).read_text()) for name, expression in NAMED.items()}
    found = complaints(headers, named, *sys.argv[2:3])
    print(*found, sep="\n")
    print(f"{version_of(headers['version.hpp'])}: {len(headers)} headers, {len(found)} complaints")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: BSL-1.0
"""Tries the recipes under .github/packaging, in a copy of the project: `check.py [NAME...]`.

Each recipe is read as its tool would read it, as far as something here can; Meson, Debian's tools and vcpkg's
steps build, install and use the library. What a machine has no tool for is left out with a word.
"""

import ast
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECIPES = ROOT / ".github/packaging"
CONSUMER = "tests/install/consumer/main.cpp"
# What is filled in when a version is submitted.
FILLED = {"REPOSITORY": "https://example.org/selectors", "MAINTAINER": "Packager <packager@debian.org>"}


def run(directory, *command, **environment):
    result = subprocess.run(
        [str(word) for word in command],
        cwd=directory,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {result.returncode}\n{result.stdout}")
    return result.stdout


def has(tool):
    if shutil.which(tool):
        return True
    print(f"   left out: {tool} is not installed")
    return False


def copy_of_the_project(directory):
    """Only what a released archive has, and none of what was built."""
    source = directory / f"selectors-{version()}"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".git", "build", "__pycache__"))
    return source


def version():
    text = (ROOT / "include/selectors/version.hpp").read_text()
    return ".".join(
        re.search(rf"VERSION_{part} (\d+)$", text, re.M)[1] for part in ("MAJOR", "MINOR", "PATCH")
    )


def lay_over(recipe, source):
    """Copies a recipe's files to the root of a source tree, filled in."""
    shutil.copytree(recipe, source, dirs_exist_ok=True)
    for path in recipe.rglob("*"):
        if path.is_file():
            text = path.read_text()
            for word, value in FILLED.items():
                text = text.replace(word, value)
            (source / path.relative_to(recipe)).write_text(text)


def use(directory, prefix):
    """A program finds the library by CMake's package and by pkg-config, in PREFIX."""
    found = sorted(prefix.rglob("selectors-config.cmake"))
    if len(found) != 1:
        sys.exit(f"{len(found)} packages for CMake in {prefix}")
    build = directory / "consumer"
    run(directory, "cmake", "-S", ROOT / "tests/install/consumer", "-B", build, "-Dway=package",
        f"-Dwanted={version()}", f"-Dselectors_DIR={found[0].parent}")  # fmt: skip
    run(directory, "cmake", "--build", build)
    run(directory, build / "consumer")


def meson(directory):
    if not has("meson") or not has("pkg-config"):
        return
    source = copy_of_the_project(directory)
    lay_over(RECIPES / "meson", source)
    run(source, "meson", "setup", "out", f"--prefix={directory}/prefix")
    run(source, "meson", "test", "-C", "out")
    run(source, "meson", "install", "-C", "out")
    shutil.rmtree(source / "out")
    installed = {path.name for path in (directory / "prefix/include/selectors").iterdir()}
    if not {"selectors.hpp", "selectors.cppm", "core"} <= installed or "README.md" in installed:
        sys.exit(f"Meson installs {sorted(installed)}")
    (pc,) = (directory / "prefix").rglob("selectors.pc")
    flags = run(
        directory, "pkg-config", "--cflags", "--libs", "selectors", PKG_CONFIG_PATH=str(pc.parent)
    ).split()
    run(directory, "c++", "-std=c++20", ROOT / CONSUMER, *flags, "-o", "by_pkg_config")
    run(directory, directory / "by_pkg_config")
    # As a subproject, by the wrap.
    user = directory / "user"
    (user / "subprojects").mkdir(parents=True)
    shutil.copy(RECIPES / "meson/selectors.wrap", user / "subprojects")
    shutil.move(source, user / "subprojects")
    shutil.copy(ROOT / CONSUMER, user)
    (user / "meson.build").write_text(
        "project('user', 'cpp', default_options: ['cpp_std=c++20'])\n"
        f"selectors = dependency('selectors', version: '{version()}')\n"
        "test('it', executable('it', 'main.cpp', dependencies: selectors))\n"
    )
    run(user, "meson", "setup", "out")
    run(user, "meson", "test", "-C", "out")


def debian(directory):
    if not has("dpkg-buildpackage") or not has("dh") or not has("lintian"):
        return
    source = copy_of_the_project(directory)
    run(directory, "tar", "-czf", f"selectors_{version()}.orig.tar.gz", source.name)
    lay_over(RECIPES / "debian", source / "debian")
    run(source, "dpkg-buildpackage", "-us", "-uc")
    (changes,) = directory.glob("*.changes")
    print(
        run(directory, "lintian", "--allow-root", "--fail-on", "error,warning", "--display-info", changes),
        end="",
    )
    (package,) = directory.glob("libselectors-dev_*_all.deb")
    run(directory, "dpkg-deb", "-x", package, "extracted")
    use(directory, directory / "extracted/usr")
    run(source, "sh", "debian/tests/consumer", AUTOPKGTEST_TMP=str(directory / "consumer"),
        PKG_CONFIG_PATH=str(directory / "extracted/usr/share/pkgconfig"))  # fmt: skip


# vcpkg's functions as far as the port uses them: what they are documented to do.
VCPKG = """
function(vcpkg_from_git)
  set(SOURCE_PATH {source} PARENT_SCOPE)
endfunction()
function(vcpkg_cmake_configure)
  cmake_parse_arguments(PARSE_ARGV 0 one "" "SOURCE_PATH" "OPTIONS")
  execute_process(COMMAND ${{CMAKE_COMMAND}} -S ${{one_SOURCE_PATH}} -B {directory}/out ${{one_OPTIONS}}
    -DCMAKE_INSTALL_PREFIX=${{CURRENT_PACKAGES_DIR}} OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
endfunction()
function(vcpkg_cmake_install)
  execute_process(COMMAND ${{CMAKE_COMMAND}} --install {directory}/out
    OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
endfunction()
function(vcpkg_cmake_config_fixup)
  cmake_parse_arguments(PARSE_ARGV 0 one "" "CONFIG_PATH" "")
  file(RENAME ${{CURRENT_PACKAGES_DIR}}/${{one_CONFIG_PATH}} ${{CURRENT_PACKAGES_DIR}}/share/selectors)
  file(REMOVE_RECURSE ${{CURRENT_PACKAGES_DIR}}/share/cmake)
  file(READ ${{CURRENT_PACKAGES_DIR}}/share/selectors/selectors-targets.cmake text)
  string(REGEX REPLACE
    "get_filename_component\\\\(_IMPORT_PREFIX \\"[^\\"]*\\" PATH\\\\)(\\n *get_filename_component[^\\n]*)*"
    "get_filename_component(_IMPORT_PREFIX \\"\\${{CMAKE_CURRENT_LIST_FILE}}\\" PATH)
get_filename_component(_IMPORT_PREFIX \\"\\${{_IMPORT_PREFIX}}\\" PATH)
get_filename_component(_IMPORT_PREFIX \\"\\${{_IMPORT_PREFIX}}\\" PATH)" text "${{text}}")
  file(WRITE ${{CURRENT_PACKAGES_DIR}}/share/selectors/selectors-targets.cmake "${{text}}")
endfunction()
function(vcpkg_fixup_pkgconfig)
endfunction()
function(vcpkg_install_copyright)
  cmake_parse_arguments(PARSE_ARGV 0 one "" "" "FILE_LIST")
  file(MAKE_DIRECTORY ${{CURRENT_PACKAGES_DIR}}/share/${{PORT}})
  configure_file(${{one_FILE_LIST}} ${{CURRENT_PACKAGES_DIR}}/share/${{PORT}}/copyright COPYONLY)
endfunction()
set(PORT selectors)
set(CURRENT_PACKAGES_DIR {directory}/packages)
include({port}/portfile.cmake)
"""


def vcpkg(directory):
    port = RECIPES / "vcpkg/ports/selectors"
    manifest = json.loads((port / "vcpkg.json").read_text())
    if manifest["name"] != "selectors" or not manifest["license"]:
        sys.exit("vcpkg.json has no name, or no license")
    script = directory / "port.cmake"
    script.write_text(VCPKG.format(source=copy_of_the_project(directory), directory=directory, port=port))
    run(directory, "cmake", "-P", script)
    left = {path.name for path in (directory / "packages/share/selectors").iterdir()}
    if (
        not {"copyright", "usage", "selectors-config.cmake"} <= left
        or (directory / "packages/share/doc").exists()
    ):
        sys.exit(f"the port leaves {sorted(left)}")
    use(directory, directory / "packages")


def conan(directory):
    for path in (RECIPES / "conan").rglob("*.py"):
        ast.parse(path.read_text(), path)
    own, packaged = ROOT / CONSUMER, RECIPES / "conan/recipes/selectors/all/test_package/test_package.cpp"
    if own.read_text() != packaged.read_text():
        sys.exit(f"{packaged} is no longer {own}")
    if has("conan"):
        source = copy_of_the_project(directory)
        run(directory, "tar", "-czf", "source.tar.gz", source.name)
        recipe = directory / "all"
        shutil.copytree(RECIPES / "conan/recipes/selectors/all", recipe)
        data = re.sub(
            r"REPOSITORY\S+gz", f"file://{directory}/source.tar.gz", (recipe / "conandata.yml").read_text()
        )
        (recipe / "conandata.yml").write_text(re.sub(r"\n *sha256:.*", "", data))
        run(directory, "conan", "create", recipe, "--version", version())


def bazel(directory):
    for name in "MODULE.bazel", "BUILD.bazel":
        ast.parse((RECIPES / "bazel" / name).read_text(), name)  # Starlark is a part of Python
    json.loads((RECIPES / "bazel/source.json").read_text())
    if has("buildifier"):
        run(RECIPES / "bazel", "buildifier", "--mode=check", "--lint=warn", "MODULE.bazel", "BUILD.bazel")
    if has("bazel"):
        source = copy_of_the_project(directory)
        lay_over(RECIPES / "bazel", source)
        run(source, "bazel", "test", "//:consumer")


def xmake(directory):
    recipe = RECIPES / "xmake/xmake.lua"
    if has("luac"):
        run(directory, "luac", "-p", recipe)
    snippet = re.search(r"\[\[(.*)\]\]", recipe.read_text(), re.S)[1]
    (directory / "snippet.cpp").write_text(snippet)
    run(directory, "c++", "-std=c++20", f"-I{ROOT}/include", "-fsyntax-only", "snippet.cpp")


def main():
    recipes = {one.__name__: one for one in (meson, debian, vcpkg, conan, bazel, xmake)}
    for name in sys.argv[1:] or recipes:
        print(f"== {name}", flush=True)
        with tempfile.TemporaryDirectory() as directory:
            recipes[name](pathlib.Path(directory))
    print("all of them hold")


if __name__ == "__main__":
    sys.exit(main())

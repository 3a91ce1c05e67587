# SPDX-License-Identifier: BSL-1.0
"""The one header as its users meet it: `bare.py HEADER EVERYTHING.CPP ECHO.CPP COMPILER [FLAGS...]`.

In an empty directory it is put beside a program and compiled with nothing but -std=c++20 and -pthread: two
units linked to a program and run, then once without each section, and without all of them.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile


def sections(text):
    """The macros that the header names at its top."""
    return re.findall(r"^//   #define (SELECTORS_NO_\w+)", text, re.M)


def run(directory, *command):
    result = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    if result.returncode or result.stdout or result.stderr:
        sys.exit(f"{' '.join(command)}: {result.returncode}\n{result.stdout}{result.stderr}")


def main():
    header, everything, echo = map(pathlib.Path, sys.argv[1:4])
    compiler, *flags = sys.argv[4:]
    compile_ = (compiler, "-std=c++20", *flags)
    macros = sections(header.read_text())
    if len(macros) < 6 or "SELECTORS_NO_EXTRAS" not in macros:
        sys.exit(f"hardly a section: {macros}")
    with tempfile.TemporaryDirectory() as name:
        bare = pathlib.Path(name)
        shutil.copy(header, bare / "selectors.hpp")
        (bare / "one.cpp").write_text(everything.read_text())
        (bare / "two.cpp").write_text("#define OTHER_UNIT\n" + everything.read_text())
        run(bare, *compile_, "one.cpp", "two.cpp", "-pthread", "-o", "program")
        run(bare, "./program")
        # A copy of it elsewhere, as two libraries may bring one each.
        (bare / "copy").mkdir()
        shutil.copy(header, bare / "copy/selectors.hpp")
        (bare / "copies.cpp").write_text('#include "copy/selectors.hpp"\n' + everything.read_text())
        for macro in macros:
            run(bare, *compile_, f"-D{macro}", "-fsyntax-only", "one.cpp")
        run(bare, *compile_, "-fsyntax-only", "copies.cpp")
        # The program of README's first page, whose one include is all that changes.
        text, count = re.subn(r"<selectors/selectors\.hpp>", '"selectors.hpp"', echo.read_text())
        if count != 1:
            sys.exit(f"{echo} does not include the umbrella once")
        (bare / "echo.cpp").write_text(text)
        run(bare, *compile_, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "echo.cpp", "-o", "echo")
    print(f"{compiler}: compiled, run, and without each of {len(macros) - 1} sections")


if __name__ == "__main__":
    sys.exit(main())

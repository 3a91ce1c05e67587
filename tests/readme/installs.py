# SPDX-License-Identifier: BSL-1.0
"""What README.md says about installing works: `installs.py SOURCE BUILD VERSION COMPILER GENERATOR WORK`.

Its CMakeLists.txt builds a program in each of the three ways that it shows, and its commands install the
library and compile a program by pkg-config (where there is one). BUILD stands for build/release."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

source, build = pathlib.Path(sys.argv[1]), sys.argv[2]
version, compiler, generator = sys.argv[3:6]
work = pathlib.Path(sys.argv[6])
page = (source / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.M | re.S)


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{command}\n{done.stdout}")


shutil.rmtree(work, ignore_errors=True)
home, beside = work / "home", work / "server"
beside.mkdir(parents=True)
shutil.copy(source / "examples/tcp_echo.cpp", beside / "server.cpp")
(beside / "selectors").symlink_to(source)

# The commands of the section, but for the one that makes the single header, which tests/single runs.
(commands,) = [block for block in blocks("sh") if "cmake --install" in block]
commands = commands.replace("cmake --install build/release", f"cmake --install {shlex.quote(build)}")
commands = commands.replace("g++ ", shlex.quote(compiler) + " ")
lines = [line for line in commands.splitlines() if "--target single_header" not in line]
if len(lines) == len(commands.splitlines()):
    sys.exit("README.md has no command that makes the single header")
if shutil.which("pkg-config") is None:
    print("skipped: the command that uses pkg-config, which is not installed")
    lines = [line for line in lines if "pkg-config" not in line]
run(["bash", "-ec", "\n".join(lines)], cwd=beside, env=dict(os.environ, HOME=str(home.resolve())))

# The project: 1 stands there; 2 and 3 are comments until they are chosen instead.
(project,) = blocks("cmake")
fetched = "".join(line + "\n" for line in project.splitlines() if "etch" in line)
others = re.findall(r"^# (add_subdirectory|find_package)(.*)$", project, re.M)
if f"GIT_TAG v{version})" not in fetched or len(others) != 2:
    sys.exit(f"README.md does not fetch v{version}, or does not show three ways:\n{project}")
if f"find_package(selectors {version.rsplit('.', 1)[0]} " not in project:
    sys.exit(f"README.md does not look for version {version}:\n{project}")
ways = {"fetched": project}
for name, rest in others:
    ways[name] = project.replace(fetched, "").replace(f"# {name}", name)
for way, text in ways.items():
    text = text.replace("<repository URL>", "https://example.org/selectors.git")
    (beside / "CMakeLists.txt").write_text(text)
    settings = {
        "CMAKE_CXX_COMPILER": compiler,
        "CMAKE_PREFIX_PATH": (home / ".local").resolve(),
        "FETCHCONTENT_SOURCE_DIR_SELECTORS": source,
    }
    directory = work / way
    defined = [f"-D{name}={value}" for name, value in settings.items()]
    run(["cmake", "-G", generator, "-S", beside, "-B", directory, *defined], cwd=work)
    run(["cmake", "--build", directory])
    if not (directory / "server").exists():
        sys.exit(f"{way}: no program was made")
print(*ways, "and", len(lines), "commands work")

# SPDX-License-Identifier: BSL-1.0
"""Every function of the system that the library's object code calls is one that the tests can make fail."""

import re
import subprocess
import sys

object_file, *wrappers = sys.argv[1:]
needed = subprocess.run(
    ["nm", "--undefined-only", "--format=posix", object_file], capture_output=True, text=True, check=True
)
symbols = {line.split()[0] for line in needed.stdout.splitlines()}
# Functions that only compute or yield: the language runtime, memory and text.
harmless = re.compile(
    r"_Z|_GLOBAL_|_Unwind_|__(cxa|gxx|llvm|asan|ubsan|tsan|dso|stack_chk|errno)|mem(cpy|set|move)$|strcmp$"
    r"|sigfillset$|sched_yield$|nanosleep$|pthread_self$|v?snprintf$|strlen$"
)
calls = {symbol for symbol in symbols if not harmless.match(symbol)}
definition = re.compile(r"(?:__wrap_|WRAP\(\w+, )([a-z]\w+)\b")
wrapped = {name for wrapper in wrappers for name in definition.findall(open(wrapper).read())} - {"name"}
print("calls:", *sorted(calls))
if calls - wrapped:
    print("cannot be made to fail:", *sorted(calls - wrapped))
if wrapped - calls:
    print("never called:", *sorted(wrapped - calls))
sys.exit(not calls or calls != wrapped)

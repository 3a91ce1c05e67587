# SPDX-License-Identifier: BSL-1.0
"""CPython's tests of asyncio on the selectors of this library, beside the same on CPython's own.

    asyncio_test.py [BACKEND...] [--all]

On epoll all of MODULES are run, on the other backends the first three, unless --all asks for more.
"""

import argparse
import concurrent.futures
import json
import subprocess
import sys

MODULES = ["test_selector_events", "test_sock_lowlevel", "test_streams", "test_subprocess", "test_ssl"]
OWN = "CPython's own"


def run_here(backend, modules):
    """Runs the tests in this process, and prints what became of them, as JSON, on the last line."""
    import selectors
    import unittest

    if backend != OWN:
        from cpp_selectors import SELECTORS

        for name in ("DefaultSelector", "EpollSelector", "PollSelector", "SelectSelector"):
            setattr(selectors, name, SELECTORS[backend])
    suite = unittest.defaultTestLoader.loadTestsFromNames(
        [f"test.test_asyncio.{module}" for module in modules]
    )
    result = unittest.TextTestRunner(stream=sys.stderr).run(suite)
    used = type(selectors.DefaultSelector()).__name__
    failed = sorted(
        {test.id() for test, _ in result.failures + result.errors}
        | {test.id() for test in result.unexpectedSuccesses}
    )
    print(
        json.dumps(
            {"ran": result.testsRun, "skipped": len(result.skipped), "failed": failed, "selector": used}
        )
    )


def run(backend, modules):
    """The same in a fresh interpreter."""
    arguments = [sys.executable, __file__, "--here", backend, *modules]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=500)
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        sys.exit(f"{backend}: the tests did not end:\n{done.stderr[-4000:]}")


def main():
    if sys.argv[1:2] == ["--here"]:
        return run_here(sys.argv[2], sys.argv[3:])
    from cpp_selectors import SELECTORS

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "backends", nargs="*", metavar="BACKEND", help=", ".join(SELECTORS) + "; default: all"
    )
    parser.add_argument("--all", action="store_true", help="every module on every backend")
    options = parser.parse_args()
    backends = options.backends or list(SELECTORS)
    if not SELECTORS.keys() >= set(backends):
        parser.error(f"unknown backend; there are {', '.join(SELECTORS)}")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:  # they wait more than they work
        running = {
            (module, backend): pool.submit(run, backend, [module])
            for module in MODULES
            for backend in (OWN, *backends)
            if options.all or backend in (OWN, "epoll") or module in MODULES[:3]
        }
    ok = True
    print(f"{'module':24}{'backend':16}{'ran':>6}{'failed':>8}{'skipped':>9}")
    for (module, backend), done in running.items():
        result, own = done.result(), running[module, OWN].result()
        print(f"{module:24}{backend:16}{result['ran']:6}{len(result['failed']):8}{result['skipped']:9}")
        for test in set(result["failed"]) - set(own["failed"]):
            # Some of asyncio's tests depend on time: one that fails alone, too, is a difference.
            again = run_one(backend, test)
            print(f"  {test}: {'failed twice' if again else 'failed once, and not alone'}")
            ok = ok and not again
        ok = ok and result["ran"] == own["ran"] and result["ran"] > 0
        ok = ok and (backend == OWN) == (not result["selector"].startswith("Cpp"))
    return 0 if ok else 1


def run_one(backend, test):
    """Whether one test fails, run alone."""
    return bool(run(backend, [test.removeprefix("test.test_asyncio.")])["failed"])


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: BSL-1.0
"""CPython's tests of its selectors, on those of this library: selectors_test.py [BACKEND...], by default on
all."""

import sys
import unittest

from cpp_selectors import SELECTORS
from test import test_selectors

# What CPython asks of its kqueue selector alone holds here for every backend.
KQUEUE = {
    name: test
    for name, test in vars(test_selectors.KqueueSelectorTestCase).items()
    if name.startswith("test_")
}


def case_of(backend, selector):
    bases = test_selectors.BaseSelectorTestCase, test_selectors.ScalableSelectorMixIn, unittest.TestCase
    return type(backend, bases, {**KQUEUE, "SELECTOR": selector})


def main():
    summary = []
    ok = bool(SELECTORS)
    for backend, selector in SELECTORS.items():
        if len(sys.argv) > 1 and backend not in sys.argv[1:]:
            continue
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(case_of(backend, selector))
        result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
        failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
        summary.append(f"{backend}: {result.testsRun} ran, {failed} failed, {len(result.skipped)} skipped")
        summary += [f"  skipped: {test}: {why or 'it gives no reason'}" for test, why in result.skipped]
        ok = ok and failed == 0 and result.testsRun > len(result.skipped)
    print(*summary, sep="\n")
    return not (ok and summary)


if __name__ == "__main__":
    sys.exit(main())

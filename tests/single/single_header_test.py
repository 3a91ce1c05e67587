# SPDX-License-Identifier: BSL-1.0
"""Shows what single_header.py makes of headers that are made up."""

import unittest

import single_header

TOP = single_header.LICENCE + "#pragma once\n\n"
VERSION = "".join(f"#define SELECTORS_VERSION_{part} 1\n" for part in ("MAJOR", "MINOR", "PATCH"))


def made(**headers):
    names = {
        "version.hpp": VERSION,
        "config.hpp": "#include <selectors/version.hpp>\n",
        "selectors.hpp": "#include <selectors/config.hpp>\n#include <selectors/selector.hpp>\n",
        "selector.hpp": "class selector;\n",
    }
    names.update({name.replace("__", "/") + ".hpp": text for name, text in headers.items()})
    return single_header.single_header({name: TOP + text for name, text in names.items()})


class SingleHeader(unittest.TestCase):
    def test_each_header_stands_once_below_what_it_includes(self):
        text, included = made(
            selector="#include <selectors/a.hpp>\n#include <selectors/b.hpp>\nselector;\n",
            a="#include <selectors/b.hpp>\na;\n",
            b="b;\n",
        )
        self.assertEqual(
            included, ["version.hpp", "config.hpp", "b.hpp", "a.hpp", "selector.hpp", "selectors.hpp"]
        )
        for word in "selector;", "a;", "b;":
            self.assertEqual(text.count(f"\n{word}\n"), 1)
        self.assertLess(text.index("b;"), text.index("a;"))

    def test_nothing_of_the_headers_is_included_and_the_licence_stands_on_top_alone(self):
        text, _ = made()
        self.assertNotIn("<selectors/", text)
        self.assertTrue(text.startswith(single_header.LICENCE))
        self.assertEqual(text.count("SPDX"), 1)
        self.assertNotIn("#pragma once", text)

    def test_what_is_included_under_a_condition_stays_there_and_the_rest_is_shared(self):
        text, _ = made(
            selector="#include <selectors/a.hpp>\n\n#include <vector>\n",
            a="#include <new>\n#include <vector>\n#if ODD\n#include <odd.h>\n#endif\n",
        )
        self.assertEqual(text.count("#include <vector>"), 1)
        self.assertIn("#include <new>\n#include <vector>\n\n// ----", text)
        self.assertIn("#if ODD\n#include <odd.h>\n#endif", text)

    def test_a_header_that_is_included_under_a_condition_is_there_without_it(self):
        text, _ = made(
            selector="#if ODD\n#include <selectors/a.hpp>\n#endif\n#include <selectors/c.hpp>\n",
            a="#if ODD\n#include <selectors/b.hpp>\na;\n#endif\n",
            b="b;\n",
            c="#include <selectors/b.hpp>\nc;\n",
        )
        self.assertLess(text.index("\nb;"), text.index("#if ODD"))

    def test_a_section_is_there_unless_all_that_need_it_are_left_out(self):
        text, _ = made(
            timer_queue="#include <selectors/detail/heap.hpp>\ntimers;\n",
            mailbox="#include <selectors/detail/heap.hpp>\n#include <selectors/selector.hpp>\nbox;\n",
            detail__heap="heap;\n",
        )
        timers, box = "!defined(SELECTORS_NO_TIMER_QUEUE)", "!defined(SELECTORS_NO_MAILBOX)"
        self.assertIn(f"#if {timers} || {box}\n\n// ---- selectors/detail/heap.hpp\n\nheap;\n", text)
        self.assertIn(f"#if {timers}\n\n// ---- selectors/timer_queue.hpp\n\ntimers;\n", text)
        self.assertIn(f"#if {box}\n\n// ---- selectors/mailbox.hpp\n\nbox;\n", text)
        self.assertIn("//   #define SELECTORS_NO_MAILBOX\n", text)
        self.assertNotIn("SIGNAL_SET", text)

    def test_a_header_that_no_section_has_is_noticed(self):
        _, included = made(attic="attic;\n")
        self.assertNotIn("attic.hpp", included)


if __name__ == "__main__":
    unittest.main()

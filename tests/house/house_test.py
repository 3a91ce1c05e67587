# SPDX-License-Identifier: BSL-1.0
"""Shows that the checks of the house find what they are for, in houses that are made up."""

import pathlib
import tempfile
import unittest

import columns
import floors
import version


class Floors(unittest.TestCase):
    def test_a_house_in_order_has_no_complaints(self):
        self.assertEqual(
            floors.complaints(
                {
                    "config.hpp": [],
                    "event.hpp": ["config.hpp"],
                    "detail/a.hpp": ["event.hpp", "detail/b.hpp"],
                    "detail/b.hpp": [],
                    "selector.hpp": ["detail/a.hpp", "event.hpp"],
                    "selectors.hpp": ["selector.hpp"],
                }
            ),
            [],
        )

    def test_an_include_upwards_names_both_files(self):
        self.assertEqual(
            floors.complaints({"event.hpp": ["detail/a.hpp"], "detail/a.hpp": []}),
            ["event.hpp, on floor 1, includes detail/a.hpp, on floor 2"],
        )

    def test_detail_knows_nothing_of_what_is_above(self):
        for above in (
            "os/posix.hpp",
            "registration.hpp",
            "backend/concept.hpp",
            "core/core.hpp",
            "selector.hpp",
        ):
            (found,) = floors.complaints({"detail/a.hpp": [above], above: []})
            self.assertIn(f"detail/a.hpp, on floor 2, includes {above}", found)

    def test_a_circle_on_one_floor_is_found_once(self):
        self.assertEqual(
            floors.complaints(
                {"core/a.hpp": ["core/b.hpp"], "core/b.hpp": ["core/c.hpp"], "core/c.hpp": ["core/b.hpp"]}
            ),
            ["in a circle: core/b.hpp includes core/c.hpp includes core/b.hpp"],
        )
        self.assertEqual(
            floors.complaints({"core/a.hpp": ["core/a.hpp"]}), ["in a circle: core/a.hpp includes core/a.hpp"]
        )

    def test_a_file_on_no_floor_and_an_include_of_nothing_are_found(self):
        self.assertEqual(len(floors.complaints({"another.hpp": [], "attic/another.hpp": []})), 2)
        self.assertEqual(
            floors.complaints({"event.hpp": ["gone.hpp"]}),
            ["event.hpp includes gone.hpp, which is no header of the library"],
        )

    def test_the_umbrella_leaves_out_what_stands_around(self):
        for name in (*floors.FLOORS[floors.AROUND][:2], "child/pidfd.hpp"):
            self.assertEqual(
                floors.complaints({"selectors.hpp": [name], name: []}),
                [f"selectors.hpp includes {name}, which stands around a selector"],
            )

    def test_a_file_in_a_folder_can_stand_on_a_floor_of_its_own(self):
        self.assertEqual(floors.complaints({"backend/afd.hpp": ["selector.hpp"], "selector.hpp": []}), [])
        self.assertEqual(
            len(floors.complaints({"backend/epoll.hpp": ["selector.hpp"], "selector.hpp": []})), 1
        )

    def test_includes_are_read_from_the_files(self):
        with tempfile.TemporaryDirectory() as name:
            house = pathlib.Path(name)
            (house / "core").mkdir()
            (house / "core/a.hpp").write_text(
                '#include <vector>\n  # include <selectors/event.hpp>\n#include "b.hpp"\n'
                "// #include <selectors/selector.hpp>\n"
            )
            self.assertEqual(floors.includes_of(house), {"core/a.hpp": ["event.hpp", '"b.hpp"']})


class Columns(unittest.TestCase):
    def test_a_line_of_111_columns_is_found(self):
        with tempfile.TemporaryDirectory() as name:
            root = pathlib.Path(name)
            for place in "tests/fuzz/corpus", ".ci":
                (root / place).mkdir(parents=True)
            (root / "tests/a.cpp").write_text("x" * 110 + "\n" + "é" * 110 + "\n" + "x" * 111 + "\n")
            (root / ".ci/run").write_text("x" * 111)
            (root / "tests/fuzz/corpus/data").write_text("x" * 111)
            (root / "tests/a.svg").write_text("x" * 111)
            self.assertEqual(
                columns.complaints(root), ["tests/a.cpp:3: 111 columns", ".ci/run:1: 111 columns"]
            )


HEADER = "".join(
    f"#define SELECTORS_VERSION_{part} {number}\n"
    for part, number in (("MAJOR", 1), ("MINOR", 22), ("PATCH", 3))
)
NEWEST = "# Changes\n\n## 1.22.3\n\n## 1.22.2\n"


class Version(unittest.TestCase):
    def complaints(self, text, changelog=NEWEST, tag=None):
        named = {"CHANGELOG.md": (version.NAMED[".github/CHANGELOG.md"], changelog)}
        return version.complaints({"version.hpp": HEADER, "a.hpp": text}, named, tag)

    def test_a_header_in_order_has_no_complaints(self):
        self.assertEqual(version.version_of(HEADER), "1.22.3")
        self.assertEqual(
            self.complaints("#include <selectors/version.hpp>\nnamespace SELECTORS_NAMESPACE {\n}\n"), []
        )

    def test_a_namespace_without_the_version_is_found(self):
        for line in "namespace selectors {", "namespace selectors::detail {":
            (found,) = self.complaints(line + "\n}\n")
            self.assertIn("a.hpp opens namespace selectors itself", found)

    def test_a_namespace_whose_macro_is_not_included_is_found(self):
        (found,) = self.complaints("#include <selectors/a.hpp>\nnamespace SELECTORS_NAMESPACE {\n}\n")
        self.assertIn("a.hpp does not include version.hpp", found)

    def test_a_version_that_is_written_again_is_found(self):
        for text in "selectors::v1_22_3::wakeup", "// since 1.22.3":
            self.assertEqual(self.complaints(text), ["a.hpp writes the version itself"])

    def test_the_changelog_begins_with_the_version(self):
        for changelog in "", "## 1.22.2\n## 1.22.3\n":
            self.assertIn("CHANGELOG", self.complaints("", changelog)[0])

    def test_a_tag_of_another_version_is_found(self):
        self.assertEqual(self.complaints("", tag="v1.22.3"), [])
        for tag in "1.22.3", "v1.22.2", "v1.22.30":
            self.assertEqual(self.complaints("", tag=tag), [f"the tag {tag} is not v1.22.3"])


if __name__ == "__main__":
    unittest.main()

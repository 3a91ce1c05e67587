# SPDX-License-Identifier: BSL-1.0
"""Shows that mutants keep their keys when the code is renamed, and lose them when it changes."""

import pathlib
import unittest

import mutate
import mutations

TEXT = """
namespace a {
class b {
 public:
  bool grow(std::size_t count) noexcept {
    if (count <= capacity_) return true;
    for (std::size_t i = 0; i != used_; ++i) copy(i);
    capacity_ = count;
    return capacity_ > used_;
  }
  bool operator==(const b& other) const noexcept { return used_ == other.used_; }
  ~b() { release(data_); }
  bool grow() { return grow(used_ + 1); }
};
}
"""


def keys_of(text):
    mutants = mutations.Header("a.hpp", text).mutants()
    mutations.number(mutants)
    return [mutant.key() for mutant in mutants]


class Keys(unittest.TestCase):
    def test_each_mutant_has_a_name_of_its_own(self):
        keys = keys_of(TEXT)
        self.assertGreater(len(keys), 8)
        self.assertEqual(len(keys), len(set(keys)))

    def test_they_name_the_function_the_change_and_the_ordinal(self):
        keys = keys_of(TEXT)
        self.assertIn(("a.hpp", "grow", "_ <= _ => false", 1), keys)
        self.assertIn(("a.hpp", "grow", "_ = _; => nothing", 1), keys)
        self.assertIn(("a.hpp", "~b", "_(_); => nothing", 1), keys)
        self.assertIn("operator==", {function for _, function, _, _ in keys})

    def test_renaming_and_other_lines_cost_nothing(self):
        renamed = (
            TEXT.replace("capacity_", "state_.room")
            .replace("used_", "size")
            .replace("  for", "\n  // why\n  for")
        )
        self.assertEqual(keys_of(renamed), keys_of(TEXT))

    def test_another_condition_has_another_name(self):
        changed = keys_of(TEXT.replace("count <= capacity_", "count < capacity_"))
        self.assertNotIn(("a.hpp", "grow", "_ <= _ => false", 1), changed)
        self.assertIn(("a.hpp", "grow", "_ < _ => false", 1), changed)

    def test_what_is_printed_is_what_is_read(self):
        text = "".join(f"{mutate.text_of(key)} ## a reason\n" for key in keys_of(TEXT))
        self.assertEqual(list(mutate.explanations("# a comment\n\n" + text)), keys_of(TEXT))

    def test_every_mutant_of_the_library_has_a_name_of_its_own(self):
        headers = mutate.ROOT / mutate.HEADERS
        files = sorted(headers.rglob("*.hpp"))
        mutants = [
            mutant
            for path in files
            for mutant in mutations.Header(str(path.relative_to(headers)), path.read_text()).mutants()
        ]
        mutations.number(mutants)
        self.assertGreater(len(mutants), 1000)
        self.assertEqual(len(mutants), len({mutant.key() for mutant in mutants}))
        self.assertNotIn("?", {mutant.function for mutant in mutants})


if __name__ == "__main__":
    unittest.main()

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "catch.hpp"

#include <iostream>
#include <set>
#include <string>

namespace support {

// What this platform, or this machine, cannot be asked: told by name, with the reason, and counted when the
// program ends. `if (cannot) return skip("why");`
inline void skip(const std::string& reason) {
  struct list {
    std::set<std::string> names;
    ~list() { std::cout << names.size() << " skipped\n"; }
  };
  static list skipped;
  const std::string name = Catch::getResultCapture().getCurrentTestName();
  if (skipped.names.insert(name).second) std::cout << "skipped: " << name << ": " << reason << std::endl;
  SUCCEED();
}

}  // namespace support

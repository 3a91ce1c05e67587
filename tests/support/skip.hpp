// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "catch.hpp"

#include <iostream>
#include <set>
#include <string>

namespace support {

// Skips a test that this platform or this machine cannot run: prints its name and the reason, and counts it
// when the program ends. `if (cannot) return skip("why");`
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

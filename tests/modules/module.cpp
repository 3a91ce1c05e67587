// SPDX-License-Identifier: BSL-1.0

// A plugin: nothing of it is seen but this.

#include "module.hpp"

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED const module_functions* module_entry();

EXPORTED const module_functions* module_entry() {
  static constexpr module_functions all = functions();
  return &all;
}

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdint>

struct counter {
  std::uint64_t events = 0;
};

// Defined elsewhere, so that the optimizer must believe that it may change anything that anybody can reach.
void handle(counter& one, bool readable);
void escape(void* object);

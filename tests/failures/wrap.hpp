// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "system_calls.hpp"

// What the linker puts in the place of each, and what it calls the real one.
#define WRAP(result, name, parameters, ...)                                 \
  extern "C" result __real_##name parameters;                               \
  extern "C" result __wrap_##name parameters;                               \
  extern "C" result __wrap_##name parameters {                              \
    return support::fails(#name) ? result{-1} : __real_##name(__VA_ARGS__); \
  }

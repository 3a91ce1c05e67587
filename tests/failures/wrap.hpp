// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "system_calls.hpp"

// The names that the linker gives to the wrapper and to the real function.
#define WRAP(result, name, parameters, ...)                                 \
  extern "C" result __real_##name parameters;                               \
  extern "C" result __wrap_##name parameters;                               \
  extern "C" result __wrap_##name parameters {                              \
    return support::fails(#name) ? result{-1} : __real_##name(__VA_ARGS__); \
  }

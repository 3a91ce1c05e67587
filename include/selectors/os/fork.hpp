// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/error.hpp>

#include <cstdint>

#if SELECTORS_HAS_FORK
#include <selectors/detail/relaxed_atomic.hpp>

#include <pthread.h>
#endif

namespace selectors::detail {

#if SELECTORS_HAS_FORK

// How many forks lie between this process and the first one: a selector that remembers another number than
// this is a child's copy of its parent's. Only fork(2) is seen; _Fork and a bare clone(2) run no handlers
// (pthread_atfork(3)). A child has one thread when it counts.
inline constinit relaxed_atomic<std::uint32_t> forks{1};
inline constinit relaxed_atomic<bool> forks_are_counted{false};

// Two threads that both register the handler count each fork twice, which does no harm.
inline failure count_forks() noexcept {
  if (forks_are_counted) return {};
  const auto in_child = [] { forks = forks + 1; };
  if (pthread_atfork(nullptr, nullptr, in_child) != 0) return failure::memory();  // ENOMEM is its only error
  forks_are_counted = true;
  return {};
}

#else

// Every process is the first one.
inline constexpr std::uint32_t forks = 1;

constexpr failure count_forks() noexcept { return {}; }

#endif

}  // namespace selectors::detail

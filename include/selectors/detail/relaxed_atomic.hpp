// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/version.hpp>

namespace SELECTORS_NAMESPACE::detail {

// A number that threads share and on which no other memory depends: std::atomic<T> in relaxed order, by the
// compiler's builtins. <atomic> would add a tenth to the time that the umbrella takes to compile.
template <class T>
class relaxed_atomic {
 public:
  constexpr explicit relaxed_atomic(T value) noexcept : value_(value) {}

  operator T() const noexcept { return __atomic_load_n(&value_, __ATOMIC_RELAXED); }
  void operator=(T value) noexcept { __atomic_store_n(&value_, value, __ATOMIC_RELAXED); }

 private:
  T value_;
};

}  // namespace SELECTORS_NAMESPACE::detail

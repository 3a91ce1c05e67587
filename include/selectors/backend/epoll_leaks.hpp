// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_EPOLL

#include <selectors/detail/number_set.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/owned_descriptor.hpp>
#include <selectors/registration.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace SELECTORS_NAMESPACE::detail {

// One epoll(7) object and what may have leaked in it: registrations whose descriptor was closed before they
// were removed. If a duplicate keeps the file open, the object still watches it, and there is no call that
// removes it.
struct epoll_object {
  owned_descriptor descriptor;
  std::uint32_t id = 0;     // unique; the slot of its registrations
  std::size_t watched = 0;  // registrations that are not leaked
  std::size_t aliased = 0;  // those of them whose number leaked here before
  std::size_t leaks = 0;    // registrations that may be leaked
  number_set leaked;        // their numbers

  explicit operator bool() const noexcept { return static_cast<bool>(descriptor); }

  void attach(registration& r) noexcept {
    r.attached = true;
    r.slot = id;
    r.aliased = leaks != 0 && leaked.contains(r.handle);
    ++watched;
    if (r.aliased) ++aliased;
  }
  void detach(registration& r) noexcept {
    --watched;
    if (r.aliased) --aliased;
    r.attached = r.aliased = false;
  }
  SELECTORS_COLD void note_leak(native_handle_type number) noexcept {
    leaked.insert(number);
    ++leaks;
  }

  // Continues with a fresh object, in which nothing is watched or leaked; or with none.
  SELECTORS_COLD void restart(owned_descriptor&& fresh, std::uint32_t fresh_id) noexcept {
    descriptor.close();
    descriptor = std::move(fresh);
    id = fresh_id;
    watched = aliased = 0;
    if (std::exchange(leaks, 0) != 0) leaked.clear();
  }
};

}  // namespace SELECTORS_NAMESPACE::detail

#endif

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/backend/concept.hpp>
#include <selectors/detail/buffer.hpp>
#include <selectors/version.hpp>

#include <cstddef>

namespace SELECTORS_NAMESPACE::detail {

// A base for backends whose kernel does not fill in entries of a form that a selector can read: it implements
// the members of `selector_backend` that are about entries.
class ready_list {
 public:
  struct entry {
    registration* token;
    event_bits events;
  };

  void set_entry(std::size_t i, registration& r, event_bits bits) noexcept { ready_[i] = {&r, bits}; }
  const entry* entries() const noexcept { return ready_.data(); }
  static registration* token(const entry& e) noexcept { return e.token; }
  static event_bits bits(const entry& e) noexcept { return e.events; }
  static event_bits events(const entry& e) noexcept { return e.events; }

 protected:
  ready_list() noexcept = default;
  ready_list(ready_list&&) noexcept = default;
  ready_list& operator=(ready_list&&) noexcept = default;
  ~ready_list() = default;

  buffer<entry> ready_;
};

}  // namespace SELECTORS_NAMESPACE::detail

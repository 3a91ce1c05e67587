// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/detail/buffer.hpp>
#include <selectors/handle.hpp>
#include <selectors/registration.hpp>

#include <cstddef>

#if SELECTORS_HAS_WINSOCK
#include <selectors/detail/handle_hash.hpp>
#endif

namespace SELECTORS_NAMESPACE::detail {

#if SELECTORS_HAS_WINSOCK

// From a handle to its record. A SOCKET can be any number.
using handle_table = handle_hash<record>;

#else

// From a handle to its record. Descriptors are small numbers, since the kernel assigns the lowest free one,
// so a vector indexed by number is the fastest map. It is used by calls that name a handle; the kernel's
// reports carry the record itself.
class handle_table {
 public:
  bool has_room(native_handle_type handle) const noexcept {
    return static_cast<std::size_t>(handle) < records_.capacity();
  }
  // Makes room for `handle`, one of `count`; false if there is no memory, and nothing has changed then.
  [[nodiscard]] bool reserve(native_handle_type handle, std::size_t /*count*/) noexcept {
    return records_.reserve(static_cast<std::size_t>(handle) + 1);
  }

  record* find(native_handle_type handle) const noexcept {
    const auto i = static_cast<std::size_t>(static_cast<unsigned>(handle));
    return i < records_.capacity() ? records_[i] : nullptr;
  }

  void set(native_handle_type handle, record* r) noexcept { records_[static_cast<std::size_t>(handle)] = r; }

  // The position of the first record at or after `from`, or `none`.
  std::size_t next(std::size_t from) const noexcept {
    while (from < records_.capacity() && records_[from] == nullptr) ++from;
    return from < records_.capacity() ? from : none;
  }
  record& at(std::size_t position) const noexcept { return *records_[position]; }

  static constexpr std::size_t none = static_cast<std::size_t>(-1);

 private:
  buffer<record*> records_;
};

#endif

}  // namespace SELECTORS_NAMESPACE::detail

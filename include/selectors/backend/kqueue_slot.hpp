// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_KQUEUE

#include <selectors/backend/kqueue_changes.hpp>
#include <selectors/event.hpp>
#include <selectors/registration.hpp>

#include <cstddef>
#include <cstdint>

namespace SELECTORS_NAMESPACE::detail {

// What the kqueue backend keeps in the slot of a registration:
//
//   bits 0 to 23    what the last wait made of the handle, as the number of its entry
//   24 to 27        where it is watched, and what it is
//   28 and 29       EVFILT_READ: absent, `read_filter`, `hangup_filter`, or a `hangup_filter` that has
//                   reported an end
//   30 and 31       `write_filter`, `priority_filter`
//
class kqueue_slot {
 public:
  static constexpr std::size_t max_entries = std::size_t{1} << 24;

  static constexpr std::uint32_t may_listen = std::uint32_t{1} << 24;  // in the list of kqueue_listeners
  static constexpr std::uint32_t is_aside = std::uint32_t{1} << 25;  // watched by select(2), by kqueue_aside

  // The kind of file, as far as it matters.
  static constexpr std::uint32_t socket = std::uint32_t{1} << 26;
  static constexpr std::uint32_t pipe = std::uint32_t{2} << 26;         // or a FIFO
  static constexpr std::uint32_t writing_end = std::uint32_t{3} << 26;  // of a pipe that can only be written
  static bool is_socket(const registration& r) noexcept { return (r.slot & writing_end) == socket; }
  static bool is_pipe(const registration& r) noexcept { return (r.slot & pipe) != 0; }
  static bool is_writing_end(const registration& r) noexcept { return (r.slot & writing_end) == writing_end; }

  static std::size_t entry(const registration& r) noexcept { return r.slot & entry_bits; }
  static void set_entry(registration& r, std::size_t at) noexcept {
    r.slot = (r.slot & ~entry_bits) | static_cast<std::uint32_t>(at);
  }

  static event_bits watched(const registration& r) noexcept {
    const std::uint32_t reader = r.slot & reader_bits;
    event_bits filters = reader == 0 ? 0 : reader == reads ? read_filter : hangup_filter;
    if ((r.slot & writes) != 0) filters |= write_filter;
    if ((r.slot & excepts) != 0) filters |= priority_filter;
    return filters;
  }
  static void set_watched(registration& r, event_bits filters) noexcept {
    r.slot &= ~(reader_bits | writes | excepts);
    if ((filters & read_filter) != 0) r.slot |= reads;
    if ((filters & hangup_filter) != 0) r.slot |= awaits_end;
    if ((filters & write_filter) != 0) r.slot |= writes;
    if ((filters & priority_filter) != 0) r.slot |= excepts;
  }

  // Whether EVFILT_READ is watched, of a socket: it tells a half-closed connection from a closed one.
  static bool knows_half_end(const registration& r) noexcept {
    return is_socket(r) && (r.slot & reader_bits) != 0;
  }
  static bool watches_for_end(const registration& r) noexcept { return (r.slot & awaits_end) != 0; }
  static bool has_ended(const registration& r) noexcept { return (r.slot & reader_bits) == ended; }
  static void set_ended(registration& r, bool has) noexcept {
    r.slot = (r.slot & ~reader_bits) | (has ? ended : awaits_end);
  }

 private:
  static constexpr std::uint32_t entry_bits = max_entries - 1;
  static constexpr std::uint32_t reads = std::uint32_t{1} << 28;
  static constexpr std::uint32_t awaits_end = std::uint32_t{2} << 28;
  static constexpr std::uint32_t ended = std::uint32_t{3} << 28;
  static constexpr std::uint32_t reader_bits = ended;
  static constexpr std::uint32_t writes = std::uint32_t{1} << 30;
  static constexpr std::uint32_t excepts = std::uint32_t{1} << 31;
};

}  // namespace SELECTORS_NAMESPACE::detail

#endif

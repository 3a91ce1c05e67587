// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/backend/concept.hpp>
#include <selectors/detail/chrono.hpp>
#include <selectors/error.hpp>
#include <selectors/version.hpp>

#include <cstdint>

namespace SELECTORS_NAMESPACE {

/// What a selector has done since it was made, or since the program set these to zero.
struct selector_counters {
  std::uint64_t waits = 0;    ///< calls of the backend's wait, including those that a signal ended
  std::uint64_t events = 0;   ///< entries that a loop reached
  std::uint64_t stale = 0;    ///< entries dropped because their key no longer requested them
  std::uint64_t changes = 0;  ///< registrations, modifications and removals handed to the kernel
  std::uint64_t saved = 0;    ///< modifications to the interest already in force, which cost no system call
  std::uint64_t heals =
      0;  ///< times that leaked registrations were isolated or the kernel object was replaced
};

/// A backend that counts: `selector<Data, counting<default_backend>>` has `backend().counters()`. Counting is
/// chosen by type, so a selector without it pays nothing; with it, about one instruction for each count.
template <selector_backend Backend>
class counting : public Backend {
 public:
  [[nodiscard]] selector_counters& counters() noexcept { return counters_; }
  [[nodiscard]] const selector_counters& counters() const noexcept { return counters_; }

  failure add(registration& r) noexcept {
    ++counters_.changes;
    return Backend::add(r);
  }
  failure modify(registration& r, any_interest was) noexcept {
    ++counters_.changes;
    return Backend::modify(r, was);
  }
  failure rewatch(registration& r, any_interest was) noexcept
    requires requires(Backend& b) { b.rewatch(r, was); }
  {
    ++counters_.changes;
    return Backend::rewatch(r, was);
  }
  bool remove(registration& r) noexcept {
    ++counters_.changes;
    return Backend::remove(r);
  }
  int wait(std::chrono::nanoseconds timeout) noexcept {
    ++counters_.waits;
    return Backend::wait(timeout);
  }
  void count(statistic what) noexcept {
    switch (what) {
      case statistic::reached: ++counters_.events; break;
      case statistic::stale: ++counters_.stale; break;
      case statistic::saved: ++counters_.saved; break;
      case statistic::healed: ++counters_.heals; break;
    }
  }

 private:
  selector_counters counters_;
};

}  // namespace SELECTORS_NAMESPACE

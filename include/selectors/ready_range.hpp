// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/core/core.hpp>
#include <selectors/core/loop.hpp>
#include <selectors/event.hpp>
#include <selectors/key.hpp>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>  // declares std::ranges::enable_view too, at a fifth of what <ranges> costs

namespace selectors::detail {

// What a select found: a single-pass view of ready_event by value. The selector itself keeps the place, so
// that the next select knows what a loop did not reach.
template <class Data, selector_backend Backend>
class ready_range {
 public:
  class iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = ready_event<Data>;
    using difference_type = std::ptrdiff_t;

    iterator() noexcept = default;

    value_type operator*() const noexcept {
      return {key_access::key_of<selector_key<Data>>(*reached_.found), mask_bits::mask(reached_.events)};
    }
    SELECTORS_ALWAYS_INLINE iterator& operator++() noexcept {
      reached_ = epoch_ == core_->epoch() ? core_->next() : reached();
      return *this;
    }
    void operator++(int) noexcept { ++*this; }
    friend bool operator==(const iterator& it, std::default_sentinel_t) noexcept {
      return it.reached_.found == nullptr;
    }

   private:
    friend class ready_range;
    iterator(core<Backend>* from, std::uint64_t epoch) noexcept : core_(from), epoch_(epoch) {
      if (core_ != nullptr) ++*this;
    }

    core<Backend>* core_ = nullptr;
    std::uint64_t epoch_ = 0;
    reached reached_;
  };

  ready_range() noexcept = default;
  explicit ready_range(core<Backend>& from) noexcept : core_(&from), epoch_(from.epoch()) {}

  /// Reaches the first entry.
  [[nodiscard]] iterator begin() const noexcept { return {core_, epoch_}; }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

  /// Whether there is nothing left to reach. Reaches nothing.
  [[nodiscard]] bool empty() const noexcept {
    return core_ == nullptr || epoch_ != core_->epoch() || !core_->has_next();
  }

 private:
  core<Backend>* core_ = nullptr;
  std::uint64_t epoch_ = 0;
};

}  // namespace selectors::detail

template <class Data, class Backend>
inline constexpr bool std::ranges::enable_view<selectors::detail::ready_range<Data, Backend>> = true;

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/core/core.hpp>
#include <selectors/core/loop.hpp>
#include <selectors/detail/iterator.hpp>
#include <selectors/event.hpp>
#include <selectors/key.hpp>
#include <selectors/registration.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>  // declares std::ranges::enable_view too, at a fifth of what <ranges> costs

namespace SELECTORS_NAMESPACE::detail {

/// What a select found: a view and single-pass input range of ready_event by value. The selector itself keeps
/// the position, so the next select knows which entries a loop did not reach. An entry is reached when
/// `begin()` or `++` arrives at it. A range is used until the next select; once a loop over it has come to
/// its end, it is used up.
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
      return {key_access::key_of<selector_key<Data>>(*reached_.key_record), mask_bits::mask(reached_.events)};
    }
    SELECTORS_ALWAYS_INLINE iterator& operator++() noexcept {
      if (epoch_ == core_->epoch()) [[likely]]
        reach();
      else
        take_step(core_->next_after(epoch_));
      return *this;
    }
    void operator++(int) noexcept { ++*this; }
    friend bool operator==(const iterator& it, std::default_sentinel_t) noexcept { return it.is_at_end_; }

   private:
    friend class ready_range;
    using entry = typename Backend::entry;

    // Inline in every loop of a program, as all that an event goes through: one step that is not would make
    // the compiler keep the iterator in memory.
    SELECTORS_ALWAYS_INLINE iterator(core<Backend>* from, std::uint64_t epoch,
                                     const detail::reached& first) noexcept
        : core_(from), epoch_(epoch) {
      if (core_ == nullptr) return;
      if (epoch_ != core_->epoch()) [[unlikely]] {
        take_step(core_->next_after(epoch_));
        return;
      }
      next_ = core_->cursor();
      end_ = core_->end();
      if (first.key_record == nullptr || !core_->is_at_first()) {
        reach();
        return;
      }
      core_->set_cursor(++next_);
      core_->count_reached();
      reached_ = first;
      is_at_end_ = false;
    }

    // Moves to the next entry that has something left to report. Rare work returns values and never gets a
    // reference to this iterator, so that its members can stay in registers.
    SELECTORS_ALWAYS_INLINE void reach() noexcept {
      if (next_ == end_) {
        core_->finish_loop();
        is_at_end_ = true;
        return;
      }
      auto* const r = static_cast<record*>(Backend::token(*next_));
      const event_bits bits = Backend::bits(*next_);
      if (r->needs_slow_path(bits)) [[unlikely]]
        return take_step(core_->next_slow());
      core_->set_cursor(++next_);
      core_->count_reached();
      reached_ = {r, bits};
      is_at_end_ = false;
    }
    SELECTORS_ALWAYS_INLINE void take_step(const loop_step<entry>& step) noexcept {
      reached_ = step.result;
      next_ = step.next;
      end_ = step.end;
      epoch_ = step.epoch;
      is_at_end_ = step.result.key_record == nullptr;
    }

    core<Backend>* core_ = nullptr;
    const entry* next_ = nullptr;
    const entry* end_ = nullptr;
    std::uint64_t epoch_ = 0;
    reached reached_;
    bool is_at_end_ = true;  // separate from reached_, so that the fast path stores a constant without a test
  };

  ready_range() noexcept = default;
  ready_range(core<Backend>& from, const selected& found) noexcept
      : core_(found.result == outcome::ready ? &from : nullptr),
        epoch_(from.epoch()),
        first_(found.first),
        interrupted_(found.result == outcome::interrupted) {}

  /// An iterator at the first entry, which is reached thereby.
  [[nodiscard]] SELECTORS_ALWAYS_INLINE iterator begin() const noexcept { return {core_, epoch_, first_}; }
  /// The end, for every iterator.
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

  /// Whether no entry is left to reach. Looks without reaching one; linear in the entries that are stale.
  [[nodiscard]] bool empty() const noexcept {
    return core_ == nullptr || !core_->is_running(epoch_) || !core_->has_next();
  }

  /// Whether a signal ended this wait; the range is empty then.
  [[nodiscard]] bool interrupted() const noexcept { return interrupted_; }

 private:
  core<Backend>* core_ = nullptr;
  std::uint64_t epoch_ = 0;
  reached first_;
  bool interrupted_ = false;
};

}  // namespace SELECTORS_NAMESPACE::detail

template <class Data, class Backend>
inline constexpr bool std::ranges::enable_view<selectors::detail::ready_range<Data, Backend>> = true;

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/version.hpp>

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <iterator>

namespace SELECTORS_NAMESPACE::detail {

/// Some signal numbers, each at most once: a small value that can be copied and kept. A range of `int` in
/// ascending order.
class signal_numbers {
 public:
  /// No system has a signal with this number or a higher one.
  static constexpr int limit = 128;

  /// Holds the numbers that it has not reached yet, so it stays valid without the range.
  class iterator {
   public:
    using value_type = int;
    using difference_type = std::ptrdiff_t;
    using reference = int;
    using pointer = void;
    using iterator_category = std::input_iterator_tag;
    using iterator_concept = std::forward_iterator_tag;

    constexpr iterator() noexcept = default;
    constexpr int operator*() const noexcept { return rest_number(); }
    constexpr iterator& operator++() noexcept {
      for (std::uint32_t& word : words_) {
        if (word == 0) continue;
        word &= word - 1;
        break;
      }
      return *this;
    }
    constexpr iterator operator++(int) noexcept {
      const iterator before = *this;
      ++*this;
      return before;
    }
    friend constexpr bool operator==(const iterator&, const iterator&) noexcept = default;

   private:
    friend class signal_numbers;

    constexpr int rest_number() const noexcept {
      int first = 0;
      for (const std::uint32_t word : words_) {
        if (word != 0) return first + std::countr_zero(word);
        first += word_bits;
      }
      return first;
    }

    std::uint32_t words_[4] = {};
  };

  constexpr signal_numbers() noexcept = default;

  [[nodiscard]] constexpr bool empty() const noexcept { return begin() == end(); }
  /// Any number may be passed; one that is not a signal is never contained.
  [[nodiscard]] constexpr bool contains(int number) const noexcept {
    return number > 0 && number < limit && (words_[word_of(number)] & bit_of(number)) != 0;
  }
  [[nodiscard]] constexpr iterator begin() const noexcept {
    iterator first;
    for (std::size_t i = 0; i != word_count; ++i) first.words_[i] = words_[i];
    return first;
  }
  [[nodiscard]] constexpr iterator end() const noexcept { return {}; }

  friend constexpr bool operator==(const signal_numbers&, const signal_numbers&) noexcept = default;

 private:
  friend class signal_mask;
  friend class pending_signals;

  static constexpr int word_bits = 32;
  static constexpr std::size_t word_count = 4;

  static constexpr std::size_t word_of(int number) noexcept {
    return static_cast<std::size_t>(number / word_bits);
  }
  static constexpr std::uint32_t bit_of(int number) noexcept {
    return std::uint32_t{1} << number % word_bits;
  }

  std::uint32_t words_[word_count] = {};
};

// Signal numbers to which numbers can be added.
class signal_mask : public signal_numbers {
 public:
  constexpr void insert(int number) noexcept { words_[word_of(number)] |= bit_of(number); }
};

// Signals that have arrived: signal handlers add, one thread takes. Words of 32 bits are lock-free on every
// machine with signals, and a handler may use lock-free atomics.
class pending_signals {
 public:
  // Returns whether it was not there yet.
  bool add(int number) noexcept {
    const std::uint32_t bit = signal_numbers::bit_of(number);
    return (words_[signal_numbers::word_of(number)].fetch_or(bit) & bit) == 0;
  }
  signal_numbers take() noexcept {
    signal_numbers taken;
    for (std::size_t i = 0; i != signal_numbers::word_count; ++i) taken.words_[i] = words_[i].exchange(0);
    return taken;
  }

 private:
  static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

  std::atomic<std::uint32_t> words_[signal_numbers::word_count] = {};
};

}  // namespace SELECTORS_NAMESPACE::detail

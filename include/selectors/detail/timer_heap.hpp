// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/detail/buffer.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>

namespace SELECTORS_NAMESPACE::detail {

// The heap's part of a timer. Small, because accessing it is a cache miss.
template <class TimePoint>
struct timer_node {
  static constexpr std::uint32_t out = (std::numeric_limits<std::uint32_t>::max)();

  bool is_in() const noexcept { return index != out; }

  TimePoint due{};
  TimePoint heap_due{};       // the key of its heap entry: never later than `due`
  std::uint64_t order = 0;    // order of adding or moving, for timers due at the same time
  std::uint32_t index = out;  // of its entry
  std::uint32_t slot = 0;     // the owner's
  union {
    std::uint64_t heap_order = 0;  // the tie-break of its heap entry, while it is in the queue
    timer_node* next;              // in a list, while it is not in the queue
  };
};

// A 4-ary heap of (due time, node): two entries are compared without reading their nodes, unless they are due
// at the same time, and four children share a cache line.
//
// Moving a node later writes only the node. Its entry is then a lower bound, which shows by `order` and
// `heap_order` being different, and is sifted down when it reaches the top.
//
// A round reports the nodes due by one time point. A node that is inserted or moved meanwhile does not belong
// to this round, even if it is due earlier: its entry is appended behind the heap, unsorted, and joins the
// heap after the round.
//
//   entries_:  [0, sorted_)  the heap      [sorted_, sorted_ + unsorted_)  entries that join it later
template <class TimePoint>
class timer_heap {
 public:
  using node = timer_node<TimePoint>;

  std::size_t size() const noexcept { return sorted_ + unsorted_; }
  node& operator[](std::size_t i) noexcept { return *entries_[i].which; }

  // Makes room for `count` nodes; false if there is no memory, or an index is too small. Nothing else
  // allocates.
  [[nodiscard]] bool reserve(std::size_t count) noexcept {
    return count <= node::out && entries_.reserve(count, size());
  }

  // Inserts a node whose `due` and `order` are set.
  void insert(node& n) noexcept {
    n.heap_due = n.due;
    n.heap_order = n.order;
    if (is_of_next_round(n)) [[unlikely]]
      return append(n);
    const std::size_t last = sorted_++;
    if (unsorted_ != 0) [[unlikely]]
      set_entry(last + unsorted_, entries_[last]);
    sift_up(last, {n.due, &n});
  }

  void remove(node& n) noexcept {
    const std::size_t hole = n.index;
    n.index = node::out;
    if (hole >= sorted_) [[unlikely]]
      return remove_unsorted(hole);
    const std::size_t last = --sorted_;
    if (hole != last) {
      const entry moved = entries_[last];
      if (hole != 0 && is_before(moved, entries_[parent_of(hole)]))
        sift_up(hole, moved);
      else
        sift_down(hole, moved);
    }
    if (unsorted_ != 0) [[unlikely]]
      set_entry(last, entries_[last + unsorted_]);
  }

  // `order` is higher than any before.
  void move(node& n, TimePoint due, std::uint64_t order) noexcept {
    n.due = due;
    n.order = order;
    if (due < n.heap_due || n.index >= sorted_) move_earlier(n);
  }

  // Removes all nodes, and calls `visit` for each.
  template <class Visit>
  void clear(Visit visit) noexcept {
    for (std::size_t i = 0; i != size(); ++i) {
      entries_[i].which->index = node::out;
      visit(*entries_[i].which);
    }
    sorted_ = unsorted_ = 0;
  }

  // Starts a round of the nodes that are due by `now` and have an order of at most `last`.
  void begin_round(TimePoint now, std::uint64_t last) noexcept {
    end_round();
    now_ = now;
    last_of_round_ = last;
    is_in_round_ = true;
  }

  void end_round() noexcept {
    is_in_round_ = false;
    for (; unsorted_ != 0; --unsorted_) {
      const std::size_t joining = sorted_++;
      sift_up(joining, entries_[joining]);
    }
  }

  // The first node that is due in this round, or null.
  node* first_due() noexcept {
    if (!is_in_round_) return nullptr;
    sift_postponed();
    return sorted_ != 0 && is_due(entries_[0].due) ? entries_[0].which : nullptr;
  }

  // When the first of all nodes is due.
  TimePoint earliest() noexcept {
    sift_postponed();
    TimePoint first = sorted_ != 0 ? entries_[0].due : (TimePoint::max)();
    if (unsorted_ != 0) [[unlikely]] {
      if (!is_earliest_known_) find_earliest_unsorted();
      if (earliest_unsorted_ < first) first = earliest_unsorted_;
    }
    return first;
  }

 private:
  struct entry {
    TimePoint due;
    node* which;
  };

  static std::size_t parent_of(std::size_t i) noexcept { return (i - 1) / 4; }

  static bool is_before(const entry& a, const entry& b) noexcept {
    if (a.due == b.due) [[unlikely]]
      return a.which->heap_order < b.which->heap_order;
    return a.due < b.due;
  }

  // The greatest time point means never.
  bool is_due(TimePoint due) const noexcept { return due <= now_ && due != (TimePoint::max)(); }

  bool is_of_next_round(const node& n) const noexcept {
    return is_in_round_ && n.order > last_of_round_ && is_due(n.due);
  }

  void set_entry(std::size_t i, const entry& e) noexcept {
    entries_[i] = e;
    e.which->index = static_cast<std::uint32_t>(i);
  }

  // Not above `top`.
  void sift_up(std::size_t i, const entry e, std::size_t top = 0) noexcept {
    while (i != top) {
      const std::size_t parent = parent_of(i);
      if (!is_before(e, entries_[parent])) break;
      set_entry(i, entries_[parent]);
      i = parent;
    }
    set_entry(i, e);
  }

  // Moves the hole to the bottom, where the entry most likely belongs, and sifts the entry up from there:
  // this takes fewer comparisons than comparing on each level. The earliest of four is found by a tournament,
  // since the branches of a scan are hard to predict.
  void sift_down(std::size_t i, const entry e) noexcept {
    const std::size_t top = i;
    std::size_t first = 4 * i + 1;
    for (; first + 3 < sorted_; first = 4 * i + 1) {
      const std::size_t least = earlier_of(earlier_of(first, first + 1), earlier_of(first + 2, first + 3));
      set_entry(i, entries_[least]);
      i = least;
    }
    if (first < sorted_) {
      std::size_t least = first;
      for (std::size_t child = first + 1; child != sorted_; ++child) least = earlier_of(least, child);
      set_entry(i, entries_[least]);
      i = least;
    }
    sift_up(i, e, top);
  }

  std::size_t earlier_of(std::size_t a, std::size_t b) const noexcept {
    const entry& one = entries_[a];
    const entry& other = entries_[b];
    if (one.due == other.due) [[unlikely]]
      return is_before(other, one) ? b : a;
    return other.due < one.due ? b : a;
  }

  // Sifts down nodes that were moved later, until the entry at the top is exact.
  void sift_postponed() noexcept {
    while (sorted_ != 0) {
      node& top = *entries_[0].which;
      if (top.order == top.heap_order) return;
      resift(top);
    }
  }

  SELECTORS_NOINLINE void resift(node& top) noexcept {
    if (is_of_next_round(top)) {
      remove(top);
      return insert(top);
    }
    top.heap_due = top.due;
    top.heap_order = top.order;
    sift_down(0, {top.due, &top});
  }

  SELECTORS_NOINLINE void move_earlier(node& n) noexcept {
    n.heap_due = n.due;
    n.heap_order = n.order;
    if (n.index >= sorted_) {  // behind the heap, where the order does not matter
      entries_[n.index].due = n.due;
      is_earliest_known_ = false;
    } else if (is_of_next_round(n)) {
      remove(n);
      insert(n);
    } else {
      sift_up(n.index, {n.due, &n});
    }
  }

  // ---- the entries behind the heap ------------------------------------------------------------------------

  SELECTORS_NOINLINE void append(node& n) noexcept {
    if (unsorted_ == 0) {
      earliest_unsorted_ = n.due;
      is_earliest_known_ = true;
    } else if (n.due < earliest_unsorted_) {
      earliest_unsorted_ = n.due;
    }
    set_entry(sorted_ + unsorted_++, {n.due, &n});
  }

  SELECTORS_NOINLINE void remove_unsorted(std::size_t hole) noexcept {
    const std::size_t last = sorted_ + --unsorted_;
    if (entries_[hole].due == earliest_unsorted_) is_earliest_known_ = false;
    if (hole != last) set_entry(hole, entries_[last]);
  }

  SELECTORS_NOINLINE void find_earliest_unsorted() noexcept {
    earliest_unsorted_ = entries_[sorted_].due;
    for (std::size_t i = sorted_ + 1; i != size(); ++i)
      if (entries_[i].due < earliest_unsorted_) earliest_unsorted_ = entries_[i].due;
    is_earliest_known_ = true;
  }

  buffer<entry> entries_;
  std::size_t sorted_ = 0;
  std::size_t unsorted_ = 0;
  bool is_in_round_ = false;
  bool is_earliest_known_ = false;  // of the entries behind the heap
  TimePoint now_{};
  TimePoint earliest_unsorted_{};
  std::uint64_t last_of_round_ = 0;
};

}  // namespace SELECTORS_NAMESPACE::detail

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/detail/buffer.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>

namespace selectors::detail {

// What a timer is to the heap.
template <class TimePoint>
struct timer_node {
  static constexpr std::size_t out = (std::numeric_limits<std::size_t>::max)();

  bool is_in() const noexcept { return index != out; }

  TimePoint due{};
  std::uint64_t order = 0;       // of being added or moved, among those that are due at the same time
  std::uint64_t heap_order = 0;  // the order that its entry was sifted by
  std::size_t index = out;       // of its entry
};

// A 4-ary heap of (due time, node): two entries are compared without a look at their nodes, unless they are due at the
// same time, and four children share a cache line.
//
// A node that is moved later keeps its entry, which so holds a lower bound: `order` and `heap_order` differ, and the
// entry is sifted when it has come to the top.
//
// A round reports what is due by one time point. What is put in or moved meanwhile is not of this round, though it may
// be due earlier than what is: its entry is appended behind the heap, unsifted, and joins it when the round is over.
//
//   entries_:  [0, sorted_)  the heap      [sorted_, sorted_ + unsorted_)  entries that join it later
template <class TimePoint>
class timer_heap {
 public:
  using node = timer_node<TimePoint>;

  std::size_t size() const noexcept { return sorted_ + unsorted_; }
  node& operator[](std::size_t i) noexcept { return *entries_[i].which; }

  // Room for so many nodes; false if there is no memory. Nothing else allocates.
  [[nodiscard]] bool reserve(std::size_t count) noexcept { return entries_.reserve(count, size()); }

  // Puts in a node, of which `due` and `order` are set.
  void insert(node& n) noexcept {
    n.heap_order = n.order;
    if (is_of_next_round(n)) [[unlikely]]
      return append(n);
    const std::size_t last = sorted_++;
    if (unsorted_ != 0) [[unlikely]]
      place(last + unsorted_, entries_[last]);
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
      place(last, entries_[last + unsorted_]);
  }

  // `order` is higher than any before.
  void move(node& n, TimePoint due, std::uint64_t order) noexcept {
    entry& of = entries_[n.index];
    n.due = due;
    n.order = order;
    if (due >= of.due && n.index < sorted_) return;
    move_earlier(n, of);
  }

  // Takes everything out, by calling `visit` for each node.
  template <class Visit>
  void clear(Visit visit) noexcept {
    for (std::size_t i = 0; i != size(); ++i) {
      entries_[i].which->index = node::out;
      visit(*entries_[i].which);
    }
    sorted_ = unsorted_ = 0;
  }

  // Starts a round of what is due by `now`, and was put in or moved at `last` or before.
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

  // The first that is due in this round, or null; also when there is none.
  node* first_due() noexcept {
    if (!is_in_round_) return nullptr;
    settle();
    return sorted_ != 0 && is_due(entries_[0].due) ? entries_[0].which : nullptr;
  }

  // When the first of all is due.
  TimePoint earliest() noexcept {
    settle();
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
    if (a.due != b.due) return a.due < b.due;
    return a.which->heap_order < b.which->heap_order;
  }

  // The last time point there is stands for never.
  bool is_due(TimePoint due) const noexcept { return due <= now_ && due != (TimePoint::max)(); }

  bool is_of_next_round(const node& n) const noexcept {
    return is_in_round_ && n.order > last_of_round_ && is_due(n.due);
  }

  void place(std::size_t i, const entry& e) noexcept {
    entries_[i] = e;
    e.which->index = i;
  }

  void sift_up(std::size_t i, const entry e) noexcept {
    while (i != 0) {
      const std::size_t parent = parent_of(i);
      if (!is_before(e, entries_[parent])) break;
      place(i, entries_[parent]);
      i = parent;
    }
    place(i, e);
  }

  void sift_down(std::size_t i, const entry e) noexcept {
    for (;;) {
      const std::size_t first = 4 * i + 1;
      if (first >= sorted_) break;
      const std::size_t end = sorted_ - first < 4 ? sorted_ : first + 4;
      std::size_t least = first;
      for (std::size_t child = first + 1; child != end; ++child)
        if (is_before(entries_[child], entries_[least])) least = child;
      if (!is_before(entries_[least], e)) break;
      place(i, entries_[least]);
      i = least;
    }
    place(i, e);
  }

  // Sifts what has been moved later until what is at the top is there by right.
  void settle() noexcept {
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
    top.heap_order = top.order;
    sift_down(0, {top.due, &top});
  }

  SELECTORS_NOINLINE void move_earlier(node& n, entry& of) noexcept {
    if (n.index >= sorted_) {  // in no order: it is where it should be
      n.heap_order = n.order;
      of.due = n.due;
      is_earliest_known_ = false;
    } else if (is_of_next_round(n)) {
      remove(n);
      insert(n);
    } else {
      n.heap_order = n.order;
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
    place(sorted_ + unsorted_++, {n.due, &n});
  }

  SELECTORS_NOINLINE void remove_unsorted(std::size_t hole) noexcept {
    const std::size_t last = sorted_ + --unsorted_;
    if (entries_[hole].due == earliest_unsorted_) is_earliest_known_ = false;
    if (hole != last) place(hole, entries_[last]);
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
  bool is_earliest_known_ = false;  // of those behind the heap
  TimePoint now_{};
  TimePoint earliest_unsorted_{};
  std::uint64_t last_of_round_ = 0;
};

}  // namespace selectors::detail

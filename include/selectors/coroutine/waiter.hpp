// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/event.hpp>

#include <coroutine>
#include <cstddef>
#include <iterator>

// Who waits for a key or a timer, whatever the types of the selector and of the queue that these are in.

namespace SELECTORS_NAMESPACE {

class coroutine_waiter;

namespace detail {

struct coroutine_access;
class suspension;

// The place of one coroutine among those that wait for the same key or timer, in a circular list. A link
// without a coroutine marks a position.
struct wait_link {
  wait_link() noexcept = default;
  explicit wait_link(suspension& waiting) noexcept : who(&waiting) {}
  wait_link(const wait_link&) = delete;
  wait_link& operator=(const wait_link&) = delete;

  void insert_before(wait_link& other) noexcept {
    previous = other.previous;
    next = &other;
    previous->next = next->previous = this;
  }
  void unlink() noexcept {
    previous->next = next;
    next->previous = previous;
    previous = next = this;
  }

  wait_link* previous = this;
  wait_link* next = this;
  suspension* who = nullptr;
  coroutine_waiter* at = nullptr;  // in what it waits; null while it does not
};

// A coroutine that waits for a key, a timer, or both. It is part of the awaiter, which lives in the
// coroutine's frame: so nothing is allocated, and to destroy the coroutine ends the wait. A copy does not
// wait.
class suspension {
 public:
  explicit suspension(event_mask events) noexcept : requested(events) {}
  suspension(const suspension& other) noexcept : requested(other.requested) {}
  suspension& operator=(const suspension&) = delete;
  ~suspension() {
    if (in_key.at != nullptr || in_timer.at != nullptr) [[unlikely]]
      leave();
  }

  // Waits no longer: what nobody waits for any more is unregistered, or cancelled.
  inline void leave() noexcept;

  // Of the events that are reported of the key, those that this coroutine is given; empty if they do not
  // concern it. Who requests nothing is given nothing, not even errors.
  event_mask share_of(event_mask events) const noexcept {
    if (requested.empty()) return {};
    event_mask mine = requested | event::error | event::hangup;
    if (requested.contains(event::read)) mine |= event::read_hangup;
    return events & mine;
  }

  std::coroutine_handle<> coroutine;
  event_mask requested;
  event_mask got;
  wait_link in_key{*this};
  wait_link in_timer{*this};
};

// What a coroutine_waiter needs of the key or timer that holds it, and of the selector or queue these are in.
// The last three are called only while `is_in`.
struct waited_for {
  bool (*is_in)(void* entry) noexcept;                                    // registered; or in the queue
  bool (*request)(void* owner, void* entry, event_mask events) noexcept;  // false if the kernel refuses
  void (*mark_ready)(void* owner, void* entry, event_mask events) noexcept;
  void (*remove)(void* owner, void* entry) noexcept;
};

// While there is one, coroutines that waited for this key or timer are being resumed: the key stays
// registered, and its interest stays as it is. A resumed coroutine may destroy the key, and the selector too:
// then `is_gone`.
class resumption {
 public:
  inline explicit resumption(coroutine_waiter& of) noexcept;
  resumption(const resumption&) = delete;
  resumption& operator=(const resumption&) = delete;
  inline ~resumption();

  bool is_gone() const noexcept { return of_ == nullptr; }
  bool is_nested() const noexcept { return outer_ != nullptr; }

 private:
  friend class selectors::coroutine_waiter;

  coroutine_waiter* of_;
  resumption* outer_;
};

// One round over those who wait for a key, by marks in their list. If it is left early, because a coroutine
// has thrown, those who have not been reached are reported by the next select: also what the kernel reports
// only once.
class resumption_round {
 public:
  inline resumption_round(coroutine_waiter& of, event_mask events) noexcept;
  resumption_round(const resumption_round&) = delete;
  resumption_round& operator=(const resumption_round&) = delete;
  inline ~resumption_round();

  // The next whom the events concern, among those who waited when this began. Null if there is none.
  inline suspension* next() noexcept;

 private:
  friend class selectors::coroutine_waiter;

  coroutine_waiter* of_;
  event_mask events_;
  wait_link position_;  // behind the last that was reached
  wait_link end_;       // before those who have come since
};

}  // namespace detail

/// The data of a selector or a timer_queue that wakes coroutines: `ready` and `elapsed` put coroutines into
/// it, `resume` takes them out. When it is destroyed, the coroutines that are still in it are let go: they
/// are never resumed, and remain the program's to destroy.
class coroutine_waiter {
 public:
  /// Nobody waits yet.
  coroutine_waiter() noexcept = default;
  coroutine_waiter(const coroutine_waiter&) = delete;
  coroutine_waiter& operator=(const coroutine_waiter&) = delete;
  inline ~coroutine_waiter();

 private:
  friend class detail::suspension;
  friend class detail::resumption;
  friend class detail::resumption_round;
  friend struct detail::coroutine_access;

  static constexpr event requestable[] = {event::read, event::write, event::priority, event::read_hangup};

  bool is_in() const noexcept { return calls_ != nullptr && calls_->is_in(entry_); }

  // What those who wait request, together. O(1).
  event_mask requested() const noexcept {
    event_mask all;
    for (std::size_t i = 0; i != std::size(requestable); ++i)
      if (requests_[i] != 0) all |= requestable[i];
    return all;
  }

  void add(detail::wait_link& link, const detail::waited_for& calls, void* owner, void* entry) noexcept {
    calls_ = &calls;
    owner_ = owner;
    entry_ = entry;
    link.at = this;
    link.insert_before(waiting_);
    ++size_;
    for (std::size_t i = 0; i != std::size(requestable); ++i)
      if (link.who->requested.contains(requestable[i])) ++requests_[i];
  }

  void remove(detail::wait_link& link) noexcept {
    link.unlink();
    link.at = nullptr;
    --size_;
    for (std::size_t i = 0; i != std::size(requestable); ++i)
      if (link.who->requested.contains(requestable[i])) --requests_[i];
  }

  // Encloses those who wait now. Out of line, or GCC 12 warns of the address of a local object, though its
  // destructor takes it back.
  SELECTORS_NOINLINE void mark(detail::wait_link& position, detail::wait_link& end) noexcept {
    position.insert_before(*waiting_.next);
    end.insert_before(waiting_);
  }

  // Brings what the kernel is asked for in line with who waits.
  void settle() noexcept {
    if (resumed_ == nullptr) adjust();
  }
  void adjust() noexcept {
    if (!is_in()) return;
    if (size_ == 0 && resumed_ == nullptr) return calls_->remove(owner_, entry_);
    const event_mask all = requested();
    // The descriptor has been closed, and the kernel says so: those who still wait learn it when they try.
    if (!calls_->request(owner_, entry_, all)) calls_->mark_ready(owner_, entry_, all);
  }

  inline void resume(detail::suspension& who, event_mask events);

  // Both return false if this has been destroyed, and perhaps the selector or the queue with it.
  inline bool resume_ready(event_mask events);
  inline bool resume_expired();

  const detail::waited_for* calls_ = nullptr;
  void* owner_ = nullptr;
  void* entry_ = nullptr;
  detail::resumption* resumed_ = nullptr;              // the innermost
  std::size_t size_ = 0;                               // how many wait
  std::size_t requests_[std::size(requestable)] = {};  // how many of them for each event
  detail::wait_link waiting_;                          // its `next` is the first
};

namespace detail {

inline void suspension::leave() noexcept {
  for (wait_link* const link : {&in_key, &in_timer}) {
    coroutine_waiter* const at = link->at;
    if (at == nullptr) continue;
    at->remove(*link);
    at->settle();
  }
}

inline resumption::resumption(coroutine_waiter& of) noexcept : of_(&of), outer_(of.resumed_) {
  of.resumed_ = this;
}

inline resumption::~resumption() {
  if (is_gone()) return;
  resumption** innermost = &of_->resumed_;
  while (*innermost != this) innermost = &(*innermost)->outer_;
  *innermost = outer_;
  of_->settle();
}

inline resumption_round::resumption_round(coroutine_waiter& of, event_mask events) noexcept
    : of_(&of), events_(events) {
  of.mark(position_, end_);
}

inline resumption_round::~resumption_round() {
  if (end_.next == &end_) return;  // the list is gone
  event_mask missed;
  for (const wait_link* link = position_.next; link != &end_; link = link->next)
    if (link->who != nullptr) missed |= link->who->requested & events_;
  position_.unlink();
  end_.unlink();
  if (!missed.empty() && of_->is_in()) of_->calls_->mark_ready(of_->owner_, of_->entry_, missed);
}

inline suspension* resumption_round::next() noexcept {
  while (position_.next != &end_) {
    wait_link& link = *position_.next;
    position_.unlink();
    position_.insert_before(*link.next);
    if (link.who != nullptr && !link.who->share_of(events_).empty()) return link.who;
  }
  return nullptr;
}

}  // namespace detail

inline coroutine_waiter::~coroutine_waiter() {
  for (; resumed_ != nullptr; resumed_ = resumed_->outer_) resumed_->of_ = nullptr;
  while (waiting_.next != &waiting_) {
    detail::wait_link& first = *waiting_.next;
    first.who != nullptr ? first.who->leave() : first.unlink();
  }
}

inline void coroutine_waiter::resume(detail::suspension& who, event_mask events) {
  who.got = who.share_of(events);
  remove(who.in_key);
  if (coroutine_waiter* const timer = who.in_timer.at; timer != nullptr) {
    const bool is_cleared = !timer->is_in();
    who.leave();
    if (is_cleared) return;  // the queue has let it go
  }
  who.coroutine.resume();
}

inline bool coroutine_waiter::resume_ready(event_mask events) {
  detail::resumption here(*this);
  if (size_ == 1 && !here.is_nested()) [[likely]] {
    detail::suspension& who = *waiting_.next->who;  // there are no marks
    if (!who.share_of(events).empty()) resume(who, events);
    return !here.is_gone();
  }
  bool is_anybody_concerned = false;
  {
    detail::resumption_round round(*this, events);
    while (detail::suspension* const who = round.next()) {
      is_anybody_concerned = true;
      resume(*who, events);
      if (here.is_gone()) return false;
      if (!is_in()) return true;  // the others have been let go
    }
  }
  // An outer resumption leaves the interest as it is until it ends: a loop inside of it would spin.
  if (!is_anybody_concerned && here.is_nested()) adjust();
  return true;
}

inline bool coroutine_waiter::resume_expired() {
  if (size_ == 0) return true;
  detail::suspension& who = *waiting_.next->who;
  detail::resumption here(*this);
  remove(who.in_timer);
  if (coroutine_waiter* const key = who.in_key.at; key != nullptr) {
    detail::resumption there(*key);
    const bool is_cleared = !key->is_in();
    key->remove(who.in_key);
    if (!is_cleared) who.coroutine.resume();
  } else {
    who.coroutine.resume();
  }
  return !here.is_gone();
}

}  // namespace SELECTORS_NAMESPACE

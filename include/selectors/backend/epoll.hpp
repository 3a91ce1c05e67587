// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_EPOLL

#include <selectors/backend/concept.hpp>
#include <selectors/backend/epoll_front.hpp>
#include <selectors/backend/epoll_leaks.hpp>
#include <selectors/backend/epoll_wait.hpp>
#include <selectors/detail/buffer.hpp>
#include <selectors/os/fork.hpp>
#include <selectors/os/posix.hpp>

#include <sys/epoll.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>

namespace selectors {

/// Linux's epoll(7): the cost of a wait grows with what is ready, whatever is registered. One system call for
/// each change. Level, edge and one-shot triggering; exclusive wake-ups.
class epoll_backend {
 public:
  using entry = epoll_event;

  static constexpr std::string_view name = "epoll";
  static constexpr const char* wait_call = "epoll_wait";
  static constexpr bool disarms_oneshot = true;
  static constexpr bool refuses_closed = true;
  static constexpr bool has_native_handle = true;
  static constexpr event_mask requestable = event::read | event::write | event::priority | event::read_hangup;

  static constexpr bool supports(trigger mode, bool exclusive) noexcept {
    return mode != trigger::oneshot || !exclusive;
  }
  static bool is_open(native_handle_type handle) noexcept { return detail::is_open_descriptor(handle); }

  failure open() noexcept {
    // epoll_wait(2) takes no empty buffer, and a selector with nothing registered still waits.
    if (!entries_.reserve(1, 0)) return failure::memory();
    if (const failure failed = process_.set()) return failed;
    if (const failure failed = detail::make_epoll(main_.descriptor)) return failed;
    main_.restart(++last_id_);
    return {};
  }

  failure reopen() noexcept {
    const bool is_in_child = !process_.is_current();
    detail::process_stamp own;
    if (const failure failed = own.set()) return failed;
    detail::owned_descriptor fresh;
    if (const failure failed = detail::make_epoll(fresh)) return failed;
    const failure failed = !front_       ? failure()
                           : is_in_child ? front_.remake(fresh.get())
                                         : front_.exchange(main_.descriptor.get(), fresh.get());
    if (failed) return failed;
    replace_main(std::move(fresh));
    dirty_.descriptor.close();
    dirty_.restart(0);
    process_ = own;
    wants_isolation_ = false;
    slow_waits_ = 0;
    return {};
  }

  void close() noexcept {
    front_.close();
    dirty_.descriptor.close();
    dirty_.restart(0);
    main_.descriptor.close();
    main_.restart(0);
    wants_isolation_ = false;
  }

  failure reserve(std::size_t count, std::size_t used, native_handle_type handle) noexcept {
    // The kernel takes no buffer of more bytes than an int counts (EP_MAX_EVENTS).
    const bool fits = count <= (std::numeric_limits<int>::max)() / sizeof(entry) / 2 &&
                      entries_.reserve(count, used) && main_.leaked.reserve(handle) &&
                      dirty_.leaked.reserve(handle);
    return fits ? failure() : failure::memory();
  }

  failure add(registration& r) noexcept {
    int error = control(main_, EPOLL_CTL_ADD, r);
    if (error == EEXIST) {  // the number's leaked registration: the same file is back on it
      control(main_, EPOLL_CTL_DEL, r);
      error = control(main_, EPOLL_CTL_ADD, r);
    }
    if (error == 0) {
      attach(r, main_);
      // The kernel's two registrations of this one could not be told apart in one object.
      if (r.aliased && r.leaked) wants_isolation_ = true;
      return {};
    }
    r.attached = false;
    // A file that is always ready, as poll(2) says: epoll_ctl(2). A sandbox may answer so for any other.
    r.always_ready = error == EPERM && detail::is_always_ready_file(r.handle);
    return r.always_ready ? failure() : failure::system("epoll_ctl", error);
  }

  // ENOENT: the number means another file by now. What the kernel may have kept of the old one is leaked.
  failure modify(registration& r, any_interest was) noexcept {
    if (r.interest.exclusive || was.exclusive) [[unlikely]]
      return modify_exclusive(r, was);
    const int error = control(object_of(r), EPOLL_CTL_MOD, r);
    if (error == 0) [[likely]]
      return {};
    return error == ENOENT ? follow(r) : failure::system("epoll_ctl", error);
  }
  failure rewatch(registration& r, any_interest was) noexcept { return modify(r, was); }

  // EBADF and ENOENT: the descriptor was closed, and the kernel may or may not still watch what a duplicate
  // keeps open. Of an aliased registration it may have removed the other one.
  bool remove(registration& r) noexcept {
    detail::epoll_object& object = object_of(r);
    const bool is_removed = control(object, EPOLL_CTL_DEL, r) == 0 && !r.aliased;
    detach(r, object);
    if (!is_removed) object.note_leak(r.handle);
    if (&object == &dirty_ && dirty_.watched == 0) drop_dirty();
    return is_removed;
  }

  int wait(std::chrono::nanoseconds timeout) noexcept {
    const int epoll = main_.descriptor.get();
    if (timeout == (std::chrono::nanoseconds::max)()) return ::epoll_wait(epoll, entries_.data(), room(), -1);
    if (timeout.count() == 0) return ::epoll_wait(epoll, entries_.data(), room(), 0);
    return detail::epoll_wait_for(epoll, entries_.data(), room(), timeout);
  }

  void set_entry(std::size_t i, registration& r, event_bits bits) noexcept {
    entries_[i].events = bits;
    entries_[i].data.ptr = &r;
  }
  const entry* entries() const noexcept { return entries_.data(); }
  static registration* token(const entry& e) noexcept { return static_cast<registration*>(e.data.ptr); }
  static std::uint32_t bits(const entry& e) noexcept { return e.events; }

  // From the kernel. The first five are equal to ours:
  //
  //   EPOLLIN       read            EPOLLERR      error
  //   EPOLLPRI      priority        EPOLLHUP      hangup
  //   EPOLLOUT      write           EPOLLRDHUP    read_hangup
  //
  static event_bits events(const entry& e) noexcept {
    if ((e.events & EPOLLRDHUP) == 0) return e.events;
    return (e.events & ~static_cast<std::uint32_t>(EPOLLRDHUP)) | static_cast<event_bits>(event::read_hangup);
  }
  static_assert(EPOLLIN == static_cast<int>(event::read) && EPOLLPRI == static_cast<int>(event::priority) &&
                EPOLLOUT == static_cast<int>(event::write) && EPOLLERR == static_cast<int>(event::error) &&
                EPOLLHUP == static_cast<int>(event::hangup));

  // ---- nested in another loop -----------------------------------------------------------------------------

  bool has_front() const noexcept { return static_cast<bool>(front_); }
  failure make_front() noexcept { return front_.make(main_.descriptor.get()); }
  native_handle_type native_handle() const noexcept { return front_.get(); }
  void signal(bool is_ready) noexcept { front_.signal(is_ready); }

  // ---- leaks ----------------------------------------------------------------------------------------------
  //
  // New registrations go to the main object. When it reports a ghost, it becomes the dirty one, and a fresh
  // main object watches it, edge-triggered: its ghosts wake nobody then unless something new happens. If a
  // ghost is reported while there is a dirty object, what lives in the main object moves into that, and a
  // fresh main object takes its place. So a leak costs five system calls, and each key is moved once. An entry
  // is believed only if its object is that of the registration; a number that may have two registrations in
  // one object is aliased, until the next isolation moves it.

  // Whether what a wait finds has to be looked through.
  bool has_leaks() const noexcept { return dirty_.descriptor || main_.aliased != 0 || wants_isolation_; }
  bool wants_isolation() const noexcept { return wants_isolation_; }
  // By then the slow waits have cost as much as it costs to register all anew.
  bool wants_full_heal() const noexcept { return slow_waits_ > 64 + main_.watched + dirty_.watched; }

  // Looks through the first `found` entries: drops ghosts, adds what the dirty object found, and makes one
  // entry of two of an aliased registration. Returns how many are left; calls `on_stale` for each of others.
  template <class Callback>
  int drop_leaked(int found, Callback on_stale) noexcept;

  // False: it is cheaper, or there is no other way, to register all anew. `for_each(visit)` calls
  // `visit(registration, is_armed)` for all.
  template <class ForEach>
  bool isolate_leaks(ForEach for_each) noexcept;

 private:
  // To the kernel:
  //
  //   read         EPOLLIN | EPOLLRDHUP   but no EPOLLRDHUP when exclusive (EINVAL)
  //   priority     EPOLLPRI
  //   write        EPOLLOUT               no EPOLLRDHUP: half-closed, it would keep waking a writer
  //   read_hangup  EPOLLRDHUP
  //   edge         EPOLLET
  //   one-shot     EPOLLONESHOT
  //   exclusive    EPOLLEXCLUSIVE
  //   nothing      not watched at all: EPOLLERR and EPOLLHUP come unasked
  //
  static std::uint32_t to_kernel(any_interest what) noexcept {
    std::uint32_t bits = detail::mask_bits::of(what.events) & detail::read_write_priority;
    if (what.events.contains(event::read_hangup)) bits |= EPOLLRDHUP;
    if (what.events.contains(event::read) && !what.exclusive) bits |= EPOLLRDHUP;
    if (what.mode == trigger::edge) bits |= EPOLLET;
    if (what.mode == trigger::oneshot) bits |= EPOLLONESHOT;
    if (what.exclusive) bits |= EPOLLEXCLUSIVE;
    return bits;
  }

  // EPOLLEXCLUSIVE can be set by EPOLL_CTL_ADD only: epoll_ctl(2).
  SELECTORS_NOINLINE failure modify_exclusive(registration& r, const any_interest& was) noexcept {
    detail::epoll_object& object = object_of(r);
    int error = control(object, EPOLL_CTL_DEL, r);
    if (error == ENOENT) return follow(r);
    if (error != 0) return failure::system("epoll_ctl", error);
    error = control(object, EPOLL_CTL_ADD, r);
    if (error == 0) return {};
    r.interest = was;
    if (control(object, EPOLL_CTL_ADD, r) != 0) detach(r, object);
    return failure::system("epoll_ctl", error);
  }

  SELECTORS_COLD failure follow(registration& r) noexcept {
    detail::epoll_object& object = object_of(r);
    detach(r, object);
    object.note_leak(r.handle);
    r.leaked = true;
    const failure failed = add(r);
    if (&object == &dirty_ && dirty_.watched == 0) drop_dirty();
    return failed;
  }

  detail::epoll_object& object_of(const registration& r) noexcept {
    return r.slot == main_.id ? main_ : dirty_;
  }
  void attach(registration& r, detail::epoll_object& object) noexcept {
    r.attached = true;
    r.slot = object.id;
    ++object.watched;
    r.aliased = object.has_leaked && object.leaked.contains(r.handle);
    if (r.aliased) ++object.aliased;
  }
  void detach(registration& r, detail::epoll_object& object) noexcept {
    r.attached = false;
    --object.watched;
    if (r.aliased) --object.aliased;
    r.aliased = false;
  }

  // Zero or an errno.
  SELECTORS_NOINLINE int control(const detail::epoll_object& object, int operation,
                                 registration& r) noexcept {
    epoll_event event{};
    event.events = to_kernel(r.interest);
    event.data.ptr = &r;
    return ::epoll_ctl(object.descriptor.get(), operation, r.handle, &event) == 0 ? 0 : errno;
  }

  int nest_dirty(int operation, int outer) noexcept {
    return detail::nest_epoll(operation, outer, dirty_.descriptor.get(), EPOLLET, &dirty_token);
  }
  // Not by closing it alone: a child process may have it open.
  SELECTORS_COLD void drop_dirty() noexcept {
    (void)nest_dirty(EPOLL_CTL_DEL, main_.descriptor.get());
    dirty_.descriptor.close();
    dirty_.restart(0);
  }
  void replace_main(detail::owned_descriptor&& fresh) noexcept {
    if (main_.descriptor.is_intact()) detail::copy_busy_polling(main_.descriptor.get(), fresh.get());
    main_.descriptor.close();
    main_.descriptor = std::move(fresh);
    main_.restart(++last_id_);
  }
  template <class Callback>
  std::size_t scan_dirty(std::size_t kept, Callback on_stale) noexcept;
  bool merge_aliased(const entry& e, std::size_t kept) noexcept;

  int room() const noexcept { return static_cast<int>(entries_.capacity()); }

  // What the main object has as the token of the dirty one.
  static inline constinit registration dirty_token;

  detail::epoll_object main_;
  detail::buffer<entry> entries_;
  detail::epoll_object dirty_;
  detail::epoll_front front_;
  detail::process_stamp process_;  // whose objects these are
  std::uint32_t last_id_ = 0;
  bool wants_isolation_ = false;
  std::size_t slow_waits_ = 0;  // in which there was a dirty object, or something aliased
};

template <class Callback>
SELECTORS_COLD int epoll_backend::drop_leaked(int found, Callback on_stale) noexcept {
  std::size_t kept = 0;
  bool has_dirty = false;
  for (std::size_t i = 0; i != static_cast<std::size_t>(found); ++i) {
    const entry e = entries_[i];
    registration& r = *token(e);
    if (&r == &dirty_token) {
      has_dirty = true;
    } else if (!r.attached || r.slot != main_.id || (r.seen && merge_aliased(e, kept))) {
      on_stale();
      wants_isolation_ = true;
    } else {
      r.seen = r.aliased;
      entries_[kept++] = e;
    }
  }
  for (std::size_t i = 0; i != kept; ++i) token(entries_[i])->seen = false;
  if (has_dirty || main_.aliased != 0) ++slow_waits_;
  return static_cast<int>(has_dirty ? scan_dirty(kept, on_stale) : kept);
}

// Behind the entries that are kept already. What lives there is level-triggered, perhaps: as long as any of it
// is ready, the next wait looks again.
template <class Callback>
std::size_t epoll_backend::scan_dirty(std::size_t kept, Callback on_stale) noexcept {
  const auto first = kept;
  const int found =
      ::epoll_wait(dirty_.descriptor.get(), entries_.data() + kept, room() - static_cast<int>(kept), 0);
  for (std::size_t i = first; found > 0 && i != first + static_cast<std::size_t>(found); ++i) {
    const entry e = entries_[i];
    if (token(e)->attached && token(e)->slot == dirty_.id)
      entries_[kept++] = e;
    else
      on_stale();
  }
  if (kept != first || found == room() - static_cast<int>(first))
    (void)nest_dirty(EPOLL_CTL_MOD, main_.descriptor.get());
  return kept;
}

inline bool epoll_backend::merge_aliased(const entry& e, std::size_t kept) noexcept {
  for (std::size_t i = 0; i != kept; ++i)
    if (token(entries_[i]) == token(e)) entries_[i].events |= e.events;
  return true;
}

template <class ForEach>
SELECTORS_COLD bool epoll_backend::isolate_leaks(ForEach for_each) noexcept {
  constexpr std::size_t few = 32;  // of so many it costs little to register them all anew
  if (main_.watched + dirty_.watched <= few || wants_full_heal()) return false;
  detail::epoll_object fresh;
  if (detail::make_epoll(fresh.descriptor)) return false;
  const bool has_dirty = static_cast<bool>(dirty_.descriptor);
  const int nested = has_dirty ? dirty_.descriptor.get() : main_.descriptor.get();
  if (detail::nest_epoll(EPOLL_CTL_ADD, fresh.descriptor.get(), nested, EPOLLET, &dirty_token) != 0)
    return false;
  if (front_.exchange(main_.descriptor.get(), fresh.descriptor.get())) return false;
  detail::copy_busy_polling(main_.descriptor.get(), fresh.descriptor.get());
  wants_isolation_ = false;
  fresh.restart(++last_id_);
  std::swap(main_, fresh);
  if (!has_dirty) std::swap(dirty_, fresh);
  std::swap(main_.leaked, fresh.leaked);  // its bits were reserved
  main_.leaked.clear();

  const std::uint32_t old = has_dirty ? fresh.id : dirty_.id;
  for_each([&](registration& r, bool is_armed) {
    if (!r.attached || r.slot != old || (!has_dirty && !r.aliased)) return;
    if (!has_dirty) {  // what is aliased leaves the dirty object
      (void)control(dirty_, EPOLL_CTL_DEL, r);
      detach(r, dirty_);
    }
    r.attached = r.aliased = false;
    if (!is_armed) return;
    const bool stays = has_dirty && !dirty_.leaked.contains(r.handle);
    detail::epoll_object& object = stays ? dirty_ : main_;
    if (control(object, EPOLL_CTL_ADD, r) == 0) attach(r, object);
  });
  if (dirty_.watched == 0) drop_dirty();
  return true;
}

}  // namespace selectors

#endif

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "choices.hpp"
#include "support/descriptors.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <utility>
#include <vector>

namespace fuzz {

using support::checked;
using support::descriptor;

// A few descriptor numbers, and what becomes of them: opened, written to, shut down, closed, duplicated,
// replaced. The file that a number names has an identity, which duplicates share.
class world {
 public:
  static constexpr std::size_t slots = 6;
  static constexpr int first_number = 40;

  static int number(std::size_t slot) noexcept { return first_number + static_cast<int>(slot); }

  // Zero if the number is not open.
  int identity(std::size_t slot) const noexcept { return open_[slot].identity; }
  bool is_open(std::size_t slot) const noexcept { return identity(slot) != 0; }
  // Though its other end may be closed, after which isatty(3) fails.
  bool is_terminal(std::size_t slot) const noexcept {
    return is_open(slot) && objects_[static_cast<std::size_t>(identity(slot) - 1)].is_terminal;
  }
  // Changes each time that a file is put on the number.
  int incarnation(std::size_t slot) const noexcept { return open_[slot].incarnation; }

  // What poll(2) reports of each number now, with every event requested; POLLNVAL if it is not open.
  std::array<int, slots> look() const {
    std::array<pollfd, slots> asked;
    for (std::size_t i = 0; i != slots; ++i)
      asked[i] = {number(i), POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0};
    checked(::poll(asked.data(), slots, 0), "poll");
    std::array<int, slots> found;
    for (std::size_t i = 0; i != slots; ++i) found[i] = asked[i].revents;
    return found;
  }

  ~world() {
    for (std::size_t i = 0; i != slots; ++i) close(i);
  }

  // Does one thing to one number.
  void happen(choices& choose, std::size_t slot) {
    switch (choose.below(13)) {
      case 0:
      case 1: open(choose, slot); break;
      case 2:
      case 3: write_to(peer(slot)); break;
      case 4: support::drain(borrowed(number(slot))); break;
      case 5: fill(slot); break;
      case 6: support::drain(borrowed(peer(slot))); break;
      case 7: ::shutdown(number(slot), static_cast<int>(choose.below(3))); break;
      case 8: ::shutdown(peer(slot), static_cast<int>(choose.below(3))); break;
      case 9: close_peer(slot, choose.one_in(2)); break;
      case 10: close(slot); break;
      case 11: keep_duplicate(slot); break;
      case 12: replace(choose, slot); break;
    }
  }

 private:
  // The files, by identity, for the duration of the script.
  struct object {
    descriptor peer;
    bool is_terminal = false;
  };
  struct reference {
    descriptor held;
    int identity = 0;
    int incarnation = 0;
  };

  // Lends a number to a function that takes a descriptor.
  class borrowed : public descriptor {
   public:
    explicit borrowed(int of) noexcept : descriptor(of) {}
    ~borrowed() { release(); }
  };

  int peer(std::size_t slot) const noexcept {
    const int who = identity(slot);
    return who == 0 ? -1 : objects_[static_cast<std::size_t>(who - 1)].peer.get();
  }

  // Eight bytes, the least that an eventfd accepts.
  static void write_to(int where) {
    const std::uint64_t one = 1;
    if (::send(where, &one, sizeof one, MSG_NOSIGNAL) < 0) (void)!::write(where, &one, sizeof one);
  }
  // Neither TCP nor a terminal: the kernel empties these in the background, and poll(2) may report that
  // before epoll(7) does.
  void fill(std::size_t slot) {
    int protocol = 0;
    socklen_t size = sizeof protocol;
    ::getsockopt(number(slot), SOL_SOCKET, SO_PROTOCOL, &protocol, &size);
    if (protocol == IPPROTO_TCP || ::isatty(number(slot)) == 1) return;
    static constexpr char block[16384] = {};
    for (int times = 0; times != 16; ++times)
      if (::write(number(slot), block, sizeof block) <= 0) break;
    (void)!::write(number(slot), block, 1);
  }

  void open(choices& choose, std::size_t slot) {
    switch (choose.below(8)) {
      case 0:
      case 1: {
        auto pair = support::make_socket_pair();
        return put(slot, std::move(pair.first), std::move(pair.second));
      }
      case 2: {
        auto pipe = support::make_pipe();
        return put(slot, std::move(pipe.reader), std::move(pipe.writer));
      }
      case 3: {
        auto pipe = support::make_pipe();
        return put(slot, std::move(pipe.writer), std::move(pipe.reader));
      }
      case 4: {
        auto pair = support::make_tcp_pair();
        return put(slot, std::move(pair.first), std::move(pair.second));
      }
      case 5: {
        auto udp = support::make_socket(SOCK_DGRAM);
        auto other = support::make_socket(SOCK_DGRAM);
        auto address = support::bound(udp);
        checked(::connect(other.get(), support::generic(address), sizeof address), "connect");
        return put(slot, std::move(udp), std::move(other));
      }
      case 6: {
        descriptor counter(checked(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd"));
        descriptor same = support::dup_above(counter, 100);
        return put(slot, std::move(counter), std::move(same));
      }
      default:
        if (choose.below(3) == 0) return open_terminal(slot);
        descriptor file(checked(::open("/dev/null", O_RDWR | O_CLOEXEC), "open"));
        return put(slot, std::move(file), {});
    }
  }
  void open_terminal(std::size_t slot) {
    descriptor master(checked(::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), "posix_openpt"));
    checked(::grantpt(master.get()), "grantpt");
    checked(::unlockpt(master.get()), "unlockpt");
    descriptor terminal(
        checked(::open(::ptsname(master.get()), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), "open"));
    put(slot, std::move(terminal), std::move(master));
    objects_.back().is_terminal = true;
  }

  void put(std::size_t slot, descriptor fresh, descriptor peer) {
    if (peer.get() >= 0 && peer.get() < 100) peer = support::dup_above(peer, 100);
    objects_.push_back({std::move(peer), false});
    place(slot, fresh, static_cast<int>(objects_.size()));
  }
  // dup2(2) closes what was there.
  void place(std::size_t slot, const descriptor& what, int identity) {
    open_[slot].held.release();
    open_[slot] = {support::dup_onto(what, number(slot)), identity, ++incarnations_};
  }

  void close(std::size_t slot) { open_[slot] = {}; }

  // Closes with a reset where the socket has one: socket(7), SO_LINGER.
  void close_peer(std::size_t slot, bool resets) {
    if (peer(slot) < 0) return;
    const linger at_once{1, 0};
    if (resets) ::setsockopt(peer(slot), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    objects_[static_cast<std::size_t>(identity(slot) - 1)].peer.close();
  }

  void keep_duplicate(std::size_t slot) {
    if (!is_open(slot) || kept_.size() == 6) return;
    kept_.push_back({support::dup_above(open_[slot].held, 100), identity(slot), 0});
  }
  // Replaces it by another number's file, or by a duplicate kept earlier, which is then closed or kept.
  void replace(choices& choose, std::size_t slot) {
    const std::size_t other = choose.below(slots + kept_.size());
    if (other < slots) {
      if (other != slot && is_open(other)) place(slot, open_[other].held, identity(other));
      return;
    }
    const auto duplicate = kept_.begin() + static_cast<std::ptrdiff_t>(other - slots);
    place(slot, duplicate->held, duplicate->identity);
    if (choose.one_in(2)) kept_.erase(duplicate);
  }

  int incarnations_ = 0;
  std::vector<object> objects_;
  std::array<reference, slots> open_;
  std::vector<reference> kept_;
};

}  // namespace fuzz

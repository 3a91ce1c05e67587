// SPDX-License-Identifier: BSL-1.0

// Libraries that own their descriptors, as libpq and libcurl do: they close one and open another on the same
// number, tell nobody, and say before each wait what they want of the number that they have now.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#if !SELECTORS_HAS_WINSOCK

using namespace selectors;
using namespace support;

namespace {

// A connection that is made in steps, on the number that the library gets, which tries another address
// whenever it likes: PQconnectPoll, PQsocket.
class connection {
 public:
  enum class wants { write, read, nothing };

  int number() const { return ours_.get(); }
  wants poll(bool is_ready) {
    if (step_ == 0 || (step_ == 1 && is_ready && tries_ != 0)) {
      if (step_ == 1) --tries_;
      reconnect();
      step_ = 1;
      return wants::write;
    }
    if (!is_ready) return step_ == 1 ? wants::write : wants::read;
    if (step_ == 1) {
      write_byte(ours_);
      CHECK(read_byte(theirs_) == 'x');
      if (answers_) write_byte(theirs_, 'y');
      step_ = 2;
      return wants::read;
    }
    CHECK(read_byte(ours_) == 'y');
    return wants::nothing;
  }
  void answer() {
    answers_ = true;
    if (step_ == 2) write_byte(theirs_, 'y');
  }
  // The server's end, as long as it is kept: epoll goes on watching a file whose duplicate lives.
  explicit connection(int tries, bool keeps_duplicates)
      : tries_(tries), keeps_duplicates_(keeps_duplicates) {}

 private:
  void reconnect() {
    const int number = ours_.get();
    auto fresh = make_socket_pair();
    if (keeps_duplicates_ && number >= 0) kept_.push_back(dup_number_above(number, 300));
    if (number >= 0) {
      dup_onto(fresh.first, number).release();
      fresh.first.close();
    } else {
      ours_ = std::move(fresh.first);
    }
    theirs_ = std::move(fresh.second);
  }

  int tries_;
  bool keeps_duplicates_;
  bool answers_ = false;
  int step_ = 0;
  descriptor ours_, theirs_;
  std::vector<descriptor> kept_;
};

void drain_number(int number) {
  char block[64];
  while (::read(number, block, sizeof block) > 0) {
  }
}

// A library with many transfers at a time, which says what it wants in a callback, and closes before or after
// it has said so: CURLMOPT_SOCKETFUNCTION.
struct transfer {
  socket_pair pair;
  bool is_removed_first;
};

}  // namespace

BACKEND_TEST_CASE("a connection that tries several addresses on one number is followed by watch",
                  "[libraries]", backends) {
  const int tries = GENERATE(0, 1, 5);
  const bool keeps_duplicates = GENERATE(false, true);
  selector<std::string, TestType> sel;
  connection server(tries, keeps_duplicates);
  auto wanted = server.poll(false);
  auto& key = sel.watch(server.number(), event::write, std::string("connection"));
  int rounds = 0;
  while (wanted != connection::wants::nothing) {
    REQUIRE(++rounds < 100);
    CHECK(&sel.watch(server.number(), wanted == connection::wants::read ? event::read : event::write) ==
          &key);
    if (wanted == connection::wants::read) {
      expect_idle(sel);
      server.answer();
    }
    bool is_ready = false;
    for (auto [found, events] : sel.select(10s)) {
      CHECK(&found == &key);
      is_ready = true;
    }
    REQUIRE(is_ready);
    wanted = server.poll(true);
  }
  CHECK(rounds == tries + 2);
  CHECK(key.data() == "connection");
  sel.watch(server.number(), event_mask());
  expect_idle(sel);
  CHECK(sel.size() == 1);
}

BACKEND_TEST_CASE("transfers that come and go on the same numbers are heard of, each of its own",
                  "[libraries]", backends) {
  selector<int, TestType> sel;
  std::vector<std::optional<transfer>> all(12);
  std::vector<descriptor> held;  // a child process, say
  unsigned random = 1;
  const auto next = [&](unsigned below) { return (random = random * 1103515245 + 12345) / 65536 % below; };
  for (int round = 0; round != 600; ++round) {
    auto& one = all[next(12)];
    if (!one) {
      one.emplace(transfer{make_socket_pair(), next(2) == 0});
      sel.watch(one->pair.first, event::read, round);
      CHECK(sel.at(one->pair.first).events() == event::read);
    } else if (next(3) == 0) {
      const int number = one->pair.first.get();
      if (next(4) == 0 && held.size() < 50) held.push_back(dup_number_above(number, 300));
      if (one->is_removed_first) sel.unregister(number);
      one.reset();  // whoever says so afterwards says so of a closed number
      if (next(2) == 0 && sel.contains(number)) sel.unregister(number);
    } else {
      write_byte(one->pair.second);
    }
    std::set<int> expected;
    for (auto& other : all)
      if (other && becomes_ready(other->pair.first, POLLIN, 0)) expected.insert(other->pair.first.get());
    std::set<int> found;
    for (auto [key, events] : sel.select(0s)) {
      if (events.contains(event::error) || !is_open(key.handle()))
        continue;  // closed: poll and select say so
      found.insert(key.handle());
      if (next(2) == 0) drain_number(key.handle());
    }
    for (const int number : found) CHECK(expected.count(number) == 1);
    for (const int number : expected) CHECK(found.count(number) == 1);
  }
}

#endif

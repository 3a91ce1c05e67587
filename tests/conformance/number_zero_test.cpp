// SPDX-License-Identifier: BSL-1.0

// Zero is a descriptor like any other: daemons have closed their standard streams.

#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

using namespace selectors;
using namespace support;

BACKEND_TEST_CASE("descriptor 0 is watched like any other", "[zero][native]", backends) {
  CHECK(in_child([] {
          auto pipe = make_pipe();
          if (::dup2(pipe.reader.get(), 0) != 0) return 1;
          std::error_code error;
          selector<int, TestType> sel(error);
          if (error) return 2;
          sel.register_(0, event::read, 7, error);
          if (error || !sel.contains(0) || sel.find(0)->handle() != 0) return 3;
          const auto& constant = sel;
          if (sel.begin() == sel.end() || constant.begin() == constant.end()) return 4;
          if (sel.begin()->data() != 7 || constant.find(0)->data() != 7) return 4;
          if (!sel.select(0s).empty()) return 5;
          write_byte(pipe.writer);
          for (auto [key, events] : sel.select()) {
            if (key.handle() != 0 || events != event::read) return 6;
          }
          if (!TestType::is_open(0)) return 7;
          sel.reopen(error);
          if (error || sel.select().empty()) return 7;
          sel.clear();
          if (!sel.select(0s).empty() || sel.contains(0)) return 8;
          sel.unregister(0, error);
          if (error != errc::not_registered) return 9;
          sel.register_(0, event::read, 7, error);
          if (error) return 10;
          sel.close();
          return sel.empty() && !sel.contains(0) ? 0 : 11;
        }) == 0);
}

BACKEND_TEST_CASE("what the library opens may be descriptor 0", "[zero][native]", backends) {
  CHECK(in_child([] {
          ::close(0);
          std::error_code error;
          selector<void, TestType> sel(error);  // epoll's, or else the wakeup's
          if (error || !sel.is_open()) return 1;
          wakeup bell(error);
          if (error || !is_open(0)) return 2;
          sel.register_(bell, event::read, error);
          if (error) return 3;
          bell.notify();
          if (sel.select(10s).empty() || !bell.reset()) return 4;
          errno = EINTR;
          sel.reopen(error);
          if (error || (!is_epoll<TestType> && !is_open(0))) return 5;  // a fresh one has another number
          bell.notify();
          return sel.select(10s).empty() ? 6 : 0;
        }) == 0);
}

BACKEND_TEST_CASE("a selector that is gone has closed what it opened, 0 among it", "[zero][native]",
                  backends) {
  CHECK(in_child([] {
          ::close(0);
          {
            std::error_code error;
            const selector<void, TestType> sel(error);
            const wakeup bell(error);
          }
          return is_open(0) ? 1 : 0;
        }) == 0);
}

BACKEND_TEST_CASE("what the library opens for a moment may be descriptor 0", "[zero][native]", backends) {
  CHECK(in_child([] {
          std::error_code error;
          selector<void, TestType> sel(error);
          if (error) return 1;
          ::close(0);
          sel.reopen(error);  // epoll's is opened there, and stays
          if (error || is_open(0) != is_epoll<TestType>) return 2;
          wakeup bell(error);
          sel.register_(bell, event::read, error);
          bell.notify();
          if (error || sel.select(10s).empty()) return 3;
          sel.reopen(error);
          if (error || sel.select(10s).empty()) return 4;
          sel.close();
          return is_epoll<TestType> && is_open(0) ? 5 : 0;
        }) == 0);
}

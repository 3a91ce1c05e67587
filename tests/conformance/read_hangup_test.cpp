// SPDX-License-Identifier: BSL-1.0

// read_hangup requested by itself: the end of the peer is reported, its data is not.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"
#include "support/replaced.hpp"

#include <system_error>
#include <utility>

using namespace selectors;
using namespace support;

namespace {

// What poll(2) calls the end of the peer; without a name for it, that is readable.
#ifdef POLLRDHUP
constexpr short peer_ended = POLLRDHUP;
#else
constexpr short peer_ended = POLLIN;
#endif

template <class Backend>
constexpr bool has_read_hangup = requestable_events<Backend>.contains(event::read_hangup);

// Half of a connection is closed, all of it, or it is reset.
enum class ending { half_close, close, reset };

[[maybe_unused]] void end(socket_pair& pair, ending how) {
#if !SELECTORS_HAS_WINSOCK
  const linger at_once{1, 0};
  if (how == ending::reset) set_option(pair.second, SOL_SOCKET, SO_LINGER, at_once);
  if (how == ending::half_close)
    ::shutdown(pair.second.get(), SHUT_WR);
  else
    pair.second.close();
#else
  static_cast<void>(pair), static_cast<void>(how);
#endif
}

template <class Selector>
void expect_end(Selector& sel, native_handle_type handle) {
  const readiness found = ready(sel);
  REQUIRE(found.size() == 1);
  REQUIRE(found.count(handle) == 1);
  CHECK(found.at(handle).contains(event::read_hangup));
  CHECK((found.at(handle) & requestable).empty());
}

}  // namespace

BACKEND_TEST_CASE("read_hangup alone is refused where it cannot be had, and with exclusive", "[read_hangup]",
                  backends) {
  selector<void, TestType> sel;
  auto pair = make_socket_pair();
  const auto registering = [&](auto what) {
    return error_of([&](auto& error) { sel.register_(pair.first, what, error); });
  };
  if (!has_read_hangup<TestType>) {
    CHECK(registering(event::read_hangup) == errc::invalid_events);
    CHECK(registering(event::read | event::read_hangup) == errc::invalid_events);
    CHECK(registering(oneshot(event::read_hangup)) == errc::invalid_events);
    CHECK(error_of([&](auto& error) { sel.watch(pair.first, event::read_hangup, error); }) ==
          errc::invalid_events);
    sel.register_(pair.first, event::read);
    CHECK(error_of([&](auto& error) { sel.modify(pair.first, event::read_hangup, error); }) ==
          errc::invalid_events);
    CHECK(sel.at(pair.first).events() == event::read);
  } else if constexpr (supports<TestType, trigger::level, true>) {
    CHECK(registering(exclusive(event::read_hangup)) == errc::invalid_events);
    CHECK(registering(exclusive(event::read | event::read_hangup)) == errc::invalid_events);
    CHECK(sel.empty());
  }
}

#if !SELECTORS_HAS_WINSOCK
BACKEND_TEST_CASE("read_hangup alone reports the end of the peer, and no data", "[read_hangup]", backends) {
  if constexpr (has_read_hangup<TestType>) {
    const int which = GENERATE(0, 1, 2);
    const auto how = GENERATE(ending::half_close, ending::close, ending::reset);
    const bool has_data = GENERATE(false, true);
    INFO("mode " << which << ", ending " << static_cast<int>(how) << ", data " << has_data);
    with_mode<TestType>(which, [&](auto mode, bool reports_once) {
      selector<void, TestType> sel;
      auto pair = make_tcp_pair();
      auto& key = sel.register_(pair.first, mode(event::read_hangup));
      CHECK(key.events() == event::read_hangup);
      expect_idle(sel);
      if (has_data) {
        write_byte(pair.second);
        becomes_ready(pair.first, POLLIN);
        expect_idle(sel);
      }
      end(pair, how);
      becomes_ready(pair.first, peer_ended);
      expect_end(sel, pair.first.get());
      if (reports_once) expect_idle(sel);
      if (!reports_once) expect_end(sel, pair.first.get());
      sel.modify(key, mode(event::read_hangup));
      if (!reports_once || which != 0) expect_end(sel, pair.first.get());
      sel.modify(key, event_mask());
      expect_idle(sel);
    });
  }
}

BACKEND_TEST_CASE("read_hangup with others comes with them, once", "[read_hangup]", backends) {
  if constexpr (has_read_hangup<TestType>) {
    selector<void, TestType> sel;
    auto pair = make_tcp_pair();
    sel.register_(pair.first, event::write | event::read_hangup);
    expect_ready(sel, {{pair.first.get(), event::write}});
    write_byte(pair.second);
    becomes_ready(pair.first, POLLIN);
    expect_ready(sel, {{pair.first.get(), event::write}});
    end(pair, ending::half_close);
    becomes_ready(pair.first, peer_ended);
    expect_ready(sel, {{pair.first.get(), event::write | event::read_hangup}});
    sel.modify(pair.first, event::read | event::read_hangup);
    expect_ready(sel, {{pair.first.get(), event::read | event::read_hangup}});
    sel.modify(pair.first, event::write);
    expect_ready(sel, {{pair.first.get(), event::write}});
  }
}

BACKEND_TEST_CASE("read_hangup alone reports that a pipe's other end is gone", "[read_hangup]", backends) {
  if constexpr (has_read_hangup<TestType>) {
    selector<void, TestType> sel;
    auto one = make_pipe(), two = make_pipe();
    sel.register_(one.reader, event::read_hangup);
    sel.register_(two.writer, event::read_hangup);
    write_byte(one.writer);
    expect_idle(sel);
    one.writer.close();
    expect_end(sel, one.reader.get());
    sel.unregister(one.reader);
    two.reader.close();
    const readiness found = ready(sel);
    CHECK(found.count(two.writer.get()) == 1);
  }
}

BACKEND_TEST_CASE("read_hangup can be marked, and survives reopen, where it can be requested",
                  "[read_hangup]", backends) {
  if constexpr (has_read_hangup<TestType>) {
    selector<void, TestType> sel;
    auto pair = make_tcp_pair();
    sel.register_(pair.first, event::read_hangup);
    sel.mark_ready(pair.first, event::read_hangup);
    sel.mark_ready(pair.first, event::read);
    expect_ready(sel, {{pair.first.get(), event::read_hangup}});
    expect_idle(sel);
    sel.reopen();
    expect_idle(sel);
    end(pair, ending::half_close);
    expect_end(sel, pair.first.get());
  }
}

BACKEND_TEST_CASE("read_hangup of a file is never reported", "[read_hangup]", backends) {
  if constexpr (has_read_hangup<TestType>) {
    selector<void, TestType> sel;
    const descriptor file(checked(::open("/dev/null", O_RDWR | O_CLOEXEC), "open"));
    sel.register_(file, event::read_hangup);
    expect_idle(sel);
    sel.modify(file, event::read_hangup | event::write);
    expect_ready(sel, {{file.get(), event::write}});
  }
}
#endif

// SPDX-License-Identifier: BSL-1.0

// What is Windows' own.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <cerrno>
#include <system_error>
#include <vector>

#if SELECTORS_HAS_WINSOCK

using namespace selectors;
using namespace support;

namespace {

// As on a version of Windows of which that is true, until the end of the scope.
class windows_that_tells {
 public:
  explicit windows_that_tells(bool tells)
      : before_(detail::wsapoll_reports_failed_connects.exchange(tells ? detail::answer::yes
                                                                       : detail::answer::no)) {}
  windows_that_tells(const windows_that_tells&) = delete;
  ~windows_that_tells() { detail::wsapoll_reports_failed_connects = before_; }

 private:
  detail::answer before_;
};

// A socket whose connect is refused.
descriptor refused_socket() {
  sockaddr_in address;
  {
    const descriptor nobody = make_socket();
    address = bound(nobody);
  }
  descriptor client = make_socket();
  CHECK(::connect(client.get(), generic(address), sizeof address) != 0);
  return client;
}

int error_of(const descriptor& socket) {
  int error = 0;
  int size = sizeof error;
  checked(::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, reinterpret_cast<char*>(&error), &size),
          "getsockopt");
  return error;
}

}  // namespace

TEST_CASE("errors of Winsock compare equal to the standard's conditions", "[winsock]") {
  struct known {
    int code;
    std::errc condition;
  };
  for (const known one :
       {known{WSAEINTR, std::errc::interrupted}, known{WSAEBADF, std::errc::bad_file_descriptor},
        known{WSAEACCES, std::errc::permission_denied}, known{WSAEFAULT, std::errc::bad_address},
        known{WSAEINVAL, std::errc::invalid_argument}, known{WSAEMFILE, std::errc::too_many_files_open},
        known{WSAENOTSOCK, std::errc::not_a_socket},
        known{WSAEAFNOSUPPORT, std::errc::address_family_not_supported},
        known{WSAEADDRINUSE, std::errc::address_in_use},
        known{WSAEADDRNOTAVAIL, std::errc::address_not_available},
        known{WSAENETDOWN, std::errc::network_down}, known{WSAECONNABORTED, std::errc::connection_aborted},
        known{WSAECONNRESET, std::errc::connection_reset}, known{WSAENOBUFS, std::errc::no_buffer_space},
        known{WSAETIMEDOUT, std::errc::timed_out}, known{WSAECONNREFUSED, std::errc::connection_refused}}) {
    INFO("code " << one.code);
    const std::error_code code = failure::system("call", one.code).code();
    CHECK(code == one.condition);
    CHECK_FALSE(code.message().empty());
  }
  CHECK(failure::system("call", WSAEWOULDBLOCK).code().default_error_condition().value() != 0);
  // What no errno is like keeps its number.
  CHECK(failure::system("call", WSASYSNOTREADY).code() ==
        std::error_code(WSASYSNOTREADY, std::system_category()));
  CHECK(failure::system("call", EDOM).code() == std::errc::argument_out_of_domain);
}

BACKEND_TEST_CASE("what is no socket is refused", "[winsock]", backends) {
  selector<void, TestType> sel;
  const HANDLE event_object = ::CreateEventW(nullptr, TRUE, FALSE, nullptr);
  const HANDLE console = ::GetStdHandle(STD_OUTPUT_HANDLE);
  for (const HANDLE one : {event_object, console, ::GetCurrentProcess()}) {
    const auto handle = reinterpret_cast<native_handle_type>(one);
    if (handle == detail::invalid_handle) continue;  // as a pseudo handle is
    for (const event_mask asked : {event_mask(event::read), event_mask()}) {
      CHECK(support::error_of([&](auto& error) { sel.register_(handle, asked, error); }) ==
            std::errc::bad_file_descriptor);
    }
  }
  CHECK(sel.empty());
  ::CloseHandle(event_object);
}

BACKEND_TEST_CASE("a failed connect is an error whatever was asked for, and its reason stays", "[winsock]",
                  backends) {
  const windows_that_tells new_one(GENERATE(true, false));
  for (const event_mask asked :
       {event_mask(event::read), event_mask(event::write), event_mask(event::priority)}) {
    const descriptor client = refused_socket();
    selector<void, TestType> sel;
    sel.register_(client, asked);
    for (int i = 0; i != 2; ++i) expect_ready(sel, {{client.get(), asked | event::error}});
    CHECK(error_of(client) == WSAECONNREFUSED);
    sel.modify(client, oneshot(asked));
    expect_ready(sel, {{client.get(), asked | event::error}});
    expect_idle_for(sel, 20ms);
  }
}

BACKEND_TEST_CASE("a connect that ends well is told, and what follows", "[winsock]", backends) {
  const windows_that_tells new_one(GENERATE(true, false));
  listener server;
  descriptor client = make_socket();
  selector<void, TestType> sel;
  sel.register_(client, event::write);  // before it connects
  CHECK((::connect(client.get(), generic(server.address), sizeof server.address) == 0 ||
         ::WSAGetLastError() == WSAEWOULDBLOCK));
  expect_ready(sel, {{client.get(), event::write}});
  const descriptor accepted = server.accept();
  sel.modify(client, event::read);
  expect_idle_for(sel, 20ms);
  write_byte(accepted);
  expect_ready(sel, {{client.get(), event::read}});
  // Out-of-band data is nothing to who has not asked for it.
  CHECK(read_byte(client) == 'x');
  checked(::send(accepted.get(), "u", 1, MSG_OOB), "send");
  sel.register_(accepted, event::read);
  expect_idle_for(sel, 20ms);
  sel.modify(client, event::priority);
  expect_ready(sel, {{client.get(), event::priority}});
}

BACKEND_TEST_CASE("a listener and a socket without connections cost no looking around", "[winsock]",
                  backends) {
  const windows_that_tells old_one(false);
  listener server;
  const descriptor datagrams = make_socket(SOCK_DGRAM);
  bound(datagrams);
  selector<void, counting<TestType>> sel;
  sel.register_(server.socket, event::read);
  sel.register_(datagrams, event::read);
  expect_idle_for(sel, 50ms);
  const descriptor client = server.connect();
  expect_ready(sel, {{server.socket.get(), event::read}});
}

BACKEND_TEST_CASE("connecting sockets among others, unregistered, modified and moved, lose nobody",
                  "[winsock]", backends) {
  const windows_that_tells old_one(false);
  std::vector<descriptor> refused;
  auto pairs = make_pipes(12);
  selector<void, TestType> first;
  readiness expected;
  for (std::size_t i = 0; i != pairs.size(); ++i) {
    refused.push_back(refused_socket());
    first.register_(refused.back(), event::write);
    first.register_(pairs[i].reader, event::read);
    if (i % 3 == 0) write_byte(pairs[i].writer);
  }
  selector<void, TestType> sel = std::move(first);
  for (std::size_t i = 0; i != pairs.size(); ++i) {
    if (i % 2 == 0) sel.unregister(refused[i]);
    if (i % 2 == 1) expected[refused[i].get()] = event::write | event::error;
    if (i % 3 == 0) expected[pairs[i].reader.get()] = event::read;
    if (i % 4 == 1) sel.unregister(pairs[i].reader);
    if (i % 4 == 1) expected.erase(pairs[i].reader.get());
  }
  for (int i = 0; i != 3; ++i) expect_ready(sel, expected);
  sel.reopen();
  expect_ready(sel, expected);
}

BACKEND_TEST_CASE("a reset while connecting is looked for is told with WSAPoll's details", "[winsock]",
                  backends) {
  const windows_that_tells old_one(false);
  auto [client, server] = make_tcp_pair();
  set_option(client, SOL_SOCKET, SO_LINGER, linger{1, 0});
  client.close();
  selector<void, TestType> sel;
  sel.register_(server, event::read);  // it has no peer any more
  expect_raised(sel, {{server.get(), event::read}});
  expect_raised(sel, {{server.get(), event::read}});
}

TEST_CASE("a wait by milliseconds is never early", "[winsock]") {
  using std::chrono::steady_clock;
  for (const auto time : {1ns, 999'999ns, 1'000'000ns, 1'000'001ns}) {
    detail::countdown left(time);
    CHECK(left.milliseconds() == (time > 1ms ? 2 : 1));
    const auto start = steady_clock::now();
    while (!left.is_over()) ::Sleep(0);
    CHECK(steady_clock::now() - start >= time);
    CHECK(left.is_over());
  }
  CHECK(detail::countdown(0ns).milliseconds() == 0);
  CHECK(detail::countdown(0ns).is_over());
  detail::countdown endless(std::chrono::nanoseconds::max());
  CHECK(endless.milliseconds() == detail::countdown::endless);
  CHECK_FALSE(endless.is_over());
  CHECK(detail::countdown(std::chrono::nanoseconds::max() - 1ns).milliseconds() > 1'000'000'000);
}

TEST_CASE("a wakeup keeps the last error, and is not inherited", "[winsock]") {
  wakeup wake;
  CHECK(is_close_on_exec(wake.native_handle()));
  ::WSASetLastError(4711);
  wake.notify();
  wake.notify();
  CHECK(::WSAGetLastError() == 4711);
  CHECK(wake.reset());
  CHECK_FALSE(wake.reset());
  CHECK(::WSAGetLastError() == 4711);
}

#endif

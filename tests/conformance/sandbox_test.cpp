// SPDX-License-Identifier: BSL-1.0

// Sandboxes, by seccomp(2): what is forbidden is replaced by an older call where there is one, and is an
// error of that call where there is none.

#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"
#include "support/skip.hpp"

#include <system_error>

#if SELECTORS_HAS_EPOLL

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

using namespace selectors;
using namespace support;

namespace {

// From now on, in this process, a system call is refused with `error`; of epoll_ctl, of one descriptor alone.
void forbid(long call, int error, int descriptor_of_epoll_ctl = -1) {
  const auto load = [](std::size_t where) {
    return sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<unsigned>(where)};
  };
  const auto unless = [](unsigned value, unsigned char skipped) {
    return sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, skipped, value};
  };
  const auto answer = [](unsigned what) { return sock_filter{BPF_RET | BPF_K, 0, 0, what}; };
  constexpr std::size_t third = offsetof(seccomp_data, args) + 2 * sizeof(std::uint64_t);
  const bool is_any = descriptor_of_epoll_ctl < 0;
  std::array<sock_filter, 6> program{load(offsetof(seccomp_data, nr)),
                                     unless(static_cast<unsigned>(call), 3),
                                     load(third),
                                     unless(static_cast<unsigned>(descriptor_of_epoll_ctl), 1),
                                     answer(SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
                                     answer(SECCOMP_RET_ALLOW)};
  if (is_any) program[3].jf = 0;
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
    ::_exit(99);
}

constexpr int forbidding[] = {ENOSYS, EPERM, EACCES, EOPNOTSUPP};

// The calls that the library can replace by an older one. Elsewhere than in glibc, epoll_create(3) makes the
// same system call as epoll_create1.
constexpr long replaceable[] = {
#ifdef __GLIBC__
    SYS_epoll_create1,
#endif
    SYS_epoll_pwait2,  SYS_ppoll, SYS_pselect6, SYS_eventfd2, SYS_dup3,
};

// Whatever a program does; the step at which it went wrong.
template <class Backend>
int use_everything() {
  std::error_code error;
  selector<void, Backend> sel(error);
  if (error) return 1;
  wakeup bell(error);
  if (error) return 2;
  auto pipe = make_pipe();
  sel.register_(bell, event::read, error);
  if (error) return 3;
  sel.register_(pipe.reader, oneshot(event::read), error);
  if (error) return 4;
  const auto start = std::chrono::steady_clock::now();
  if (!sel.select(2500us, error).empty() || error) return 5;
  if (std::chrono::steady_clock::now() - start < 2500us) return 6;
  if (!sel.select(0s, error).empty() || error) return 7;
  if (!sel.select_until(std::chrono::steady_clock::now() + 1ms, error).empty() || error) return 8;
  bell.notify();
  (void)!::write(pipe.writer.get(), "x", 1);
  int reached = 0;
  for (auto [key, events] : sel.select(10s, error)) reached += events.contains(event::read) ? 1 : 100;
  if (reached != 2 || error) return 9;
  if (!bell.reset()) return 10;
  sel.reopen(error);
  if (error) return 11;
  bell.reopen(error);
  if (error) return 12;
  sel.modify(pipe.reader, event::read, error);
  for ([[maybe_unused]] auto one : sel.select(error)) ++reached;
  if (reached != 3 || error) return 13;
  if constexpr (has_object<Backend>)
    if (sel.native_handle() < 0 || !is_close_on_exec(sel.native_handle())) return 14;
  return 0;
}

}  // namespace

BACKEND_TEST_CASE("a call that is forbidden is replaced by an older one", "[sandbox][native]", backends) {
  if (is_kqueue<TestType>) return skip("the double of kqueue(2) makes these calls itself");
  for (const long call : replaceable) {
    for (const int error : forbidding) {
      INFO("system call " << call << ", error " << error);
      CHECK(in_child([&] {
              forbid(call, error);
              return use_everything<TestType>();
            }) == 0);
    }
  }
}

BACKEND_TEST_CASE("all that has a replacement may be forbidden at once", "[sandbox][native]", backends) {
  if (is_kqueue<TestType>) return skip("the double of kqueue(2) makes these calls itself");
  CHECK(in_child([] {
          for (const long call : replaceable) forbid(call, EPERM);
          return use_everything<TestType>();
        }) == 0);
}

TEST_CASE("a pipe or a terminal that epoll_ctl refuses with EPERM is an error, and no file",
          "[sandbox][native]") {
  const int error = GENERATE(EPERM, EACCES);
  CHECK(in_child([&] {
          auto pipe = make_pipe();
          auto pair = make_socket_pair();
          descriptor terminal(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
          epoll_selector<> sel;
          sel.register_(pair.first, event::read);
          for (descriptor* one : {&pipe.reader, &pipe.writer, &terminal, &pair.second}) {
            forbid(SYS_epoll_ctl, error, one->get());
            std::error_code refused;
            sel.register_(*one, event::read, refused);
            if (refused != std::error_code(error, std::system_category())) return 1;
            sel.watch(*one, event::read | event::write, refused);
            if (refused != std::error_code(error, std::system_category())) return 2;
          }
          if (sel.size() != 1 || !sel.select(0s).empty()) return 3;
          // Paused it is registered without the kernel, and cannot be resumed.
          std::error_code refused;
          sel.register_(pipe.reader, event_mask(), refused);
          if (refused) return 4;
          sel.modify(pipe.reader, event::read, refused);
          if (refused != std::error_code(error, std::system_category())) return 5;
          return sel.select(0s).empty() ? 0 : 6;
        }) == 0);
}

TEST_CASE("files are always ready in a sandbox, too", "[sandbox][native]") {
  CHECK(in_child([] {
          const descriptor directory(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
          const descriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
          char name[] = "/tmp/selectors-XXXXXX";
          const descriptor file(::mkstemp(name));
          ::unlink(name);
          epoll_selector<> sel;
          forbid(SYS_epoll_ctl, EPERM);
          std::error_code error;
          for (const descriptor* one : {&directory, &null, &file}) {
            sel.register_(*one, event::read, error);
            if (error) return 1;
          }
          int reached = 0;
          for (auto [key, events] : sel.select()) reached += events == event::read ? 1 : 100;
          return reached == 3 ? 0 : 2;
        }) == 0);
}

namespace {

// The older call, which not every architecture has.
void forbid_epoll_create() {
#if defined(SYS_epoll_create)
  forbid(SYS_epoll_create, EPERM);
#endif
}

}  // namespace

TEST_CASE("what has no replacement is an error that names the call", "[sandbox][native]") {
  CHECK(in_child([] {
          forbid(SYS_epoll_create1, EPERM);
          forbid_epoll_create();
          std::error_code error;
          epoll_selector<> sel(error);
          if (error != std::error_code(EPERM, std::system_category()) || sel.is_open()) return 1;
          try {
            epoll_selector<> other;
            return 2;
          } catch (const std::system_error& refused) {
            return std::string(refused.what()).find("epoll_create") != std::string::npos ? 0 : 3;
          }
        }) == 0);
}

#endif

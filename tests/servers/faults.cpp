// SPDX-License-Identifier: BSL-1.0

// Preloaded into a server: makes its calls fail, as the environment says.
//
//   ACCEPT_FAILS=ERRNO,COUNT   the first COUNT calls of accept(2) with a pending connection fail
//                              with ERRNO, and the connection stays pending
//   NEW_FAILS=N,COUNT          of the calls of operator new after the first accept(2), COUNT fail from
//                              the N-th on, each with a word on stderr: "faults: out of memory"

#include <dlfcn.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

struct plan {
  int first = 0;
  int count = 0;
};

plan read_plan(const char* name) {
  plan made;
  if (const char* const text = std::getenv(name)) std::sscanf(text, "%d,%d", &made.first, &made.count);
  return made;
}

bool has_accepted = false;

template <class Call>
Call* next(const char* name) {
  return reinterpret_cast<Call*>(::dlsym(RTLD_NEXT, name));
}

bool accept_fails(int listening) {
  static plan left = read_plan("ACCEPT_FAILS");
  pollfd waits{listening, POLLIN, 0};
  if (left.count == 0 || ::poll(&waits, 1, 0) != 1) return false;
  --left.count;
  errno = left.first;
  return true;
}

bool new_fails() {
  static plan left = read_plan("NEW_FAILS");
  if (!has_accepted || left.count == 0 || --left.first > 0) return false;
  --left.count;
  static constexpr char text[] = "faults: out of memory\n";
  (void)!::write(STDERR_FILENO, text, sizeof text - 1);
  return true;
}

}  // namespace

extern "C" int accept(int listening, sockaddr* address, socklen_t* size) {
  if (accept_fails(listening)) return -1;
  has_accepted = true;
  return next<int(int, sockaddr*, socklen_t*)>("accept")(listening, address, size);
}

extern "C" int accept4(int listening, sockaddr* address, socklen_t* size, int flags) {
  if (accept_fails(listening)) return -1;
  has_accepted = true;
  return next<int(int, sockaddr*, socklen_t*, int)>("accept4")(listening, address, size, flags);
}

void* operator new(std::size_t size) {
  void* const memory = new_fails() ? nullptr : std::malloc(size != 0 ? size : 1);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return new_fails() ? nullptr : std::malloc(size != 0 ? size : 1);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

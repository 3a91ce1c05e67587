// SPDX-License-Identifier: BSL-1.0

// Objects of Windows that one can wait for, as events.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <selectors/waitable.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>
#include <type_traits>
#include <vector>

using namespace selectors;
using namespace support;

namespace {

using object = selectors::detail::owned_handle;

enum class kind : bool { auto_reset, manual_reset };

object make_event(kind what, bool is_set = false) {
  return object(::CreateEventW(nullptr, what == kind::manual_reset, is_set, nullptr));
}

bool is_signalled(const object& one) { return ::WaitForSingleObject(one.get(), 0) == WAIT_OBJECT_0; }

// This program, as a process that ends by itself.
object start_process() {
  wchar_t name[MAX_PATH];
  ::GetModuleFileNameW(nullptr, name, MAX_PATH);
  std::wstring command = L"\"" + std::wstring(name) + L"\" --no-such-option";
  STARTUPINFOW start{};
  start.cb = sizeof start;
  start.dwFlags = STARTF_USESTDHANDLES;  // and there are none
  PROCESS_INFORMATION made{};
  if (!::CreateProcessW(name, command.data(), nullptr, nullptr, FALSE, 0, nullptr, nullptr, &start, &made))
    throw std::system_error(static_cast<int>(::GetLastError()), std::system_category(), "CreateProcess");
  ::CloseHandle(made.hThread);
  return object(made.hProcess);
}

std::error_code refusal_of(void* what) {
  std::error_code error;
  waitable refused(what, error);
  CHECK(refused.native_handle() == selectors::detail::invalid_handle);
  CHECK_FALSE(refused.reset());
  return error;
}

}  // namespace

BACKEND_TEST_CASE("a waitable is readable from its object's signal to reset", "[waitable]", backends) {
  selector<void, TestType> sel;
  const object event_object = make_event(kind::manual_reset);
  waitable watched(event_object.get());
  sel.register_(watched, event::read);
  expect_idle_for(sel, 20ms);
  CHECK_FALSE(watched.reset());
  for (int round = 0; round != 3; ++round) {
    ::SetEvent(event_object.get());
    for (int i = 0; i != 2; ++i) expect_ready(sel, {{watched.native_handle(), event::read}});
    ::ResetEvent(event_object.get());
    CHECK(watched.reset());
    CHECK_FALSE(watched.reset());
    expect_idle_for(sel, 20ms);
  }
}

BACKEND_TEST_CASE("what still is signalled makes a waitable readable again", "[waitable]", backends) {
  selector<void, TestType> sel;
  const object event_object = make_event(kind::manual_reset, true);
  waitable watched(event_object.get());
  sel.register_(watched, event::read);
  for (int round = 0; round != 20; ++round) {
    expect_ready(sel, {{watched.native_handle(), event::read}});
    CHECK(watched.reset());
  }
  CHECK(is_signalled(event_object));
}

BACKEND_TEST_CASE("an auto-reset event is consumed once", "[waitable]", backends) {
  selector<void, TestType> sel;
  const object event_object = make_event(kind::auto_reset);
  waitable watched(event_object.get());
  sel.register_(watched, event::read);
  for (int round = 0; round != 3; ++round) {
    ::SetEvent(event_object.get());
    expect_ready(sel, {{watched.native_handle(), event::read}});
    CHECK_FALSE(is_signalled(event_object));
    ::SetEvent(event_object.get());  // not before the reset
    expect_ready(sel, {{watched.native_handle(), event::read}});
    CHECK(is_signalled(event_object));
    ::SetEvent(event_object.get());
    CHECK(watched.reset());
    expect_ready(sel, {{watched.native_handle(), event::read}});
    CHECK(watched.reset());
    expect_idle_for(sel, 20ms);
  }
}

BACKEND_TEST_CASE("a semaphore's count is how often a waitable is readable", "[waitable]", backends) {
  selector<void, TestType> sel;
  const object semaphore(::CreateSemaphoreW(nullptr, 0, 100, nullptr));
  waitable watched(semaphore.get());
  sel.register_(watched, event::read);
  ::ReleaseSemaphore(semaphore.get(), 5, nullptr);
  for (int count = 0; count != 5; ++count) {
    expect_ready(sel, {{watched.native_handle(), event::read}});
    CHECK(watched.reset());
  }
  expect_idle_for(sel, 20ms);
}

BACKEND_TEST_CASE("the end of a process is an event", "[waitable]", backends) {
  selector<void, TestType> sel;
  const object process = start_process();
  waitable ended(process.get());
  sel.register_(ended, event::read);
  expect_ready(sel, {{ended.native_handle(), event::read}});
  CHECK(is_signalled(process));
  DWORD code = STILL_ACTIVE;
  ::GetExitCodeProcess(process.get(), &code);
  CHECK(code != STILL_ACTIVE);
  CHECK(ended.reset());
  expect_ready(sel, {{ended.native_handle(), event::read}});
}

BACKEND_TEST_CASE("a timer is an event", "[waitable]", backends) {
  selector<void, TestType> sel;
  const object timer(::CreateWaitableTimerW(nullptr, FALSE, nullptr));
  waitable due(timer.get());
  sel.register_(due, event::read);
  expect_idle(sel);
  LARGE_INTEGER time{};
  time.QuadPart = -200'000;  // in 20 ms
  const auto start = std::chrono::steady_clock::now();
  ::SetWaitableTimer(timer.get(), &time, 20, nullptr, nullptr, FALSE);
  for (int round = 0; round != 3; ++round) {
    expect_ready(sel, {{due.native_handle(), event::read}});
    CHECK(due.reset());
  }
  CHECK(std::chrono::steady_clock::now() - start >= 50ms);
  ::CancelWaitableTimer(timer.get());
}

TEST_CASE("what cannot be waited for is refused", "[waitable]") {
  CHECK(refusal_of(nullptr) == errc::invalid_handle);
  CHECK(refusal_of(INVALID_HANDLE_VALUE) == errc::invalid_handle);
  CHECK(refusal_of(::GetCurrentThread()) == errc::invalid_handle);
  CHECK(refusal_of(reinterpret_cast<void*>(std::uintptr_t{0x7ffffff0})) == std::errc::bad_file_descriptor);
  const object mutex(::CreateMutexW(nullptr, FALSE, nullptr));
  CHECK(refusal_of(mutex.get()) == std::errc::invalid_argument);
  CHECK(is_signalled(mutex));
  const object event_object = make_event(kind::auto_reset, true);
  HANDLE without_right = nullptr;
  ::DuplicateHandle(::GetCurrentProcess(), event_object.get(), ::GetCurrentProcess(), &without_right,
                    EVENT_MODIFY_STATE, FALSE, 0);
  const object deaf(without_right);
  CHECK(refusal_of(deaf.get()) == std::errc::permission_denied);
  CHECK(is_signalled(event_object));
  std::string text;
  try {
    waitable thrown(mutex.get());
  } catch (const std::system_error& refused) {
    text = refused.what();
  }
  CHECK_THAT(text, contains("waitable") && contains("WaitForMultipleObjects"));
  std::error_code error(1, std::generic_category());
  waitable watched(event_object.get(), error);
  CHECK_FALSE(error);
}

TEST_CASE("a handle that is closed early does a waitable no harm", "[waitable]") {
  selector<> sel;
  object event_object = make_event(kind::auto_reset);
  waitable watched(event_object.get());
  sel.register_(watched, event::read);
  HANDLE kept = nullptr;
  ::DuplicateHandle(::GetCurrentProcess(), event_object.get(), ::GetCurrentProcess(), &kept, 0, FALSE,
                    DUPLICATE_SAME_ACCESS);
  const object other(kept);
  {
    event_object = object();
  }
  ::SetEvent(other.get());
  expect_ready(sel, {{watched.native_handle(), event::read}});
}

TEST_CASE("a waitable may be destroyed at any moment", "[waitable][threads]") {
  for (int round = 0; round != 300; ++round) {
    const object event_object =
        make_event(round % 2 == 0 ? kind::auto_reset : kind::manual_reset, round % 3 == 0);
    {
      waitable watched(event_object.get());
      if (round % 3 == 1) ::SetEvent(event_object.get());
      if (round % 5 == 0) ::Sleep(1);
      if (round % 7 == 0) watched.reset();
    }
  }
}

// One thread of the pool waits for 63 objects at most.
BACKEND_TEST_CASE("hundreds of objects are waited for", "[waitable]", backends) {
  selector<std::size_t, TestType> sel;
  std::vector<object> objects(200);
  std::vector<std::unique_ptr<waitable>> all;
  for (std::size_t i = 0; i != objects.size(); ++i) {
    objects[i] = make_event(kind::auto_reset);
    all.push_back(std::make_unique<waitable>(objects[i].get()));
    sel.register_(*all.back(), event::read, i);
  }
  for (std::size_t i = 0; i < objects.size(); i += 7) ::SetEvent(objects[i].get());
  for (std::size_t seen = 0; seen != (objects.size() + 6) / 7;) {
    auto range = sel.select(10s);
    if (range.empty()) FAIL("only " << seen << " were seen");
    for (auto [key, events] : range) {
      CHECK(key.data() % 7 == 0);
      CHECK(all[key.data()]->reset());
      ++seen;
    }
  }
  expect_idle_for(sel, 20ms);
}

TEST_CASE("a waitable is a pollable, neither copied nor moved", "[waitable]") {
  STATIC_REQUIRE(pollable<waitable>);
  STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<waitable>);
  STATIC_REQUIRE_FALSE(std::is_move_constructible_v<waitable>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<void*, waitable>);
}

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_WINSOCK

#include <selectors/detail/raise.hpp>
#include <selectors/error.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/winsock.hpp>
#include <selectors/wakeup.hpp>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace SELECTORS_NAMESPACE {

namespace detail {

// A failure of a function of kernel32, whose error numbers are neither errno nor Winsock's.
inline failure kernel32_failure(const char* call) noexcept {
  switch (::GetLastError()) {
    case ERROR_INVALID_HANDLE: return failure::system(call, EBADF);
    case ERROR_ACCESS_DENIED: return failure::system(call, EACCES);
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
    case ERROR_NO_SYSTEM_RESOURCES: return failure::memory();
    default: return failure::system(call, EINVAL);
  }
}

// A handle that is closed by its owner.
class owned_handle {
 public:
  owned_handle() noexcept = default;
  explicit owned_handle(HANDLE handle) noexcept : handle_(handle) {}
  owned_handle(const owned_handle&) = delete;
  owned_handle& operator=(owned_handle&& other) noexcept {
    const HANDLE kept = handle_;
    handle_ = other.handle_;
    other.handle_ = kept;
    return *this;
  }
  ~owned_handle() {
    if (handle_ != nullptr) ::CloseHandle(handle_);
  }
  explicit operator bool() const noexcept { return handle_ != nullptr; }
  HANDLE get() const noexcept { return handle_; }

 private:
  HANDLE handle_ = nullptr;
};

// A mutex is recognized by the name of its type ("Mutant" in the kernel), NtQueryObject. Without that
// function, the object counts as something else.
inline bool is_mutex(HANDLE object) noexcept {
  struct type_information {
    USHORT length;  // of the name, in bytes
    USHORT capacity;
    const wchar_t* name;
    ULONG rest[64];
    wchar_t text[64];
  };
  using query_object = LONG(WINAPI*)(HANDLE, int, void*, ULONG, ULONG*);
  constexpr int object_type_information = 2;
  const HMODULE ntdll = ::GetModuleHandleW(L"ntdll.dll");
  if (ntdll == nullptr) return false;
  const FARPROC found = ::GetProcAddress(ntdll, "NtQueryObject");
  if (found == nullptr) return false;
  const auto query = reinterpret_cast<query_object>(reinterpret_cast<void*>(found));
  type_information about{};
  constexpr wchar_t mutex[] = L"Mutant";
  return query(object, object_type_information, &about, sizeof about, nullptr) == 0 &&
         about.length == sizeof mutex - sizeof(wchar_t) && std::memcmp(about.name, mutex, about.length) == 0;
}

// Whether an object can be waited for, without waiting: a wait for it and for an event that never comes
// leaves both as they are, WaitForMultipleObjects.
inline failure probe_waitable(HANDLE object) noexcept {
  const owned_handle never(::CreateEventW(nullptr, TRUE, FALSE, nullptr));
  if (!never) return kernel32_failure("CreateEvent");
  const HANDLE both[] = {object, never.get()};
  if (::WaitForMultipleObjects(2, both, TRUE, 0) == WAIT_FAILED)
    return kernel32_failure("WaitForMultipleObjects");
  return is_mutex(object) ? failure::system("WaitForMultipleObjects", EINVAL) : failure();
}

}  // namespace detail

/// An object of Windows that one can wait for (a process, a thread, an event, a semaphore, a timer, the
/// console's input) as a pollable: registered for `event::read`, it becomes readable when the object is
/// signalled, and stays so until `reset`. It works with every backend: the system's thread pool waits for the
/// object (SetThreadpoolWait) and notifies a `wakeup`. Sockets are registered as they are.
///
///     selectors::waitable ended(process.hProcess);
///     sel.register_(ended, event::read);
///     // in the loop, when `ended` is ready:
///     if (ended.reset()) show_exit_code(process.hProcess);
///
/// It waits for the object once, then again after each `reset`. A wait that ends changes the object as
/// WaitForSingleObject does: an auto-reset event or timer is reset, and a semaphore is decremented, whether
/// or not a selector has noticed yet. An object that stays signalled (a process that has ended, a
/// manual-reset event, the console while it has input) makes it readable again after each `reset`: unregister
/// it, or remove the cause first.
///
/// A mutex is refused: a thread of the pool would own it.
///
/// The object should outlive the waitable, which holds a duplicate of the handle: closing the handle early is
/// harmless. One thread at a time uses a waitable. It is neither copied nor moved.
class waitable {
 public:
#if SELECTORS_EXCEPTIONS
  /// Begins to wait for `object`, a HANDLE that was opened with SYNCHRONIZE. If the object is signalled
  /// already, the handle becomes readable a moment later.
  ///
  /// Throws std::system_error: errc::invalid_handle for null, for INVALID_HANDLE_VALUE, and for the
  /// pseudo-handle of GetCurrentThread, which would name another thread in the pool;
  /// std::errc::bad_file_descriptor for a number that is not a handle, or a handle that cannot be waited for;
  /// std::errc::permission_denied for a handle without SYNCHRONIZE; std::errc::invalid_argument for a mutex;
  /// what a `wakeup` throws; std::errc::not_enough_memory.
  template <class = void>
  explicit waitable(void* object) {
    if (const failure failed = open(object)) detail::raise(failed, "waitable");
  }
#endif
  /// The same, reported to `error`. A waitable that failed to open has no handle and is never signalled.
  waitable(void* object, std::error_code& error) noexcept : wake_(error) {
    const failure failed = open(object, !error);
    if (failed) error = failed.code();
  }

  waitable(const waitable&) = delete;
  waitable& operator=(const waitable&) = delete;

  /// Ends the wait, and returns when no thread of the pool uses the object any more. Such a thread runs none
  /// of the program's code, so this takes a moment at most. Like everything that waits for a thread, it must
  /// not run within DllMain.
  ~waitable() {
    if (wait_ == nullptr) return;
    ::SetThreadpoolWait(wait_, nullptr, nullptr);
    ::WaitForThreadpoolWaitCallbacks(wait_, TRUE);
    ::CloseThreadpoolWait(wait_);
  }

  /// Returns whether the object has been signalled since the last `reset`. If so, the handle is not readable
  /// any more, and the wait for the object begins anew, so that an object that still is signalled makes the
  /// handle readable again, a moment later. Otherwise nothing changes. Blocks only while a notification is
  /// being made.
  bool reset() noexcept {
    if (!is_signalled_.load(std::memory_order_acquire)) return false;
    ::WaitForThreadpoolWaitCallbacks(wait_, FALSE);  // it may still be notifying
    wake_.reset();
    is_signalled_.store(false, std::memory_order_relaxed);
    ::SetThreadpoolWait(wait_, object_.get(), nullptr);
    return true;
  }

  [[nodiscard]] native_handle_type native_handle() const noexcept {
    return wait_ == nullptr ? detail::invalid_handle : wake_.native_handle();
  }

 private:
  failure open(void* object, bool has_wakeup = true) noexcept {
    // The pseudo-handles of the current process and thread: some functions accept them, but they are not
    // handles.
    if (object == nullptr || object == ::GetCurrentProcess() || object == ::GetCurrentThread())
      return errc::invalid_handle;
    HANDLE duplicate = nullptr;
    if (::DuplicateHandle(::GetCurrentProcess(), object, ::GetCurrentProcess(), &duplicate, 0, FALSE,
                          DUPLICATE_SAME_ACCESS) == 0)
      return detail::kernel32_failure("DuplicateHandle");
    object_ = detail::owned_handle(duplicate);
    if (const failure failed = detail::probe_waitable(duplicate)) return failed;
    if (!has_wakeup) return {};
    wait_ = ::CreateThreadpoolWait(&waitable::signalled, this, nullptr);
    if (wait_ == nullptr) return detail::kernel32_failure("CreateThreadpoolWait");
    ::SetThreadpoolWait(wait_, duplicate, nullptr);
    return {};
  }

  // Called in a thread of the pool, once for each SetThreadpoolWait. Sets the flag first, so that it is set
  // when the handle is readable.
  static void CALLBACK signalled(PTP_CALLBACK_INSTANCE, void* self, PTP_WAIT, TP_WAIT_RESULT) noexcept {
    auto& of = *static_cast<waitable*>(self);
    of.is_signalled_.store(true, std::memory_order_release);
    of.wake_.notify();
  }

  wakeup wake_;
  detail::owned_handle object_;
  PTP_WAIT wait_ = nullptr;
  std::atomic<bool> is_signalled_{false};
};

}  // namespace SELECTORS_NAMESPACE

#endif

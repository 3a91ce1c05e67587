// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_WINSOCK

#include <selectors/error.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/winsock.hpp>

#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <limits>

// The device behind the sockets of Windows, and the part of the native interface that it takes to use it. Not
// every compiler's headers declare these, so they are declared here under names of the library's own. They
// are looked up in ntdll, which every process has loaded, so that it need not be linked.
namespace SELECTORS_NAMESPACE::detail::afd {

using nt_status = LONG;
inline constexpr nt_status pending = 0x103;
inline constexpr nt_status cancelled = static_cast<nt_status>(0xc0000120);

// IO_STATUS_BLOCK
struct io_status {
  union {
    nt_status status;
    void* unused;
  };
  ULONG_PTR size;
};

// UNICODE_STRING and OBJECT_ATTRIBUTES
struct nt_string {
  USHORT size;
  USHORT capacity;
  const wchar_t* text;
};
struct nt_name {
  ULONG size;
  HANDLE root;
  const nt_string* name;
  ULONG attributes;
  void* security;
  void* quality;
};

// AFD_POLL_INFO for one socket: the request, and in the same memory its result.
struct poll_info {
  std::int64_t timeout;
  ULONG count;
  ULONG exclusive;
  SOCKET socket;
  ULONG events;
  nt_status status;
};

// The events of a poll, requested and reported: the AFD_POLL_… bits.
enum : ULONG {
  receive = 0x01,
  receive_expedited = 0x02,
  send = 0x04,
  disconnect = 0x08,  // the peer has shut down its sending side
  abort = 0x10,       // the connection is broken
  local_close = 0x20,
  accept = 0x80,
  connect_fail = 0x100
};

// Functions of ntdll. They are variables, so that a test can replace them.
struct nt_calls {
  using create_file = nt_status(NTAPI*)(HANDLE*, ULONG access, const nt_name*, io_status*,
                                        std::int64_t* allocation, ULONG attributes, ULONG share,
                                        ULONG disposition, ULONG options, void* ea, ULONG ea_size);
  using device_control = nt_status(NTAPI*)(HANDLE, HANDLE event, void* apc, void* context, io_status*,
                                           ULONG code, const void* in, ULONG in_size, void* out,
                                           ULONG out_size);
  using cancel_io = nt_status(NTAPI*)(HANDLE, io_status* which, io_status* how);

  std::atomic<create_file> create{nullptr};
  std::atomic<device_control> control{nullptr};
  std::atomic<cancel_io> cancel{nullptr};
};
inline constinit nt_calls calls;

template <class Call>
bool find_call(HMODULE library, const char* name, std::atomic<Call>& call) noexcept {
  if (call.load(std::memory_order_relaxed) != nullptr) return true;
  const FARPROC found = ::GetProcAddress(library, name);
  if (found != nullptr) call.store(std::bit_cast<Call>(found), std::memory_order_relaxed);
  return found != nullptr;
}

inline failure find_calls() noexcept {
  const HMODULE library = ::GetModuleHandleW(L"ntdll.dll");
  const bool found = library != nullptr && find_call(library, "NtCreateFile", calls.create) &&
                     find_call(library, "NtDeviceIoControlFile", calls.control) &&
                     find_call(library, "NtCancelIoFileEx", calls.cancel);
  return found ? failure() : failure::system("GetProcAddress", ENOSYS);
}

// Whether a status means that the system is short of memory or quota at the moment.
constexpr bool is_shortage(nt_status status) noexcept {
  switch (static_cast<std::uint32_t>(status)) {
    case 0xc0000017:  // STATUS_NO_MEMORY
    case 0xc0000044:  // STATUS_QUOTA_EXCEEDED
    case 0xc000009a:  // STATUS_INSUFFICIENT_RESOURCES
    case 0xc00000a1:  // STATUS_WORKING_SET_QUOTA
    case 0xc000012d:  // STATUS_COMMITMENT_LIMIT
      return true;
    default: return false;
  }
}

constexpr int errno_of(nt_status status) noexcept {
  if (is_shortage(status)) return ENOMEM;
  switch (static_cast<std::uint32_t>(status)) {
    case 0xc000011f: return EMFILE;  // STATUS_TOO_MANY_OPENED_FILES
    case 0xc0000022: return EACCES;  // STATUS_ACCESS_DENIED
    default: return ENODEV;
  }
}

// GetLastError after a call for a completion port, as an errno.
inline int errno_of_port() noexcept {
  switch (::GetLastError()) {
    case ERROR_TOO_MANY_OPEN_FILES: return EMFILE;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_NO_SYSTEM_RESOURCES: return ENOMEM;
    default: return EBADF;
  }
}

// How many devices this process has opened. A device may be given the number of a socket that was closed.
inline constinit std::atomic<std::uint32_t> devices{1};

// Opening any name below \Device\Afd, without the extended attributes that would create a socket, yields a
// handle of the device itself. Its completions are queued to the port.
inline failure open_device(HANDLE port, HANDLE& device) noexcept {
  static constexpr wchar_t text[] = L"\\Device\\Afd\\Selectors";
  const nt_string name{sizeof text - sizeof(wchar_t), sizeof text, text};
  const nt_name attributes{sizeof(nt_name), nullptr, &name, 0, nullptr, nullptr};
  constexpr ULONG open_existing = 1;  // FILE_OPEN
  io_status status{};
  HANDLE opened = nullptr;
  const nt_status error = calls.create.load(std::memory_order_relaxed)(
      &opened, SYNCHRONIZE, &attributes, &status, nullptr, 0, FILE_SHARE_READ | FILE_SHARE_WRITE,
      open_existing, 0, nullptr, 0);
  if (error != 0) return failure::system("NtCreateFile", errno_of(error));
  devices.fetch_add(1, std::memory_order_relaxed);
  if (::CreateIoCompletionPort(opened, port, 0, 0) == nullptr) {
    const int reason = errno_of_port();
    ::CloseHandle(opened);
    return failure::system("CreateIoCompletionPort", reason);
  }
  // The handle itself is never waited for, so it need not be signalled; a failure only costs time.
  ::SetFileCompletionNotificationModes(opened, FILE_SKIP_SET_EVENT_ON_HANDLE);
  device = opened;
  return {};
}

// Requests a completion on the port as soon as one of the events occurs, immediately if one is present. The
// kernel uses both structs until the completion has been taken from the port, so they must not move. The
// completion carries `context`.
inline nt_status start_poll(HANDLE device, SOCKET socket, ULONG events, poll_info& info, io_status& status,
                            void* context) noexcept {
  constexpr ULONG ioctl_afd_poll = 0x12024;
  info = {(std::numeric_limits<std::int64_t>::max)(), 1, 0, socket, events, 0};
  status.status = pending;
  return calls.control.load(std::memory_order_relaxed)(
      device, nullptr, nullptr, context, &status, ioctl_afd_poll, &info, sizeof info, &info, sizeof info);
}

// A cancelled poll still completes, soon. If there is nothing to cancel, its completion is already queued.
inline void cancel_poll(HANDLE device, io_status& which) noexcept {
  io_status how{};
  (void)calls.cancel.load(std::memory_order_relaxed)(device, &which, &how);
}

// Finds the socket that the device knows: layered service providers (firewalls, filters) may put sockets of
// their own in front of it. Fails for a number that is not a socket. Every layer should pass SIO_BASE_HANDLE
// on; some do not, but they do report which socket they select or poll, which is one layer further down.
inline failure find_base_socket(SOCKET socket, SOCKET& base) noexcept {
  constexpr DWORD sio_base_handle = 0x48000022;
  constexpr DWORD of_next_layer[] = {0x4800001c, 0x4800001d,
                                     0x4800001b};  // SIO_BSP_HANDLE_SELECT, _POLL, plain
  constexpr int max_layers = 64;
  const auto ask = [&](DWORD code) {
    DWORD size = 0;
    return ::WSAIoctl(socket, code, nullptr, 0, &base, sizeof base, &size, nullptr, nullptr) == 0 &&
           base != INVALID_SOCKET;
  };
  int error = 0;
  for (int layer = 0; layer != max_layers; ++layer) {
    if (ask(sio_base_handle)) return {};
    error = ::WSAGetLastError();
    if (error == WSAENOTSOCK) break;
    bool is_deeper = false;
    for (const DWORD code : of_next_layer) {
      if (!ask(code) || base == socket) continue;
      is_deeper = true;
      break;
    }
    if (!is_deeper) return failure::system("WSAIoctl", error);
    socket = base;
  }
  if (error != WSAENOTSOCK) return failure::system("WSAIoctl", error);
  base = INVALID_SOCKET;
  return {};
}

}  // namespace SELECTORS_NAMESPACE::detail::afd

#endif

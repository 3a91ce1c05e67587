// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/backend/concept.hpp>
#include <selectors/backend/epoll.hpp>
#include <selectors/backend/kqueue.hpp>
#include <selectors/backend/poll.hpp>
#include <selectors/backend/select.hpp>
#include <selectors/config.hpp>

#include <tuple>

namespace SELECTORS_NAMESPACE {

/// Each platform's backends, the default first. All of them exist side by side; which one a selector uses is
/// its type.
#if SELECTORS_HAS_EPOLL && SELECTORS_HAS_KQUEUE
using available_backends = std::tuple<epoll_backend, poll_backend, select_backend, kqueue_backend>;
#elif SELECTORS_HAS_EPOLL
using available_backends = std::tuple<epoll_backend, poll_backend, select_backend>;
#elif SELECTORS_HAS_KQUEUE
using available_backends = std::tuple<kqueue_backend, poll_backend, select_backend>;
#elif SELECTORS_HAS_WINSOCK
using available_backends = std::tuple<select_backend, poll_backend>;
#else
using available_backends = std::tuple<poll_backend, select_backend>;
#endif
/// The backend of a selector whose type names none.
using default_backend = std::tuple_element_t<0, available_backends>;

}  // namespace SELECTORS_NAMESPACE

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/backend/concept.hpp>
#include <selectors/backend/epoll.hpp>
#include <selectors/backend/poll.hpp>
#include <selectors/backend/select.hpp>
#include <selectors/detail/platform.hpp>

#include <tuple>

namespace selectors {

// Each platform's backends, the default first. All of them exist side by side; which one a selector uses is
// its type.
#if SELECTORS_HAS_EPOLL
using available_backends = std::tuple<epoll_backend, poll_backend, select_backend>;
using default_backend = epoll_backend;
#endif

}  // namespace selectors

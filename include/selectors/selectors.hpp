// SPDX-License-Identifier: BSL-1.0
#pragma once

// Python's selectors for C++20: the selector, its backends, wakeup and the counters. Each of these headers
// also stands alone. What stands around a selector (timer_queue.hpp, mailbox.hpp, signal_set.hpp,
// child_exit.hpp, waitable.hpp, coroutine.hpp), testing.hpp and backend/afd.hpp are included by themselves.

#include <selectors/backends.hpp>
#include <selectors/counters.hpp>
#include <selectors/error.hpp>
#include <selectors/event.hpp>
#include <selectors/handle.hpp>
#include <selectors/key.hpp>
#include <selectors/selector.hpp>
#include <selectors/wakeup.hpp>

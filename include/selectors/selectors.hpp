// SPDX-License-Identifier: BSL-1.0
#pragma once

// Everything: Python's selectors for C++20. Each of these headers also stands alone.

#include <selectors/backends.hpp>
#include <selectors/counters.hpp>
#include <selectors/error.hpp>
#include <selectors/event.hpp>
#include <selectors/handle.hpp>
#include <selectors/key.hpp>
#include <selectors/selector.hpp>
#include <selectors/wakeup.hpp>

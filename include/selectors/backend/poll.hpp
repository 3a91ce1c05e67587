// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_WINSOCK
#include <selectors/backend/poll_winsock.hpp>
#elif SELECTORS_HAS_POLL
#include <selectors/backend/poll_posix.hpp>
#endif

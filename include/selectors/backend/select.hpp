// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_WINSOCK
#include <selectors/backend/select_winsock.hpp>
#elif SELECTORS_HAS_SELECT
#include <selectors/backend/select_posix.hpp>
#endif

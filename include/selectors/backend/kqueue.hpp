// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/detail/platform.hpp>

#if SELECTORS_HAS_KQUEUE
#error "selectors: kqueue is to come"
#endif

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_WINSOCK

#include <selectors/backend/afd_backend.hpp>
#include <selectors/selector.hpp>

namespace SELECTORS_NAMESPACE {

/// A selector over \\Device\\Afd: Windows' scalable backend, in no other header and never the default.
template <class Data = void>
using afd_selector = selector<Data, afd_backend>;

}  // namespace SELECTORS_NAMESPACE

#endif

// SPDX-License-Identifier: BSL-1.0
#pragma once

// Of <iterator>, the tags and std::default_sentinel_t. In libstdc++ <string_view> declares them too, without
// the iterators over streams: the umbrella would take 4 % longer to compile.

#include <version>

#if defined(__GLIBCXX__)
#include <string_view>
#else
#include <iterator>
#endif

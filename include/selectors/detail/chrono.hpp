// SPDX-License-Identifier: BSL-1.0
#pragma once

// Of <chrono>, the durations, time points and clocks. In libstdc++ <mutex> declares them too, without the
// calendar and its formats: the umbrella would take a fifth longer to compile.

#include <version>

#if defined(__GLIBCXX__)
#include <mutex>
#else
#include <chrono>
#endif

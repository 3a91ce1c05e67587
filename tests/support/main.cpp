// SPDX-License-Identifier: BSL-1.0

// Catch2 version 2 wants its main compiled once; version 3 brings its own.

#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#endif

#include <csignal>

// Whoever starts the tests may ignore SIGHUP, as nohup(1) does: some tests end children by it.
#if defined(SIGHUP)
[[maybe_unused]] static const auto hangup_before = std::signal(SIGHUP, SIG_DFL);
#endif

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "player.hpp"

#include <selectors/selectors.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>

namespace fuzz {

// Compares the traces of two backends, as far as they were undisturbed and poll(2) reported the same to both:
// how much a socket buffers, for one, differs each time.
template <class Trace>
void compare(const Trace& one, const Trace& other) {
  for (std::size_t slot = 0; slot != world::slots; ++slot) {
    for (std::size_t i = 0; i != one.size() && i != other.size(); ++i) {
      if (one[i].seen[slot] != other[i].seen[slot]) break;
      if (one[i].is_comparable[slot] && other[i].is_comparable[slot])
        require(one[i].told[slot] == other[i].told[slot], "backends differ: " + to_string(one[i].told[slot]) +
                                                              " and " + to_string(other[i].told[slot]) +
                                                              " of slot " + std::to_string(slot) +
                                                              " in select " + std::to_string(i));
    }
  }
}

// Plays one script on every backend, and throws a `difference` if there is any.
inline void play_once(std::span<const std::uint8_t> bytes) {
  const auto on = [&]<class Backend>(Backend*) {
    try {
      return player<Backend>(choices(bytes)).play();
    } catch (const difference& found) {
      throw difference(std::string(Backend::name) + ": " + found.what());
    }
  };
  const auto reference = on(static_cast<selectors::poll_backend*>(nullptr));
  [&]<class... Backends>(std::tuple<Backends...>*) {
    const auto compare_on = [&]<class Backend>(Backend* other) {
      if constexpr (!std::is_same_v<Backend, selectors::poll_backend>) compare(reference, on(other));
    };
    (compare_on(static_cast<Backends*>(nullptr)), ...);
  }(static_cast<selectors::available_backends*>(nullptr));
}

// The same, but a difference that a second play does not repeat comes from work that the kernel does in the
// background: it is only counted.
inline std::size_t play(std::span<const std::uint8_t> bytes) {
  constexpr std::size_t times = 4;
  for (std::size_t time = 1;; ++time) {
    try {
      play_once(bytes);
      return time - 1;
    } catch (const difference&) {
      if (time == times) throw;
    }
  }
}

}  // namespace fuzz

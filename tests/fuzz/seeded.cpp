// SPDX-License-Identifier: BSL-1.0

// Plays scripts from files, or random ones:
//
//   seeded FILE...               each of these
//   seeded --random SEED COUNT   that many, made from this seed on
//
// A difference ends it, with the script's bytes, which can be kept as a file.

#include "scripts.hpp"

#include <sys/prctl.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

namespace {

std::size_t unrepeated = 0;  // differences that another play of the script did not show

bool agrees(const std::vector<std::uint8_t>& script, const std::string& name) {
  try {
    unrepeated += fuzz::play(script);
    return true;
  } catch (const fuzz::difference& found) {
    std::fprintf(stderr, "%s: %s\n", name.c_str(), found.what());
    for (const unsigned byte : script) std::fprintf(stderr, "%02x", byte);
    std::fprintf(stderr, "\n");
    return false;
  }
}

bool play_random(std::uint64_t seed, std::uint64_t count) {
  const auto start = std::chrono::steady_clock::now();
  for (const std::uint64_t end = seed + count; seed != end; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<std::uint8_t> script(40 + random() % 160);
    for (auto& byte : script) byte = static_cast<std::uint8_t>(random());
    if (!agrees(script, "seed " + std::to_string(seed))) return false;
  }
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  std::printf("%ju random scripts in %.0f s, no difference that repeats, %zu that do not\n",
              static_cast<std::uintmax_t>(count), passed.count(), unrepeated);
  return true;
}

bool play_file(const std::string& name) {
  std::ifstream file(name, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  if (bytes.empty()) {
    std::fprintf(stderr, "%s: cannot be read, or is empty\n", name.c_str());
    return false;
  }
  return agrees({bytes.begin(), bytes.end()}, name);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  ::prctl(PR_SET_TIMERSLACK, 1);
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 3 && arguments[0] == "--random")
    return play_random(std::stoull(arguments[1]), std::stoull(arguments[2])) ? 0 : 1;
  bool all_agree = !arguments.empty();
  for (const std::string& name : arguments) all_agree = play_file(name) && all_agree;
  return all_agree ? 0 : 1;
}

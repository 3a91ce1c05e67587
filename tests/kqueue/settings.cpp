// SPDX-License-Identifier: BSL-1.0
#include "settings.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <iterator>

namespace kqueue_double {
namespace {

constexpr std::string_view words[] = {
    "kept",    "inherited", "echo",      "carry",     "stale",   "patient", "restless",
    "taken",   "badf",      "refused",   "silent",    "unheard", "unwoken", "liar",
    "lasting", "duplex",    "one-way",   "capped",    "deaf",    "ended",   "refuses-tty",
    "endless", "devices",   "opnotsupp", "backwards", "rotating"};
static_assert(std::size(words) == static_cast<std::size_t>(word::count));

struct setting {
  std::string_view name;
  std::string_view words;
};

// README.md beside this file has the same as a table, with what was run and what was only read.
//
// All of them: kern_event.c, events carry the flags of the change that added them; uipc_socket.c,
// filt_sowrite, a stream that is not connected reports nothing, which only libkqueue does otherwise (kept).
constexpr setting settings[] = {
    // Run: kern_event.c, sys_pipe.c, uipc_socket.c, fifo_vnops.c, tty.c of 7.99.34. pipe_close wakes the
    // knotes of the other end before it sets PIPE_EOF; pipe_kqfilter refuses the filter of a writer whose
    // reader is gone with EBADF; fifo_kqfilter asks the reading socket for both filters; soo_kqfilter chooses
    // what to look for when a knote is attached; filt_ttyread knows no end.
    {"netbsd7", "carry,badf,unheard,unwoken,liar,deaf,endless,devices,rotating"},
    // Read: sys_pipe.c 1.165, of 2023, refuses the filters of the other end. The rest as above.
    {"netbsd10", "carry,badf,refused,liar,deaf,endless,devices,rotating"},
    // Read: sys_pipe.c 1.182, of 2026, accepts them and never reports anything.
    {"netbsd11", "carry,badf,silent,liar,deaf,endless,devices,rotating"},
    // Read: sys_pipe.c, kern_pipe: both ends of a pipe are opened for reading and writing. pipe_kqfilter:
    // EPIPE for a writer whose reader is gone, and filters that never fire for a FIFO that was not opened for
    // that direction. tty.c, tty_kqops_read_event: EV_EOF of a terminal that is gone. /dev/null has no
    // d_kqfilter: ENODEV.
    {"freebsd", "carry,silent,duplex,rotating"},
    // Read: sys_pipe.c, pipe_destroy: the knotes of the closing end, among them the writer's EVFILT_WRITE,
    // are woken before PIPE_EOF is set; those of the other end's EVFILT_READ see that the peer is gone.
    // dopipe: both ends are opened for reading and writing.
    // uipc_socket.c, soo_kqfilter: as NetBSD's.
    {"openbsd", "carry,unheard,unwoken,duplex,deaf,devices,rotating"},
    // Read: sys_pipe.c, pipeclose: the states of both ends are set before their knotes are woken.
    // pipe_kqfilter: EPIPE. kern_pipe: as FreeBSD's. uipc_socket.c, sokqfilter: as NetBSD's.
    {"dragonfly", "carry,unheard,duplex,deaf,devices,rotating"},
    // Read: sys_pipe.c, pipe_kqfilter: a writer whose reader is gone is accepted, since the other side may
    // close at any time; a filter of the other direction reports EV_EOF alone. filt_pipelowwat,
    // filt_soread_common: NOTE_LOWAT, but not beyond the buffer's size. spec_vnops.c, spec_kqfilter:
    // terminals that the device switch does not mark as selectable by kqueue, /dev/tty above all, are
    // refused. pipe_stat: no device number. Said of FIFOs by programs that avoid kqueue for them: the end is
    // not reported. kern_event.c: a receipt keeps the flags of its change.
    {"macos", "echo,taken,lasting,capped,ended,refuses-tty,opnotsupp"},
};

unsigned long long parsed(std::string_view text) {
  unsigned long long all = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(','), text.size());
    const std::string_view one = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto* const kernel = std::find_if(std::begin(settings), std::end(settings),
                                            [&](const setting& s) { return s.name == one; });
    const auto* const found = std::find(std::begin(words), std::end(words), one);
    if (kernel != std::end(settings)) {
      all |= parsed(kernel->words);
    } else if (found != std::end(words)) {
      all |= 1ULL << (found - std::begin(words));
    } else {
      std::fprintf(stderr, "KQUEUE_DOUBLE: no such word: %.*s\n", static_cast<int>(one.size()), one.data());
      std::abort();
    }
  }
  return all;
}

}  // namespace

bool chosen(word which) {
  static const unsigned long long all = [] {
    const char* const text = std::getenv("KQUEUE_DOUBLE");
    return parsed(text != nullptr ? text : "");
  }();
  return ((all >> static_cast<unsigned>(which)) & 1) != 0;
}

}  // namespace kqueue_double

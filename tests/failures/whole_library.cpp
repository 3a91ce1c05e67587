// SPDX-License-Identifier: BSL-1.0

// Instantiates everything in the library that makes system calls. whole_library.py lists the undefined
// symbols of its object file.

#include <selectors/child_exit.hpp>
#include <selectors/selectors.hpp>
#include <selectors/signal_set.hpp>

#include <csignal>

namespace selectors {

#if SELECTORS_HAS_EPOLL
template class detail::core<epoll_backend>;
#endif
#if SELECTORS_HAS_KQUEUE
template class detail::core<kqueue_backend>;
#endif
template class detail::core<poll_backend>;
template class detail::core<select_backend>;

template class basic_child_exit<detail::child_watch>;

bool use_signals();
bool use_signals() {
  std::error_code error;
  signal_set set({SIGUSR1}, error);
  set.reopen(error);
  return set.take().empty();
}

template <class Channel>
bool use_channel(Channel& channel) {
  channel.notify();
  return channel.reset();
}

bool use_wakeup();
bool use_wakeup() {
  wakeup bell;
  detail::pipe_channel at_once, in_steps;
  std::error_code error;
  bell.reopen(error);
  return use_channel(bell) && !at_once.reopen() && !at_once.open() && !in_steps.open_by<false>() &&
         use_channel(at_once);
}

}  // namespace selectors

// SPDX-License-Identifier: BSL-1.0

// All of the library that calls the system, and nothing else: whole_library.py looks at what its object file needs.

#include <selectors/selectors.hpp>

namespace selectors {

#if SELECTORS_HAS_EPOLL
template class detail::core<epoll_backend>;
#endif
#if SELECTORS_HAS_KQUEUE
template class detail::core<kqueue_backend>;
#endif
template class detail::core<poll_backend>;
template class detail::core<select_backend>;

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

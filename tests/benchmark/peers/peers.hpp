// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "by_hand_epoll.hpp"
#include "by_hand_poll.hpp"
#include "by_hand_select.hpp"
#include "selectors.hpp"
#if SELECTORS_PEER_LIBEV
#include "libev.hpp"
#endif
#if SELECTORS_PEER_LIBEVENT
#include "libevent.hpp"
#endif
#if SELECTORS_PEER_LIBUV
#include "libuv.hpp"
#endif
#if SELECTORS_PEER_ASIO
#include "asio.hpp"
#endif

#include <cstdio>
#include <string_view>

// The peers that every workload is run by. Each is a class template over what it watches:
//
//   struct Source { int handle; template <class Loop> void on_ready(Loop&, bool readable, bool writable); };
//
//   add(source)                takes it in and watches its handle for reading; it lives until it is removed
//   watch_writing(source, on)  watches it for writing too, or not any more
//   remove(source)             forgets it; called by its own on_ready, before its handle is closed
//   run(), stop()              reports what is ready, until it is told to stop
//
// Those on poll and select, and the edge-triggered ones, are there to be compared with one another, in the
// ring alone. mio and polling have programs of their own, in rust/.

template <template <class> class Loop>
struct peer {};

// Calls `visit(peer<...>())` for the peer of that name; returns what that returns.
template <class Visit>
int with_peer(std::string_view name, Visit visit) {
  if (name == "by_hand") return visit(peer<by_hand_epoll>());
  if (name == "selectors") return visit(peer<selectors_epoll>());
#if SELECTORS_PEER_LIBEV
  if (name == "libev") return visit(peer<libev_loop>());
#endif
#if SELECTORS_PEER_LIBEVENT
  if (name == "libevent") return visit(peer<libevent_loop>());
#endif
#if SELECTORS_PEER_LIBUV
  if (name == "libuv") return visit(peer<libuv_loop>());
#endif
#if SELECTORS_PEER_ASIO
  if (name == "asio") return visit(peer<asio_loop>());
#endif
  std::fputs("there is no such peer\n", stderr);
  return 2;
}

// Of the program `ring_edge`: one of its own, since a second loop over the same selector changes what a
// compiler makes of the first.
template <class Visit>
int with_peer_of_edges(std::string_view name, Visit visit) {
  if (name == "by_hand") return visit(peer<by_hand_edge>());
  if (name == "selectors") return visit(peer<selectors_edge>());
  std::fputs("there is no such peer\n", stderr);
  return 2;
}

template <class Visit>
int with_peer_of_ring(std::string_view name, Visit visit) {
  if (name == "by_hand_poll") return visit(peer<by_hand_poll>());
  if (name == "selectors_poll") return visit(peer<selectors_poll>());
  if (name == "by_hand_select") return visit(peer<by_hand_select>());
  if (name == "selectors_select") return visit(peer<selectors_select>());
  return with_peer(name, visit);
}

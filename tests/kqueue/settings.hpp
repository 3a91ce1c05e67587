// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <string_view>

// What the double plays: the environment variable KQUEUE_DOUBLE is a list of words, separated by commas. A
// word is one behaviour, or the name of a kernel, which stands for several (settings.cpp, which says where
// each was read).
//
// Changes and receipts:
//
//   kept         filters outlive their descriptor while a duplicate lives, and cannot be removed then, as the
//                epoll under libkqueue has it; else closing removes them
//   inherited    a child process keeps the queue, as under libkqueue; else its number is free there
//   echo         receipts and events carry the flags of the change, too
//   carry        events alone do; without either, a receipt has EV_ERROR alone, and an event what it reports
//   stale        adding what is there already keeps the old udata; else it takes the new one
//   patient      with room left after the receipts, it waits for events; else it returns
//   restless     every third call with changes is interrupted, having applied them
//
// Pipes and FIFOs:
//
//   taken        the writing end of a pipe that nobody reads can be watched; else it is refused with EPIPE
//   badf         it is refused with EBADF
//   refused      EVFILT_READ of a writing end is refused with EINVAL, and EVFILT_WRITE of a reading end
//   silent       they are accepted, and never report anything, not even a hangup
//   unheard      EVFILT_WRITE of a reading end is, while EVFILT_READ of a writing end reports the hangup
//   unwoken      EVFILT_WRITE of a full pipe never reports that the reader has closed
//   liar         EVFILT_WRITE of a FIFO always reports space and EV_EOF
//   lasting      EVFILT_READ of a FIFO never reports that the writers are gone; a pipe has no device number
//   duplex       both ends of what pipe(2) makes can be read and written, so that fcntl(2) says O_RDWR and
//                EVFILT_WRITE of the reading end reports space
//   one-way      not that, which no other backend in the process would agree with
//   capped       NOTE_LOWAT holds for pipes too, and never for more than the buffer takes
//
// Sockets, terminals, devices:
//
//   deaf         EVFILT_READ of a socket that listens only after it was added never reports a connection
//   ended        EVFILT_EXCEPT reports the end of a stream, too
//   refuses-tty  a terminal is refused with EINVAL
//   endless      a terminal never reports EV_EOF
//   devices      devices such as /dev/null are always ready; else they are refused with ENODEV
//   opnotsupp    they are refused with EOPNOTSUPP
//
// Events:
//
//   backwards    of two filters the writer's is reported first, and all in another order
//   rotating     what was reported comes last the next time
namespace kqueue_double {

enum class word : unsigned {
  kept,
  inherited,
  echo,
  carry,
  stale,
  patient,
  restless,
  taken,
  badf,
  refused,
  silent,
  unheard,
  unwoken,
  liar,
  lasting,
  duplex,
  one_way,
  capped,
  deaf,
  ended,
  refuses_tty,
  endless,
  devices,
  opnotsupp,
  backwards,
  rotating,
  count
};

bool chosen(word);
inline bool pipes_are_duplex() { return chosen(word::duplex) && !chosen(word::one_way); }

}  // namespace kqueue_double

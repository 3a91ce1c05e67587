// SPDX-License-Identifier: BSL-1.0

// libpq: `with_postgres CONNINFO` sends each line of stdin as a query, many in one pipeline, and prints the
// first value of each result, and notifications as they come. A connection that is lost is made anew.

#include <selectors/selectors.hpp>
#include <selectors/timer_queue.hpp>

#include <libpq-fe.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <deque>
#include <string>
#include <utility>

using selectors::event;
selectors::selector<> sel;
selectors::timer_queue<> timers;  // holds when to connect again
PGconn* connection = nullptr;
int socket_number = -1;  // what is registered
bool is_connected = false;
std::deque<std::string> queries;  // that have been sent and have no result yet

// Before it is connected, libpq may in any call close its socket and open another, on the same number or not:
// for the next of several hosts, or to do without TLS. `modify` would be about the old one.
void watch(selectors::event_mask events) {
  const int now = PQsocket(connection);
  if (socket_number != now && socket_number >= 0) sel.unregister(socket_number);
  if (now >= 0) sel.watch(now, events);
  socket_number = now;
}

void lose() {
  std::printf("lost: %s", PQerrorMessage(connection));
  for (const std::string& query : std::exchange(queries, {})) std::printf("no result: %s\n", query.c_str());
  if (socket_number >= 0) sel.unregister(std::exchange(socket_number, -1));
  PQfinish(std::exchange(connection, nullptr));
  sel.modify(STDIN_FILENO, {});
  is_connected = false;
  timers.add(std::chrono::milliseconds(200));
}

void connect(PostgresPollingStatusType what) {
  if (what == PGRES_POLLING_FAILED || PQstatus(connection) == CONNECTION_BAD) return lose();
  if (what != PGRES_POLLING_OK) return watch(what == PGRES_POLLING_READING ? event::read : event::write);
  std::printf("connected to port %s\n", PQport(connection));
  PQsetnonblocking(connection, 1);
  is_connected = PQenterPipelineMode(connection) == 1;
  watch(event::read);
  sel.modify(STDIN_FILENO, event::read);
}

void send(const std::string& query) {
  PQsendQueryParams(connection, query.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0);
  PQpipelineSync(connection);  // so that a query that fails takes no other with it
  queries.push_back(query);
}

// What libpq has to send, it sends while it reads: the server may not read until its answers are read.
void receive_and_send() {
  if (PQconsumeInput(connection) != 1) return lose();
  while (!queries.empty() && PQstatus(connection) == CONNECTION_OK && PQisBusy(connection) == 0) {
    PGresult* const result = PQgetResult(connection);  // null behind each query
    const auto status = PQresultStatus(result);
    if (status == PGRES_PIPELINE_SYNC) queries.pop_front();
    if (status == PGRES_FATAL_ERROR) std::printf("%s", PQresultErrorMessage(result));
    if (status == PGRES_COMMAND_OK) std::puts(PQcmdStatus(result));
    if (status == PGRES_TUPLES_OK) std::puts(PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "no rows");
    PQclear(result);
  }
  while (PGnotify* const one = PQnotifies(connection))
    std::printf("notified: %s %s\n", one->relname, one->extra), PQfreemem(one);
  if (PQstatus(connection) == CONNECTION_BAD) return lose();  // which the last result was about
  sel.modify(socket_number, PQflush(connection) > 0 ? event::read | event::write : event::read);
}

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  sel.register_(STDIN_FILENO, {});  // read from only while there is a connection
  timers.add(std::chrono::seconds(0));
  std::string input;
  for (bool is_open = true; is_open || !queries.empty();) {
    for (auto [key, events] : sel.select_until(timers.next())) {
      if (key.handle() == STDIN_FILENO) {
        char data[4096];
        const ssize_t got = read(STDIN_FILENO, data, sizeof data);
        if (got <= 0) is_open = false, sel.modify(key, {});
        for (ssize_t n = 0; n < got; ++n)
          data[n] != '\n' ? input.push_back(data[n]) : send(std::exchange(input, {}));
      }
      is_connected ? receive_and_send() : connect(PQconnectPoll(connection));
    }
    for ([[maybe_unused]] auto& timer : timers.expired())
      connection = PQconnectStart(argc > 1 ? argv[1] : ""), connect(PGRES_POLLING_WRITING);
  }
  PQfinish(connection);
}

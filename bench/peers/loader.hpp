// SPDX-License-Identifier: Apache-2.0
//
// Opens peers (peer.h). What cannot be had is a reason in words, never silence.
#pragma once

#include <string>
#include <vector>

#include "peer.h"

namespace bench {

// Every name there is, in the order of the tables.
const std::vector<std::string>& peer_names();

struct peer {
  std::string name;
  const simdnorm_peer* table = nullptr;  // null: cannot be had
  std::string why;                       // then this says why

  [[nodiscard]] bool has(simdnorm_peer_operation op, simdnorm_peer_type type = SIMDNORM_PEER_F32) const {
    return table && (table->operations[type] >> static_cast<unsigned>(op) & 1u) != 0;
  }
};

// folder holds peer_NAME.so, and perhaps a file `missing` with lines "NAME: why" that bench/peers/fetch
// wrote; site is where it put what it fetched. Modules stay loaded: the libraries behind them do not
// all bear being unloaded.
peer open_peer(const std::string& folder, const std::string& site, const std::string& name, int threads);

// What makes peers' worker threads sleep instead of spin, and holds OpenMP to `threads`. Libraries
// read it when they are loaded: to be called first of all. Freed memory of up to 32 MiB (glibc's limit)
// is kept for the next allocation, as it is in a process that runs for long: a peer that allocates its
// output does not pay for new pages at every call.
void quiet_workers(int threads);

// Binds the process to as many CPUs as there are threads, the last ones that it may use: whatever a
// peer asks the system for, it gets no more. Returns them ("1", "0 1"), empty if there are not enough.
std::string bind_to_cpus(int threads);

}  // namespace bench

// SPDX-License-Identifier: Apache-2.0
//
// A module that is no peer.
extern "C" int simdnorm_no_peer() {
  return 0;
}

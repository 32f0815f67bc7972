// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace simdnorm_peers {

// Makes oneDNN's functions those that are linked into site/torch/lib/libtorch_cpu.so; throws if they
// cannot be found.
void find_dnnl_inside(const char* site);

}  // namespace simdnorm_peers

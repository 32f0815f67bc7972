// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace simdnorm_peers {

// Makes oneDNN's functions those that are linked into site/torch/lib/libtorch_cpu.so; throws if they
// cannot be found.
void find_dnnl_inside(const char* site);
// Whether one of the functions that may be missing is there; then, and only then, it may be called.
bool dnnl_inside_has(const char* name);

}  // namespace simdnorm_peers

// SPDX-License-Identifier: Apache-2.0
//
// Row norms of f64, behind the C entries of api_rows.cpp and api_fused_rows.cpp, which check. A row stays on one
// thread.
#include "runtime/caches.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/rows.hpp"
#include "runtime/split.hpp"

namespace simdnorm {

simdnorm_status launch_doubles(const row_norm_call& c, const fused_row_call& f, const row_walk* walk,
                               double_row_kernel slot) noexcept {
  const kernel_table* table = active_table();
  if (table == nullptr) return SIMDNORM_UNKNOWN_ISA;
  if (c.x->rows == 0 || c.x->cols == 0) return SIMDNORM_OK;
  double_row_arguments a{};
  set_arguments(a, c);
  set_fused(a, f);
  a.walk = walk;
  const bool late = a.gate != nullptr || a.function > elementwise_function::relu;  // made in tiles
  a.stream =
      !late && a.y != a.x && a.y != a.residual && c.x->rows * a.cols * sizeof(double) >= simdnorm_stream_border();
  const auto kernel = table->*slot;
  return for_row_blocks(c.executor, c.x->rows, a.cols, [&a, kernel](size_t first, size_t last) {
    kernel(a, block{first, last, 0, a.cols});
  });
}

}  // namespace simdnorm

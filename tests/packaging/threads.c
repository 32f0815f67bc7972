/* SPDX-License-Identifier: Apache-2.0
 * An outside C99 program that uses the default executor. */
#include "simdnorm/threads.h"

#include <stdio.h>
#include <string.h>

enum { rows = 300, cols = 100 };
static float x[rows][cols], alone[rows][cols], together[rows][cols];

int main(void) {
  const simdnorm_const_matrix cx = {x, rows, cols, cols, SIMDNORM_F32};
  simdnorm_matrix cy = {alone, rows, cols, cols, SIMDNORM_F32};
  simdnorm_layer_norm_options options = simdnorm_layer_norm_defaults();
  simdnorm_executor* executor = NULL;
  unsigned state = 1;
  int i, j, ok;
  for (i = 0; i < rows; ++i)
    for (j = 0; j < cols; ++j) x[i][j] = (float)((state = state * 1664525u + 1013904223u) >> 8) * 0x1p-20f;

  if (simdnorm_executor_create(2, &executor) != SIMDNORM_OK) {
    fprintf(stderr, "C threads consumer: no executor\n");
    return 1;
  }
  ok = simdnorm_layer_norm(&cx, &cy, &options) == SIMDNORM_OK;
  cy.data = together;
  options.executor = executor;
  ok = ok && simdnorm_layer_norm(&cx, &cy, &options) == SIMDNORM_OK;
  simdnorm_executor_destroy(executor);
  if (!ok || memcmp(alone, together, sizeof alone) != 0) {
    fprintf(stderr, "C threads consumer: two threads and one differ\n");
    return 1;
  }
  printf("C threads consumer of simdnorm %s: ok\n", simdnorm_version());
  return 0;
}

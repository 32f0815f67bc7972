/* SPDX-License-Identifier: Apache-2.0
 * An outside C99 program: it has nothing but an installed simdnorm. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "simdnorm/simdnorm.h"

static int fail(const char* what) {
  fprintf(stderr, "C consumer: %s\n", what);
  return 1;
}

int main(void) {
  const float x[2][3] = {{1.0f, 2.0f, 3.0f}, {-5.0f, -5.0f, -5.0f}};
  const float expected[2][3] = {{-1.2247449f, 0.0f, 1.2247449f}, {0.0f, 0.0f, 0.0f}};
  float y[2][3], mean[2];
  double low[3], high[3];
  char version[32];
  size_t i, j;
  simdnorm_isa isa = -1;

  const simdnorm_const_matrix cx = {x, 2, 3, 3, SIMDNORM_F32};
  const simdnorm_matrix cy = {y, 2, 3, 3, SIMDNORM_F32};
  simdnorm_layer_norm_options options = simdnorm_layer_norm_defaults();
  options.epsilon = 0.0;
  options.mean.data = mean;
  options.mean.size = 2;
  options.mean.type = SIMDNORM_F32;

  sprintf(version, "%d.%d.%d", SIMDNORM_VERSION_MAJOR, SIMDNORM_VERSION_MINOR, SIMDNORM_VERSION_PATCH);
  if (strcmp(version, simdnorm_version()) != 0) return fail("header and library differ in version");
  if (simdnorm_layer_norm(&cx, &cy, &options) != SIMDNORM_OK) return fail("layer_norm");
  for (i = 0; i < 2; ++i)
    for (j = 0; j < 3; ++j)
      if (!(fabsf(y[i][j] - expected[i][j]) <= 3e-7f)) return fail("layer_norm: wrong result");
  if (mean[0] != 2.0f || mean[1] != -5.0f) return fail("layer_norm: wrong mean");
  if (simdnorm_min_max_fit(&cx, low, high, NULL) != SIMDNORM_OK) return fail("min_max_fit");
  if (low[1] != -5.0 || high[1] != 2.0) return fail("min_max_fit: wrong result");
  if (simdnorm_layer_norm(NULL, &cy, NULL) != SIMDNORM_NULL_POINTER) return fail("null pointer accepted");
  if (simdnorm_isa_active(&isa) != SIMDNORM_OK || simdnorm_isa_name(isa) == NULL) return fail("isa_active");
  printf("C consumer of simdnorm %s: ok\n", version);
  return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * A library of scalar f32 alone: what it has works, what was left out is a status. */
#include <simdnorm/simdnorm.h>
#include <stdio.h>
#include <string.h>

static int wrong;

static void expect(simdnorm_status status, simdnorm_status wanted, const char* what) {
  if (status == wanted) return;
  printf("%s: %s\n", what, simdnorm_status_string(status));
  ++wrong;
}

static simdnorm_status layer_norm(void* x, void* y, simdnorm_type type) {
  const simdnorm_const_matrix in = {x, 1, 4, 4, type};
  const simdnorm_matrix out = {y, 1, 4, 4, type};
  return simdnorm_layer_norm(&in, &out, NULL);
}
static simdnorm_status to_bytes(void* x, void* y, simdnorm_type type) {
  const simdnorm_const_matrix in = {x, 1, 4, 4, SIMDNORM_F32};
  const simdnorm_matrix out = {y, 1, 4, 4, type};
  const simdnorm_quantization quantization = simdnorm_quantization_defaults();
  simdnorm_layer_norm_options options = simdnorm_layer_norm_defaults();
  options.quantization = &quantization;
  return simdnorm_layer_norm(&in, &out, &options);
}
static simdnorm_status batch_norm(void* x, void* y, simdnorm_type type) {
  const simdnorm_const_matrix in = {x, 2, 2, 2, type};
  const simdnorm_matrix out = {y, 2, 2, 2, type};
  return simdnorm_batch_norm_training(&in, &out, NULL);
}

int main(void) {
  union {
    double d[4];
    float f[4];
    unsigned short h[4];
  } x, y, before;
  const simdnorm_type left_out[] = {SIMDNORM_F64, SIMDNORM_BF16, SIMDNORM_F16};
  const simdnorm_type bytes[] = {SIMDNORM_I8, SIMDNORM_U8, SIMDNORM_F8_E4M3, SIMDNORM_F8_E5M2};
  size_t i;
  simdnorm_isa isa;
  memset(&x, 0, sizeof x);
  memset(&y, 1, sizeof y);
  before = y;
  expect(simdnorm_isa_active(&isa), SIMDNORM_OK, "isa_active");
  expect(strcmp(simdnorm_isa_name(isa), "scalar"), 0, "the instruction set");
  for (i = 0; i < 3; ++i) {
    expect(layer_norm(&x, &y, left_out[i]), SIMDNORM_UNSUPPORTED_TYPE, "layer_norm of a type that is left out");
    expect(batch_norm(&x, &y, left_out[i]), SIMDNORM_UNSUPPORTED_TYPE, "batch_norm of a type that is left out");
  }
  for (i = 0; i < 4; ++i) {
    expect(to_bytes(&x, &y, bytes[i]), SIMDNORM_UNSUPPORTED_TYPE, "layer_norm to a type that is left out");
  }
  expect(memcmp(&y, &before, sizeof y), 0, "what was written");
  for (i = 0; i < 4; ++i) x.f[i] = (float)i;
  expect(layer_norm(&x, &y, SIMDNORM_F32), SIMDNORM_OK, "layer_norm");
  expect(y.f[0] < -1.3416f && y.f[0] > -1.3417f ? 0 : 1, 0, "what layer_norm gives");
  expect(batch_norm(&x, &y, SIMDNORM_F32), SIMDNORM_OK, "batch_norm");
  if (wrong == 0) puts("subset: ok");
  return wrong;
}

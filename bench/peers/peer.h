/* SPDX-License-Identifier: Apache-2.0
 *
 * The one interface between the benchmark and the libraries it is compared with. A peer is a module,
 * peer_NAME.so, that exports simdnorm_peer_open and is loaded with RTLD_LOCAL: two versions of a
 * library then live in one process, and a peer that cannot be had does not stop the build. C only:
 * nothing of one side's C++ runtime or flags reaches the other. */
#ifndef SIMDNORM_BENCH_PEER_H
#define SIMDNORM_BENCH_PEER_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SIMDNORM_PEER_INTERFACE 3

enum simdnorm_peer_operation {
  SIMDNORM_PEER_LAYER_NORM = 0,
  SIMDNORM_PEER_RMS_NORM = 1,
  SIMDNORM_PEER_BATCH_NORM_TRAINING = 2,      /* [N, C]; running statistics need not be kept */
  SIMDNORM_PEER_BATCH_NORM_INFERENCE = 3,     /* [N, C] */
  SIMDNORM_PEER_STANDARDIZE = 4,              /* fit and transform of the columns */
  SIMDNORM_PEER_MIN_MAX = 5,                  /* fit and transform of the columns, to [0, 1] */
  SIMDNORM_PEER_BATCH_NORM_TRAINING_NCHW = 6, /* as 2 and 3, of the channels of [batch, channels, height, width] */
  SIMDNORM_PEER_BATCH_NORM_INFERENCE_NCHW = 7,
  SIMDNORM_PEER_GROUP_NORM = 8,
  SIMDNORM_PEER_INSTANCE_NORM = 9,   /* groups is channels */
  SIMDNORM_PEER_ADD_LAYER_NORM = 10, /* of x + residual; the sum need not be kept */
  SIMDNORM_PEER_ADD_RMS_NORM = 11,
  SIMDNORM_PEER_L2_NORM = 12, /* rows to unit length; epsilon is the least that they are divided by */
  SIMDNORM_PEER_OPERATIONS = 13
};

/* Of the elements of x and y. */
enum simdnorm_peer_type {
  SIMDNORM_PEER_F32 = 0,
  SIMDNORM_PEER_BF16 = 1, /* these two: layer and RMS norm alone */
  SIMDNORM_PEER_F16 = 2,
  SIMDNORM_PEER_TYPES = 3
};

struct simdnorm_peer_setup {
  int interface_version; /* SIMDNORM_PEER_INTERFACE */
  const char* name;      /* a module may hold several peers */
  const char* site;      /* folder with what bench/peers/fetch brought */
  int threads;
};

/* Row major, dense. The pointers and the parameters stay as they are until destroy; only x of a
 * peer that works in place changes. */
struct simdnorm_peer_task {
  enum simdnorm_peer_operation operation;
  enum simdnorm_peer_type type;
  size_t rows, cols;
  const void* x;
  void* y; /* for peers that work in place: the same as x */
  const float *gamma, *beta;
  const void *gamma_of_type, *beta_of_type; /* the same numbers, as elements of x are */
  const float *mean, *variance;             /* given to inference */
  float epsilon;
  /* Of operations 6 to 9: rows is batch * channels, cols is height * width, and gamma, beta, mean and
   * variance have channels entries instead of cols. */
  size_t batch, channels, height, width, groups;
  const float* residual; /* f32; of operations 10 and 11: [rows, cols] */
};

struct simdnorm_peer {
  const char* version; /* "3.6.2" */
  const char* note;    /* what is in the figure besides the kernel, and what thread pool; may be empty */
  int threads;         /* what the peer says that it uses */
  int library;         /* 0: compiled loops, which stay out of the best library per shape */
  unsigned in_place;   /* 1: y is x */
  unsigned own_layout; /* 1: works on a copy of x in a layout of its own, which nobody else has to serve: prepare and
                          finish reorder; stays out of the best library, too */
  unsigned operations[SIMDNORM_PEER_TYPES]; /* bit 1 << simdnorm_peer_operation: it has that one of that type */

  /* What a caller does once, not measured. NULL, and a reason, if it does not do that. self: this. */
  void* (*prepare)(const struct simdnorm_peer* self, const struct simdnorm_peer_task* task, char* why, size_t why_size);
  void (*run)(void* handle); /* measured */
  /* Not measured, may be NULL: brings the result to y where run left it in memory of its own. */
  void (*finish)(void* handle);
  void (*destroy)(void* handle);
};

/* NULL, and a reason, if the peer cannot be had. The result lives as long as the module. */
typedef const struct simdnorm_peer* (*simdnorm_peer_open_function)(const struct simdnorm_peer_setup* setup, char* why,
                                                                   size_t why_size);
#define SIMDNORM_PEER_ENTRY "simdnorm_peer_open"

#ifdef __cplusplus
}
#endif

#endif

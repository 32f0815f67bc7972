// SPDX-License-Identifier: Apache-2.0
#include "simdnorm/simdnorm.h"

#define SIMDNORM_STRING_(x) #x
#define SIMDNORM_STRING(x) SIMDNORM_STRING_(x)

extern "C" {

const char* simdnorm_version(void) {
  return SIMDNORM_STRING(SIMDNORM_VERSION_MAJOR) "." SIMDNORM_STRING(SIMDNORM_VERSION_MINOR) "." SIMDNORM_STRING(
      SIMDNORM_VERSION_PATCH);
}

const char* simdnorm_status_string(simdnorm_status status) {
  switch (status) {
    case SIMDNORM_OK:
      return "ok";
    case SIMDNORM_NULL_POINTER:
      return "a required pointer is null";
    case SIMDNORM_INVALID_SHAPE:
      return "sizes disagree or do not fit in memory";
    case SIMDNORM_INVALID_STRIDE:
      return "the rows of an output run into each other";
    case SIMDNORM_OVERLAP:
      return "an output shares elements with another argument";
    case SIMDNORM_INVALID_EPSILON:
      return "epsilon is negative, infinite or NaN";
    case SIMDNORM_INVALID_MOMENTUM:
      return "momentum is not in [0, 1]";
    case SIMDNORM_INVALID_RANGE:
      return "the feature range is not low < high";
    case SIMDNORM_INVALID_PADDING:
      return "the padding is of an unknown kind or size, or not for this norm";
    case SIMDNORM_INVALID_LENGTH:
      return "a length or offset is negative, too large, or below the one before";
    case SIMDNORM_UNSUPPORTED_TYPE:
      return "there is no kernel for this element type";
    case SIMDNORM_INVALID_STRUCT:
      return "struct_size does not belong to this struct, or unknown fields are set";
    case SIMDNORM_INVALID_STATE:
      return "the state is not one of this library, or has another shape";
    case SIMDNORM_INVALID_EXECUTOR:
      return "the executor has no run function";
    case SIMDNORM_EXECUTOR_FAILED:
      return "the executor failed";
    case SIMDNORM_UNKNOWN_ISA:
      return "no instruction set has this name (see SIMDNORM_MAX_ISA)";
    case SIMDNORM_ISA_UNAVAILABLE:
      return "this build, CPU or operating system lacks this instruction set";
    case SIMDNORM_MISALIGNED:
      return "a pointer is not aligned to its element type";
    case SIMDNORM_INVALID_OPTION:
      return "an option has a value that is none of its own";
    case SIMDNORM_INVALID_ACTIVATION:
      return "this norm does not have this activation, or takes no residual";
    case SIMDNORM_INVALID_WEIGHT:
      return "a weight is negative, NaN or infinite";
    default:
      return "unknown status";
  }
}

}  // extern "C"

/* SPDX-License-Identifier: Apache-2.0
 * The one place that holds the version: CMakeLists.txt reads it from here. */
#ifndef SIMDNORM_VERSION_H
#define SIMDNORM_VERSION_H

#define SIMDNORM_VERSION_MAJOR 0
#define SIMDNORM_VERSION_MINOR 1
#define SIMDNORM_VERSION_PATCH 0

#endif

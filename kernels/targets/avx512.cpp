// SPDX-License-Identifier: Apache-2.0
#include "lanes/avx512.hpp"

#include "targets/fill_table.hpp"

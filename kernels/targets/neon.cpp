// SPDX-License-Identifier: Apache-2.0
#include "lanes/neon.hpp"

#include "targets/fill_table.hpp"

// SPDX-License-Identifier: Apache-2.0
#include "lanes/scalar.hpp"

#include "targets/fill_table.hpp"

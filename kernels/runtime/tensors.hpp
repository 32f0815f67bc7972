// SPDX-License-Identifier: Apache-2.0
//
// Tensors [batch, channels, spatial...]: which layout their strides mean, and which memory they are.
#pragma once

#include "runtime/checks.hpp"
#include "table.hpp"

namespace simdnorm {

// What is asked of a tensor that is not empty.
struct tensor_view {
  const void* data;
  simdnorm_type type;
  size_t element;                  // bytes
  size_t batches, channels, size;  // size: spatial positions
  bool first, last;                // layouts that its strides allow
  bool batch_merges;               // channels last: batch and positions are rows of one stride
  ptrdiff_t batch, channel, row;   // strides; row is that of positions, channels last
  region rows;                     // of one of `outer` parts
  size_t outer;
  ptrdiff_t outer_bytes;  // from part to part
  uintptr_t low, high;    // bounds of all
};

struct layout {
  size_t batch, channels, size;
  bool last;
};

inline bool is_empty(const layout& l) noexcept {
  return l.batch == 0 || l.channels == 0 || l.size == 0;
}

template <class A, class B>
inline bool same_sizes(const A& a, const B& b) noexcept {
  if (a.rank != b.rank) return false;
  for (int32_t i = 0; i < a.rank; ++i) {
    if (a.sizes[i] != b.sizes[i]) return false;
  }
  return true;
}

simdnorm_status check_tensor_parts(const void* data, const size_t* sizes, const ptrdiff_t* strides, int32_t rank,
                                   simdnorm_type type, types among, tensor_view& v) noexcept;

// `Tensor` is either kind.
template <class Tensor>
inline simdnorm_status check_tensor(const Tensor* t, tensor_view& v, types among = types::mixed) noexcept {
  v = {};
  if (t == nullptr) return SIMDNORM_NULL_POINTER;
  return check_tensor_parts(t->data, t->sizes, t->strides, t->rank, t->type, among, v);
}

// Whether two elements of an output may be one, as far as its strides tell.
bool elements_meet(const tensor_view& v, const layout& l) noexcept;
// The memory of a view, for share_bytes.
void set_regions(tensor_view& v, const layout& l) noexcept;
// Whether two views have the same data and strides.
bool same_place(const tensor_view& a, const tensor_view& b, const layout& l) noexcept;
bool share_bytes(const tensor_view& a, const tensor_view& b) noexcept;
bool share_bytes(const tensor_view& a, const region& b) noexcept;

// The padding of a tensor; its lengths are looked at, one by one. `mask` is what channels-first kernels take.
simdnorm_status check_channel_padding(const simdnorm_padding& padding, const layout& l, channel_mask& mask,
                                      region& r) noexcept;

}  // namespace simdnorm

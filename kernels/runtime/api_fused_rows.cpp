// SPDX-License-Identifier: Apache-2.0
//
// The C entries of row norms with more before or behind the norm, and calls of the plain ones whose elements are
// masked one by one.
#include "runtime/caches.hpp"
#include "runtime/checks.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/rows.hpp"
#include "runtime/split.hpp"

namespace simdnorm {
namespace {

template <class View>
bool is_double(const View& x) noexcept {
  return x.type == SIMDNORM_F64;
}

quantized_type quantized_type_of(const simdnorm_quantization& q, simdnorm_type y) noexcept {
  const float zero_point = static_cast<float>(q.zero_point);
  if (y == SIMDNORM_I8) return {q.scale, zero_point, -128.0f, 127.0f, 127.0f};
  if (y == SIMDNORM_U8) return {q.scale, zero_point, 0.0f, 255.0f, 127.0f};
  const float most = y == SIMDNORM_F8_E4M3 ? 448.0f : 57344.0f;
  return {q.scale, zero_point, -most, most, most};
}

// gamma, beta or a bias beside an x of this type.
simdnorm_status check_parameter(simdnorm_type x, const simdnorm_const_vector& v, size_t size, region& r) noexcept {
  return x == SIMDNORM_F64 ? check_doubles(v, size, true, r) : check_vector(v, size, r, types::mixed);
}

// A view beside x, of its shape; its region.
template <class Matrix>
simdnorm_status check_beside(const Matrix* m, const simdnorm_const_matrix& x, region& r, bool output,
                             types among = types::mixed) noexcept {
  if (const simdnorm_status s = check_matrix(m, r, output, is_double(x) ? types::f64 : among)) return s;
  return m->rows != x.rows || m->cols != x.cols ? SIMDNORM_INVALID_SHAPE : SIMDNORM_OK;
}

// An output may be an input, then row by row, or is apart from it.
bool may_write(const region& output, const region& input) noexcept {
  return same_place(output, input) || !share_bytes(output, input);
}

simdnorm_status check_options(const fused_row_call& f) noexcept {
  if (f.activation < SIMDNORM_ACTIVATION_NONE || f.activation > SIMDNORM_ACTIVATION_SILU) {
    return SIMDNORM_INVALID_ACTIVATION;
  }
  const bool known = f.rounding == SIMDNORM_ROUND_ONCE || f.rounding == SIMDNORM_ROUND_BEFORE_WEIGHT;
  return known ? SIMDNORM_OK : SIMDNORM_INVALID_OPTION;
}

// The scale of y's type; what becomes of rows' scales is in r.
simdnorm_status check_quantization(const simdnorm_quantization* q, simdnorm_type y, size_t rows, region& r) noexcept {
  r = {};
  const bool bytes = is_byte(y);
  if (q == nullptr) return bytes ? SIMDNORM_INVALID_OPTION : SIMDNORM_OK;
  if (q->struct_size != sizeof *q) return SIMDNORM_INVALID_STRUCT;
  const quantized_type t = quantized_type_of(*q, y);
  if (!bytes || t.zero_point < t.least || t.zero_point > t.most) return SIMDNORM_INVALID_OPTION;
  if (is_f8(y) && q->zero_point != 0) return SIMDNORM_INVALID_OPTION;
  if (q->row_scale.data == nullptr && !(q->scale > 0.0f && q->scale <= 3.402823466e+38f)) {
    return SIMDNORM_INVALID_OPTION;
  }
  return check_vector(q->row_scale, rows, r);
}

simdnorm_status check(const row_norm_call& c, const fused_row_call& f) noexcept {
  // y and sum; mean, rstd and scales. Inputs that outputs must keep off; those that y and sum may be.
  region written[5] = {}, read[4] = {}, x, residual = {}, gate = {};
  if (c.x == nullptr) return SIMDNORM_NULL_POINTER;
  const simdnorm_type type = c.x->type;
  if (const simdnorm_status s = check_matrix(c.x, x, false, is_double(*c.x) ? types::f64 : types::mixed)) return s;
  if (const simdnorm_status s = check_beside(c.y, *c.x, written[0], true, types::halves_and_bytes)) return s;
  if (f.residual != nullptr) {
    if (const simdnorm_status s = check_beside(f.residual, *c.x, residual, false)) return s;
  }
  if (f.sum != nullptr) {
    if (const simdnorm_status s = check_beside(f.sum, *c.x, written[1], true)) return s;
  }
  if (f.gate != nullptr) {
    if (const simdnorm_status s = check_beside(f.gate, *c.x, gate, false)) return s;
  }
  if (const simdnorm_status s = check_options(f)) return s;
  if (const simdnorm_status s = check_epsilon(c.epsilon)) return s;
  if (const simdnorm_status s = check_parameter(type, c.gamma, c.x->cols, read[0])) return s;
  if (const simdnorm_status s = check_parameter(type, c.beta, c.x->cols, read[1])) return s;
  if (const simdnorm_status s = check_parameter(type, f.bias, c.x->cols, read[2])) return s;
  if (const simdnorm_status s = check_vector_beside(type, c.mean, c.x->rows, false, written[2])) return s;
  if (const simdnorm_status s = check_vector_beside(type, c.rstd, c.x->rows, false, written[3])) return s;
  if (const simdnorm_status s = check_quantization(f.quantization, c.y->type, c.x->rows, written[4])) return s;
  if (const simdnorm_status s = check_padding(c.padding, c.x->rows, c.x->cols, axis::row, read[3])) return s;
  if (const simdnorm_status s = check_executor(c.executor)) return s;
  if (const simdnorm_status s = check_apart(written, read)) return s;
  if (!may_write(written[0], x) || !may_write(written[0], residual) || !may_write(written[0], gate) ||
      !may_write(written[1], x) || !may_write(written[1], residual)) {
    return SIMDNORM_OVERLAP;
  }
  for (const region* vector = written + 2; vector < written + 5; ++vector) {
    if (share_bytes(*vector, x) || share_bytes(*vector, residual) || share_bytes(*vector, gate))
      return SIMDNORM_OVERLAP;
  }
  return SIMDNORM_OK;
}

// A checked call. `walk`: of a tensor; null: of matrices.
simdnorm_status launch(const row_norm_call& c, const fused_row_call& f, const row_walk* walk, row_kernel plain,
                       const row_slots& slots) noexcept {
  if (c.x->type == SIMDNORM_F64) return launch_doubles(c, f, walk, slots.f64);
  const kernel_table* table = active_table();
  if (table == nullptr) return SIMDNORM_UNKNOWN_ISA;
  const size_t rows = c.x->rows;
  if (rows == 0 || c.x->cols == 0) return SIMDNORM_OK;
  fused_row_arguments a = {};
  set_arguments(a, c);
  a.walk = walk;
  a.x_type = c.x->type;
  a.rows_together = rows_together_of(rows, a.cols, element_size(a.x_type, types::f32_and_halves), l1_bytes());
  a.y_type = c.y->type;
  a.y_bytes = static_cast<uint8_t>(element_size(a.y_type, types::halves_and_bytes));
  a.stream = rows * a.cols * a.y_bytes >= simdnorm_stream_border();
  if (plain != nullptr) {
    const auto kernel = table->*plain;
    return for_row_blocks(c.executor, rows, a.cols, [&a, kernel](size_t first, size_t last) {
      kernel(a, block{first, last, 0, a.cols});
    });
  }
  set_fused(a, f);
  a.residual_type = f.residual ? f.residual->type : SIMDNORM_F32;
  a.sum_type = f.sum ? f.sum->type : SIMDNORM_F32;
  a.gate_type = f.gate ? f.gate->type : SIMDNORM_F32;
  a.round_first = f.rounding == SIMDNORM_ROUND_BEFORE_WEIGHT && a.x_type != SIMDNORM_F32;
  if (f.quantization != nullptr) {
    a.quantized = quantized_type_of(*f.quantization, a.y_type);
    a.fill_byte = static_cast<uint8_t>(f.quantization->zero_point);
    a.row_scale = static_cast<float*>(f.quantization->row_scale.data);
  }
  a.mixed = mixes_types(a);
  const auto kernel = table->*slots.fused;
  return for_row_blocks(c.executor, rows, a.cols, [&a, kernel](size_t first, size_t last) {
    kernel(a, block{first, last, 0, a.cols});
  });
}

// ---- tensors ------------------------------------------------------------------------------------------------

// Rows of bytes at first + i[0] * strides[0] + ...
struct lattice {
  uintptr_t low, high;  // [low, high); empty: 0, 0
  uintptr_t first;
  size_t dimensions;
  size_t sizes[4];
  ptrdiff_t strides[4];  // bytes
  size_t row_bytes;
  size_t element;  // bytes
};
lattice of_region(const region& r) noexcept {  // of one row
  return {r.low, r.high, r.first, 0, {}, {}, r.row_bytes, 1};
}

// Whether base + some v[0] * steps[0] + ..., v[k] < counts[k], lies in [least, most]. Steps fall, and where they are
// those of a tensor, dimension within dimension, few values of each can lead there. Past the budget: yes.
class reach {
 public:
  void add(size_t count, ptrdiff_t step) noexcept {
    if (count <= 1 || step == 0) return;
    const auto size = static_cast<uintptr_t>(step < 0 ? -step : step);
    if (step < 0) base_ -= static_cast<intptr_t>((count - 1) * size);
    size_t k = 0;
    while (k < used_ && steps_[k] > size) ++k;
    if (k < used_ && steps_[k] == size) {
      counts_[k] += count - 1;
      return;
    }
    for (size_t j = used_++; j > k; --j) {
      steps_[j] = steps_[j - 1];
      counts_[j] = counts_[j - 1];
    }
    steps_[k] = size;
    counts_[k] = count;
  }
  bool hits(intptr_t base, intptr_t least, intptr_t most) noexcept {
    budget_ = 20000;
    return from(0, base_ + base, least, most);
  }

 private:
  bool from(size_t k, intptr_t at, intptr_t least, intptr_t most) noexcept {
    if (at > most) return false;
    if (k == used_) return at >= least;
    intptr_t rest = 0;
    for (size_t j = k + 1; j < used_; ++j) rest += static_cast<intptr_t>((counts_[j] - 1) * steps_[j]);
    const auto step = static_cast<intptr_t>(steps_[k]);
    const intptr_t short_of = least - at - rest;  // what this dimension must bring at least
    const size_t begin = short_of > 0 ? static_cast<size_t>((short_of + step - 1) / step) : 0;
    for (size_t v = begin; v < counts_[k]; ++v) {
      const intptr_t here = at + static_cast<intptr_t>(v) * step;
      if (here > most) return false;
      if (--budget_ <= 0 || from(k + 1, here, least, most)) return true;
    }
    return false;
  }
  size_t used_ = 0;
  uintptr_t steps_[8];
  size_t counts_[8];
  intptr_t base_ = 0;
  int budget_ = 0;
};

bool share_bytes(const lattice& a, const lattice& b) noexcept {
  if (a.low >= b.high || b.low >= a.high) return false;
  reach r;
  for (size_t d = 0; d < a.dimensions; ++d) r.add(a.sizes[d], a.strides[d]);
  for (size_t d = 0; d < b.dimensions; ++d) r.add(b.sizes[d], -b.strides[d]);
  return r.hits(static_cast<intptr_t>(a.first - b.first), 1 - static_cast<intptr_t>(a.row_bytes),
                static_cast<intptr_t>(b.row_bytes) - 1);
}

// Type, sizes and strides of a tensor; fills its lattice, all leading dimensions apart. `Tensor` is either kind.
template <class Tensor>
simdnorm_status check_tensor(const Tensor* t, lattice& l, bool output, types among) noexcept {
  l = {};
  if (t == nullptr) return SIMDNORM_NULL_POINTER;
  const size_t element = element_size(t->type, is_double(*t) ? types::f64 : among);
  if (element == 0) return SIMDNORM_UNSUPPORTED_TYPE;
  l.element = element;
  if (t->rank < 2 || t->rank > SIMDNORM_MOST_DIMENSIONS) return SIMDNORM_INVALID_SHAPE;
  const size_t leading = static_cast<size_t>(t->rank) - 1;
  const size_t cols = t->sizes[leading];
  for (size_t d = 0; d <= leading; ++d) {
    if (t->sizes[d] == 0) return SIMDNORM_OK;
  }
  if (t->data == nullptr) return SIMDNORM_NULL_POINTER;
  l.first = reinterpret_cast<uintptr_t>(t->data);
  if (l.first % element != 0) return SIMDNORM_MISALIGNED;
  if (cols > 1 && t->strides[leading] != 1) return SIMDNORM_INVALID_STRIDE;

  constexpr size_t most = largest_size / 16;  // sums of a few such ways do not overflow
  size_t rows = 1;
  size_t before = 0;
  size_t after = cols;
  for (size_t d = 0; d < leading; ++d) {
    const size_t size = t->sizes[d];
    const ptrdiff_t stride = size > 1 ? t->strides[d] : 0;
    if (stride == PTRDIFF_MIN || __builtin_mul_overflow(rows, size, &rows)) return SIMDNORM_INVALID_SHAPE;
    size_t way = 0;
    if (__builtin_mul_overflow(size - 1, static_cast<size_t>(stride < 0 ? -stride : stride), &way) || way > most) {
      return SIMDNORM_INVALID_SHAPE;
    }
    (stride < 0 ? before : after) += way;
    if (cols > most || before > most || after > most) return SIMDNORM_INVALID_SHAPE;
    l.sizes[d] = size;
    l.strides[d] = stride * static_cast<ptrdiff_t>(element);
  }
  size_t elements = 0;
  if (__builtin_mul_overflow(rows, cols, &elements) || elements > most || before + after > most) {
    return SIMDNORM_INVALID_SHAPE;
  }
  if (before * element > l.first || after * element > UINTPTR_MAX - l.first) return SIMDNORM_INVALID_SHAPE;
  l.dimensions = leading;
  l.low = l.first - before * element;
  l.high = l.first + after * element;
  l.row_bytes = cols * element;

  if (output) {  // each dimension must step over all of those with smaller steps
    size_t within = l.row_bytes;
    bool done[4] = {};
    for (size_t turn = 0; turn < leading; ++turn) {
      size_t least = 4;
      size_t step = 0;
      for (size_t d = 0; d < leading; ++d) {
        if (done[d] || l.sizes[d] == 1) continue;
        const auto size = static_cast<size_t>(l.strides[d] < 0 ? -l.strides[d] : l.strides[d]);
        if (least == 4 || size < step) {
          least = d;
          step = size;
        }
      }
      if (least == 4) break;
      done[least] = true;
      if (step < within) return SIMDNORM_INVALID_STRIDE;
      within += (l.sizes[least] - 1) * step;
    }
  }
  return SIMDNORM_OK;
}

struct tensors {
  lattice x, y;
  size_t rows, cols, rows_per_token;
  simdnorm_type type, y_type;  // of x, of y
};

simdnorm_status check(const tensors& t, const row_norm_call& c, const fused_row_call& f) noexcept {
  const bool tokens = c.padding.kind != SIMDNORM_PADDING_ROW_LENGTHS &&
                      c.padding.kind != SIMDNORM_PADDING_ELEMENT_MASK &&
                      c.padding.kind != SIMDNORM_PADDING_ELEMENT_MASK_BITS;
  region written[3], read[3];
  if (const simdnorm_status s = check_epsilon(c.epsilon)) return s;
  if (const simdnorm_status s = check_options(f)) return s;
  if (const simdnorm_status s = check_parameter(t.type, c.gamma, t.cols, read[0])) return s;
  if (const simdnorm_status s = check_parameter(t.type, c.beta, t.cols, read[1])) return s;
  if (const simdnorm_status s = check_vector_beside(t.type, c.mean, t.rows, false, written[0])) return s;
  if (const simdnorm_status s = check_vector_beside(t.type, c.rstd, t.rows, false, written[1])) return s;
  if (const simdnorm_status s = check_quantization(f.quantization, t.y_type, t.rows, written[2])) return s;
  if (const simdnorm_status s =
          check_padding(c.padding, tokens ? t.rows / t.rows_per_token : t.rows, t.cols, axis::row, read[2])) {
    return s;
  }
  if (const simdnorm_status s = check_executor(c.executor)) return s;
  if (const simdnorm_status s = check_apart(written, read)) return s;
  bool in_place = t.x.first == t.y.first && t.x.element == t.y.element;
  for (size_t d = 0; d < t.x.dimensions; ++d) in_place = in_place && t.x.strides[d] == t.y.strides[d];
  if (!in_place && share_bytes(t.x, t.y)) return SIMDNORM_OVERLAP;
  for (const region& r : read) {
    if (share_bytes(of_region(r), t.y)) return SIMDNORM_OVERLAP;
  }
  for (const region& r : written) {
    if (share_bytes(of_region(r), t.y) || share_bytes(of_region(r), t.x)) return SIMDNORM_OVERLAP;
  }
  return SIMDNORM_OK;
}

// The leading dimensions, those that are one made one.
row_walk walk_of(const tensors& t) noexcept {
  row_walk w = {};
  for (size_t d = 0; d < t.x.dimensions; ++d) {
    const size_t size = t.x.sizes[d];
    if (size == 1) continue;
    const ptrdiff_t xs = t.x.strides[d] / static_cast<ptrdiff_t>(t.x.element);
    const ptrdiff_t ys = t.y.strides[d] / static_cast<ptrdiff_t>(t.y.element);
    const size_t last = w.dimensions - 1;
    const auto steps = static_cast<ptrdiff_t>(size);
    if (w.dimensions > 0 && w.x_strides[last] == xs * steps && w.y_strides[last] == ys * steps) {
      w.sizes[last] *= size;
      w.x_strides[last] = xs;
      w.y_strides[last] = ys;
    } else {
      w.sizes[w.dimensions] = size;
      w.x_strides[w.dimensions] = xs;
      w.y_strides[w.dimensions] = ys;
      ++w.dimensions;
    }
  }
  if (w.dimensions == 0) {
    w.dimensions = w.sizes[0] = 1;
    w.x_strides[0] = w.y_strides[0] = static_cast<ptrdiff_t>(t.cols);
  }
  w.rows_per_token = t.rows_per_token;
  w.aligned = true;
  for (size_t d = 0; d < w.dimensions; ++d) w.aligned = w.aligned && w.y_strides[d] % 16 == 0;
  return w;
}

// What `c` says of x and y is replaced by the tensors.
simdnorm_status run_tensors(const simdnorm_const_tensor* x, const simdnorm_tensor* y, const row_norm_call& options,
                            const fused_row_call& f, const row_slots& slots) noexcept {
  tensors t = {};
  if (const simdnorm_status s = check_tensor(x, t.x, false, types::mixed)) return s;
  if (const simdnorm_status s = check_tensor(y, t.y, true, types::halves_and_bytes)) return s;
  if (is_double(*x) != is_double(*y)) return SIMDNORM_UNSUPPORTED_TYPE;
  t.y_type = y->type;
  if (x->rank != y->rank) return SIMDNORM_INVALID_SHAPE;
  t.type = x->type;
  const size_t leading = static_cast<size_t>(x->rank) - 1;
  t.cols = x->sizes[leading];
  t.rows = t.rows_per_token = 1;
  for (size_t d = 0; d <= leading; ++d) {
    if (x->sizes[d] != y->sizes[d]) return SIMDNORM_INVALID_SHAPE;
    if (d == leading) break;
    if (__builtin_mul_overflow(t.rows, x->sizes[d], &t.rows)) return SIMDNORM_INVALID_SHAPE;
    if (d >= 2) t.rows_per_token *= x->sizes[d];
  }
  if (t.rows_per_token == 0) t.rows_per_token = 1;
  if (const simdnorm_status s = check(t, options, f)) return s;
  if (t.rows == 0 || t.cols == 0) return active_table() == nullptr ? SIMDNORM_UNKNOWN_ISA : SIMDNORM_OK;

  const row_walk walk = walk_of(t);
  const size_t last = walk.dimensions - 1;
  const simdnorm_const_matrix mx = {x->data, t.rows, t.cols, walk.x_strides[last], x->type};
  const simdnorm_matrix my = {y->data, t.rows, t.cols, walk.y_strides[last], y->type};
  const row_norm_call c = {&mx,          &my,          options.epsilon, options.gamma,   options.beta,
                           options.mean, options.rstd, options.padding, options.executor};
  const bool masked =
      c.padding.kind == SIMDNORM_PADDING_ELEMENT_MASK || c.padding.kind == SIMDNORM_PADDING_ELEMENT_MASK_BITS;
  if (f.any() || masked || !has_plain(slots, x->type, y->type, c)) return launch(c, f, &walk, nullptr, slots);
  // One dimension: a matrix.
  if (walk.dimensions == 1 && (walk.rows_per_token == 1 || c.padding.kind == SIMDNORM_PADDING_NONE)) {
    return run_plain(c, slots);
  }
  return launch(c, f, &walk, slots.of(x->type), slots);
}

}  // namespace

simdnorm_status run_fused(const row_norm_call& c, const fused_row_call& f, const row_slots& slots) noexcept {
  if (const simdnorm_status s = check(c, f)) return s;
  return launch(c, f, nullptr, nullptr, slots);
}

}  // namespace simdnorm

using namespace simdnorm;

extern "C" {

simdnorm_status simdnorm_add_layer_norm(const simdnorm_const_matrix* x, const simdnorm_const_matrix* residual,
                                        simdnorm_const_vector bias, const simdnorm_matrix* sum,
                                        const simdnorm_matrix* y, const simdnorm_layer_norm_options* options) {
  simdnorm_layer_norm_options storage;
  const simdnorm_layer_norm_options* o = read_layer_norm(options, storage);
  if (o == nullptr) return SIMDNORM_INVALID_STRUCT;
  if (residual == nullptr) return SIMDNORM_NULL_POINTER;
  return run_fused(
      {x, y, o->epsilon, o->gamma, o->beta, o->mean, o->rstd, o->padding, o->executor},
      {.residual = residual, .bias = bias, .sum = sum, .activation = o->activation, .quantization = o->quantization},
      layer_norm_slots);
}

simdnorm_status simdnorm_add_rms_norm(const simdnorm_const_matrix* x, const simdnorm_const_matrix* residual,
                                      simdnorm_const_vector bias, const simdnorm_matrix* sum, const simdnorm_matrix* y,
                                      const simdnorm_rms_norm_options* options) {
  simdnorm_rms_norm_options storage;
  const simdnorm_rms_norm_options* o = read_rms_norm(options, storage);
  if (o == nullptr) return SIMDNORM_INVALID_STRUCT;
  if (residual == nullptr) return SIMDNORM_NULL_POINTER;
  return run_fused({x, y, o->epsilon, o->weight, no_input, no_output, o->rstd, o->padding, o->executor},
                   {.residual = residual,
                    .bias = bias,
                    .sum = sum,
                    .activation = o->activation,
                    .rounding = o->rounding,
                    .unit_offset = o->add_unit_offset != 0,
                    .quantization = o->quantization},
                   rms_norm_slots);
}

simdnorm_status simdnorm_gated_rms_norm(const simdnorm_const_matrix* x, const simdnorm_const_matrix* z,
                                        const simdnorm_matrix* y, const simdnorm_rms_norm_options* options) {
  simdnorm_rms_norm_options storage;
  const simdnorm_rms_norm_options* o = read_rms_norm(options, storage);
  if (o == nullptr) return SIMDNORM_INVALID_STRUCT;
  if (z == nullptr) return SIMDNORM_NULL_POINTER;
  return run_fused({x, y, o->epsilon, o->weight, no_input, no_output, o->rstd, o->padding, o->executor},
                   {.gate = z,
                    .activation = o->activation,
                    .rounding = o->rounding,
                    .unit_offset = o->add_unit_offset != 0,
                    .quantization = o->quantization},
                   rms_norm_slots);
}

simdnorm_status simdnorm_layer_norm_nd(const simdnorm_const_tensor* x, const simdnorm_tensor* y,
                                       const simdnorm_layer_norm_options* options) {
  simdnorm_layer_norm_options storage;
  const simdnorm_layer_norm_options* o = read_layer_norm(options, storage);
  if (o == nullptr) return SIMDNORM_INVALID_STRUCT;
  return run_tensors(x, y, {nullptr, nullptr, o->epsilon, o->gamma, o->beta, o->mean, o->rstd, o->padding, o->executor},
                     {.activation = o->activation, .quantization = o->quantization}, layer_norm_slots);
}

simdnorm_status simdnorm_rms_norm_nd(const simdnorm_const_tensor* x, const simdnorm_tensor* y,
                                     const simdnorm_rms_norm_options* options) {
  simdnorm_rms_norm_options storage;
  const simdnorm_rms_norm_options* o = read_rms_norm(options, storage);
  if (o == nullptr) return SIMDNORM_INVALID_STRUCT;
  return run_tensors(x, y,
                     {nullptr, nullptr, o->epsilon, o->weight, no_input, no_output, o->rstd, o->padding, o->executor},
                     {.activation = o->activation,
                      .rounding = o->rounding,
                      .unit_offset = o->add_unit_offset != 0,
                      .quantization = o->quantization},
                     rms_norm_slots);
}

simdnorm_status simdnorm_l2_norm_nd(const simdnorm_const_tensor* x, const simdnorm_tensor* y,
                                    const simdnorm_l2_norm_options* options) {
  simdnorm_l2_norm_options storage;
  const simdnorm_l2_norm_options* o = read_options(options, storage, simdnorm_l2_norm_defaults);
  if (o == nullptr) return SIMDNORM_INVALID_STRUCT;
  return run_tensors(x, y,
                     {nullptr, nullptr, o->epsilon, no_input, no_input, no_output, o->norm, o->padding, o->executor},
                     {}, l2_norm_slots);
}

}  // extern "C"

// SPDX-License-Identifier: Apache-2.0
//
// oneDNN, by its C interface, which differs between versions 2 and 3. One file for both; the module is
// compiled against the headers of the version that it opens.
#include <oneapi/dnnl/dnnl.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#if defined(SIMDNORM_PEER_DNNL_INSIDE)
#include "dnnl_inside.hpp"
#endif
#include "plugin.hpp"

namespace simdnorm_peers {
namespace {

void require(dnnl_status_t status, const char* what) {
  if (status == dnnl_success) return;
  const char* name = status == dnnl_unimplemented       ? "unimplemented"
                     : status == dnnl_invalid_arguments ? "invalid arguments"
                     : status == dnnl_out_of_memory     ? "out of memory"
                                                        : "an error";
  throw std::runtime_error(std::string(what) + ": " + name);
}

struct library {
  dnnl_engine_t engine = nullptr;
  dnnl_stream_t stream = nullptr;
};
library dnnl;

dnnl_data_type_t type_of(simdnorm_peer_type type) {
  return type == SIMDNORM_PEER_BF16 ? dnnl_bf16 : type == SIMDNORM_PEER_F16 ? dnnl_f16 : dnnl_f32;
}

#if DNNL_VERSION_MAJOR >= 3
// Memory descriptors became opaque objects.
class memory_layout {
 public:
  memory_layout(std::vector<dnnl_dim_t> dims, dnnl_format_tag_t tag, simdnorm_peer_type type = SIMDNORM_PEER_F32) {
    require(dnnl_memory_desc_create_with_tag(&desc_, static_cast<int>(dims.size()), dims.data(), type_of(type), tag),
            "layout");
  }
  memory_layout(const memory_layout&) = delete;
  memory_layout& operator=(const memory_layout&) = delete;
  ~memory_layout() { dnnl_memory_desc_destroy(desc_); }
  [[nodiscard]] const_dnnl_memory_desc_t get() const { return desc_; }

 private:
  dnnl_memory_desc_t desc_ = nullptr;
};
constexpr unsigned rms_flag = 0x20;  // in the headers of 3.13; 3.6.2 refuses it
#else
class memory_layout {
 public:
  memory_layout(std::vector<dnnl_dim_t> dims, dnnl_format_tag_t tag, simdnorm_peer_type type = SIMDNORM_PEER_F32) {
    require(dnnl_memory_desc_init_by_tag(&desc_, static_cast<int>(dims.size()), dims.data(), type_of(type), tag),
            "layout");
  }
  [[nodiscard]] const dnnl_memory_desc_t* get() const { return &desc_; }

 private:
  dnnl_memory_desc_t desc_;
};
#endif

// x as oneDNN may be told of it: [N, C] three ways, of which `plain` makes batch norm its reference code in
// version 2 and up to twice as slow as the others in 3; NCHW as it lies; and two layouts that its own
// networks have instead, for which its generated code is.
enum class view { plain, batch, image, nchw, blocked, nhwc };

memory_layout layout_of(const simdnorm_peer_task& t, view v) {
  const auto rows = static_cast<dnnl_dim_t>(t.rows), cols = static_cast<dnnl_dim_t>(t.cols);
  switch (v) {
    case view::plain:
      return {{rows, cols}, dnnl_ab, t.type};
    case view::batch:
      return {{rows, cols, 1, 1}, dnnl_acdb};
    case view::image:
      return {{1, cols, rows, 1}, dnnl_acdb};
    default:
      const std::vector<std::int64_t> d = dimensions(t);
      return {{d.begin(), d.end()}, v == view::nchw ? dnnl_abcd : v == view::nhwc ? dnnl_acdb : dnnl_aBcd16b};
  }
}

// A primitive and the memory that it works on.
class step {
 public:
  explicit step(dnnl_primitive_desc_t about) {
    const dnnl_status_t made = dnnl_primitive_create(&primitive_, about);
    dnnl_primitive_desc_destroy(about);
    require(made, "primitive");
  }
  step(const step&) = delete;
  step& operator=(const step&) = delete;
  ~step() {
    for (const dnnl_exec_arg_t& a : arguments_) dnnl_memory_destroy(a.memory);
    dnnl_primitive_destroy(primitive_);
  }
  void add(int which, const memory_layout& layout, const void* data) {
    dnnl_memory_t memory = nullptr;
    require(dnnl_memory_create(&memory, layout.get(), dnnl.engine, const_cast<void*>(data)), "memory");
    arguments_.push_back({which, memory});
  }
  void submit() {
    dnnl_primitive_execute(primitive_, dnnl.stream, static_cast<int>(arguments_.size()), arguments_.data());
  }

 private:
  dnnl_primitive_t primitive_ = nullptr;
  std::vector<dnnl_exec_arg_t> arguments_;
};

// What the two versions do differently.
enum class primitive { layer, batch, group };
dnnl_primitive_desc_t describe(primitive which, const simdnorm_peer_task& t, dnnl_prop_kind_t kind,
                               const memory_layout& layout, unsigned flags) {
  dnnl_primitive_desc_t about = nullptr;
#if DNNL_VERSION_MAJOR >= 3
  if (which == primitive::layer) {
    require(dnnl_layer_normalization_forward_primitive_desc_create(&about, dnnl.engine, kind, layout.get(),
                                                                   layout.get(), nullptr, t.epsilon, flags, nullptr),
            "layer_normalization");
  } else if (which == primitive::batch) {
    require(dnnl_batch_normalization_forward_primitive_desc_create(&about, dnnl.engine, kind, layout.get(),
                                                                   layout.get(), t.epsilon, flags, nullptr),
            "batch_normalization");
  } else {
    require(dnnl_group_normalization_forward_primitive_desc_create(&about, dnnl.engine, kind, layout.get(),
                                                                   layout.get(), static_cast<dnnl_dim_t>(t.groups),
                                                                   t.epsilon, flags, nullptr),
            "group_normalization");
  }
#else
  if (which == primitive::layer) {
    dnnl_layer_normalization_desc_t d;
    require(dnnl_layer_normalization_forward_desc_init(&d, kind, layout.get(), nullptr, t.epsilon, flags),
            "layer_normalization");
    require(dnnl_primitive_desc_create(&about, &d, nullptr, dnnl.engine, nullptr), "layer_normalization");
  } else if (which == primitive::batch) {
    dnnl_batch_normalization_desc_t d;
    require(dnnl_batch_normalization_forward_desc_init(&d, kind, layout.get(), t.epsilon, flags),
            "batch_normalization");
    require(dnnl_primitive_desc_create(&about, &d, nullptr, dnnl.engine, nullptr), "batch_normalization");
  } else {
    throw std::runtime_error("group_normalization: version 2 has none");
  }
#endif
  return about;
}
dnnl_primitive_desc_t describe_addition(const memory_layout& layout) {
  dnnl_primitive_desc_t about = nullptr;
#if DNNL_VERSION_MAJOR >= 3
  require(dnnl_binary_primitive_desc_create(&about, dnnl.engine, dnnl_binary_add, layout.get(), layout.get(),
                                            layout.get(), nullptr),
          "binary");
#else
  dnnl_binary_desc_t d;
  require(dnnl_binary_desc_init(&d, dnnl_binary_add, layout.get(), layout.get(), layout.get()), "binary");
  require(dnnl_primitive_desc_create(&about, &d, nullptr, dnnl.engine, nullptr), "binary");
#endif
  return about;
}

class norm final : public job {
 public:
  norm(const simdnorm_peer_task& t, view v) {
    const bool own = v == view::blocked || v == view::nhwc;
    const memory_layout vector({static_cast<dnnl_dim_t>(parameters(t))}, dnnl_a);
    const memory_layout matrix = layout_of(t, v);
    const void* from = t.x;
    void* to = t.y;
    if (own) {
      const memory_layout given = layout_of(t, view::nchw);
      // From the start of a page on, as the others' memory.
      const std::size_t bytes = (dnnl_memory_desc_get_size(matrix.get()) + 4095) / 4096 * 4096;
      for (auto& m : own_) m.reset(static_cast<float*>(std::aligned_alloc(4096, bytes)));
      if (!own_[0] || !own_[1]) throw std::bad_alloc();
      std::memset(own_[0].get(), 0, bytes);
      std::memset(own_[1].get(), 0, bytes);
      reorder(given, t.x, matrix, own_[0].get())->submit();
      dnnl_stream_wait(dnnl.stream);
      from = own_[0].get();
      to = own_[1].get();
      back_ = reorder(matrix, to, given, t.y);
    }

    const bool rms = t.operation == SIMDNORM_PEER_RMS_NORM || t.operation == SIMDNORM_PEER_ADD_RMS_NORM;
    const bool training =
        t.operation == SIMDNORM_PEER_BATCH_NORM_TRAINING || t.operation == SIMDNORM_PEER_BATCH_NORM_TRAINING_NCHW;
    const bool inference =
        t.operation == SIMDNORM_PEER_BATCH_NORM_INFERENCE || t.operation == SIMDNORM_PEER_BATCH_NORM_INFERENCE_NCHW;
    const bool groups = t.operation == SIMDNORM_PEER_GROUP_NORM || t.operation == SIMDNORM_PEER_INSTANCE_NORM;
    unsigned flags = dnnl_use_scale;
    if (!rms) flags |= dnnl_use_shift;
    if (inference) flags |= dnnl_use_global_stats;
#if DNNL_VERSION_MAJOR >= 3
    if (rms) flags |= rms_flag;
#endif

    if (has_residual(t.operation)) {
      // The sum lies in y, where the norm works in place: less memory than through a third matrix.
      add(describe_addition(matrix));
      steps_.back()->add(DNNL_ARG_SRC_0, matrix, t.x);
      steps_.back()->add(DNNL_ARG_SRC_1, matrix, t.residual);
      steps_.back()->add(DNNL_ARG_DST, matrix, t.y);
      from = t.y;
    }
    const primitive which = training || inference ? primitive::batch : groups ? primitive::group : primitive::layer;
    add(describe(which, t, training ? dnnl_forward_training : dnnl_forward_inference, matrix, flags));
    statistics_.resize(training ? 2 * parameters(t) : 0);
    step& last = *steps_.back();
    last.add(DNNL_ARG_SRC, matrix, from);
    last.add(DNNL_ARG_DST, matrix, to);
    last.add(DNNL_ARG_SCALE, vector, t.gamma);
    if (!rms) last.add(DNNL_ARG_SHIFT, vector, t.beta);
    if (training || inference) {
      last.add(DNNL_ARG_MEAN, vector, training ? statistics_.data() : t.mean);
      last.add(DNNL_ARG_VARIANCE, vector, training ? statistics_.data() + parameters(t) : t.variance);
    }
  }

  void run() override {
    for (const auto& each : steps_) each->submit();
    dnnl_stream_wait(dnnl.stream);
  }
  void finish() override {
    if (!back_) return;
    back_->submit();
    dnnl_stream_wait(dnnl.stream);
  }

 private:
  struct deleter {
    void operator()(float* p) const noexcept { std::free(p); }
  };
  std::unique_ptr<float, deleter> own_[2];
  std::vector<std::unique_ptr<step>> steps_;
  std::unique_ptr<step> back_;
  std::vector<float> statistics_;

  void add(dnnl_primitive_desc_t about) {
    steps_.push_back(std::make_unique<step>(about));
  }
  static std::unique_ptr<step> reorder(const memory_layout& from, const void* x, const memory_layout& to, void* y) {
    dnnl_primitive_desc_t about = nullptr;
    require(dnnl_reorder_primitive_desc_create(&about, from.get(), dnnl.engine, to.get(), dnnl.engine, nullptr),
            "reorder");
    auto s = std::make_unique<step>(about);
    s->add(DNNL_ARG_FROM, from, x);
    s->add(DNNL_ARG_TO, to, y);
    return s;
  }
};

std::unique_ptr<job> make(const simdnorm_peer_task& task, bool own_layout) {
  std::vector<view> views = {view::plain};
  if (has_channels(task.operation)) {
    views = {view::nchw};
    if (own_layout) views = {view::blocked, view::nhwc};
  } else if (task.operation == SIMDNORM_PEER_BATCH_NORM_TRAINING ||
             task.operation == SIMDNORM_PEER_BATCH_NORM_INFERENCE) {
    // N samples, or one image of N places: which is faster depends on the shape (1.8 ms against 1.2 for
    // 1024 x 4096, the other way round for 65536 x 64).
    views = {view::batch, view::image};
  }
  std::vector<std::function<std::unique_ptr<job>()>> ways;
  for (const view v : views) ways.push_back([=, &task] { return std::make_unique<norm>(task, v); });
  return fastest(task, std::move(ways));
}

// The one that is linked into PyTorch may lack it.
bool has_group_norm() {
#if defined(SIMDNORM_PEER_DNNL_INSIDE)
  return dnnl_inside_has("dnnl_group_normalization_forward_primitive_desc_create");
#else
  return true;
#endif
}

}  // namespace

description open(const simdnorm_peer_setup& setup) {
#if defined(SIMDNORM_PEER_DNNL_INSIDE)
  find_dnnl_inside(setup.site);
#endif
  const dnnl_version_t* v = dnnl_version();
  if (v->major != DNNL_VERSION_MAJOR) throw std::runtime_error("this is oneDNN " + std::to_string(v->major));
  if (!dnnl.stream) {
    require(dnnl_engine_create(&dnnl.engine, dnnl_cpu, 0), "CPU engine");
    require(dnnl_stream_create(&dnnl.stream, dnnl.engine, dnnl_stream_default_flags), "stream");
  }
  description d;
  d.version = std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
  d.threads = setup.threads;
  const unsigned batch_norm =
      bit(SIMDNORM_PEER_BATCH_NORM_TRAINING_NCHW) | bit(SIMDNORM_PEER_BATCH_NORM_INFERENCE_NCHW);
  const unsigned group_norm =
      v->major >= 3 && has_group_norm() ? bit(SIMDNORM_PEER_GROUP_NORM) | bit(SIMDNORM_PEER_INSTANCE_NORM) : 0;
  if (std::string(setup.name).ends_with("_layout")) {
    d.own_layout = true;
    d.operations[SIMDNORM_PEER_F32] = batch_norm | group_norm;
    d.note = "over x in nChw16c or nhwc, whichever is faster; reorders are not in the figure; out of best_library";
    d.make = [](const simdnorm_peer_task& t) { return make(t, true); };
    return d;
  }
  unsigned& operations = d.operations[SIMDNORM_PEER_F32];
  operations = bit(SIMDNORM_PEER_LAYER_NORM) | bit(SIMDNORM_PEER_ADD_LAYER_NORM) |
               bit(SIMDNORM_PEER_BATCH_NORM_TRAINING) | bit(SIMDNORM_PEER_BATCH_NORM_INFERENCE) | batch_norm |
               group_norm;
  d.note =
      "OpenMP; one primitive by the C interface, of a residual two: binary, then the norm in place; batch norm over "
      "the faster of two views of [N, C], and over plain NCHW";
  d.make = [](const simdnorm_peer_task& t) { return make(t, false); };
  // Versions before the flag answer that the arguments are invalid; 2 is not even given it.
  if (v->major >= 3 && refusal(d, SIMDNORM_PEER_RMS_NORM, SIMDNORM_PEER_F32).empty()) {
    operations |= bit(SIMDNORM_PEER_RMS_NORM) | bit(SIMDNORM_PEER_ADD_RMS_NORM);
  } else {
    d.note += "; this version has no RMS norm";
  }
  if (group_norm == 0) d.note += "; no group norm";
  if (v->major == 3 && std::string(setup.name) == "onednn3") {
    d.note += "; newer ones are in PyTorch (onednn_torch) or run on SYCL alone";
  }
  for (const simdnorm_peer_type type : half_types) ask_for(d, type);
  return d;
}

}  // namespace simdnorm_peers

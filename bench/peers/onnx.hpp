// SPDX-License-Identifier: Apache-2.0
//
// An ONNX model of a node or a few, as bytes: protobuf's wire format written out, so that neither protobuf
// nor the onnx package is needed. Field numbers are those of onnx.proto3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "plugin.hpp"

namespace simdnorm_peers::onnx {

class message {
 public:
  message& integer(unsigned field, std::int64_t value) {
    varint(field << 3);
    varint(static_cast<std::uint64_t>(value));
    return *this;
  }
  message& real(unsigned field, float value) {
    varint(field << 3 | 5);
    char raw[4];
    std::memcpy(raw, &value, 4);
    bytes_.append(raw, 4);
    return *this;
  }
  message& text(unsigned field, const std::string& value) {
    varint(field << 3 | 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  message& part(unsigned field, const message& value) { return text(field, value.bytes_); }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
  void varint(std::uint64_t v) {
    for (; v >= 0x80; v >>= 7) bytes_ += static_cast<char>(v | 0x80);
    bytes_ += static_cast<char>(v);
  }
};

inline message integer_attribute(const char* name, std::int64_t value) {
  return message().text(1, name).integer(3, value).integer(20, 2);
}
inline message real_attribute(const char* name, float value) {
  return message().text(1, name).real(2, value).integer(20, 1);
}

using shape = std::vector<std::int64_t>;

inline message integers_attribute(const char* name, const shape& values) {
  message m;
  m.text(1, name);
  for (const std::int64_t v : values) m.integer(8, v);
  return m.integer(20, 7);
}

// TensorProto's numbers of element types, which ONNX Runtime's interface has, too.
constexpr int element_int64 = 7;
constexpr int element_of(simdnorm_peer_type type) {
  return type == SIMDNORM_PEER_BF16 ? 16 : type == SIMDNORM_PEER_F16 ? 10 : 1;
}

struct constant {
  std::string name;
  shape dims;
  std::string raw;
  int element;

  constant(std::string n, const void* data, shape d, simdnorm_peer_type type = SIMDNORM_PEER_F32)
      : name(std::move(n)), dims(std::move(d)), element(element_of(type)) {
    std::size_t size = bytes_of(type);
    for (const std::int64_t k : dims) size *= static_cast<std::size_t>(k);
    raw.resize(size);
    std::memcpy(raw.data(), data, size);
  }
  constant(std::string n, const shape& values)
      : name(std::move(n)), dims{static_cast<std::int64_t>(values.size())}, element(element_int64) {
    raw.resize(values.size() * sizeof(std::int64_t));
    std::memcpy(raw.data(), values.data(), raw.size());
  }
};

struct node {
  std::string type;
  std::vector<std::string> in;
  std::string out;
  std::vector<message> attributes = {};
  std::string domain = {};
};

constexpr const char* contributed = "com.microsoft";

// y of x, and of a residual r where there is one, all of one shape; the rest are constants.
inline std::string model(const std::vector<node>& nodes, int opset, const shape& dims, bool residual,
                         const std::vector<constant>& constants, simdnorm_peer_type type = SIMDNORM_PEER_F32) {
  message graph;
  for (const node& n : nodes) {
    message m;
    for (const std::string& name : n.in) m.text(1, name);
    m.text(2, n.out).text(4, n.type).text(7, n.domain);
    for (const message& a : n.attributes) m.part(5, a);
    graph.part(1, m);
  }
  graph.text(2, "norm");
  for (const constant& c : constants) {
    message m;
    for (const std::int64_t n : c.dims) m.integer(1, n);
    graph.part(5, m.integer(2, c.element).text(8, c.name).text(9, c.raw));
  }
  const auto value = [&](const char* name) {
    message s;
    for (const std::int64_t n : dims) s.part(1, message().integer(1, n));
    return message().text(1, name).part(2, message().part(1, message().integer(1, element_of(type)).part(2, s)));
  };
  graph.part(11, value("x"));
  if (residual) graph.part(11, value("r"));
  graph.part(12, value("y"));
  // Version 8 of the format carries every operation used here up to opset 22; 23 came with version 10.
  message whole;
  whole.integer(1, opset >= 23 ? 10 : 8).part(7, graph);
  whole.part(8, message().text(1, "").integer(2, opset)).part(8, message().text(1, contributed).integer(2, 1));
  return whole.bytes();
}

// The models of a task, each a way to the same result. A node is the one of the operator's first version.
// contrib: with ONNX Runtime's own operators.
inline std::vector<std::string> norms(const simdnorm_peer_task& t, bool contrib) {
  const auto channels = static_cast<std::int64_t>(t.channels), groups = static_cast<std::int64_t>(t.groups);
  const shape dims = dimensions(t), vector = {static_cast<std::int64_t>(parameters(t))};
  const constant gamma("gamma", t.gamma_of_type, vector, t.type), beta("beta", t.beta_of_type, vector, t.type);
  const message epsilon = real_attribute("epsilon", t.epsilon);
  const std::vector<message> last_axis = {integer_attribute("axis", -1), epsilon};
  switch (t.operation) {
    case SIMDNORM_PEER_LAYER_NORM:
      return {model({{"LayerNormalization", {"x", "gamma", "beta"}, "y", last_axis}}, 17, dims, false, {gamma, beta},
                    t.type)};
    case SIMDNORM_PEER_RMS_NORM:
      return {model({{"RMSNormalization", {"x", "gamma"}, "y", last_axis}}, 23, dims, false, {gamma}, t.type)};
    case SIMDNORM_PEER_BATCH_NORM_INFERENCE:
    case SIMDNORM_PEER_BATCH_NORM_INFERENCE_NCHW:
      return {model({{"BatchNormalization", {"x", "gamma", "beta", "mean", "variance"}, "y", {epsilon}}}, 15, dims,
                    false, {gamma, beta, {"mean", t.mean, vector}, {"variance", t.variance, vector}})};
    case SIMDNORM_PEER_INSTANCE_NORM:
      return {
          model({{"InstanceNormalization", {"x", "gamma", "beta"}, "y", {epsilon}}}, 6, dims, false, {gamma, beta})};
    case SIMDNORM_PEER_GROUP_NORM: {
      // The operator, and what exporters write for older opsets: groups as channels of an instance norm.
      const std::vector<float> ones(t.groups, 1.0f), zeros(t.groups, 0.0f);
      const shape plane = {channels, 1, 1};
      return {
          model(
              {{"GroupNormalization", {"x", "gamma", "beta"}, "y", {epsilon, integer_attribute("num_groups", groups)}}},
              21, dims, false, {gamma, beta}),
          model({{"Reshape", {"x", "in_groups"}, "a"},
                 {"InstanceNormalization", {"a", "ones", "zeros"}, "b", {epsilon}},
                 {"Reshape", {"b", "whole"}, "c"},
                 {"Mul", {"c", "gamma"}, "d"},
                 {"Add", {"d", "beta"}, "y"}},
                17, dims, false,
                {{"in_groups", {dims[0], groups, -1}},
                 {"ones", ones.data(), {groups}},
                 {"zeros", zeros.data(), {groups}},
                 {"whole", dims},
                 {"gamma", t.gamma, plane},
                 {"beta", t.beta, plane}})};
    }
    case SIMDNORM_PEER_ADD_LAYER_NORM: {
      std::vector<std::string> ways = {
          model({{"Add", {"x", "r"}, "h"}, {"LayerNormalization", {"h", "gamma", "beta"}, "y", last_axis}}, 17, dims,
                true, {gamma, beta})};
      if (contrib) {
        ways.push_back(model({{"SkipLayerNormalization", {"x", "r", "gamma", "beta"}, "y", {epsilon}, contributed}}, 17,
                             dims, true, {gamma, beta}));
      }
      return ways;
    }
    case SIMDNORM_PEER_ADD_RMS_NORM: {
      std::vector<std::string> ways = {model(
          {{"Add", {"x", "r"}, "h"}, {"RMSNormalization", {"h", "gamma"}, "y", last_axis}}, 23, dims, true, {gamma})};
      if (contrib) {
        ways.push_back(model({{"SkipSimplifiedLayerNormalization", {"x", "r", "gamma"}, "y", {epsilon}, contributed}},
                             17, dims, true, {gamma}));
      }
      return ways;
    }
    case SIMDNORM_PEER_L2_NORM: {
      // The operator, and what exporters write for torch.nn.functional.normalize.
      const shape last = {-1};
      return {model({{"LpNormalization", {"x"}, "y", {integer_attribute("axis", -1), integer_attribute("p", 2)}}}, 17,
                    dims, false, {}),
              model({{"ReduceL2", {"x"}, "a", {integers_attribute("axes", last), integer_attribute("keepdims", 1)}},
                     {"Max", {"a", "least"}, "b"},
                     {"Div", {"x", "b"}, "y"}},
                    17, dims, false, {{"least", &t.epsilon, {1}}})};
    }
    default:
      throw std::runtime_error("not an operator of ONNX");
  }
}

}  // namespace simdnorm_peers::onnx

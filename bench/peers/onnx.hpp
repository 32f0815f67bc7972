// SPDX-License-Identifier: Apache-2.0
//
// An ONNX model of one node, as bytes: protobuf's wire format written out, so that neither protobuf nor
// the onnx package is needed. Field numbers are those of onnx.proto3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "peer.h"

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

struct parameter {
  std::string name;
  const float* data;
  std::size_t size;
};

// y = type(x, parameters...): x and y are [rows, cols], the parameters constants.
inline std::string model(const char* type, int opset, std::size_t rows, std::size_t cols,
                         const std::vector<parameter>& parameters, const std::vector<message>& attributes) {
  const auto value = [&](const char* name) {
    const auto dim = [](std::size_t n) { return message().integer(1, static_cast<std::int64_t>(n)); };
    message shape;
    shape.part(1, dim(rows)).part(1, dim(cols));
    const message tensor = message().integer(1, 1).part(2, shape);
    return message().text(1, name).part(2, message().part(1, tensor));
  };
  message node;
  node.text(1, "x");
  for (const parameter& p : parameters) node.text(1, p.name);
  node.text(2, "y").text(4, type);
  for (const message& a : attributes) node.part(5, a);
  message graph;
  graph.part(1, node).text(2, "norm");
  for (const parameter& p : parameters) {
    std::string raw(p.size * sizeof(float), '\0');
    std::memcpy(raw.data(), p.data, raw.size());
    graph.part(5, message().integer(1, static_cast<std::int64_t>(p.size)).integer(2, 1).text(8, p.name).text(9, raw));
  }
  graph.part(11, value("x")).part(12, value("y"));
  // Version 8 of the format carries every operation used here up to opset 22; 23 came with version 10.
  message whole;
  whole.integer(1, opset >= 23 ? 10 : 8).part(7, graph).part(8, message().text(1, "").integer(2, opset));
  return whole.bytes();
}

// The model of a task; the node is the one of the operator's first version.
inline std::string norm(const simdnorm_peer_task& t) {
  const parameter gamma{"gamma", t.gamma, t.cols}, beta{"beta", t.beta, t.cols};
  const std::vector<message> last_axis = {integer_attribute("axis", -1), real_attribute("epsilon", t.epsilon)};
  switch (t.operation) {
    case SIMDNORM_PEER_LAYER_NORM:
      return model("LayerNormalization", 17, t.rows, t.cols, {gamma, beta}, last_axis);
    case SIMDNORM_PEER_RMS_NORM:
      return model("RMSNormalization", 23, t.rows, t.cols, {gamma}, last_axis);
    case SIMDNORM_PEER_BATCH_NORM_INFERENCE:
      return model("BatchNormalization", 15, t.rows, t.cols,
                   {gamma, beta, {"mean", t.mean, t.cols}, {"variance", t.variance, t.cols}},
                   {real_attribute("epsilon", t.epsilon)});
    default:
      throw std::runtime_error("not an operator of ONNX");
  }
}

}  // namespace simdnorm_peers::onnx

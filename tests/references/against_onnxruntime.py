# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime: models of one node on its CPU provider."""
import functools

import numpy
import onnx
import onnxruntime

import operations
from comparing import f32

PEER = "ORT"


def version():
    return "ONNX Runtime " + onnxruntime.__version__


@functools.lru_cache(maxsize=None)
def session(operator, ranks, outputs, opset, domain, attributes):
    """A model of one node; every dimension of its inputs (of these ranks) is free."""
    names = ["x%d" % i for i in range(len(ranks))]
    results = ["y%d" % i if used else "" for i, used in enumerate(outputs)]
    node = onnx.helper.make_node(operator, names, results, domain=domain, **dict(attributes))
    graph = onnx.helper.make_graph(
        [node], operator,
        [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [None] * rank) for n, rank in zip(names, ranks)],
        [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in results if n])
    imports = [onnx.helper.make_opsetid("", opset)]
    if domain:
        imports.append(onnx.helper.make_opsetid(domain, 1))
    model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(operator, inputs, outputs=(True,), opset=17, domain="", **attributes):
    s = session(operator, tuple(x.ndim for x in inputs), tuple(outputs), opset, domain,
                tuple(sorted(attributes.items())))
    return s.run(None, {"x%d" % i: x for i, x in enumerate(inputs)})


def ones(gamma, n):
    return numpy.ones(n, f32) if gamma is None else gamma


def zeros(beta, n):
    return numpy.zeros(n, f32) if beta is None else beta


def layer_norm(x, gamma, beta, epsilon):
    inputs = [x, ones(gamma, x.shape[1])] + ([beta] if beta is not None else [])
    return run("LayerNormalization", inputs, epsilon=epsilon)[0]


def compare_layer_norm(c):
    operations.layer_norm(c, layer_norm, operations.as_float)


def compare_layer_norm_statistics(c):
    def peer(x, epsilon):
        _, mean, rstd = run("LayerNormalization", [x, ones(None, x.shape[1])], (True, True, True), epsilon=epsilon)
        return mean[:, 0], rstd[:, 0]

    operations.layer_norm_statistics(c, peer, operations.as_float)


def rms_norm(x, weight, epsilon):
    return run("RMSNormalization", [x, ones(weight, x.shape[1])], opset=23, epsilon=epsilon)[0]


def compare_rms_norm(c):
    operations.rms_norm(c, rms_norm, operations.as_float)


def compare_nan_and_infinity(c):
    operations.nan_and_infinity(c, {
        "layer_norm": lambda x: layer_norm(x, None, None, 1e-5),
        "rms_norm": lambda x: rms_norm(x, None, 1e-5),
    })


def batch_norm(x, gamma, beta, mean, variance, training, outputs, **attributes):
    cols = x.shape[1]
    return run("BatchNormalization", [x, ones(gamma, cols), zeros(beta, cols), mean, variance], outputs, opset=15,
               training_mode=training, **attributes)


def compare_batch_norm_training(c):
    def peer(x, gamma, beta, mean, variance, momentum, epsilon):
        return batch_norm(x, gamma, beta, mean, variance, 1, (True, True, True), epsilon=epsilon, momentum=1 - momentum)

    operations.batch_norm_training(c, peer, operations.as_float, biased=True)


def compare_batch_norm_inference(c):
    operations.batch_norm_inference(c, lambda x, gamma, beta, mean, variance, epsilon: batch_norm(
        x, gamma, beta, mean, variance, 0, (True,), epsilon=epsilon)[0], operations.as_float)


# ---- norms of a sum: ONNX Runtime's own operators -----------------------------------------------------------------


def compare_add_layer_norm(c):
    def peer(x, residual, bias, gamma, beta, epsilon):
        inputs = [x, residual, gamma, beta] + ([bias] if bias is not None else [])
        # It takes [batch, tokens, features].
        inputs[:2] = [v[None] for v in inputs[:2]]
        y, h = run("SkipLayerNormalization", inputs, (True, False, False, True), domain="com.microsoft", epsilon=epsilon)
        return y[0], h[0]

    operations.add_norm(c, "add_layer_norm", peer, operations.as_float)


def compare_add_rms_norm(c):
    def peer(x, residual, bias, weight, beta, epsilon):
        inputs = [x[None], residual[None], weight] + ([bias] if bias is not None else [])
        y, h = run("SkipSimplifiedLayerNormalization", inputs, (True, False, False, True), domain="com.microsoft",
                   epsilon=epsilon)
        return y[0], h[0]

    operations.add_norm(c, "add_rms_norm", peer, operations.as_float, operations.one_after_the_other)


def compare_l2_norm(c):
    # It has no epsilon, and zeros for a row of zeros.
    operations.l2_norm(c, lambda x, epsilon: run("LpNormalization", [x], opset=22, axis=-1, p=2)[0],
                       operations.one_after_the_other)


# ---- tensors of channels ----------------------------------------------------------------------------------------


def compare_group_norm(c):
    def peer(x, groups, gamma, beta, epsilon):
        inputs = [numpy.ascontiguousarray(x), ones(gamma, x.shape[1]), zeros(beta, x.shape[1])]
        return run("GroupNormalization", inputs, opset=21, epsilon=epsilon, num_groups=groups)[0]

    operations.group_norm(c, peer, operations.as_float)


def compare_instance_norm(c):
    def peer(x, groups, gamma, beta, epsilon):
        inputs = [numpy.ascontiguousarray(x), ones(gamma, x.shape[1]), zeros(beta, x.shape[1])]
        return run("InstanceNormalization", inputs, opset=22, epsilon=epsilon)[0]

    operations.group_norm(c, peer, operations.as_float, instance=True)


def compare_batch_norm_training_nd(c):
    def peer(x, gamma, beta, mean, variance, momentum, epsilon):
        return batch_norm(numpy.ascontiguousarray(x), gamma, beta, mean, variance, 1, (True, True, True),
                          epsilon=epsilon, momentum=1 - momentum)

    operations.batch_norm_training_nd(c, peer, operations.as_float, biased=True)


def compare_batch_norm_inference_nd(c):
    operations.batch_norm_inference_nd(c, lambda x, gamma, beta, mean, variance, epsilon: batch_norm(
        numpy.ascontiguousarray(x), gamma, beta, mean, variance, 0, (True,), epsilon=epsilon)[0], operations.as_float)

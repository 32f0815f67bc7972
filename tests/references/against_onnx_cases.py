# SPDX-License-Identifier: Apache-2.0
"""The test cases of the ONNX operator specification (onnx.backend.test), for every operator that normalizes.

A comparison for each operator; compare_no_operator_is_missing holds them against what the specification has. Outputs
must match the case's to the tolerance that the case names, and the exact result by the gate.
"""
import importlib
import pathlib

import numpy
import onnx
import onnx.backend.test.case.node as node_cases

from comparing import (Absent, Truth, exact_moments, exact_normalized, exact_rms, exact_rstd, f32, mean_truth, real,
                       rstd_truth, ulp)
from operations import all_but_channels, by_channel, running_truth

PEER = "ONNX"
NOT_THERE = ("LpNormalization_of_p_1",)


def version():
    return "ONNX %s, opset %d" % (onnx.__version__, onnx.defs.onnx_opset_version())


def cases_of(operator):
    """collect_testcases() makes those of all 200 operators on the way, which takes seconds; here only the files that
    name this one are imported."""
    def import_naming(package):
        for path in sorted(pathlib.Path(package.__file__).parent.glob("*.py")):
            if '"%s"' % operator in path.read_text():
                importlib.import_module(package.__name__ + "." + path.stem)

    node_cases.import_recursive = import_naming
    with numpy.errstate(all="ignore"):
        return node_cases.collect_testcases(operator)


class Outputs:
    """What a node gives: a call of simdnorm that returns the outputs, and the exact ones."""

    def __init__(self, call, *truths):
        self.call, self.truths = call, truths


def each_case(c, operator, run, only=lambda attributes: True):
    """run(attributes, inputs, outputs asked for) -> Outputs"""
    cases = cases_of(operator)
    ran = expanded = 0
    missing = []
    for case in cases:
        nodes = case.model.graph.node
        if len(nodes) != 1 or nodes[0].op_type != operator:
            expanded += 1  # the same numbers, for a model in which the operator is written in simpler ones
            continue
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in nodes[0].attribute}
        if not only(attributes):
            continue
        ran += 1
        for inputs, outputs in case.data_sets:
            try:
                result = run(attributes, [numpy.ascontiguousarray(x) for x in inputs], len(outputs))
            except Absent as absent:
                missing.append("%s: %s" % (case.name, absent))
                continue
            values = c.for_each_isa(case.name, result.call)
            if len(values) != len(outputs) or len(result.truths) != len(outputs):
                c.fail("%s: %d outputs instead of %d" % (case.name, len(values), len(outputs)))
            for k, (ours, theirs, truth) in enumerate(zip(values, outputs, result.truths)):
                c.check("output %d" % k, case.name, ours, numpy.asarray(theirs), truth, rtol=case.rtol, atol=case.atol)
                print("  %-52s output %d, %s: ours %.3g, the case's %.3g"
                      % (case.name, k, "x".join(map(str, ours.shape)), truth.errors(ours).max(),
                         truth.errors(theirs).max()))
    print("%s: %d cases of %d, and %d expanded forms of them, which have the same numbers"
          % (operator, ran, len(cases) - expanded, expanded))
    if ran == 0:
        c.fail("%s: no cases" % operator)
    c.absent += missing


def rows_from(x, axis):
    """x as a matrix whose rows are the dimensions from axis on."""
    axis %= x.ndim
    return x.reshape(int(numpy.prod(x.shape[:axis])), -1), x.shape[:axis] + (1,) * (x.ndim - axis)


def layer_normalization(c):
    def run(attributes, inputs, count):
        x, gamma = inputs[:2]
        beta = inputs[2] if len(inputs) > 2 else None
        matrix, statistics = rows_from(x, attributes.get("axis", -1))
        epsilon = attributes.get("epsilon", float(f32(1e-5)))

        def call():
            y, m, s = numpy.full_like(matrix, -1), numpy.zeros(len(matrix), f32), numpy.zeros(len(matrix), f32)
            c.simdnorm.layer_norm(matrix, y, c.simdnorm.options(
                "layer_norm", epsilon=epsilon, gamma=gamma.ravel(), beta=None if beta is None else beta.ravel(), mean=m,
                rstd=s))
            return (y.reshape(x.shape), m.reshape(statistics), s.reshape(statistics))[:count]

        truth = Truth(exact_normalized(matrix, 1, epsilon).reshape(x.shape), gamma, beta)
        mean, variance = exact_moments(matrix, 1)
        return Outputs(call, *[truth, mean_truth(mean.reshape(statistics), numpy.sqrt(variance.reshape(statistics))),
                               rstd_truth(exact_rstd(variance, epsilon).reshape(statistics))][:count])

    return run


def compare_LayerNormalization(c):
    each_case(c, "LayerNormalization", layer_normalization(c))


def compare_RMSNormalization(c):
    def run(attributes, inputs, count):
        x, weight = inputs
        matrix, _ = rows_from(x, attributes.get("axis", -1))
        epsilon = attributes.get("epsilon", float(f32(1e-5)))

        def call():
            y = numpy.full_like(matrix, -1)
            c.simdnorm.rms_norm(matrix, y, c.simdnorm.options("rms_norm", epsilon=epsilon, weight=weight.ravel()))
            return y.reshape(x.shape)

        return Outputs(call, Truth(exact_rms(matrix, 1, epsilon).reshape(x.shape), weight))

    each_case(c, "RMSNormalization", run)


def channels_last(x):
    """NCHW as a matrix of pixels, and back."""
    moved = numpy.ascontiguousarray(numpy.moveaxis(x, 1, -1))
    return moved.reshape(-1, x.shape[1]), lambda y: numpy.moveaxis(y.reshape(moved.shape), -1, 1)


def compare_BatchNormalization(c):
    def run(attributes, inputs, count):
        x, gamma, beta, mean, variance = inputs
        epsilon = attributes.get("epsilon", float(f32(1e-5)))
        matrix, back = channels_last(x)
        fields = {"epsilon": epsilon, "gamma": gamma, "beta": beta}
        by = [by_channel(v.astype(real), x.ndim) for v in (gamma, beta, mean, variance)]
        if not attributes.get("training_mode", 0):
            def call():
                y = numpy.full_like(matrix, -1)
                c.simdnorm.batch_norm_inference(matrix, y, mean, variance, c.simdnorm.options("batch_norm_inference", **fields))
                return back(y)

            return Outputs(call, Truth((x.astype(real) - by[2]) * exact_rstd(by[3], epsilon), by[0], by[1]))

        momentum = 1 - attributes.get("momentum", 0.9)  # of what was before, in ONNX

        def call():
            y, m, v = numpy.full_like(matrix, -1), mean.copy(), variance.copy()
            c.simdnorm.batch_norm_training(matrix, y, c.simdnorm.options(
                "batch_norm_training", momentum=momentum, biased_running_variance=1, running_mean=m, running_variance=v, **fields))
            return back(y), m, v

        batch_mean, batch_variance = exact_moments(matrix, 0)
        unit = real(2.0) ** -23
        return Outputs(
            call, Truth(back(exact_normalized(matrix, 0, epsilon)), by[0], by[1]),
            running_truth(mean, momentum, batch_mean[0], numpy.sqrt(batch_variance[0]) * unit),
            running_truth(variance, momentum, batch_variance[0], batch_variance[0] * unit))

    each_case(c, "BatchNormalization", run)


def compare_MeanVarianceNormalization(c):
    def run(attributes, inputs, count):
        # (x - mean) / (std + 1e-9): epsilon is next to the deviation, and vanishes beside that of the cases.
        x, = inputs
        if list(attributes.get("axes", [0, 2, 3])) != [0, 2, 3]:
            raise Absent("axes other than 0, 2, 3")
        matrix, back = channels_last(x)

        def call():
            y = numpy.full_like(matrix, -1)
            c.simdnorm.batch_norm_training(matrix, y, c.simdnorm.options("batch_norm_training", epsilon=0))
            return back(y)

        mean, variance = exact_moments(matrix, 0)
        return Outputs(call, Truth(back((matrix.astype(real) - mean) / (numpy.sqrt(variance) + real(1e-9)))))

    each_case(c, "MeanVarianceNormalization", run)


def compare_BatchNormalization_of_tensors(c):
    """The same cases as they are, channels first."""
    def run(attributes, inputs, count):
        x, gamma, beta, mean, variance = inputs
        c.simdnorm.need("batch_norm_inference_nd", "batch_norm_training_nd")
        epsilon = attributes.get("epsilon", float(f32(1e-5)))
        fields = {"epsilon": epsilon, "gamma": gamma, "beta": beta}
        by = [by_channel(v.astype(real), x.ndim) for v in (gamma, beta, mean, variance)]
        if not attributes.get("training_mode", 0):
            def call():
                y = numpy.full_like(x, -1)
                c.simdnorm.batch_norm_inference_nd(x, y, mean, variance,
                                                   c.simdnorm.options("batch_norm_inference_nd", **fields))
                return y

            return Outputs(call, Truth((x.astype(real) - by[2]) * exact_rstd(by[3], epsilon), by[0], by[1]))

        momentum = 1 - attributes.get("momentum", 0.9)

        def call():
            y, m, v = numpy.full_like(x, -1), mean.copy(), variance.copy()
            c.simdnorm.batch_norm_training_nd(x, y, c.simdnorm.options(
                "batch_norm_training_nd", momentum=momentum, biased_running_variance=1, running_mean=m,
                running_variance=v, **fields))
            return y, m, v

        axes = all_but_channels(x)
        batch_mean, batch_variance = [v.ravel() for v in exact_moments(x, axes)]
        unit = real(2.0) ** -23
        return Outputs(
            call, Truth(exact_normalized(x, axes, epsilon), by[0], by[1]),
            running_truth(mean, momentum, batch_mean, numpy.sqrt(batch_variance) * unit),
            running_truth(variance, momentum, batch_variance, batch_variance * unit))

    each_case(c, "BatchNormalization", run)


def of_groups(c, name):
    def run(attributes, inputs, count):
        c.simdnorm.need(name)
        x, gamma, beta = inputs
        epsilon = attributes.get("epsilon", float(f32(1e-5)))
        groups = attributes.get("num_groups", x.shape[1])

        def call():
            y = numpy.full_like(x, -1)
            options = c.simdnorm.options(name, epsilon=epsilon, gamma=gamma, beta=beta)
            getattr(c.simdnorm, name)(x, y, *((groups,) if name == "group_norm" else ()), options)
            return y

        xhat = exact_normalized(x.reshape(x.shape[0], groups, -1), 2, epsilon).reshape(x.shape)
        return Outputs(call, Truth(xhat, by_channel(gamma, x.ndim), by_channel(beta, x.ndim)))

    return run


def compare_GroupNormalization(c):
    each_case(c, "GroupNormalization", of_groups(c, "group_norm"))


def compare_InstanceNormalization(c):
    each_case(c, "InstanceNormalization", of_groups(c, "instance_norm"))


def compare_LpNormalization(c):
    def run(attributes, inputs, count):
        c.simdnorm.need("l2_norm")
        x, = inputs
        axis = attributes.get("axis", -1)
        moved = numpy.ascontiguousarray(numpy.moveaxis(x, axis, -1))
        matrix = moved.reshape(-1, moved.shape[-1])

        def call():
            y = numpy.full_like(matrix, -1)
            c.simdnorm.l2_norm(matrix, y, c.simdnorm.options("l2_norm", epsilon=0))
            return numpy.moveaxis(y.reshape(moved.shape), -1, axis)

        length = numpy.sqrt(numpy.square(x.astype(real)).sum(axis=axis, keepdims=True))
        exact = x.astype(real) / numpy.where(length == 0, 1, length)
        return Outputs(call, Truth.of(exact, ulp(exact)))

    each_case(c, "LpNormalization", run, lambda attributes: attributes.get("p", 2) == 2)


def compare_LpNormalization_of_p_1(c):
    def run(attributes, inputs, count):
        raise Absent("there is no norm of p = 1")

    each_case(c, "LpNormalization", run, lambda attributes: attributes.get("p", 2) == 1)


def compare_no_operator_is_missing(c):
    names = {schema.name for schema in onnx.defs.get_all_schemas() if "Normalization" in schema.name}
    print("ONNX has " + ", ".join(sorted(names)))
    c.exactly("operators", "all", sorted(name for name in names if "compare_" + name in globals()), sorted(names))

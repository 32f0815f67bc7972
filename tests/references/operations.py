# SPDX-License-Identifier: Apache-2.0
"""What is compared, operation by operation; `peer` is the other library's way to compute it, over numpy arrays.

peer_epsilon(e) is the epsilon that the peer computes with: ONNX has it as a float.
"""
import math

import numpy

from comparing import (RTOL, Rows, Truth, columns, condition, exact_moments, exact_normalized, exact_rms, exact_rstd, f32,
                       mean_truth, ordinary_rows, real, rows, rstd_truth, tensors, ulp, weights)


def same(epsilon):
    return epsilon


def as_float(epsilon):
    return float(f32(epsilon))


def kind(name, r):
    return "%s, %s" % (name, "ordinary" if r.ordinary else "hard")


def affines(n):
    """What may be given of gamma and beta."""
    gamma, beta = weights(n)
    return [("plain", None, None), ("gamma", gamma, None), ("gamma, beta", gamma, beta)]


def layer_norm(c, peer, peer_epsilon=same):
    """peer(x, gamma, beta, epsilon) -> y"""
    for r in rows():
        epsilon = peer_epsilon(r.epsilon)
        xhat = exact_normalized(r.x, 1, epsilon)
        for name, gamma, beta in affines(r.x.shape[1]):
            def ours():
                y = numpy.full_like(r.x, -1)
                c.simdnorm.layer_norm(r.x, y, c.simdnorm.options("layer_norm", epsilon=epsilon, gamma=gamma, beta=beta))
                return y

            y, = c.for_each_isa(r.name, ours)
            c.check(kind(name, r), r.name, y, peer(r.x, gamma, beta, epsilon), Truth(xhat, gamma, beta), r.ordinary,
                    condition=condition(r.x, 1, epsilon))


def layer_norm_statistics(c, peer, peer_epsilon=same):
    """peer(x, epsilon) -> mean and rstd of rows"""
    for r in rows():
        epsilon = peer_epsilon(r.epsilon)
        n = r.x.shape[0]
        mean, variance = exact_moments(r.x, 1)
        if (variance + epsilon == 0).any():
            continue  # 1 / sqrt(0)

        def ours():
            y, m, s = numpy.full_like(r.x, -1), numpy.zeros(n, f32), numpy.zeros(n, f32)
            c.simdnorm.layer_norm(r.x, y, c.simdnorm.options("layer_norm", epsilon=epsilon, mean=m, rstd=s))
            return m, s

        m, s = c.for_each_isa(r.name, ours)
        peer_mean, peer_rstd = peer(r.x, epsilon)
        k = condition(r.x, 1, epsilon)[:, 0]
        c.check(kind("mean", r), r.name, m, peer_mean, mean_truth(mean[:, 0], numpy.sqrt(variance[:, 0])), r.ordinary,
                condition=k)
        c.check(kind("rstd", r), r.name, s, peer_rstd, rstd_truth(exact_rstd(variance[:, 0], epsilon)), r.ordinary,
                condition=k)


def rms_norm(c, peer, peer_epsilon=same):
    """peer(x, weight, epsilon) -> y"""
    for r in rows():
        epsilon = peer_epsilon(r.epsilon)
        xhat = exact_rms(r.x, 1, epsilon)
        for name, weight in [("plain", None), ("weight", weights(r.x.shape[1])[0])]:
            def ours():
                y = numpy.full_like(r.x, -1)
                c.simdnorm.rms_norm(r.x, y, c.simdnorm.options("rms_norm", epsilon=epsilon, weight=weight))
                return y

            y, = c.for_each_isa(r.name, ours)
            c.check(kind(name, r), r.name, y, peer(r.x, weight, epsilon), Truth(xhat, weight), r.ordinary)


def nan_and_infinity(c, peers):
    """peers: name of a row norm -> peer(x) -> y. The outputs that are NaN must be the same ones."""
    random = numpy.random.default_rng(5)
    for cols in (1, 5, 33, 257):
        for special in ((numpy.nan,), (numpy.inf,), (-numpy.inf,), (numpy.inf, -numpy.inf), (numpy.nan, numpy.inf)):
            x = random.normal(size=(3, cols)).astype(f32)
            for k, value in enumerate(special[:cols]):
                x[1, (k * 7) % cols] = value
            for name, peer in peers.items():
                def ours():
                    y = numpy.full_like(x, -1)
                    getattr(c.simdnorm, name)(x, y, None)
                    return y

                y, = c.for_each_isa(str(special), ours)
                c.same_nans(name, str(special), y, peer(x))


def running_truth(before, momentum, statistic, unit):
    """(1 - momentum) * before + momentum * statistic, rounded once; an error of the statistic counts momentum times."""
    exact = (1 - real(momentum)) * before.astype(real) + real(momentum) * statistic
    return Truth.of(exact, numpy.maximum(momentum * unit, ulp(exact) / 64), ulp(exact) * 0.50005)


def batch_norm_training_of(c, r, name, gamma, beta, momentum, peer, epsilon, biased=False):
    """peer(x, gamma, beta, running mean, running variance, momentum, epsilon) -> y, new mean, new variance; or None"""
    n, cols = r.x.shape
    random = numpy.random.default_rng(cols)
    before_mean = random.normal(size=cols).astype(f32)
    before_variance = random.uniform(0.5, 2, size=cols).astype(f32)

    def ours():
        y = numpy.full_like(r.x, -1)
        m, v = before_mean.copy(), before_variance.copy()
        c.simdnorm.batch_norm_training(r.x, y, c.simdnorm.options(
            "batch_norm_training", epsilon=epsilon, gamma=gamma, beta=beta, momentum=momentum, running_mean=m,
            running_variance=v, biased_running_variance=int(biased)))
        return y, m, v

    y, m, v = c.for_each_isa(r.name, ours)
    theirs = peer(r.x, gamma, beta, before_mean.copy(), before_variance.copy(), momentum, epsilon)
    peer_y, peer_mean, peer_variance = theirs if theirs is not None else (None, None, None)
    k = condition(r.x, 0, epsilon)
    c.check(kind("y, " + name, r), r.name, y, peer_y, Truth(exact_normalized(r.x, 0, epsilon), gamma, beta), r.ordinary,
            condition=k)
    mean, variance = exact_moments(r.x, 0)
    sigma = numpy.sqrt(variance[0])
    c.check(kind("running mean", r), r.name, m, peer_mean,
            running_truth(before_mean, momentum, mean[0], sigma * real(2.0) ** -23), r.ordinary, condition=k[0])
    if not biased:
        if n == 1:  # as it was; others make NaN of it
            c.exactly("running variance of one row", r.name, v, before_variance)
            return
        variance = variance * n / real(n - 1)
    c.check(kind("running variance", r), r.name, v, peer_variance,
            running_truth(before_variance, momentum, variance[0], variance[0] * real(2.0) ** -23), r.ordinary,
            condition=k[0])


def batch_norm_training(c, peer, peer_epsilon=same, biased=False):
    for r in columns():
        for name, gamma, beta in affines(r.x.shape[1]):
            batch_norm_training_of(c, r, name, gamma, beta, 0.125 if gamma is None else 0.0078125, peer,
                                   peer_epsilon(r.epsilon), biased)


IMAGES = [(2, 3, 5, 7), (4, 8, 8, 64), (3, 7, 7, 33), (2, 14, 14, 256)]  # N, H, W, C


def images():
    """Pixels as rows of channels, with their shape."""
    for shape in IMAGES:
        channels = shape[-1]
        random = numpy.random.default_rng(channels)
        for mean in (0, 1, 100):
            x = random.normal(mean, 1 + channels % 3, size=(shape[0] * shape[1] * shape[2], channels))
            yield shape, Rows("N(%g)" % mean, x, ordinary=mean < 100)


def batch_norm_inference(c, peer, peer_epsilon=same):
    """peer(x, gamma, beta, mean, variance, epsilon) -> y"""
    for r in columns():
        epsilon = peer_epsilon(r.epsilon)
        cols = r.x.shape[1]
        random = numpy.random.default_rng(cols)
        exact_mean, exact_variance = exact_moments(r.x, 0)
        mean = numpy.clip(exact_mean[0], -1e30, 1e30).astype(f32)
        variance = numpy.clip(exact_variance[0] * random.uniform(0.5, 2, size=cols), 0, 1e30).astype(f32)
        if (variance.astype(real) + epsilon <= 1e-30).any():
            continue  # divides by next to nothing
        rstd = exact_rstd(variance.astype(real), epsilon)
        xhat = (r.x.astype(real) - mean) * rstd
        if (numpy.abs(xhat) > 1e30).any():
            continue
        for name, gamma, beta in affines(cols):
            def ours():
                y = numpy.full_like(r.x, -1)
                c.simdnorm.batch_norm_inference(r.x, y, mean, variance, c.simdnorm.options(
                    "batch_norm_inference", epsilon=epsilon, gamma=gamma, beta=beta))
                return y

            y, = c.for_each_isa(r.name, ours)
            c.check(kind(name, r), r.name, y, peer(r.x, gamma, beta, mean, variance, epsilon),
                    Truth(xhat, gamma, beta), r.ordinary, condition=condition(r.x, 0, epsilon, mean, rstd))


# ---- L2 norm, and norms of a sum -------------------------------------------------------------------------


def one_after_the_other(n):
    """Half the bound of the relative error of a sum of n squares in floats: what it makes of their root."""
    return n * 2.0 ** -25


def pairwise(n):
    return 0


def l2_norm(c, peer, sums=pairwise, epsilon=1e-12):
    """peer(x, epsilon) -> y; sums: how well the peer adds up"""
    for r in rows():
        if r.name.startswith("subnormal") or r.name.startswith("constant subnormal"):
            continue  # below epsilon
        length = numpy.sqrt(numpy.square(r.x.astype(real)).sum(axis=1, keepdims=True))
        exact = r.x.astype(real) / numpy.maximum(length, epsilon)

        def ours():
            y = numpy.full_like(r.x, -1)
            c.simdnorm.l2_norm(r.x, y, c.simdnorm.options("l2_norm", epsilon=epsilon))
            return y

        y, = c.for_each_isa(r.name, ours)
        # Outputs are far below 1: in ulps of themselves.
        c.check(kind("y", r), r.name, y, peer(r.x, epsilon), Truth.of(exact, ulp(exact)), r.ordinary, atol=1e-7,
                rtol=max(RTOL, sums(r.x.shape[1])))


def add_norm(c, name, peer, peer_epsilon=same, sums=pairwise):
    """h = (x + bias) + residual, and the norm of it. peer(x, residual, bias, gamma, beta, epsilon) -> y, h"""
    layer = name == "add_layer_norm"
    c.simdnorm.need(name)
    for r in rows():
        epsilon = peer_epsilon(r.epsilon)
        cols = r.x.shape[1]
        random = numpy.random.default_rng([cols, 1])
        residual = random.normal(size=r.x.shape).astype(f32)
        gamma, beta = weights(cols)
        beta = beta if layer else None
        for bias in (None, random.normal(size=cols).astype(f32)):
            # The sum is in floats for both; the norm is of that sum.
            h = ((r.x + bias) if bias is not None else r.x) + residual
            if not numpy.isfinite(h).all():
                continue

            def ours():
                y, sum_ = numpy.full_like(r.x, -1), numpy.full_like(r.x, -1)
                fields = {"gamma": gamma, "beta": beta} if layer else {"weight": gamma}
                getattr(c.simdnorm, name)(r.x, residual, bias, sum_, y,
                                          c.simdnorm.options(name, epsilon=epsilon, **fields))
                return y, sum_

            y, sum_ = c.for_each_isa(r.name, ours)
            peer_y, peer_sum = peer(r.x, residual, bias, gamma, beta, epsilon)
            what = kind("plain" if bias is None else "bias", r)
            c.exactly("sum, " + what, r.name, sum_, h)
            if peer_sum is not None and bias is None:  # others may add in another order
                c.exactly("sum, by %s, %s" % (c.peer, what), r.name, sum_, peer_sum)
            exact = exact_normalized(h, 1, epsilon) if layer else exact_rms(h, 1, epsilon)
            c.check("y, " + what, r.name, y, peer_y, Truth(exact, gamma, beta), r.ordinary,
                    condition=condition(h, 1, epsilon) if layer else 1, rtol=max(RTOL, sums(cols)))


# ---- activations, gates, offsets -----------------------------------------------------------------------------

SLOPE = 1.13  # the steepest that GELU gets; SiLU 1.1
_erfc = numpy.vectorize(math.erfc, otypes=[float])


def activated(name, z):
    """In long doubles, but for erfc: double."""
    with numpy.errstate(over="ignore"):
        if name == "relu":
            return numpy.maximum(z, 0)
        if name == "silu":
            return z / (1 + numpy.exp(-z))
        if name == "gelu_tanh":
            inner = numpy.sqrt(real(2) / real(math.pi)) * (z + real("0.044715") * z * z * z)
            return z / (1 + numpy.exp(-2 * inner))
    return z * _erfc(-(z / numpy.sqrt(real(2))).astype(float)) / 2


def activations(c, function, peers):
    """peers: name -> peer(x, gamma, beta, epsilon) -> activation of the norm"""
    layer = function == "layer_norm"
    for name, peer in peers.items():
        constant = c.simdnorm.constant("SIMDNORM_ACTIVATION_" + name.upper())
        for r in ordinary_rows():
            cols = r.x.shape[1]
            gamma, beta = weights(cols)
            beta = beta if layer else None
            xhat = exact_normalized(r.x, 1, r.epsilon) if layer else exact_rms(r.x, 1, r.epsilon)
            inner = Truth(xhat, gamma, beta)
            exact = activated(name, inner.exact)

            def ours():
                y = numpy.full_like(r.x, -1)
                fields = {"gamma": gamma, "beta": beta} if layer else {"weight": gamma}
                getattr(c.simdnorm, function)(r.x, y, c.simdnorm.options(
                    function, epsilon=r.epsilon, activation=constant, **fields))
                return y

            y, = c.for_each_isa(r.name, ours)
            # What the norm may be off by, through the slope, and 2 ulp for the activation of that.
            rounding = 0 if name == "relu" else 2
            c.check(name, r.name, y, peer(r.x, gamma, beta, r.epsilon),
                    Truth.of(exact, inner.unit * SLOPE, inner.slack * SLOPE + rounding * ulp(exact)),
                    condition=condition(r.x, 1, r.epsilon))


def gated_rms_norm(c, peer):
    """peer(x, z, weight, epsilon) -> rms_norm(x) * silu(z)"""
    c.simdnorm.need("gated_rms_norm")
    for r in ordinary_rows():
        random = numpy.random.default_rng(r.x.size)
        z = (random.normal(size=r.x.shape) * 3).astype(f32)
        weight = weights(r.x.shape[1])[0]
        gate = activated("silu", z.astype(real))
        inner = Truth(exact_rms(r.x, 1, r.epsilon), weight)

        def ours():
            y = numpy.full_like(r.x, -1)
            c.simdnorm.gated_rms_norm(r.x, z, y, c.simdnorm.options("gated_rms_norm", epsilon=r.epsilon, weight=weight))
            return y

        y, = c.for_each_isa(r.name, ours)
        exact = inner.exact * gate
        # 2 ulp for silu, and a rounding of the product.
        c.check("y", r.name, y, peer(r.x, z, weight, r.epsilon),
                Truth.of(exact, inner.unit * numpy.abs(gate), inner.slack * numpy.abs(gate) + 2.5 * ulp(exact)))


def rms_norm_with_unit_offset(c, peer):
    """Gemma's: peer(x, weight, epsilon) -> rms_norm(x) * (1 + weight)"""
    for r in ordinary_rows():
        weight = (weights(r.x.shape[1])[0] - 1).astype(f32)

        def ours():
            y = numpy.full_like(r.x, -1)
            c.simdnorm.rms_norm(r.x, y, c.simdnorm.options("rms_norm", epsilon=r.epsilon, weight=weight,
                                                           add_unit_offset=1))
            return y

        y, = c.for_each_isa(r.name, ours)
        c.check("y", r.name, y, peer(r.x, weight, r.epsilon),
                Truth(exact_rms(r.x, 1, r.epsilon), 1 + weight.astype(real)))


# ---- tensors of channels -----------------------------------------------------------------------------------


def by_channel(v, rank):
    return None if v is None else v.reshape(-1, *(1,) * (rank - 2))


def group_norm(c, peer, peer_epsilon=same, instance=False):
    """peer(x, groups, gamma, beta, epsilon) -> y. instance: instance_norm, each channel a group"""
    name = "instance_norm" if instance else "group_norm"
    c.simdnorm.need(name)
    for r in tensors():
        x, epsilon = r.x, peer_epsilon(r.epsilon)
        batch, channels = x.shape[:2]
        if instance and x.size == batch * channels:
            continue  # of one element: others refuse
        for groups in (channels,) if instance else sorted({1, 2, channels // 3 if channels % 3 == 0 else 1, channels}):
            shape = (batch, groups, -1)
            parts = numpy.ascontiguousarray(x).reshape(shape)
            mean, variance = exact_moments(parts, 2)
            xhat = exact_normalized(parts, 2, epsilon).reshape(x.shape)
            k = numpy.broadcast_to(condition(parts, 2, epsilon), parts.shape).reshape(x.shape)
            for what, gamma, beta in affines(channels):
                def ours():
                    y = numpy.full_like(x, -1)
                    m, s = numpy.zeros(batch * groups, f32), numpy.zeros(batch * groups, f32)
                    options = c.simdnorm.options(name, epsilon=epsilon, gamma=gamma, beta=beta, mean=m, rstd=s)
                    getattr(c.simdnorm, name)(x, y, *(() if instance else (groups,)), options)
                    return y, m, s

                where = "%s, %d groups" % (r.name, groups)
                y, m, s = c.for_each_isa(where, ours)
                c.check(kind("y, " + what, r), where, y, peer(x, groups, gamma, beta, epsilon),
                        Truth(xhat, by_channel(gamma, x.ndim), by_channel(beta, x.ndim)), r.ordinary, condition=k)
                c.check(kind("mean", r), where, m, None, mean_truth(mean.ravel(), numpy.sqrt(variance.ravel())))
                c.check(kind("rstd", r), where, s, None, rstd_truth(exact_rstd(variance, epsilon).ravel()))


def all_but_channels(x):
    return tuple(d for d in range(x.ndim) if d != 1)


def batch_norm_inference_nd(c, peer, peer_epsilon=same):
    """peer(x, gamma, beta, mean, variance, epsilon) -> y"""
    for r in tensors():
        x, epsilon = r.x, peer_epsilon(r.epsilon)
        channels = x.shape[1]
        random = numpy.random.default_rng(channels)
        mean = (random.normal(size=channels) + (0 if r.ordinary else 1000)).astype(f32)
        variance = random.uniform(0.5, 2, size=channels).astype(f32)
        by = [by_channel(v.astype(real), x.ndim) for v in (mean, variance)]
        rstd = exact_rstd(by[1], epsilon)
        for what, gamma, beta in affines(channels):
            def ours():
                y = numpy.full_like(x, -1)
                c.simdnorm.batch_norm_inference_nd(x, y, mean, variance, c.simdnorm.options(
                    "batch_norm_inference_nd", epsilon=epsilon, gamma=gamma, beta=beta))
                return y

            y, = c.for_each_isa(r.name, ours)
            c.check(kind(what, r), r.name, y, peer(x, gamma, beta, mean, variance, epsilon),
                    Truth((x.astype(real) - by[0]) * rstd, by_channel(gamma, x.ndim), by_channel(beta, x.ndim)),
                    r.ordinary, condition=condition(x, all_but_channels(x), epsilon, by[0], rstd))


def batch_norm_training_nd(c, peer, peer_epsilon=same, biased=False):
    """peer(x, gamma, beta, running mean, running variance, momentum, epsilon) -> y, new mean, new variance"""
    for r in tensors():
        x, epsilon, momentum = r.x, peer_epsilon(r.epsilon), 0.125
        channels, axes = x.shape[1], all_but_channels(r.x)
        count = x.size // channels
        random = numpy.random.default_rng(channels)
        before_mean = random.normal(size=channels).astype(f32)
        before_variance = random.uniform(0.5, 2, size=channels).astype(f32)
        mean, variance = exact_moments(x, axes)
        running = variance.ravel() if biased else variance.ravel() * count / real(count - 1)
        k = condition(x, axes, epsilon)
        r.ordinary = r.ordinary and count >= 16
        for what, gamma, beta in affines(channels):
            def ours():
                y, m, v = numpy.full_like(x, -1), before_mean.copy(), before_variance.copy()
                c.simdnorm.batch_norm_training_nd(x, y, c.simdnorm.options(
                    "batch_norm_training_nd", epsilon=epsilon, gamma=gamma, beta=beta, momentum=momentum, running_mean=m,
                    running_variance=v, biased_running_variance=int(biased)))
                return y, m, v

            y, m, v = c.for_each_isa(r.name, ours)
            peer_y, peer_mean, peer_variance = peer(x, gamma, beta, before_mean.copy(), before_variance.copy(), momentum,
                                                    epsilon)
            c.check(kind("y, " + what, r), r.name, y, peer_y,
                    Truth(exact_normalized(x, axes, epsilon), by_channel(gamma, x.ndim), by_channel(beta, x.ndim)),
                    r.ordinary, condition=k)
            unit = real(2.0) ** -23
            c.check(kind("running mean", r), r.name, m, peer_mean,
                    running_truth(before_mean, momentum, mean.ravel(), numpy.sqrt(variance.ravel()) * unit), r.ordinary,
                    condition=k.ravel())
            c.check(kind("running variance", r), r.name, v, peer_variance,
                    running_truth(before_variance, momentum, running, running * unit), r.ordinary, condition=k.ravel())


# ---- padding: what is real is what the other library gets -------------------------------------------------------


def row_lengths(c, peers):
    """peers: layer_norm, rms_norm -> peer(x, gamma or weight, beta, epsilon). Padding holds NaN."""
    for cols in (1, 7, 64, 100, 1000):
        random = numpy.random.default_rng(cols)
        lengths = numpy.concatenate([[0, cols], random.integers(0, cols + 1, size=20)]).astype(numpy.int64)
        x = (random.normal(size=(len(lengths), cols)) + 1).astype(f32)
        real_ones = numpy.arange(cols) < lengths[:, None]
        x[~real_ones] = numpy.nan
        gamma, beta = weights(cols)
        for name, peer in peers.items():
            layer = name == "layer_norm"

            def ours():
                y = numpy.full_like(x, -1)
                fields = {"gamma": gamma, "beta": beta} if layer else {"weight": gamma}
                getattr(c.simdnorm, name)(x, y, c.simdnorm.options(
                    name, padding=c.simdnorm.padding("row_lengths", lengths), **fields))
                return y

            y, = c.for_each_isa(name, ours)
            c.exactly(name + ", padding", "%d columns" % cols, y[~real_ones], numpy.zeros((~real_ones).sum(), f32))
            for i, n in enumerate(lengths):
                if n == 0:
                    continue
                line = numpy.ascontiguousarray(x[i:i + 1, :n])
                exact = exact_normalized(line, 1, 1e-5) if layer else exact_rms(line, 1, 1e-5)
                g, b = gamma[:n].copy(), beta[:n].copy() if layer else None
                c.check(name, "length %d of %d" % (n, cols), numpy.ascontiguousarray(y[i:i + 1, :n]),
                        peer(line, g, b, 1e-5), Truth(exact, g, b), condition=condition(line, 1, 1e-5))


def padded_sequences():
    """[batch * tokens, features] with NaN where it is padded: lengths, which rows are real, and every way to say so."""
    for batch, tokens, features in ((1, 5, 3), (4, 9, 17), (7, 33, 64), (16, 100, 20)):
        random = numpy.random.default_rng([batch, tokens])
        lengths = random.integers(0, tokens + 1, size=batch).astype(numpy.int32)
        lengths[-1] = tokens
        mask = (numpy.arange(tokens) < lengths[:, None]).ravel()
        x = (random.normal(size=(batch * tokens, features)) * 2 + 1).astype(f32)
        x[~mask] = numpy.nan
        bits = numpy.packbits(mask, bitorder="little")
        yield x, mask, [("row_mask", mask.astype(numpy.uint8), None, 0), ("row_mask_bits", bits, len(mask), 0),
                        ("sequence_lengths", lengths, None, tokens),
                        ("sequence_lengths", lengths.astype(numpy.int64), None, tokens)]


def batch_norm_of_sequences(c, peer):
    """peer as of batch_norm_training: it gets the real rows, one after the other."""
    for x, mask, ways in padded_sequences():
        cols = x.shape[1]
        gamma, beta = weights(cols)
        rows_ = numpy.ascontiguousarray(x[mask])
        first = None
        for way, data, size, tokens in ways:
            def ours():
                y = numpy.full_like(x, -1)
                m, v = numpy.zeros(cols, f32), numpy.ones(cols, f32)
                c.simdnorm.batch_norm_training(x, y, c.simdnorm.options(
                    "batch_norm_training", gamma=gamma, beta=beta, momentum=0.125, running_mean=m, running_variance=v,
                    padding=c.simdnorm.padding(way, data, size, tokens)))
                return y, m, v

            result = c.for_each_isa(way, ours)
            where = "%s, %d of %d rows" % (way, mask.sum(), len(mask))
            if first is None:
                first = result
            for a, b in zip(first, result):
                c.exactly("every way the same", where, a, b)
            y, m, v = result
            c.exactly("padding", where, y[~mask], numpy.zeros_like(y[~mask]))
            peer_y, peer_mean, peer_variance = peer(rows_, gamma, beta, numpy.zeros(cols, f32), numpy.ones(cols, f32),
                                                    0.125, 1e-5)
            k = condition(rows_, 0, 1e-5)
            mean, variance = exact_moments(rows_, 0)
            unit = real(2.0) ** -23
            unbiased = variance[0] * len(rows_) / real(len(rows_) - 1)
            c.check("y", where, numpy.ascontiguousarray(y[mask]), peer_y,
                    Truth(exact_normalized(rows_, 0, 1e-5), gamma, beta), condition=k)
            c.check("running mean", where, m, peer_mean,
                    running_truth(numpy.zeros(cols, f32), 0.125, mean[0], numpy.sqrt(variance[0]) * unit), condition=k[0])
            c.check("running variance", where, v, peer_variance,
                    running_truth(numpy.ones(cols, f32), 0.125, unbiased, unbiased * unit), condition=k[0])


def relu_and_residual(c, peer):
    """As residual networks end a block. peer(x, residual, gamma, beta, mean, variance, epsilon) -> y"""
    c.simdnorm.need("batch_norm_inference_nd")
    relu = c.simdnorm.constant("SIMDNORM_ACTIVATION_RELU")
    for r in tensors():
        x, channels = r.x, r.x.shape[1]
        random = numpy.random.default_rng(channels)
        mean = (random.normal(size=channels) + (0 if r.ordinary else 1000)).astype(f32)
        variance = random.uniform(0.5, 2, size=channels).astype(f32)
        residual = numpy.full_like(x, 0)  # of x's layout
        residual[...] = random.normal(size=x.shape)
        gamma, beta = weights(channels)
        by = [by_channel(v.astype(real), x.ndim) for v in (mean, variance, gamma, beta)]
        rstd = exact_rstd(by[1], r.epsilon)
        for what, added in (("ReLU", None), ("residual, ReLU", residual)):
            inner = Truth((x.astype(real) - by[0]) * rstd, by[2], by[3])
            exact = inner.exact if added is None else inner.exact + added
            slack = inner.slack if added is None else inner.slack + ulp(exact) / 2
            exact = numpy.maximum(exact, 0)

            def ours():
                y = numpy.full_like(x, -1)
                c.simdnorm.batch_norm_inference_nd(x, y, mean, variance, c.simdnorm.options(
                    "batch_norm_inference_nd", gamma=gamma, beta=beta, activation=relu, residual=added))
                return y

            y, = c.for_each_isa(r.name, ours)
            c.check(kind(what, r), r.name, y, peer(x, added, gamma, beta, mean, variance, r.epsilon),
                    Truth.of(exact, inner.unit, slack), r.ordinary,
                    condition=condition(x, all_but_channels(x), r.epsilon, by[0], rstd))

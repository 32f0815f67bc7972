# SPDX-License-Identifier: Apache-2.0
"""What is compared, operation by operation; `peer` is the other library's way to compute it, over numpy arrays.

peer_epsilon(e) is the epsilon that the peer computes with: ONNX has it as a float.
"""
import numpy

from comparing import (Rows, Truth, columns, condition, exact_moments, exact_normalized, exact_rms, exact_rstd, f32,
                       mean_truth, real, rows, rstd_truth, ulp, weights)


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
            "batch_norm", epsilon=epsilon, gamma=gamma, beta=beta, momentum=momentum, running_mean=m,
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
                    "batch_norm", epsilon=epsilon, gamma=gamma, beta=beta))
                return y

            y, = c.for_each_isa(r.name, ours)
            c.check(kind(name, r), r.name, y, peer(r.x, gamma, beta, mean, variance, epsilon),
                    Truth(xhat, gamma, beta), r.ordinary, condition=condition(r.x, 0, epsilon, mean, rstd))

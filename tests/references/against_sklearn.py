# SPDX-License-Identifier: Apache-2.0
"""scikit-learn: its scalers, in doubles, on floats; and the same in floats, for its error."""
import numpy
import sklearn
import sklearn.datasets
import sklearn.preprocessing

from comparing import Truth, exact_moments, f32, real, ulp

PEER = "sklearn"
# Fitted statistics against exact ones (tests/column_accuracy_test.cpp), as parts of sigma and of the scale.
MEAN_BOUND, SCALE_BOUND = 2.0 ** -22, 2.0 ** -23
DOUBLE = 2.0 ** -51  # and what a double may be off by itself


def version():
    return "scikit-learn " + sklearn.__version__


def data_sets():
    """The bundled ones, and columns with means far from 0."""
    for name in ("iris", "wine", "breast_cancer", "digits"):
        yield name, getattr(sklearn.datasets, "load_" + name)().data.astype(f32)
    random = numpy.random.default_rng(1)
    for rows, cols in ((1, 3), (2, 3), (63, 17), (1000, 33), (20000, 5)):
        x = random.normal(size=(rows, cols)) * 10.0 ** random.integers(-3, 4, size=cols)
        yield "random", (x + random.choice([0, 1, 1e3, 1e6], size=cols)).astype(f32)


def place(name, x):
    return "%s, %dx%d" % (name, *x.shape)


def fit(c, name, x, *arguments, **options):
    """simdnorm_NAME_fit: one or two arrays of parameters."""
    def ours():
        out = tuple(numpy.full(x.shape[1], -1.0) for _ in range(1 if name == "max_abs" else 2))
        getattr(c.simdnorm, name + "_fit")(x, *out, c.simdnorm.options(name + "_fit", **options))
        return out

    return c.for_each_isa(name + "_fit", ours)


def transform(c, name, x, parameters, **options):
    """simdnorm_NAME, a transform or an inverse."""
    def ours():
        y = numpy.full_like(x, -1)
        getattr(c.simdnorm, name)(x, y, *parameters, c.simdnorm.options(name, **options))
        return y

    return c.for_each_isa(name, ours)[0]


def check_fused(c, name, where, x, parameters, y, **options):
    """Fit and transform in one call: the bits of the two."""
    def ours():
        out = numpy.full_like(x, -1)
        fitted = tuple(numpy.full_like(p, -1) for p in parameters)
        getattr(c.simdnorm, name)(x, out, *fitted, c.simdnorm.options(name, **options))
        return (out,) + fitted

    out, *fitted = c.for_each_isa(name, ours)
    c.exactly("in one call, y", where, out.view(numpy.uint32), y.view(numpy.uint32))
    for a, b in zip(fitted, parameters):
        c.exactly("in one call, parameters", where, a, b)


def exact_weighted(x, weights):
    """Mean and variance of columns; a NaN does not count."""
    w = numpy.where(numpy.isnan(x), 0, numpy.asarray(weights, real)[:, None])
    x = numpy.where(numpy.isnan(x), 0, x).astype(real)
    mean = (w * x).sum(axis=0) / w.sum(axis=0)
    mean += (w * (x - mean)).sum(axis=0) / w.sum(axis=0)
    return mean, (w * numpy.square(x - mean)).sum(axis=0) / w.sum(axis=0)


def check_fit(c, name, x, mean, scale, scaler, group="", weights=None):
    """Statistics of ours and of a scaler fitted in doubles, both against exact ones; then against each other."""
    exact_mean, variance = exact_weighted(x, numpy.ones(len(x)) if weights is None else weights)
    sigma = numpy.sqrt(variance)
    constant = sigma == 0
    tolerance = numpy.maximum(sigma * MEAN_BOUND + numpy.abs(exact_mean) * DOUBLE, 1e-300)
    c.check(group + "mean, as parts of what is allowed", name, mean, scaler.mean_,
            Truth.of(exact_mean, tolerance), gate=1, rtol=DOUBLE, atol=tolerance)
    exact_scale = numpy.where(constant, 1, sigma)
    c.check(group + "scale, as parts of what is allowed", name, scale, scaler.scale_,
            Truth.of(exact_scale, exact_scale * (SCALE_BOUND + DOUBLE)), gate=1, rtol=SCALE_BOUND, atol=0)
    c.exactly(group + "constant columns have scale 1", name, scale[constant], numpy.ones(constant.sum()))
    c.exactly(group + "constant columns, by sklearn", name, scaler.scale_[constant], numpy.ones(constant.sum()))
    return exact_mean, exact_scale


def check_transform(c, name, x, scaler, parameters, **options):
    """Transform and inverse with the parameters that scikit-learn fitted."""
    mean, scale = parameters
    y = transform(c, "standardize_transform", x, parameters, **options)
    # In doubles scikit-learn is right to the last digit of a float: a rounding to float is all that is apart.
    c.check("transform by sklearn's parameters", name, y, scaler.transform(x.astype(float)),
            Truth((x.astype(real) - mean) / scale), atol=3e-7, rtol=3e-7)
    back = transform(c, "standardize_inverse", y, parameters, **options)
    exact = y.astype(real) * scale + mean
    c.check("inverse", name, back, scaler.inverse_transform(y.astype(float)),
            Truth.of(exact, scale * ulp(numpy.maximum(numpy.abs(y), 1)), (ulp(exact) + ulp(mean)) / 2), rtol=3e-7,
            atol=6e-7 * scale)


def compare_standardize(c):
    for name, x in data_sets():
        name = place(name, x)
        scaler = sklearn.preprocessing.StandardScaler().fit(x.astype(float))
        mean, scale = fit(c, "standardize", x)
        exact_mean, exact_scale = check_fit(c, name, x, mean, scale, scaler)
        truth = Truth((x.astype(real) - exact_mean) / exact_scale)
        y = transform(c, "standardize_transform", x, (mean, scale))
        c.check("transform; sklearn in doubles", name, y, scaler.transform(x.astype(float)), truth, atol=3e-7, rtol=3e-7)
        c.check("transform; sklearn in floats", name, y,
                sklearn.preprocessing.StandardScaler().fit(x).transform(x), truth, ordinary=False,
                condition=(numpy.abs(x).max(axis=0) / exact_scale))
        check_transform(c, name, x, scaler, (scaler.mean_, scaler.scale_))


def compare_standardize_in_one_call(c):
    c.simdnorm.need("standardize")
    for name, x in data_sets():
        parameters = fit(c, "standardize", x)
        check_fused(c, "standardize", place(name, x), x, parameters,
                    transform(c, "standardize_transform", x, parameters))


def compare_standardize_without_mean_or_scale(c):
    for name, x in data_sets():
        for with_mean, with_std in ((1, 0), (0, 1), (0, 0)):
            where = "%s, %d, %d" % (place(name, x), with_mean, with_std)
            scaler = sklearn.preprocessing.StandardScaler(with_mean=bool(with_mean), with_std=bool(with_std))
            scaler.fit(x.astype(float))
            mean, scale = fit(c, "standardize", x, with_mean=with_mean, with_std=with_std)
            if not with_mean:
                c.exactly("mean", where, mean, numpy.zeros_like(mean))
            if not with_std:
                c.exactly("scale", where, scale, numpy.ones_like(scale))
            y = transform(c, "standardize_transform", x, (mean, scale), with_mean=with_mean, with_std=with_std)
            exact = (x.astype(real) - mean) / scale
            # scikit-learn has its own mean and scale.
            c.check("transform", where, y, scaler.transform(x.astype(float)), Truth(exact), rtol=5e-7,
                    atol=3e-7 + x.astype(float).std(axis=0) / scale * MEAN_BOUND)


def some_weights(rows):
    random = numpy.random.default_rng(rows)
    yield "ones", numpy.ones(rows, f32)
    yield "whole, some 0", numpy.concatenate([[1], random.integers(0, 4, size=rows - 1)]).astype(f32)
    yield "any", (random.uniform(size=rows) * 10.0 ** random.integers(-3, 3, size=rows)).astype(f32)


def compare_standardize_with_weights(c):
    """sample_weight"""
    for name, x in data_sets():
        for what, w in some_weights(x.shape[0]):
            where = "%s, weights %s" % (place(name, x), what)
            mean, scale = fit(c, "standardize", x, weights=w)
            scaler = sklearn.preprocessing.StandardScaler().fit(x.astype(float), sample_weight=w.astype(float))
            check_fit(c, where, x, mean, scale, scaler, weights=w)


def holes(x):
    """x with a tenth of its elements missing, the first row whole."""
    x = x.copy()
    missing = numpy.random.default_rng(x.size).uniform(size=x.shape) < 0.1
    missing[0] = False
    x[missing] = numpy.nan
    return x


def compare_standardize_with_nan(c):
    """scikit-learn takes NaN as missing in fit, and leaves it in transform."""
    for name, x in data_sets():
        name, x = place(name, x), holes(x)
        mean, scale = fit(c, "standardize", x, nan_is_missing=1)
        scaler = sklearn.preprocessing.StandardScaler().fit(x.astype(float))
        check_fit(c, name, x, mean, scale, scaler)
        check_transform(c, name, x, scaler, (scaler.mean_, scaler.scale_), nan_is_missing=1)
        check_fused(c, "standardize", name, x, (mean, scale),
                    transform(c, "standardize_transform", x, (mean, scale), nan_is_missing=1), nan_is_missing=1)


def compare_min_max_and_max_abs_with_nan(c):
    for name, x in data_sets():
        name, x = place(name, x), holes(x)
        least, greatest = fit(c, "min_max", x, nan_is_missing=1)
        scaler = sklearn.preprocessing.MinMaxScaler().fit(x.astype(float))
        c.exactly("minimum", name, least, scaler.data_min_)
        c.exactly("maximum", name, greatest, scaler.data_max_)
        scale, = fit(c, "max_abs", x, nan_is_missing=1)
        c.exactly("greatest magnitude", name, scale, sklearn.preprocessing.MaxAbsScaler().fit(x.astype(float)).scale_)


def compare_max_abs(c):
    for name, x in data_sets():
        name = place(name, x)
        scaler = sklearn.preprocessing.MaxAbsScaler().fit(x.astype(float))
        scale, = fit(c, "max_abs", x)
        c.exactly("scale", name, scale, scaler.scale_)
        y = transform(c, "max_abs_transform", x, (scale,))
        exact = x.astype(real) / scale
        c.check("transform", name, y, scaler.transform(x.astype(float)), Truth(exact), atol=3e-7, rtol=3e-7)
        back = transform(c, "max_abs_inverse", y, (scale,))
        exact = y.astype(real) * scale
        c.check("inverse", name, back, scaler.inverse_transform(y.astype(float)),
                Truth.of(exact, scale * ulp(real(1)), ulp(exact) / 2), rtol=3e-7, atol=6e-7 * scale)
        check_fused(c, "max_abs", name, x, (scale,), y)


def compare_min_max_clipped(c):
    """Fitted to the first half of the rows, all of them transformed."""
    c.simdnorm.need("min_max")
    for name, x in data_sets():
        half = numpy.ascontiguousarray(x[:(len(x) + 1) // 2])
        name = place(name, x)
        for low, high in ((0, 1), (-1, 1)):
            scaler = sklearn.preprocessing.MinMaxScaler((low, high), clip=True).fit(half.astype(float))
            options = {"low": low, "high": high, "clip": 1}
            parameters = fit(c, "min_max", half, **options)
            y = transform(c, "min_max_transform", x, parameters, **options)
            c.exactly("inside", name, [y.min() >= low, y.max() <= high], [True, True])
            least, greatest = parameters
            divisor = numpy.where(greatest == least, 1, greatest - least).astype(real)
            unit = (x.astype(real) - least) / divisor
            exact = numpy.clip(unit * (high - low) + low, low, high)
            c.check("transform", name, y, scaler.transform(x.astype(float)),
                    Truth.of(exact, (high - low) * ulp(numpy.maximum(numpy.abs(unit), 1)), (ulp(exact) + ulp(real(low))) / 2),
                    rtol=3e-7, atol=3e-7)


def compare_min_max_in_one_call(c):
    c.simdnorm.need("min_max")
    for name, x in data_sets():
        parameters = fit(c, "min_max", x)
        check_fused(c, "min_max", place(name, x), x, parameters, transform(c, "min_max_transform", x, parameters))


def compare_standardize_in_batches(c):
    """partial_fit against a state of columns that is fed the same pieces."""
    for name, x in data_sets():
        name = place(name, x)
        rows, cols = x.shape
        pieces = [x[at:at + 1 + rows // 7] for at in range(0, rows, 1 + rows // 7)]
        scaler = sklearn.preprocessing.StandardScaler()
        for piece in pieces:
            scaler.partial_fit(piece.astype(float))

        def ours():
            s = c.simdnorm
            size = s.lib.simdnorm_column_state_size(cols, s.lib.SIMDNORM_F32)
            memory = numpy.zeros(size + 64, numpy.uint8)
            memory = memory[-memory.ctypes.data % 64:][:size]
            state = s.ffi.new("simdnorm_column_state**")
            s.column_state_init(memory, size, cols, s.lib.SIMDNORM_F32, state)
            for piece in pieces:
                s.column_state_update(state[0], piece, None)
            moments = s.moments(cols)
            s.column_state_result(state[0], moments)
            return numpy.array([[m.mean, m.m2, m.count] for m in moments])

        result, = c.for_each_isa(name, ours)
        c.exactly("counts", name, result[:, 2], numpy.full(cols, float(rows)))
        scale = numpy.sqrt(result[:, 1] / rows)
        check_fit(c, name, x, result[:, 0].copy(), numpy.where(scale == 0, 1, scale), scaler)


def compare_min_max(c):
    for name, x in data_sets():
        name = place(name, x)
        for low, high in ((0, 1), (-1, 1), (2, 5)):
            scaler = sklearn.preprocessing.MinMaxScaler((low, high)).fit(x.astype(float))
            options = {"low": low, "high": high}
            least, greatest = fit(c, "min_max", x, **options)
            c.exactly("minimum", name, least, scaler.data_min_)
            c.exactly("maximum", name, greatest, scaler.data_max_)
            y = transform(c, "min_max_transform", x, (least, greatest), **options)
            # scikit-learn divides a constant column by 1, as simdnorm does.
            divisor = numpy.where(greatest == least, 1, greatest - least).astype(real)
            unit = (x.astype(real) - least) / divisor
            exact = unit * (high - low) + low
            truth = Truth.of(exact, (high - low) * ulp(numpy.maximum(unit, 1)), (ulp(exact) + ulp(real(low))) / 2)
            c.check("transform; sklearn in doubles", name, y, scaler.transform(x.astype(float)), truth, rtol=3e-7,
                    atol=3e-7)
            c.check("transform; sklearn in floats", name, y,
                    sklearn.preprocessing.MinMaxScaler((low, high)).fit(x).transform(x), truth, ordinary=False,
                    condition=numpy.abs(x).max(axis=0) / divisor)
            back = transform(c, "min_max_inverse", y, (least, greatest), **options)
            part = (y.astype(real) - low) / (high - low)
            exact = part * divisor + least
            c.check("inverse", name, back, scaler.inverse_transform(y.astype(float)),
                    Truth.of(exact, divisor * ulp(numpy.maximum(numpy.abs(part), 1)), (ulp(exact) + ulp(least)) / 2),
                    rtol=3e-7, atol=6e-7 * divisor)


def compare_moments(c):
    """VarianceThreshold's and numpy's statistics of the bundled data."""
    for name, x in data_sets():
        name = place(name, x)

        def ours():
            moments = c.simdnorm.moments(x.shape[1])
            c.simdnorm.column_moments(x, moments, None)
            return numpy.array([[m.count, m.mean, m.m2, m.min, m.max] for m in moments])

        result, = c.for_each_isa(name, ours)
        c.exactly("count, least, greatest", name, result[:, [0, 3, 4]],
                  numpy.stack([numpy.full(x.shape[1], x.shape[0]), x.min(axis=0), x.max(axis=0)], axis=1).astype(float))
        _, variance = exact_moments(x, 0)
        m2 = variance[0] * x.shape[0]
        peer = x.astype(float).var(axis=0) * x.shape[0]
        c.check("m2, as parts of what is allowed", name, result[:, 2].copy(), peer,
                Truth.of(m2, m2 * 2.0 ** -22), gate=1, rtol=2.0 ** -22, atol=1e-300)

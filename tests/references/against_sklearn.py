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


def fit_standardize(c, x, **options):
    def ours():
        mean, scale = numpy.full(x.shape[1], -1.0), numpy.full(x.shape[1], -1.0)
        c.simdnorm.standardize_fit(x, mean, scale, c.simdnorm.options("standardize_fit", **options))
        return mean, scale

    return c.for_each_isa("standardize_fit", ours)


def check_fit(c, name, x, mean, scale, scaler, group=""):
    """Statistics of ours and of a scaler fitted in doubles, both against exact ones; then against each other."""
    exact_mean, variance = exact_moments(x, 0)
    exact_mean, sigma = exact_mean[0], numpy.sqrt(variance[0])
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


def compare_standardize(c):
    for name, x in data_sets():
        name = place(name, x)
        scaler = sklearn.preprocessing.StandardScaler().fit(x.astype(float))
        mean, scale = fit_standardize(c, x)
        exact_mean, exact_scale = check_fit(c, name, x, mean, scale, scaler)
        xhat = (x.astype(real) - exact_mean) / exact_scale

        def transform(mean, scale):
            def ours():
                y = numpy.full_like(x, -1)
                c.simdnorm.standardize_transform(x, y, mean, scale, None)
                return y

            return c.for_each_isa(name, ours)[0]

        y = transform(mean, scale)
        # In doubles scikit-learn is right to the last digit of a float: a rounding to float is all that is apart.
        c.check("transform; sklearn in doubles", name, y, scaler.transform(x.astype(float)), Truth(xhat),
                atol=3e-7, rtol=3e-7)
        c.check("transform; sklearn in floats", name, y,
                sklearn.preprocessing.StandardScaler().fit(x).transform(x), Truth(xhat), ordinary=False,
                condition=(numpy.abs(x).max(axis=0) / exact_scale))
        # With the parameters that scikit-learn fitted.
        y = transform(scaler.mean_.copy(), scaler.scale_.copy())
        c.check("transform by sklearn's parameters", name, y, scaler.transform(x.astype(float)),
                Truth((x.astype(real) - scaler.mean_) / scaler.scale_), atol=3e-7, rtol=3e-7)

        def inverse():
            back = numpy.full_like(x, -1)
            c.simdnorm.standardize_inverse(y, back, scaler.mean_, scaler.scale_, None)
            return back

        back, = c.for_each_isa(name, inverse)
        exact = y.astype(real) * scaler.scale_ + scaler.mean_
        c.check("inverse", name, back, scaler.inverse_transform(y.astype(float)),
                Truth.of(exact, scaler.scale_ * ulp(numpy.maximum(numpy.abs(y), 1)),
                         (ulp(exact) + ulp(scaler.mean_)) / 2),
                rtol=3e-7, atol=6e-7 * scaler.scale_)


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
            options = c.simdnorm.options("min_max_fit", low=low, high=high)

            def fit():
                least, greatest = numpy.full(x.shape[1], -1.0), numpy.full(x.shape[1], -1.0)
                c.simdnorm.min_max_fit(x, least, greatest, options)
                return least, greatest

            least, greatest = c.for_each_isa(name, fit)
            c.exactly("minimum", name, least, scaler.data_min_)
            c.exactly("maximum", name, greatest, scaler.data_max_)

            def transform():
                y = numpy.full_like(x, -1)
                c.simdnorm.min_max_transform(x, y, least, greatest, options)
                return y

            y, = c.for_each_isa(name, transform)
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

            def inverse():
                back = numpy.full_like(x, -1)
                c.simdnorm.min_max_inverse(y, back, least, greatest, options)
                return back

            back, = c.for_each_isa(name, inverse)
            part = (y.astype(real) - low) / (high - low)
            exact = part * divisor + least
            c.check("inverse", name, back, scaler.inverse_transform(y.astype(float)),
                    Truth.of(exact, divisor * ulp(numpy.maximum(numpy.abs(part), 1)),
                             (ulp(exact) + ulp(least)) / 2), rtol=3e-7, atol=6e-7 * divisor)


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

# SPDX-License-Identifier: Apache-2.0
"""What every comparison with another library does.

A file against_NAME.py, an entry of ctest, has a function compare_OPERATION(c) for each operation, c being a Comparison.
It hands over, for each input, a call of simdnorm, the other library's output and the exact result. Then

- simdnorm runs on every instruction set of this machine, and all must give the same bits;
- its output must be within the gate of docs/numerics.md from the exact result, which is computed in long doubles;
- it must agree with the other library to the tolerance that is PyTorch's own for float32
  (torch.testing.assert_close), times the condition of the input where that is above 1: arithmetic in floats on
  numbers of size |x| leaves errors of |x| / std in x^, and that is what other libraries do;
- on hard inputs (large means, outliers, near overflow) the other library may be wrong altogether, by over 1000 ulp.
  Then there is nothing to agree with, and it is counted. On ordinary ones it may not;
- the other library's error is printed beside.
"""
import argparse
import importlib
import os
import sys

import numpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from simdnorm_cffi import Absent, Simdnorm  # noqa: E402

real = numpy.longdouble
f32 = numpy.float32
GATE = 2.5  # ulp of max(1, |x^|)
RTOL, ATOL = 1.3e-6, 1e-5  # torch.testing.assert_close for float32
PEER_IS_WRONG = 1000  # ulp
FLT_MAX = float(numpy.finfo(f32).max)


def ulp(v):
    """Distance of floats at |v|, as real."""
    below = numpy.minimum(numpy.abs(v), float(numpy.nextafter(f32(FLT_MAX), f32(0))))  # spacing(FLT_MAX) is infinite
    return numpy.spacing(below.astype(f32)).astype(real)


# ---- exact results --------------------------------------------------------------------------------------


class Truth:
    """gamma * xhat + beta, and how far off it an output may be: GATE * unit + slack."""

    def __init__(self, xhat, gamma=None, beta=None):
        xhat = numpy.asarray(xhat, real)
        affine = gamma is not None or beta is not None
        scale = real(1) if gamma is None else numpy.asarray(gamma, real)
        self.exact = xhat * scale + (real(0) if beta is None else numpy.asarray(beta, real))
        self.unit = numpy.broadcast_to(numpy.abs(scale) * ulp(numpy.maximum(numpy.abs(xhat), 1)), self.exact.shape)
        self.slack = ulp(self.exact) / 2 if affine else numpy.zeros(self.exact.shape, real)

    @classmethod
    def of(cls, exact, unit, slack=0):
        truth = cls.__new__(cls)
        truth.exact = numpy.asarray(exact, real)
        truth.unit = numpy.broadcast_to(numpy.asarray(unit, real), truth.exact.shape)
        truth.slack = numpy.broadcast_to(numpy.asarray(slack, real), truth.exact.shape)
        return truth

    def errors(self, y):
        """In units beyond the slack, element by element; NaN only where NaN is right."""
        y = numpy.asarray(y)
        if y.shape != self.exact.shape:
            raise ValueError("shape %s instead of %s" % (y.shape, self.exact.shape))
        with numpy.errstate(all="ignore"):
            error = numpy.abs(y.astype(real) - self.exact)
            units = numpy.where(error <= self.slack, 0, (error - self.slack) / self.unit)
            # Beyond FLT_MAX an infinity is right, and just below it may be.
            far = numpy.abs(self.exact) + GATE * self.unit + self.slack >= FLT_MAX
            units = numpy.where(numpy.isinf(y) & (numpy.sign(y) == numpy.sign(self.exact)) & far, 0, units)
            units = numpy.where(numpy.isnan(y) & numpy.isnan(self.exact), 0, units)
            return numpy.where(numpy.isnan(units), numpy.inf, units).astype(float)


def exact_moments(x, axes):
    """Mean and variance (divided by n) over the axes, kept as dimensions of size 1."""
    x = x.astype(real)
    mean = x.mean(axis=axes, keepdims=True)
    rest = (x - mean).mean(axis=axes, keepdims=True)
    mean = mean + rest
    return mean, numpy.square(x - mean).mean(axis=axes, keepdims=True)


def exact_rstd(variance, epsilon):
    # A constant row at epsilon 0 has x - mean = 0: any finite number makes 0 of it.
    total = variance + real(epsilon)
    return 1 / numpy.sqrt(numpy.where(total == 0, 1, total))


def exact_normalized(x, axes, epsilon):
    mean, variance = exact_moments(x, axes)
    return (x.astype(real) - mean) * exact_rstd(variance, epsilon)


def condition(x, axes, epsilon, center=0, rstd=None):
    """max |x| / std: what errors of floats in x and in the mean become in x^."""
    if rstd is None:
        rstd = exact_rstd(exact_moments(x, axes)[1], epsilon)
    return numpy.maximum(numpy.abs(x).max(axis=axes, keepdims=True).astype(real), numpy.abs(center)) * rstd


def exact_rms(x, axes, epsilon):
    square = numpy.square(x.astype(real)).mean(axis=axes, keepdims=True)
    return x.astype(real) * exact_rstd(square, epsilon)


def mean_truth(mean, sigma):
    """A mean as f32: an error of it is one of every x^ in units of sigma (tests/accuracy_test.cpp)."""
    return Truth.of(mean, sigma * real(2.0) ** -23, ulp(mean) * 0.50005)


def rstd_truth(rstd):
    return Truth.of(rstd, rstd * real(2.0) ** -24, ulp(rstd) * 0.50005)


# ---- inputs --------------------------------------------------------------------------------------------

SHAPES = [(1, 1), (3, 5), (5, 17), (16, 64), (7, 100), (64, 33), (16, 768), (3, 1000), (2, 4097), (300, 20), (1000, 7)]


class Rows:
    def __init__(self, name, x, epsilon=1e-5, ordinary=True):
        self.name, self.x, self.epsilon, self.ordinary = name, numpy.ascontiguousarray(x, f32), epsilon, ordinary


def ordinary_rows(shapes=SHAPES):
    for shape in shapes:
        random = numpy.random.default_rng(list(shape))
        yield Rows("N(0, 1)", random.normal(size=shape))
        yield Rows("N(1, 1)", random.normal(size=shape) + 1)
        yield Rows("N(1, 1), eps 1e-3", random.normal(size=shape) + 1, 1e-3)
        yield Rows("lognormal", random.lognormal(size=shape))
        yield Rows("0 ... 255", random.integers(0, 256, size=shape))


def large_mean_rows(shapes=SHAPES):
    for shape in shapes:
        for mean in (1e3, 1e4, 1e6):
            random = numpy.random.default_rng(list(shape))
            yield Rows("N(%.0e, 1)" % mean, random.normal(size=shape) + mean, ordinary=False)


def hostile_lines(n):
    """Rows (or columns) of n elements that are hard for a reason, after tests/support/data.hpp."""
    random = numpy.random.default_rng(n)
    noise = random.normal(size=n)
    uniform = random.uniform(size=n)
    at = numpy.arange(n)
    yield "constant 100.1", 1e-5, numpy.full(n, f32(100.1))
    yield "constant 0.1, eps 0", 0.0, numpy.full(n, f32(0.1))
    yield "constant FLT_MAX", 1e-5, numpy.full(n, FLT_MAX)
    yield "constant subnormal, eps 0", 0.0, numpy.full(n, 3e-45)
    yield "zeros", 1e-5, numpy.zeros(n)
    yield "first element 1e6", 1e-5, numpy.where(at == 0, 1e6, noise)
    yield "last element 1e6", 1e-5, numpy.where(at == n - 1, 1e6, noise)
    yield "first 64 at 1e6", 1e-5, noise + numpy.where(at < 64, 1e6, 0)
    yield "one element 1e20", 1e-5, numpy.where(at == n // 2, 1e20, noise)
    yield "one element 1e38", 0.0, numpy.where(at == n // 3, 1e38, noise)
    yield "magnitude 1e30", 1e-5, noise * 1e30
    yield "near FLT_MAX", 1e-5, FLT_MAX * (1 - 0.1 * uniform)
    yield "+-FLT_MAX", 1e-5, numpy.where(at % 2, -FLT_MAX, FLT_MAX)
    yield "subnormal, eps 0", 0.0, noise * 1e-40
    yield "magnitude 1e-30, eps 1e-12", 1e-12, noise * 1e-30
    yield "1e6 +- 1 ulp", 1e-12, 1e6 + 0.0625 * (at % 2)
    yield "two values, the second in the last", 1e-12, numpy.where(at == n - 1, 3.0, 2.0)


def hostile_rows(lengths=(1, 2, 5, 16, 33, 64, 129, 768, 4099)):
    for n in lengths:
        for name, epsilon, line in hostile_lines(n):
            yield Rows(name, line[None, :], epsilon, ordinary=False)


def rows():
    yield from ordinary_rows()
    yield from large_mean_rows()
    yield from hostile_rows()


def columns():
    for r in ordinary_rows():
        r.ordinary = r.x.shape[0] >= 16  # two or three equal numbers under one another are not
        yield r
    yield from large_mean_rows()
    for n in (2, 5, 33, 64, 129, 768):
        by_epsilon = {}
        for name, epsilon, line in hostile_lines(n):
            by_epsilon.setdefault(epsilon, []).append(line)
        for epsilon, lines in by_epsilon.items():
            yield Rows("hostile columns, eps %g" % epsilon, numpy.stack(lines, axis=1), epsilon, ordinary=False)


def tensors():
    """[batch, channels, spatial...] in both layouts, as views of that shape."""
    for shape in ((4, 6), (3, 6, 5), (2, 8, 3, 5), (3, 12, 7, 7), (1, 32, 14, 14), (2, 12, 2, 3, 4), (2, 64, 1, 1),
                  (2, 30, 17, 1)):
        random = numpy.random.default_rng(list(shape))
        for mean, scale in ((0, 1), (1, 3), (1e3, 1)):
            x = (random.normal(size=shape) * scale + mean).astype(f32)
            last = numpy.moveaxis(numpy.ascontiguousarray(numpy.moveaxis(x, 1, -1)), -1, 1)
            for layout, data in (("channels first", x), ("channels last", last)):
                r = Rows("%s, N(%g, %g)" % (layout, mean, scale), numpy.zeros(1), ordinary=mean < 100)
                r.x = data
                yield r


def weights(n, seed=0):
    """Scales and shifts as a trained model has them: around 1 and 0, some of the scales negative or zero."""
    random = numpy.random.default_rng([n, seed])
    gamma = random.normal(1, 0.5, size=n).astype(f32)
    beta = random.normal(0, 1, size=n).astype(f32)
    gamma[:: max(7, n // 5)] = 0
    return gamma, beta


# ---- comparing -----------------------------------------------------------------------------------------


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


class Worst:
    def __init__(self):
        self.ours = self.peer = self.apart = 0.0
        self.count = self.elements = self.wrong = 0


class Comparison:
    def __init__(self, simdnorm, peer):
        self.simdnorm, self.peer = simdnorm, peer
        self.isas = simdnorm.isas()
        self.failures = []
        self.absent = []
        self.groups = {}

    def fail(self, text):
        self.failures.append(text)
        if len(self.failures) <= 10:
            print("FAILED: " + text)

    def for_each_isa(self, where, call):
        """call()'s arrays, the same on every instruction set."""
        first = None
        for isa in self.isas:
            self.simdnorm.force(isa)
            result = call()
            result = result if isinstance(result, tuple) else (result,)
            if first is None:
                first = result
            elif not all(same_bits(a, b) for a, b in zip(first, result)):
                self.fail("%s: %s has other bits than %s" % (where, isa, self.isas[0]))
        return first

    def check(self, group, where, ours, peer, truth, ordinary=True, rtol=RTOL, atol=ATOL, gate=GATE, condition=1):
        """One output. peer may be None. A group is a line of the report."""
        where = "%s, %s, %s" % (group, where, "x".join(map(str, ours.shape)))
        worst = self.groups.setdefault(group, Worst())
        errors = truth.errors(ours)
        worst.count += 1
        worst.elements += ours.size
        if ours.size == 0:
            return
        worst.ours = max(worst.ours, float(errors.max()))
        if not errors.max() <= gate:
            k = numpy.unravel_index(int(errors.argmax()), errors.shape)
            self.fail("%s: element %s is %.9g, should be %.12g: %.3g over the slack, %g allowed"
                      % (where, list(map(int, k)), ours[k], truth.exact[k], errors[k], gate))
        if peer is None:
            return
        peer = numpy.asarray(peer)
        peer_error = float(truth.errors(peer).max())
        if not ordinary and not peer_error <= PEER_IS_WRONG:
            worst.wrong += 1
            return
        worst.peer = max(worst.peer, peer_error)
        with numpy.errstate(all="ignore"):
            same = (ours == peer) | (numpy.isnan(ours) & numpy.isnan(peer))
            apart = numpy.where(same, 0, numpy.abs(ours.astype(real) - peer.astype(real)))
            close = same | (apart <= (atol + rtol * numpy.abs(peer.astype(real))) * numpy.maximum(condition, 1))
        worst.apart = max(worst.apart, float(apart.max()))
        if not close.all():
            k = numpy.unravel_index(int((~close).argmax()), close.shape)
            self.fail("%s: element %s is %.9g, and %.9g by %s" % (where, list(map(int, k)), ours[k], peer[k], self.peer))

    def same_nans(self, group, where, ours, peer):
        """What NaN and infinity in an input make of the outputs: the same ones are NaN."""
        worst = self.groups.setdefault(group, Worst())
        worst.count += 1
        worst.elements += ours.size
        if not (numpy.isnan(ours) == numpy.isnan(peer)).all():
            self.fail("%s, %s: NaN in other places than %s has it: %s and %s" % (group, where, self.peer, ours, peer))

    def exactly(self, group, where, ours, expected):
        worst = self.groups.setdefault(group, Worst())
        worst.count += 1
        worst.elements += numpy.size(ours)
        if not numpy.array_equal(ours, expected):
            self.fail("%s, %s: %s should be %s" % (group, where, ours, expected))

    def report(self):
        print("on %s: the same bits; errors in ulp of max(1, |x^|), or as bounds/%g of statistics"
              % (", ".join(self.isas), GATE))
        print("  %-46s %7s %9s %8s %8s %10s" % ("", "inputs", "elements", "ours", self.peer[:8], "apart"))
        for name, w in self.groups.items():
            print("  %-46s %7d %9d %8.3g %8.3g %10.2g%s"
                  % (name, w.count, w.elements, w.ours, w.peer, w.apart,
                     ", %s off by over %d in %d" % (self.peer, PEER_IS_WRONG, w.wrong) if w.wrong else ""))
        if len(self.failures) > 10:
            print("%d failures" % len(self.failures))


def operations_of(module):
    return [name.removeprefix("compare_") for name in vars(module) if name.startswith("compare_")]


def run(module, operation, simdnorm):
    """One operation: whether it is as it should be."""
    comparison = Comparison(simdnorm, module.PEER)
    print("%s, simdnorm against %s" % (operation, module.version()), flush=True)
    try:
        getattr(module, "compare_" + operation)(comparison)
    except Absent as absent:
        comparison.absent.append(str(absent))
    if operation in getattr(module, "NOT_THERE", ()):
        print("skipped: " + "; ".join(comparison.absent))
        return bool(comparison.absent)
    for text in comparison.absent:
        comparison.fail("not compared: " + text)
    if not any(w.elements for w in comparison.groups.values()):
        comparison.fail("nothing was compared")
    comparison.report()
    return not comparison.failures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file", help="against_torch and the like")
    parser.add_argument("operations", nargs="*", help="default: all of the file's")
    parser.add_argument("--library", required=True)
    parser.add_argument("--include", required=True)
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--cc", default="cc")
    options = parser.parse_args()
    module = importlib.import_module(options.file)
    simdnorm = Simdnorm(options.library, options.include, options.scratch, options.cc)
    operations = options.operations or operations_of(module)
    failed = [operation for operation in operations if not run(module, operation, simdnorm)]
    print("%d operations, %d failed: %s" % (len(operations), len(failed), ", ".join(failed) or "none"))
    sys.exit(1 if failed or not operations else 0)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""The half of python.cpp that is easier said in Python: peers that PyPI has as Python packages.

open_peer(name, threads) -> (version, note, threads, works in place, operations)
make(name, operation, rows, cols, x, y, gamma, beta, mean, variance, epsilon) -> (run, finish, native)

Matrices come as addresses. run() is measured, finish() brings its result to y. native is None, or the
objects of ncnn whose C++ python.cpp calls without Python.
"""
import ctypes
import importlib.metadata
import os
import tempfile

LAYER_NORM, RMS_NORM, BATCH_NORM_TRAINING, BATCH_NORM_INFERENCE, STANDARDIZE, MIN_MAX = range(6)


def view(address, *shape):
    import numpy

    count = 1
    for n in shape:
        count *= n
    return numpy.ctypeslib.as_array((ctypes.c_float * count).from_address(address)).reshape(shape)


def open_peer(name, threads):
    if name == "ncnn":
        import ncnn

        note = "C++ forward_inplace of one layer, called without Python; OpenMP"
        return ncnn.__version__, note, threads, True, [LAYER_NORM, RMS_NORM]
    if name == "sklearn":
        import sklearn
        import sklearn.preprocessing

        note = "includes Python's calls; writes to memory that it allocates; numpy"
        return sklearn.__version__, note, 1, False, [STANDARDIZE, MIN_MAX]
    if name == "onedal":
        import daal4py

        daal4py.daalinit(threads)
        version = importlib.metadata.version("daal")
        note = "by daal4py, includes Python's call; writes to memory that it allocates; TBB"
        return version, note, threads, False, [STANDARDIZE, MIN_MAX]
    raise ValueError("no peer " + name)


def make_ncnn(operation, rows, cols, x, gamma, beta, epsilon, threads):
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    for off in ("use_vulkan_compute", "use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic",
                "use_bf16_storage", "use_packing_layout"):
        if hasattr(net.opt, off):
            setattr(net.opt, off, False)
    kind = "LayerNorm" if operation == LAYER_NORM else "RMSNorm"
    text = "7767517\n2 2\nInput in 0 1 in\n%s norm 1 1 in out 0=%d 1=%.9g 2=1\n" % (kind, cols, epsilon)
    with tempfile.TemporaryDirectory() as folder:
        at = os.path.join(folder, "norm")
        with open(at + ".param", "w") as f:
            f.write(text)
        with open(at + ".bin", "wb") as f:
            for weight in (gamma, beta) if operation == LAYER_NORM else (gamma,):
                f.write(view(weight, cols).tobytes())
        if net.load_param(at + ".param") != 0 or net.load_model(at + ".bin") != 0:
            raise RuntimeError("it does not load a model of one " + kind)
    layer, options = net.layers()[1], net.opt
    # A view of the buffer, not a copy: the check would find a copy's result missing.
    matrix = ncnn.Mat(view(x, rows, cols))
    return (lambda: layer.forward_inplace(matrix, options)), None, (layer, matrix, options, net)


class allocating:
    """Fits and transforms into a new array, as the package's users do."""

    def __init__(self, call, y):
        self.call, self.y, self.result = call, y, None

    def run(self):
        self.result = None
        self.result = self.call()

    def finish(self):
        self.y[:] = self.result
        self.result = None


def make(name, threads, operation, rows, cols, x, y, gamma, beta, mean, variance, epsilon):
    if name == "ncnn":
        return make_ncnn(operation, rows, cols, x, gamma, beta, epsilon, threads)
    source, target = view(x, rows, cols), view(y, rows, cols)
    if name == "sklearn":
        from sklearn.preprocessing import MinMaxScaler, StandardScaler

        kind = StandardScaler if operation == STANDARDIZE else MinMaxScaler
        job = allocating(lambda: kind().fit(source).transform(source), target)
    else:
        import daal4py

        kind = daal4py.normalization_zscore if operation == STANDARDIZE else daal4py.normalization_minmax
        algorithm = kind(fptype="float")
        job = allocating(lambda: algorithm.compute(source).normalizedData, target)
    return job.run, job.finish, None

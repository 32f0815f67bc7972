# SPDX-License-Identifier: Apache-2.0
"""The half of python.cpp that is easier said in Python: peers that PyPI has as Python packages.

open_peer(name, threads) -> (version, note, threads, works in place, operations)
make(name, threads, operation, element, rows, cols, x, y, gamma, beta, mean, variance, epsilon,
     (batch, channels, height, width, groups)) -> (run, finish, native)

Matrices come as addresses. run() is measured, finish() brings its result to y. native is None, or the
objects of ncnn whose C++ python.cpp calls without Python.
"""
import ctypes
import importlib.metadata
import os
import tempfile

(LAYER_NORM, RMS_NORM, BATCH_NORM_TRAINING, BATCH_NORM_INFERENCE, STANDARDIZE, MIN_MAX, BATCH_NORM_TRAINING_NCHW,
 BATCH_NORM_INFERENCE_NCHW, GROUP_NORM, INSTANCE_NORM) = range(10)
F32, BF16, F16 = range(3)


def view(address, *shape, element=F32):
    import numpy

    count = 1
    for n in shape:
        count *= n
    kind = ctypes.c_float if element == F32 else ctypes.c_uint16
    return numpy.ctypeslib.as_array((kind * count).from_address(address)).reshape(shape)


def open_peer(name, threads):
    if name == "ncnn":
        import ncnn

        note = "C++ forward_inplace of one layer, image by image, called without Python; OpenMP"
        operations = [LAYER_NORM, RMS_NORM, BATCH_NORM_INFERENCE_NCHW, GROUP_NORM, INSTANCE_NORM]
        return ncnn.__version__, note, threads, True, operations
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


def make_ncnn(operation, element, rows, cols, x, gamma, beta, mean, variance, epsilon, tensor, threads):
    import ncnn

    batch, channels, height, width, groups = tensor
    net = ncnn.Net()
    net.opt.num_threads = threads
    for off in ("use_vulkan_compute", "use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic",
                "use_bf16_storage", "use_packing_layout"):
        if hasattr(net.opt, off):
            setattr(net.opt, off, False)
    net.opt.use_bf16_storage = element == BF16
    net.opt.use_fp16_storage = element == F16
    kind, parameters, weights = {
        LAYER_NORM: ("LayerNorm", "0=%d 1=%.9g 2=1" % (cols, epsilon), (gamma, beta)),
        RMS_NORM: ("RMSNorm", "0=%d 1=%.9g 2=1" % (cols, epsilon), (gamma,)),
        BATCH_NORM_INFERENCE_NCHW: ("BatchNorm", "0=%d 1=%.9g" % (channels, epsilon), (gamma, mean, variance, beta)),
        GROUP_NORM: ("GroupNorm", "0=%d 1=%d 2=%.9g 3=1" % (groups, channels, epsilon), (gamma, beta)),
        INSTANCE_NORM: ("InstanceNorm", "0=%d 1=%.9g 2=1" % (channels, epsilon), (gamma, beta)),
    }[operation]
    size = channels if channels else cols
    text = "7767517\n2 2\nInput in 0 1 in\n%s norm 1 1 in out %s\n" % (kind, parameters)
    with tempfile.TemporaryDirectory() as folder:
        at = os.path.join(folder, "norm")
        with open(at + ".param", "w") as f:
            f.write(text)
        with open(at + ".bin", "wb") as f:
            for weight in weights:
                f.write(view(weight, size).tobytes())
        if net.load_param(at + ".param") != 0 or net.load_model(at + ".bin") != 0:
            raise RuntimeError("it does not load a model of one " + kind)
    layer, options = net.layers()[1], net.opt
    if element == BF16 and not layer.support_bf16_storage or element == F16 and not layer.support_fp16_storage:
        raise RuntimeError("its layer keeps none on this CPU")
    # Views of the buffer, not copies: the check would find a copy's result missing.
    if channels:
        step = 4 * channels * height * width
        matrices = [ncnn.Mat(view(x + n * step, channels, height, width)) for n in range(batch)]
        if matrices[0].cstep != height * width:
            raise RuntimeError("its planes have multiples of 16 bytes; a dense tensor's do not here")
    else:
        matrix = view(x, rows, cols, element=element)
        matrices = [ncnn.Mat(matrix if element == F32 else matrix.view("float16"))]  # to it: two bytes of any kind

    def run():
        for matrix in matrices:
            layer.forward_inplace(matrix, options)

    return run, None, (layer, matrices, options, net)


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


def make(name, threads, operation, element, rows, cols, x, y, gamma, beta, mean, variance, epsilon, tensor):
    if name == "ncnn":
        return make_ncnn(operation, element, rows, cols, x, gamma, beta, mean, variance, epsilon, tensor, threads)
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

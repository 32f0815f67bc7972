# SPDX-License-Identifier: Apache-2.0
"""PyTorch: torch.nn.functional on the CPU."""
import ctypes
import functools
import glob
import os
import sys

import operations
from comparing import weights


def load():
    """import torch, with stand-ins for CUDA's libraries (tests/references/fetch)."""
    folder = os.environ.get("SIMDNORM_CUDA_STAND_INS", "")
    for path in sorted(glob.glob(os.path.join(folder, "lib*.so*"))) if folder else []:
        ctypes.CDLL(path, mode=os.RTLD_LAZY | os.RTLD_GLOBAL)
    flags = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_LAZY)
    import torch

    sys.setdlopenflags(flags)
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    return torch


torch = load()
F = torch.nn.functional
PEER = "PyTorch"


def version():
    return "PyTorch " + torch.__version__


def tensor(x):
    return None if x is None else torch.from_numpy(x)


def compare_layer_norm(c):
    operations.layer_norm(c, lambda x, gamma, beta, epsilon: F.layer_norm(
        tensor(x), x.shape[1:], tensor(gamma), tensor(beta), epsilon).numpy())


def compare_layer_norm_statistics(c):
    def peer(x, epsilon):
        _, mean, rstd = torch.native_layer_norm(tensor(x), x.shape[1:], None, None, epsilon)
        return mean.numpy()[:, 0], rstd.numpy()[:, 0]

    operations.layer_norm_statistics(c, peer)


def compare_rms_norm(c):
    operations.rms_norm(c, lambda x, weight, epsilon: F.rms_norm(
        tensor(x), x.shape[1:], tensor(weight), epsilon).numpy())


def compare_nan_and_infinity(c):
    operations.nan_and_infinity(c, {
        "layer_norm": lambda x: F.layer_norm(tensor(x), x.shape[1:], eps=1e-5).numpy(),
        "rms_norm": lambda x: F.rms_norm(tensor(x), x.shape[1:], eps=1e-5).numpy(),
    })


def batch_norm_training(x, gamma, beta, mean, variance, momentum, epsilon, shape=None):
    """shape: x is an NCHW tensor in channels-last memory for PyTorch."""
    if epsilon == 0 or x.shape[0] == 1:  # PyTorch refuses
        return None
    view = tensor(x) if shape is None else tensor(x).view(*shape).permute(0, 3, 1, 2)
    mean, variance = tensor(mean), tensor(variance)
    y = F.batch_norm(view, mean, variance, tensor(gamma), tensor(beta), True, momentum, epsilon)
    return y.movedim(1, -1).reshape(x.shape).numpy(), mean.numpy(), variance.numpy()


def compare_batch_norm_training(c):
    operations.batch_norm_training(c, batch_norm_training)


def compare_batch_norm_training_of_images(c):
    for shape, r in operations.images():
        gamma, beta = weights(shape[-1])
        operations.batch_norm_training_of(c, r, "gamma, beta", gamma, beta, 0.125, functools.partial(
            batch_norm_training, shape=shape), r.epsilon)


def compare_batch_norm_inference(c):
    operations.batch_norm_inference(c, lambda x, gamma, beta, mean, variance, epsilon: F.batch_norm(
        tensor(x), tensor(mean), tensor(variance), tensor(gamma), tensor(beta), False, 0, epsilon).numpy())


# ---- padding ----------------------------------------------------------------------------------------------


def compare_row_lengths(c):
    operations.row_lengths(c, {
        "layer_norm": lambda x, gamma, beta, epsilon: F.layer_norm(
            tensor(x), x.shape[1:], tensor(gamma), tensor(beta), epsilon).numpy(),
        "rms_norm": lambda x, weight, beta, epsilon: F.rms_norm(
            tensor(x), x.shape[1:], tensor(weight), epsilon).numpy(),
    })


def compare_batch_norm_of_sequences(c):
    operations.batch_norm_of_sequences(c, batch_norm_training)


# ---- L2 norm, norms of a sum ---------------------------------------------------------------------------------


def compare_l2_norm(c):
    operations.l2_norm(c, lambda x, epsilon: F.normalize(tensor(x), dim=1, eps=epsilon).numpy())


def added(x, residual, bias):
    return (tensor(x) if bias is None else tensor(x) + tensor(bias)) + tensor(residual)


def compare_add_layer_norm(c):
    def peer(x, residual, bias, gamma, beta, epsilon):
        h = added(x, residual, bias)
        return F.layer_norm(h, x.shape[1:], tensor(gamma), tensor(beta), epsilon).numpy(), h.numpy()

    operations.add_norm(c, "add_layer_norm", peer)


def compare_add_rms_norm(c):
    def peer(x, residual, bias, weight, beta, epsilon):
        h = added(x, residual, bias)
        return F.rms_norm(h, x.shape[1:], tensor(weight), epsilon).numpy(), h.numpy()

    operations.add_norm(c, "add_rms_norm", peer)


# ---- tensors of channels, in both layouts -----------------------------------------------------------------------


def compare_group_norm(c):
    operations.group_norm(c, lambda x, groups, gamma, beta, epsilon: F.group_norm(
        tensor(x), groups, tensor(gamma), tensor(beta), epsilon).numpy())


def compare_instance_norm(c):
    operations.group_norm(c, lambda x, groups, gamma, beta, epsilon: F.instance_norm(
        tensor(x), None, None, tensor(gamma), tensor(beta), True, 0, epsilon).numpy(), instance=True)


def compare_batch_norm_training_nd(c):
    def peer(x, gamma, beta, mean, variance, momentum, epsilon):
        mean, variance = tensor(mean), tensor(variance)
        y = F.batch_norm(tensor(x), mean, variance, tensor(gamma), tensor(beta), True, momentum, epsilon)
        return y.numpy(), mean.numpy(), variance.numpy()

    operations.batch_norm_training_nd(c, peer)


def compare_batch_norm_inference_nd(c):
    operations.batch_norm_inference_nd(c, lambda x, gamma, beta, mean, variance, epsilon: F.batch_norm(
        tensor(x), tensor(mean), tensor(variance), tensor(gamma), tensor(beta), False, 0, epsilon).numpy())


# ---- activations, gates, offsets -----------------------------------------------------------------------------


ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "gelu_tanh": functools.partial(F.gelu, approximate="tanh"), "silu": F.silu}


def compare_layer_norm_and_activation(c):
    operations.activations(c, "layer_norm", {
        name: lambda x, gamma, beta, epsilon, f=f: f(F.layer_norm(
            tensor(x), x.shape[1:], tensor(gamma), tensor(beta), epsilon)).numpy() for name, f in ACTIVATIONS.items()})


def compare_rms_norm_and_activation(c):
    operations.activations(c, "rms_norm", {
        name: lambda x, weight, beta, epsilon, f=f: f(F.rms_norm(
            tensor(x), x.shape[1:], tensor(weight), epsilon)).numpy() for name, f in ACTIVATIONS.items()})


def compare_gated_rms_norm(c):
    operations.gated_rms_norm(c, lambda x, z, weight, epsilon: (
        F.rms_norm(tensor(x), x.shape[1:], tensor(weight), epsilon) * F.silu(tensor(z))).numpy())


def compare_rms_norm_with_unit_offset(c):
    operations.rms_norm_with_unit_offset(c, lambda x, weight, epsilon: (
        F.rms_norm(tensor(x), x.shape[1:], None, epsilon) * (1 + tensor(weight))).numpy())


def compare_batch_norm_residual_and_relu(c):
    def peer(x, residual, gamma, beta, mean, variance, epsilon):
        y = F.batch_norm(tensor(x), tensor(mean), tensor(variance), tensor(gamma), tensor(beta), False, 0, epsilon)
        return F.relu(y if residual is None else y + tensor(residual)).numpy()

    operations.relu_and_residual(c, peer)

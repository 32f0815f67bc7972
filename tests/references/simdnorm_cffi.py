# SPDX-License-Identifier: Apache-2.0
"""simdnorm from Python, for tests: a shared library of it, and its own headers read at run time.

    s = Simdnorm("libsimdnorm.so", "include", "build/here")
    s.layer_norm(x, y, s.options("layer_norm", epsilon=1e-6, gamma=gamma))

Every function of the headers can be called by its name without simdnorm_; what an argument becomes follows from the
type that the header gives it, so a new function needs nothing here:

    simdnorm_[const_]matrix*       2-D array, unit stride in a row
    simdnorm_[const_]tensor*       array of 2 to 5 dimensions, any strides
    simdnorm_[const_]vector        1-D contiguous array, or None
    double*, simdnorm_moments* ... contiguous array of that type (moments: Simdnorm.moments(n)), or None
    const ..._options*             what options() makes of the function's name and fields, or None

In options() fields are named as in the header and converted in the same way; a dictionary fills a struct inside. A
status other than OK is raised as Failed.
"""
import os
import pathlib
import re
import subprocess
import tempfile

import cffi
import numpy

ELEMENT_TYPES = {"float32": "SIMDNORM_F32", "float64": "SIMDNORM_F64", "float16": "SIMDNORM_F16",
                 "bfloat16": "SIMDNORM_BF16"}


class Failed(Exception):
    pass


class Absent(AttributeError):
    """The headers do not have this function yet."""


def preprocessed(include, cc):
    """simdnorm.h with all that it includes, without what cffi knows anyway or cannot read."""
    with tempfile.TemporaryDirectory() as empty:
        for name in ("stddef.h", "stdint.h", "stdbool.h"):
            pathlib.Path(empty, name).touch()
        command = [cc, "-std=c99", "-E", "-P", "-nostdinc", "-DSIMDNORM_STATIC", "-isystem", empty, "-I", include,
                   "-x", "c", os.path.join(include, "simdnorm/simdnorm.h")]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def without_bodies(text):
    """Removes static inline functions."""
    while (start := re.search(r"\bstatic inline\b", text)) is not None:
        end = text.index("{", start.start())
        depth = 1
        while depth:
            end += 1
            depth += {"{": 1, "}": -1}.get(text[end], 0)
        text = text[:start.start()] + text[end + 1:]
    return text


class Simdnorm:
    def __init__(self, library, include, scratch, cc="cc"):
        text = preprocessed(include, cc)
        self.ffi = cffi.FFI()
        self.ffi.cdef(without_bodies(text))
        self.lib = self.ffi.dlopen(library)
        # The defaults are inline functions: compiled here, and with them the sizes of the structs, to be sure that
        # cffi and the compiler see the same.
        self._defaults = re.findall(r"static inline (\w+) (simdnorm_\w+_defaults)\(void\)", text)
        source = '#include "simdnorm/simdnorm.h"\n'
        declarations = ""
        for struct, name in self._defaults:
            declarations += "size_t python_%s(%s*);\n" % (name, struct)
            source += ("size_t python_%s(%s* out) { *out = %s(); return sizeof *out; }\n" % (name, struct, name))
        os.makedirs(scratch, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            path = os.path.join(folder, "defaults.so")
            subprocess.run([cc, "-std=c99", "-shared", "-fPIC", "-I", include, "-o", path, "-x", "c", "-"],
                           input=source, check=True, text=True)
            self.ffi.cdef(declarations)
            self._inline = self.ffi.dlopen(path)

    def has(self, name):
        return hasattr(self.lib, "simdnorm_" + name)

    def need(self, *names):
        for name in names:
            if not self.has(name):
                raise Absent("simdnorm_%s is not there yet" % name)

    def __getattr__(self, name):
        if name.startswith("_") or name in ("lib", "ffi"):
            raise AttributeError(name)
        if not self.has(name):
            raise Absent("simdnorm_%s is not there yet" % name)
        function = getattr(self.lib, "simdnorm_" + name)
        kind = self.ffi.typeof(function)

        def call(*arguments):
            if len(arguments) != len(kind.args):
                raise TypeError("simdnorm_%s takes %d arguments" % (name, len(kind.args)))
            kept = []
            result = function(*[self._convert(a, t, kept) for a, t in zip(arguments, kind.args)])
            if kind.result is self.ffi.typeof("simdnorm_status") and result != self.lib.SIMDNORM_OK:
                text = self.ffi.string(self.lib.simdnorm_status_string(result)).decode()
                raise Failed("simdnorm_%s: %s" % (name, text))
            return result

        return call

    # ---- options and views --------------------------------------------------------------------------

    def options(self, name, **fields):
        """The options of simdnorm_NAME with their defaults, and these fields set."""
        self.need(name)
        kinds = self.ffi.typeof(getattr(self.lib, "simdnorm_" + name)).args
        structs = [k.item.cname for k in kinds if k.kind == "pointer" and k.item.cname.endswith("_options")]
        default = {struct: name for struct, name in self._defaults}[structs[-1]]
        out = self.ffi.new(structs[-1] + "*")
        size = getattr(self._inline, "python_" + default)(out)
        if size != self.ffi.sizeof(structs[-1]):
            raise Failed("%s has %d bytes, and %d here" % (structs[-1], size, self.ffi.sizeof(structs[-1])))
        kept = [out]
        self._fill(out, fields, kept)
        return out, kept

    def padding(self, kind, data, size=None, tokens=0, keep=False):
        """For options(padding=...): kind is row_lengths, row_mask, ...; size is that of data unless given."""
        data = numpy.ascontiguousarray(data)
        value = {"data": data, "size": data.size if size is None else size, "tokens": tokens,
                 "kind": self.constant("SIMDNORM_PADDING_" + kind.upper()),
                 "fill": self.lib.SIMDNORM_FILL_KEEP if keep else self.lib.SIMDNORM_FILL_ZERO}
        if data.dtype in (numpy.int32, numpy.int64):
            value["index_type"] = self.lib.SIMDNORM_I32 if data.dtype == numpy.int32 else self.lib.SIMDNORM_I64
        return value

    def constant(self, name):
        if not hasattr(self.lib, name):
            raise Absent("%s is not there yet" % name)
        return getattr(self.lib, name)

    def moments(self, count):
        return self.ffi.new("simdnorm_moments[]", count)

    def _fill(self, struct, fields, kept):
        kinds = dict(self.ffi.typeof(struct).item.fields)
        for field, value in fields.items():
            if field not in kinds:
                raise Absent("%s has no %s yet" % (self.ffi.typeof(struct).item.cname, field))
            kind = kinds[field].type
            if isinstance(value, dict):
                self._fill(self.ffi.addressof(struct, field), value, kept)
            else:
                setattr(struct, field, self._convert(value, kind, kept))

    def _address(self, array, kept):
        kept.append(array)
        return self.ffi.cast("void*", array.ctypes.data)

    def _element_type(self, array):
        return getattr(self.lib, ELEMENT_TYPES[array.dtype.name])

    def _convert(self, value, kind, kept):
        """value as the C type `kind`; what must outlive the call goes into kept."""
        ffi = self.ffi
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], ffi.CData):  # options()
            kept.append(value)
            return value[0]
        if kind.kind == "struct" and re.fullmatch(r"(struct )?simdnorm_(const_)?vector", kind.cname):
            if value is None:
                return ffi.new(kind.cname + "*")[0]
            if value.ndim != 1 or not value.flags.c_contiguous:
                raise ValueError("a vector must be contiguous")
            if not kind.cname.endswith("const_vector") and not value.flags.writeable:
                raise ValueError("an output must be writeable")
            return ffi.new(kind.cname + "*", {"data": self._address(value, kept), "size": value.size,
                                              "type": self._element_type(value)})[0]
        if kind.kind != "pointer" or isinstance(value, ffi.CData):
            return value
        if value is None:
            return ffi.NULL
        if not isinstance(value, numpy.ndarray):
            return value
        target = kind.item.cname
        if re.fullmatch(r"(struct )?simdnorm_(const_)?matrix", target):
            if value.ndim != 2 or (value.shape[1] > 1 and value.strides[1] != value.itemsize):
                raise ValueError("a row of a matrix must be contiguous")
            stride, rest = divmod(value.strides[0], value.itemsize)
            if rest:
                raise ValueError("strides must be whole elements")
            view = {"data": self._address(value, kept), "rows": value.shape[0], "cols": value.shape[1],
                    "row_stride": stride, "type": self._element_type(value)}
        elif re.fullmatch(r"(struct )?simdnorm_(const_)?tensor", target):
            view = {"data": self._address(value, kept), "sizes": list(value.shape),
                    "strides": [s // value.itemsize for s in value.strides], "rank": value.ndim,
                    "type": self._element_type(value)}
        else:
            if not value.flags.c_contiguous:
                raise ValueError("must be contiguous")
            if target in ("float", "double") and value.itemsize != ffi.sizeof(target):
                raise ValueError("%s must be given as %s" % (value.dtype, target))
            return ffi.cast(kind, self._address(value, kept))
        out = ffi.new(target + "*", view)
        kept.append(out)
        return out

    # ---- instruction sets -------------------------------------------------------------------------------

    def isas(self):
        """Names of the instruction sets that can run here."""
        states = self.ffi.new("simdnorm_isa_state[]", 16)  # more than there are: the rest stays "not available"
        self.lib.simdnorm_isa_list(states)
        names = []
        for state in states:
            name = self.lib.simdnorm_isa_name(state.isa)
            if state.available and name != self.ffi.NULL and (text := self.ffi.string(name).decode()) not in names:
                names.append(text)
        return names

    def force(self, name):
        isa = self.ffi.new("simdnorm_isa*")
        self._checked(self.lib.simdnorm_isa_from_name(name.encode(), isa))
        self._checked(self.lib.simdnorm_isa_force(isa[0]))
        active = self.ffi.new("simdnorm_isa*")
        self._checked(self.lib.simdnorm_isa_active(active))
        if active[0] != isa[0]:
            raise Failed("%s was forced and another instruction set runs" % name)

    def _checked(self, status):
        if status != self.lib.SIMDNORM_OK:
            raise Failed(self.ffi.string(self.lib.simdnorm_status_string(status)).decode())

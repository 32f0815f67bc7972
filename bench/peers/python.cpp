// SPDX-License-Identifier: Apache-2.0
//
// Peers that come as Python packages: ncnn, scikit-learn, oneDAL. An interpreter in this module sets
// them up (python_peers.py). scikit-learn and oneDAL are called through Python, as they are used; of
// ncnn's extension module the C++ behind its objects is called, so that no Python is in the figure.
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <dlfcn.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "plugin.hpp"

namespace simdnorm_peers {
namespace {

PyObject* helper = nullptr;

[[noreturn]] void fail() {
  PyObject *type = nullptr, *value = nullptr, *trace = nullptr;
  PyErr_Fetch(&type, &value, &trace);
  PyObject* text = value ? PyObject_Str(value) : nullptr;
  const char* said = text ? PyUnicode_AsUTF8(text) : nullptr;
  std::string why = said && *said ? said : "Python failed";
  for (char& c : why) c = c == '\n' ? ' ' : c;
  Py_XDECREF(text);
  Py_XDECREF(type);
  Py_XDECREF(value);
  Py_XDECREF(trace);
  throw std::runtime_error(why);
}
PyObject* sure(PyObject* o) {
  if (!o) fail();
  return o;
}

// The C++ object that an object of a pybind11 class stands for: its first word after the header.
void* native(PyObject* o) {
  void* p = nullptr;
  std::memcpy(&p, reinterpret_cast<const char*>(o) + sizeof(PyObject), sizeof p);
  return p;
}

// ncnn::Layer::forward_inplace(Mat&, const Option&): the tenth place in the table of virtual functions
// (two destructors, load_param, load_model, create_pipeline, destroy_pipeline, two forward, two
// forward_inplace). The package's version is pinned, and jobs of up to 4 Mi elements compare it with Python's call.
using forward_inplace = int (*)(const void* layer, void* matrix, const void* options);
constexpr std::size_t forward_inplace_place = 9;

class python_job final : public job {
 public:
  python_job(const std::string& name, int threads, const simdnorm_peer_task& t) {
    const auto at = [](const void* p) { return static_cast<unsigned long long>(reinterpret_cast<std::uintptr_t>(p)); };
    const auto n = [](std::size_t size) { return static_cast<unsigned long long>(size); };
    PyObject* made = sure(PyObject_CallMethod(helper, "make", "siiiKKKKKKKKd(KKKKK)", name.c_str(), threads,
                                              static_cast<int>(t.operation), static_cast<int>(t.type), n(t.rows),
                                              n(t.cols), at(t.x), at(t.y), at(t.gamma), at(t.beta), at(t.mean),
                                              at(t.variance), static_cast<double>(t.epsilon), n(t.batch), n(t.channels),
                                              n(t.height), n(t.width), n(t.groups)));
    owner_ = made;
    run_ = PyTuple_GetItem(made, 0);
    finish_ = PyTuple_GetItem(made, 1);
    PyObject* objects = PyTuple_GetItem(made, 2);
    if (!run_ || !finish_ || !objects) fail();
    if (objects == Py_None) return;
    layer_ = native(PyTuple_GetItem(objects, 0));
    PyObject* matrices = PyTuple_GetItem(objects, 1);
    for (Py_ssize_t i = 0; i < PyList_Size(matrices); ++i) matrices_.push_back(native(PyList_GetItem(matrices, i)));
    options_ = native(PyTuple_GetItem(objects, 2));
    void* const* table = *static_cast<void* const* const*>(layer_);
    function_ = reinterpret_cast<forward_inplace>(table[forward_inplace_place]);
    compare(t);
  }
  ~python_job() override { Py_XDECREF(owner_); }

  void run() override {
    if (function_) {
      for (void* const m : matrices_) function_(layer_, m, options_);
      return;
    }
    PyObject* result = PyObject_CallNoArgs(run_);
    if (!result) PyErr_Clear();
    Py_XDECREF(result);
  }
  void finish() override {
    if (finish_ == Py_None) return;
    PyObject* result = PyObject_CallNoArgs(finish_);
    if (!result) PyErr_Clear();
    Py_XDECREF(result);
  }

 private:
  PyObject *owner_ = nullptr, *run_ = nullptr, *finish_ = nullptr;
  void *layer_ = nullptr, *options_ = nullptr;
  std::vector<void*> matrices_;
  forward_inplace function_ = nullptr;

  // The native call does what Python's does, to the bit; the buffer is as before afterwards.
  void compare(const simdnorm_peer_task& t) {
    if (t.rows * t.cols > 1 << 22) return;  // the same code as over fewer
    const std::size_t bytes = t.rows * t.cols * bytes_of(t.type);
    const auto* const y = static_cast<const char*>(t.y);
    const std::vector<char> before(y, y + bytes);
    Py_XDECREF(sure(PyObject_CallNoArgs(run_)));
    const std::vector<char> expected(y, y + bytes);
    std::memcpy(t.y, before.data(), bytes);
    run();
    const bool same = std::memcmp(t.y, expected.data(), bytes) == 0;
    std::memcpy(t.y, before.data(), bytes);
    if (!same) throw std::runtime_error("its C++ is not where it was");
  }
};

void start(const std::string& site) {
  if (helper) return;
  // Extension modules look for the interpreter's symbols in the process.
  if (!dlopen("libpython" SIMDNORM_PEER_PYTHON_VERSION ".so.1.0", RTLD_NOW | RTLD_GLOBAL)) {
    throw std::runtime_error(dlerror());
  }
  Py_InitializeEx(0);
  const std::filesystem::path packages =
      std::filesystem::path(site) / "python" / "lib" / "python" SIMDNORM_PEER_PYTHON_VERSION / "site-packages";
  PyObject* path = PySys_GetObject("path");  // borrowed
  for (const std::string& folder : {packages.string(), std::string(SIMDNORM_PEER_PYTHON_FOLDER)}) {
    PyObject* text = sure(PyUnicode_FromString(folder.c_str()));
    PyList_Insert(path, 0, text);
    Py_DECREF(text);
  }
  PySys_SetObject("dont_write_bytecode", Py_True);
  helper = sure(PyImport_ImportModule("python_peers"));
}

}  // namespace

description open(const simdnorm_peer_setup& setup) {
  start(setup.site);
  PyObject* about = sure(PyObject_CallMethod(helper, "open_peer", "si", setup.name, setup.threads));
  const char *version = nullptr, *note = nullptr;
  int in_place = 0;
  PyObject* operations = nullptr;
  description d;
  if (!PyArg_ParseTuple(about, "ssipO", &version, &note, &d.threads, &in_place, &operations)) fail();
  d.version = version;
  d.note = note;
  d.in_place = in_place != 0;
  for (Py_ssize_t i = 0; i < PyList_Size(operations); ++i) {
    d.operations[SIMDNORM_PEER_F32] |= 1u << PyLong_AsUnsignedLong(PyList_GetItem(operations, i));
  }
  Py_DECREF(about);
  d.make = [name = std::string(setup.name), threads = setup.threads](const simdnorm_peer_task& t) {
    return std::make_unique<python_job>(name, threads, t);
  };
  for (const simdnorm_peer_type type : half_types) ask_for(d, type);
  return d;
}

}  // namespace simdnorm_peers

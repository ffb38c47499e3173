// The kernels as MXNet operators for CPU contexts, through MXNet's extension interface.
//
// MXNet does not tell an extension whether a gradient is to be written or added; these operators
// always write. `kernels/__init__.py` sees to it that nobody asks them to add.

#include <malloc.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <locale>
#include <memory>
#include <new>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels.h"
#include "mxnet/lib_api.h"

using mxnet::ext::MXReturnValue;
using mxnet::ext::MXTensor;
using mxnet::ext::OpResource;
using Attributes = std::unordered_map<std::string, std::string>;
using Tensors = std::vector<MXTensor>*;
using Shape = std::vector<unsigned int>;
using Shapes = std::vector<Shape>;

namespace {

// --- The choice of a vector unit ----------------------------------------------------------------

// oneDNN, MXNet's library for convolutions, can be limited to older instructions by this variable;
// the same limit holds here, so that the two can be compared.
bool allowed(const char* unit) {
  const char* limit = std::getenv("DNNL_MAX_CPU_ISA");
  if (!limit) return true;
  const std::string most(limit);
  if (most == "SSE41" || most == "AVX") return false;
  return most.rfind("AVX2", 0) != 0 || std::strcmp(unit, "avx2") == 0;  // any other is no limit
}

const char* choose_unit() {
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  if (avx2 && avx512 && allowed("avx512")) return "avx512";
  return avx2 && allowed("avx2") ? "avx2" : "";
}

const maskflownet::Kernels& kernels() {
  static const maskflownet::Kernels& chosen =
      std::strcmp(choose_unit(), "avx512") == 0 ? maskflownet::kAvx512 : maskflownet::kAvx2;
  return chosen;
}

// --- Help for all operators ---------------------------------------------------------------------

double number(const Attributes& attributes, const char* name, double otherwise) {
  const auto found = attributes.find(name);
  if (found == attributes.end()) return otherwise;
  // Not std::stod: in some languages' locales it reads 0.1 as 0.
  std::istringstream text(found->second);
  text.imbue(std::locale::classic());
  double value = otherwise;
  text >> value;
  return value;
}

int integer(const Attributes& attributes, const char* name, int otherwise) {
  return static_cast<int>(number(attributes, name, otherwise));
}

MXReturnValue all_float32(const Attributes&, std::vector<int>* inputs, std::vector<int>* outputs) {
  for (int& type : *inputs) type = mxnet::ext::kFloat32;
  for (int& type : *outputs) type = mxnet::ext::kFloat32;
  return MXReturnValue::MX_SUCCESS;
}

bool all_known(const Shapes& shapes) {
  for (const Shape& shape : shapes)
    if (shape.empty()) return false;
  return true;
}

MXReturnValue fail(const std::string& message) {
  MX_ERROR_MSG << message;
  return MXReturnValue::MX_FAIL;
}

// Memory for one call, aligned to cache lines. A small one is MXNet's, which the next call uses again.
// A large one is given back after the call: held, it would stand beside the features of the next
// pair. Before it is asked for, the C library gives back what it holds of freed memory.
class Workspace {
 public:
  Workspace(std::size_t floats, const OpResource& resource) {
    std::size_t space = floats * sizeof(float) + kLine;
    void* memory = space < kLarge ? resource.alloc_cpu(static_cast<int>(space)) : own(space);
    aligned_ = static_cast<float*>(std::align(kLine, floats * sizeof(float), memory, space));
  }
  float* floats() const { return aligned_; }

 private:
  static constexpr std::size_t kLine = 64, kLarge = 128 << 20, kHugePage = 2 << 20;

  void* own(std::size_t bytes) {
    malloc_trim(0);
    bytes = (bytes / kHugePage + 1) * kHugePage;
    own_.reset(std::aligned_alloc(kHugePage, bytes));
    if (!own_) throw std::bad_alloc();
    madvise(own_.get(), bytes, MADV_HUGEPAGE);  // fewer pages to be made; without them it works too
    return own_.get();
  }

  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> own_;
  float* aligned_;
};

// --- Cost volume --------------------------------------------------------------------------------

maskflownet::CostVolume cost_volume_of(const Attributes& attributes, MXTensor& features1,
                                       MXTensor& features2, MXTensor& volume) {
  maskflownet::CostVolume a{};
  a.batch = features1.shape[0];
  a.channels = features1.shape[1];
  a.height = features1.shape[2];
  a.width = features1.shape[3];
  a.max_displacement = integer(attributes, "max_displacement", 4);
  a.slope = static_cast<float>(number(attributes, "slope", 0.1));
  a.features1 = features1.data<float>();
  a.features2 = features2.data<float>();
  a.volume = volume.data<float>();
  return a;
}

MXReturnValue cost_volume_forward(const Attributes& attributes, Tensors in, Tensors out,
                                  const OpResource& resource) {
  const auto a = cost_volume_of(attributes, in->at(0), in->at(1), out->at(0));
  const Workspace workspace(kernels().cost_volume_workspace(a, false), resource);
  kernels().cost_volume_forward(a, workspace.floats());
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue cost_volume_backward(const Attributes& attributes, Tensors in, Tensors out,
                                   const OpResource& resource) {
  auto a = cost_volume_of(attributes, in->at(1), in->at(2), in->at(3));
  a.volume_gradient = in->at(0).data<float>();
  a.features1_gradient = out->at(0).data<float>();
  a.features2_gradient = out->at(1).data<float>();
  const Workspace workspace(kernels().cost_volume_workspace(a, true), resource);
  kernels().cost_volume_backward(a, workspace.floats());
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue cost_volume_count(const Attributes& attributes, int* inputs, int* outputs) {
  const int m = integer(attributes, "max_displacement", 4);
  if (m != 2 && m != 4)
    return fail("maskflownet_cost_volume: max_displacement " + std::to_string(m) +
                ": expected 2 or 4");
  *inputs = 2;
  *outputs = 1;
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue cost_volume_shape(const Attributes& attributes, Shapes* in, Shapes* out) {
  auto shape = in->at(0);
  if (shape.size() != 4) return MXReturnValue::MX_SUCCESS;
  if (in->at(1) != shape) return fail("maskflownet_cost_volume: the inputs differ in shape");
  const unsigned shifts = 2 * integer(attributes, "max_displacement", 4) + 1;
  shape[1] = shifts * shifts;
  out->at(0) = shape;
  return MXReturnValue::MX_SUCCESS;
}

// --- Tied warp: inputs response, features, flow, weight ------------------------------------------

maskflownet::TiedWarp tied_warp_of(MXTensor* in) {
  maskflownet::TiedWarp a{};
  a.batch = in[0].shape[0];
  a.outputs = in[0].shape[1];
  a.height = in[0].shape[2];
  a.width = in[0].shape[3];
  a.channels = in[1].shape[1];
  a.response = in[0].data<float>();
  a.features = in[1].data<float>();
  a.flow = in[2].data<float>();
  a.weight = in[3].data<float>();
  return a;
}

MXReturnValue tied_warp_forward(const Attributes&, Tensors in, Tensors out,
                                const OpResource& resource) {
  auto a = tied_warp_of(in->data());
  a.result = out->at(0).data<float>();
  const Workspace workspace(kernels().tied_warp_workspace(a, false), resource);
  kernels().tied_warp_forward(a, workspace.floats());
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue tied_warp_backward(const Attributes&, Tensors in, Tensors out,
                                 const OpResource& resource) {
  auto a = tied_warp_of(in->data() + 1);
  a.result_gradient = in->at(0).data<float>();
  a.response_gradient = out->at(0).data<float>();
  a.features_gradient = out->at(1).data<float>();
  a.flow_gradient = out->at(2).data<float>();
  a.weight_gradient = out->at(3).data<float>();
  const Workspace workspace(kernels().tied_warp_workspace(a, true), resource);
  kernels().tied_warp_backward(a, workspace.floats());
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue tied_warp_count(const Attributes&, int* inputs, int* outputs) {
  *inputs = 4;
  *outputs = 1;
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue tied_warp_shape(const Attributes&, Shapes* in, Shapes* out) {
  if (!all_known(*in)) return MXReturnValue::MX_SUCCESS;
  const Shape &response = in->at(0), &features = in->at(1);
  if (response.size() != 4 || features.size() != 4)
    return fail("maskflownet_tied_warp: response and features must be of four axes");
  const unsigned N = response[0], O = response[1], H = response[2], W = response[3];
  const unsigned C = features[1];
  if (features != Shape{N, C, H, W} || in->at(2) != Shape{N, 2, H, W} ||
      in->at(3) != Shape{O, C, 3, 3})
    return fail("maskflownet_tied_warp: the inputs do not fit together");
  out->at(0) = response;
  return MXReturnValue::MX_SUCCESS;
}

// --- Dense block --------------------------------------------------------------------------------
//
// Inputs: `maps` maps; weight and bias of the five layers, of the flow head, of the mask head if
// `mask`, of the up-convolution if `feat`, of the seven context layers if `context`.
// Outputs: flow; mask if `mask`; feat if `feat`; the activations if `keep`.

struct BlockForm {
  int maps;
  bool mask, feat, context, keep;

  explicit BlockForm(const Attributes& attributes)
      : maps(integer(attributes, "maps", 1)),
        mask(integer(attributes, "mask", 0)),
        feat(integer(attributes, "feat", 0)),
        context(integer(attributes, "context", 0)),
        keep(integer(attributes, "keep", 0)) {}

  int layers() const {
    return maskflownet::kDenseLayers + 1 + mask + feat +
           (context ? maskflownet::kContextLayers : 0);
  }
  int inputs() const { return maps + 2 * layers(); }
  int outputs() const { return 1 + mask + feat + keep; }
};

constexpr int kDilation[maskflownet::kContextLayers] = {1, 2, 4, 8, 16, 1, 1};

// Takes the layers from `in`, in their order, and the places of their gradients if there are any.
void take_layers(const BlockForm& form, MXTensor* in, MXTensor* gradients,
                 maskflownet::DenseBlock& a) {
  int next = form.maps;
  auto take = [&](maskflownet::Layer& layer, int outputs_axis) {
    layer.weight = in[next].data<float>();
    layer.bias = in[next + 1].data<float>();
    layer.outputs = in[next].shape[outputs_axis];
    if (gradients) {
      layer.weight_gradient = gradients[next].data<float>();
      layer.bias_gradient = gradients[next + 1].data<float>();
    }
    next += 2;
  };
  for (maskflownet::Layer& layer : a.dense) take(layer, 0);
  take(a.flow_head, 0);
  if (form.mask) take(a.mask_head, 0);
  if (form.feat) take(a.upfeat, 1);
  for (int i = 0; form.context && i < maskflownet::kContextLayers; ++i) {
    take(a.context[i], 0);
    a.dilation[i] = kDilation[i];
  }
}

maskflownet::DenseBlock dense_block_of(const Attributes& attributes, const BlockForm& form,
                                       MXTensor* in, MXTensor* out, MXTensor* gradients) {
  maskflownet::DenseBlock a{};
  a.batch = in[0].shape[0];
  a.height = in[0].shape[2];
  a.width = in[0].shape[3];
  a.slope = static_cast<float>(number(attributes, "slope", 0.1));
  a.maps = form.maps;
  a.has_context = form.context;
  for (int i = 0; i < form.maps; ++i) {
    a.map[i] = in[i].data<float>();
    a.map_channels[i] = in[i].shape[1];
    if (gradients) a.map_gradient[i] = gradients[i].data<float>();
  }
  take_layers(form, in, gradients, a);
  int next = 0;
  a.flow = out[next++].data<float>();
  if (form.mask) a.mask = out[next++].data<float>();
  if (form.feat) a.feat = out[next++].data<float>();
  if (form.keep) a.activations = out[next++].data<float>();
  return a;
}

MXReturnValue dense_block_forward(const Attributes& attributes, Tensors in, Tensors out,
                                  const OpResource& resource) {
  const BlockForm form(attributes);
  auto a = dense_block_of(attributes, form, in->data(), out->data(), nullptr);
  const Workspace workspace(kernels().dense_block_workspace(a, false), resource);
  a.workspace = workspace.floats();
  kernels().dense_block_forward(a);
  return MXReturnValue::MX_SUCCESS;
}

// in: the outputs' gradients, the inputs, the outputs.
MXReturnValue dense_block_backward(const Attributes& attributes, Tensors in, Tensors out,
                                   const OpResource& resource) {
  const BlockForm form(attributes);
  if (!form.keep) return fail("maskflownet_dense_block: no gradient of a frozen network or without keep=1");
  MXTensor* inputs = in->data() + form.outputs();
  auto a = dense_block_of(attributes, form, inputs, inputs + form.inputs(), out->data());
  int next = 0;
  a.flow_gradient = in->at(next++).data<float>();
  if (form.mask) a.mask_gradient = in->at(next++).data<float>();
  if (form.feat) a.feat_gradient = in->at(next++).data<float>();
  const Workspace workspace(kernels().dense_block_workspace(a, true), resource);
  a.workspace = workspace.floats();
  kernels().dense_block_backward(a);
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue dense_block_count(const Attributes& attributes, int* inputs, int* outputs) {
  const BlockForm form(attributes);
  if (form.maps < 1 || form.maps > maskflownet::DenseBlock::kMostMaps)
    return fail("maskflownet_dense_block: too many maps");
  if (form.feat && form.context)
    return fail("maskflownet_dense_block: either feat or context, not both");
  *inputs = form.inputs();
  *outputs = form.outputs();
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue dense_block_shape(const Attributes& attributes, Shapes* in, Shapes* out) {
  const BlockForm form(attributes);
  if (!all_known(*in)) return MXReturnValue::MX_SUCCESS;
  if (in->at(0).size() != 4) return fail("maskflownet_dense_block: a map must be of four axes");
  const unsigned N = in->at(0)[0], H = in->at(0)[2], W = in->at(0)[3];
  maskflownet::DenseBlock a{};
  a.batch = N;
  a.height = H;
  a.width = W;
  a.maps = form.maps;
  a.has_context = form.context;
  unsigned inputs = 0;  // of the next layer
  for (int i = 0; i < form.maps; ++i) {
    const Shape& map = in->at(i);
    if (map.size() != 4 || map != Shape{N, map[1], H, W})
      return fail("maskflownet_dense_block: the maps differ in batch or size");
    inputs += a.map_channels[i] = map[1];
  }
  bool fits = true;
  int next = form.maps;
  auto take = [&](unsigned outputs) {  // a 3x3 convolution; 0 for any number of outputs
    const Shape &weight = in->at(next), &bias = in->at(next + 1);
    next += 2;
    outputs = outputs ? outputs : weight[0];
    fits = fits && weight == Shape{outputs, inputs, 3, 3} && bias == Shape{outputs};
    return outputs;
  };
  for (maskflownet::Layer& layer : a.dense) {
    layer.outputs = take(0);
    if (layer.outputs % 16)
      return fail("maskflownet_dense_block: a layer's outputs must be a multiple of 16");
    inputs += layer.outputs;
  }
  unsigned output = 0;
  take(2);
  out->at(output++) = {N, 2, H, W};
  if (form.mask) {
    take(1);
    out->at(output++) = {N, 1, H, W};
  }
  if (form.feat) {
    const Shape &weight = in->at(next), &bias = in->at(next + 1);
    next += 2;
    const unsigned outputs = weight.size() > 1 ? weight[1] : 0;
    fits = fits && weight == Shape{inputs, outputs, 4, 4} && bias == Shape{outputs};
    a.upfeat.outputs = outputs;
    out->at(output++) = {N, outputs, 2 * H, 2 * W};
  }
  for (int i = 0; form.context && i < maskflownet::kContextLayers; ++i)
    inputs = a.context[i].outputs = take(i + 1 == maskflownet::kContextLayers ? 2 : 0);
  if (!fits) return fail("maskflownet_dense_block: a layer's weight or bias is of another shape");
  if (form.keep) {
    const std::size_t floats = kernels().dense_block_activations(a);
    out->at(output++) = {N, H, W, static_cast<unsigned>(floats / (a.batch * a.height * a.width))};
  }
  return MXReturnValue::MX_SUCCESS;
}

}  // namespace

// "avx512", "avx2", or "" if this processor has neither: then the library cannot be used.
extern "C" const char* maskflownet_vector_unit() { return choose_unit(); }

// The table for a unit, for tests that call the kernels without MXNet.
extern "C" const maskflownet::Kernels* maskflownet_kernels(const char* unit) {
  return std::strcmp(unit, "avx512") == 0 ? &maskflownet::kAvx512 : &maskflownet::kAvx2;
}

REGISTER_OP(maskflownet_cost_volume)
    .setForward(cost_volume_forward, "cpu")
    .setBackward(cost_volume_backward, "cpu")
    .setParseAttrs(cost_volume_count)
    .setInferType(all_float32)
    .setInferShape(cost_volume_shape);

REGISTER_OP(maskflownet_tied_warp)
    .setForward(tied_warp_forward, "cpu")
    .setBackward(tied_warp_backward, "cpu")
    .setParseAttrs(tied_warp_count)
    .setInferType(all_float32)
    .setInferShape(tied_warp_shape);

REGISTER_OP(maskflownet_dense_block)
    .setForward(dense_block_forward, "cpu")
    .setBackward(dense_block_backward, "cpu")
    .setParseAttrs(dense_block_count)
    .setInferType(all_float32)
    .setInferShape(dense_block_shape);

MXReturnValue initialize(int version) {
  if (version >= 10900) return MXReturnValue::MX_SUCCESS;
  return fail("the kernels need MXNet 1.9 or newer");
}

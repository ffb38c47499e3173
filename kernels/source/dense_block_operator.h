// maskflownet_dense_block.
//
// Inputs: `maps` maps; weight and bias of the five layers, of the flow head, of the mask head if
// `mask`, of the up-convolution if `feat`, of the seven context layers if `context`.
// Outputs: flow; mask if `mask`; feat if `feat`. Without `keep` there is no backward pass.

#pragma once

#include "operator.h"

namespace {

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
  int outputs() const { return 1 + mask + feat; }
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
  a.products = products_of(attributes);
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
  return a;
}

class DenseBlockCall : public Call {
 public:
  using Call::Call;

  MXReturnValue Forward(Tensors in, Tensors out, const OpResource& resource) override {
    auto a = dense_block_of(attributes_, form_, in->data(), out->data(), nullptr);
    if (form_.keep) {
      activations_.take(kernels().dense_block_activations(a));
      a.activations = activations_.floats();
    }
    const Workspace workspace(kernels().dense_block_workspace(a, false), resource);
    a.workspace = workspace.floats();
    kernels().dense_block_forward(a);
    return MXReturnValue::MX_SUCCESS;
  }

  // in: the outputs' gradients, the inputs, the outputs.
  MXReturnValue Backward(Tensors in, Tensors out, const OpResource& resource) override {
    if (!form_.keep) return fail(no_gradient("maskflownet_dense_block"));
    MXTensor* inputs = in->data() + form_.outputs();
    auto a = dense_block_of(attributes_, form_, inputs, inputs + form_.inputs(), out->data());
    a.activations = activations_.floats();
    int next = 0;
    a.flow_gradient = in->at(next++).data<float>();
    if (form_.mask) a.mask_gradient = in->at(next++).data<float>();
    if (form_.feat) a.feat_gradient = in->at(next++).data<float>();
    const Workspace workspace(kernels().dense_block_workspace(a, true), resource);
    a.workspace = workspace.floats();
    kernels().dense_block_backward(a);
    return MXReturnValue::MX_SUCCESS;
  }

 private:
  const BlockForm form_{attributes_};
};

MXReturnValue dense_block_count(const Attributes& attributes, int* inputs, int* outputs) {
  const BlockForm form(attributes);
  if (form.maps < 1 || form.maps > maskflownet::DenseBlock::kMostMaps)
    return fail("maskflownet_dense_block: expected 1 to " +
                std::to_string(maskflownet::DenseBlock::kMostMaps) + " maps");
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
  unsigned inputs = 0;  // of the next layer
  for (int i = 0; i < form.maps; ++i) {
    const Shape& map = in->at(i);
    if (map.size() != 4 || map != Shape{N, map[1], H, W})
      return fail("maskflownet_dense_block: the maps differ in batch or size");
    inputs += map[1];
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
  for (int i = 0; i < maskflownet::kDenseLayers; ++i) {
    const unsigned outputs = take(0);
    if (outputs % 16)
      return fail("maskflownet_dense_block: a layer's outputs must be a multiple of 16");
    inputs += outputs;
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
    out->at(output++) = {N, outputs, 2 * H, 2 * W};
  }
  for (int i = 0; form.context && i < maskflownet::kContextLayers; ++i)
    inputs = take(i + 1 == maskflownet::kContextLayers ? 2 : 0);
  if (!fits) return fail("maskflownet_dense_block: a layer's weight or bias is of another shape");
  return MXReturnValue::MX_SUCCESS;
}

}  // namespace

REGISTER_OP(maskflownet_dense_block)
    .setCreateOpState(make_call<DenseBlockCall>, "cpu")
    .setParseAttrs(dense_block_count)
    .setInferType(all_float32)
    .setInferShape(dense_block_shape);

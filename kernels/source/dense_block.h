// A decoder level (see DenseBlock) on one array of activations, (N, H, W, channels): each
// convolution's output lies in front of its input, so that a concatenation is a matter of where
// the next convolution begins to read.
//
//   [ 32 | 64 | 96 | 128 | 128 | maps, padded to a multiple of 16 ]
//
// The heads are one convolution on all of it: flow (2 channels) and mask (1), padded to 16, and the
// up-convolution as 4 * channels more: a 4x4 transposed convolution of stride 2 is a 3x3
// convolution for each of the four pixels that one pixel becomes.

#pragma once

#include <cstring>

#include "kernels.h"
#include "layout.h"
#include "vector.h"
#include "winograd.h"

namespace {

using maskflownet::DenseBlock;
using maskflownet::kContextLayers;
using maskflownet::kDenseLayers;
using maskflownet::Layer;

constexpr long kFlowChannels = 2;
constexpr long kReadOff = 16;  // channels of the flow and mask heads together, padded

struct BlockSizes {
  Extent extent;
  long inputs = 0, padded_inputs, grown = 0;  // channels of the maps, and what the layers add
  long width;                                 // floats from pixel to pixel
  long feat, heads;                           // channels of the up-convolution and of all heads
  long widest_context = 0, all_context = 0;
  int most_dilation = 1;

  explicit BlockSizes(const DenseBlock& a) : extent{a.batch, a.height, a.width} {
    for (int i = 0; i < a.maps; ++i) inputs += a.map_channels[i];
    for (const Layer& layer : a.dense) grown += layer.outputs;
    padded_inputs = round_up(inputs, kChannelStep);
    width = grown + padded_inputs;
    feat = a.upfeat.weight ? a.upfeat.outputs : 0;
    heads = kReadOff + 4 * feat;
    for (int i = 0; a.has_context && i < kContextLayers; ++i) {
      const long outputs = round_up(a.context[i].outputs, kChannelStep);
      widest_context = outputs > widest_context ? outputs : widest_context;
      all_context += outputs;
      most_dilation = a.dilation[i] > most_dilation ? a.dilation[i] : most_dilation;
    }
  }

  long channels() const { return inputs + grown; }
  long padded_heads() const { return round_up(heads, kChannelStep); }

  // The most outputs of any convolution.
  long widest_kernel(const DenseBlock& a) const {
    long widest = padded_heads();
    for (const Layer& layer : a.dense) widest = layer.outputs > widest ? layer.outputs : widest;
    return widest_context > widest ? widest_context : widest;
  }
};

// What forward and backward share: the workspace's pieces.
struct BlockWork {
  float *tiles, *transformed, *products, *head_weight, *head_bias, *heads;

  BlockWork(const DenseBlock& a, const BlockSizes& s, Arena& arena) {
    tiles = arena.take(Tiles::size(s.extent, s.most_dilation));
    transformed = arena.take(kFrequencies * s.width * s.widest_kernel(a));
    // A gradient's way back has the block's whole width as its outputs.
    products = arena.take(omp_get_max_threads() * convolve_size(s.width));
    head_weight = arena.take(s.heads * s.channels() * 9);
    head_bias = arena.take(s.padded_heads());
    heads = arena.take(s.extent.pixels() * s.padded_heads());
  }
};

// --- The heads as one convolution ---------------------------------------------------------------

// Calls visit(output, input, tap, upfeat's index) for each weight of the up-convolution
// (C, O, 4, 4): what pixel (2y + a, 2x + b) takes from (y + dy, x + dx) is tap
// (a + 1 - 2 dy, b + 1 - 2 dx), if there is such a tap.
template <class Visit>
void for_up_convolution(long inputs, long outputs, Visit visit) {
#pragma omp parallel for schedule(static)
  for (long c = 0; c < inputs; ++c)
    for (long o = 0; o < outputs; ++o)
      for (int a = 0; a < 2; ++a)
        for (int b = 0; b < 2; ++b)
          for (int dy = -1; dy <= 1; ++dy)
            for (int dx = -1; dx <= 1; ++dx) {
              const int ky = a + 1 - 2 * dy, kx = b + 1 - 2 * dx;
              if (ky < 0 || ky > 3 || kx < 0 || kx > 3) continue;
              visit(kReadOff + (2 * a + b) * outputs + o, c, 3 * (dy + 1) + dx + 1,
                    (c * outputs + o) * 16 + ky * 4 + kx);
            }
}

inline void merge_heads(const DenseBlock& a, const BlockSizes& s, BlockWork& work) {
  const long C = s.channels(), row = C * 9;
  std::memset(work.head_weight, 0, s.heads * row * sizeof(float));
  std::memset(work.head_bias, 0, s.padded_heads() * sizeof(float));
  std::memcpy(work.head_weight, a.flow_head.weight, kFlowChannels * row * sizeof(float));
  std::memcpy(work.head_bias, a.flow_head.bias, kFlowChannels * sizeof(float));
  if (a.mask_head.weight) {
    std::memcpy(work.head_weight + kFlowChannels * row, a.mask_head.weight, row * sizeof(float));
    work.head_bias[kFlowChannels] = a.mask_head.bias[0];
  }
  if (!s.feat) return;
  for_up_convolution(C, s.feat, [&](long o, long c, int tap, long own) {
    work.head_weight[o * row + c * 9 + tap] = a.upfeat.weight[own];
  });
  for (long i = 0; i < 4 * s.feat; ++i) work.head_bias[kReadOff + i] = a.upfeat.bias[i % s.feat];
}

inline void split_head_gradients(const DenseBlock& a, const BlockSizes& s, const float* weight,
                                 const float* bias) {
  const long C = s.channels(), row = C * 9;
  std::memcpy(a.flow_head.weight_gradient, weight, kFlowChannels * row * sizeof(float));
  std::memcpy(a.flow_head.bias_gradient, bias, kFlowChannels * sizeof(float));
  if (a.mask_head.weight) {
    std::memcpy(a.mask_head.weight_gradient, weight + kFlowChannels * row, row * sizeof(float));
    a.mask_head.bias_gradient[0] = bias[kFlowChannels];
  }
  if (!s.feat) return;
  for_up_convolution(C, s.feat, [&](long o, long c, int tap, long own) {
    a.upfeat.weight_gradient[own] = weight[o * row + c * 9 + tap];
  });
  for (long o = 0; o < s.feat; ++o) {
    a.upfeat.bias_gradient[o] = 0;
    for (long i = 0; i < 4; ++i)
      a.upfeat.bias_gradient[o] += bias[kReadOff + i * s.feat + o];
  }
}

// --- Forward ------------------------------------------------------------------------------------

// Where the context network's layers put their outputs: one behind the other if they are kept for
// the backward pass, else in turn into two places, of which one is the block's own activations:
// nobody needs them any more.
struct ContextPlaces {
  float* place[kContextLayers];
  long stride[kContextLayers];

  ContextPlaces(const DenseBlock& a, const BlockSizes& s, float* block, float* other, bool kept) {
    for (int i = 0; i < kContextLayers; ++i) {
      const long outputs = round_up(a.context[i].outputs, kChannelStep);
      place[i] = kept || i % 2 == 0 ? other : block;
      stride[i] = kept ? outputs : i % 2 == 0 ? s.widest_context : s.width;
      if (kept) other += s.extent.pixels() * outputs;
    }
  }
};

struct ForwardWork {
  BlockWork shared;
  float *block, *context;

  ForwardWork(const DenseBlock& a, const BlockSizes& s, Arena& arena) : shared(a, s, arena) {
    const long pixels = s.extent.pixels();
    block = a.activations ? a.activations : arena.take(pixels * s.width);
    context = a.activations ? block + pixels * s.width : arena.take(pixels * s.widest_context);
  }
};

template <class V>
void dense_block_forward(const DenseBlock& a) {
  const BlockSizes s(a);
  Arena arena{a.workspace};
  ForwardWork work(a, s, arena);
  BlockWork& shared = work.shared;
  const Extent& e = s.extent;
  const Tiles tiles(e, 1, shared.tiles);
  auto run = [&](const Tiles& own, int dilation, const float* in, long in_stride, const Taps3x3& k,
                 const float* bias, Result result, float* out, long out_stride) {
    convolve<V>(e, own, dilation, in, in_stride, k, bias, a.slope, result, out, out_stride,
                shared.transformed, shared.products);
  };

  long channel = s.grown, inputs = s.inputs;
  for (int i = 0; i < a.maps; ++i) {
    const long padded = i == a.maps - 1 ? a.map_channels[i] + s.padded_inputs - s.inputs
                                        : a.map_channels[i];
    to_channels_last(e, a.map[i], a.map_channels[i], padded, work.block + channel, s.width);
    channel += a.map_channels[i];
  }
  channel = s.grown;
  for (const Layer& layer : a.dense) {
    const float* in = work.block + channel;
    channel -= layer.outputs;
    run(tiles, 1, in, s.width, Taps3x3::forward(layer.weight, layer.outputs, inputs), layer.bias,
        Result::kActivated, work.block + channel, s.width);
    inputs += layer.outputs;
  }
  merge_heads(a, s, shared);
  const long head_stride = s.padded_heads();
  run(tiles, 1, work.block, s.width, Taps3x3::forward(shared.head_weight, s.heads, inputs),
      shared.head_bias, Result::kPlain, shared.heads, head_stride);
  if (a.has_context) {
    const ContextPlaces places(a, s, work.block, work.context, a.activations != nullptr);
    const float* in = work.block;
    long stride = s.width;
    for (int i = 0; i < kContextLayers; ++i) {
      const Layer& layer = a.context[i];
      const bool last = i == kContextLayers - 1;
      run(Tiles(e, a.dilation[i], shared.tiles), a.dilation[i], in, stride,
          Taps3x3::forward(layer.weight, layer.outputs, inputs), layer.bias,
          last ? Result::kAdded : Result::kActivated, last ? shared.heads : places.place[i],
          last ? head_stride : places.stride[i]);
      in = places.place[i];
      stride = places.stride[i];
      inputs = layer.outputs;
    }
  }
  to_channels_first(e, shared.heads, head_stride, kFlowChannels, a.flow);
  if (a.mask_head.weight)
    to_channels_first(e, shared.heads + kFlowChannels, head_stride, 1, a.mask);
  if (s.feat) depth_to_space(e, shared.heads + kReadOff, head_stride, s.feat, a.slope, a.feat);
}

// --- Backward -----------------------------------------------------------------------------------

struct BackwardWork {
  BlockWork shared;
  float *block_gradient, *context_gradient[2], *head_weight_gradient, *head_bias_gradient;
  float* tile_gradients;

  BackwardWork(const DenseBlock& a, const BlockSizes& s, Arena& arena) : shared(a, s, arena) {
    const long pixels = s.extent.pixels();
    block_gradient = arena.take(pixels * s.width);
    for (float*& gradient : context_gradient) gradient = arena.take(pixels * s.widest_context);
    head_weight_gradient = arena.take(s.heads * s.channels() * 9);
    head_bias_gradient = arena.take(s.padded_heads());
    const long tiles = Tiles::size(s.extent, s.most_dilation) / 3;
    tile_gradients = arena.take(kFrequencies * (tiles * s.widest_kernel(a) + kGap));
  }
};

// The gradient of the merged heads' output, from those of flow, mask and features.
inline void head_gradients(const DenseBlock& a, const BlockSizes& s, float* heads) {
  const long stride = s.padded_heads();
  std::memset(heads, 0, s.extent.pixels() * stride * sizeof(float));
  to_channels_last(s.extent, a.flow_gradient, kFlowChannels, kFlowChannels, heads, stride);
  if (a.mask_head.weight)
    to_channels_last(s.extent, a.mask_gradient, 1, 1, heads + kFlowChannels, stride);
  if (s.feat)
    space_to_depth(s.extent, a.feat_gradient, a.feat, s.feat, a.slope, heads + kReadOff, stride);
}

template <class V>
struct Backward {
  const DenseBlock& a;
  const BlockSizes& s;
  BackwardWork& work;

  // One convolution: the gradients of its weight and, put or added there, of its input.
  void layer(int dilation, const float* in, long in_stride, long inputs, const float* weight,
             float* weight_gradient, const float* gradient, long gradient_stride, long outputs,
             Result result, float* in_gradient, long in_gradient_stride) {
    const BlockWork& shared = work.shared;
    const Tiles tiles(s.extent, dilation, shared.tiles);
    convolution_weight_gradient<V>(s.extent, tiles, dilation, in, in_stride, inputs, gradient,
                                   gradient_stride, outputs, weight_gradient, shared.transformed,
                                   work.tile_gradients, shared.products);
    convolve<V>(s.extent, tiles, dilation, gradient, gradient_stride,
                Taps3x3::backward(weight, outputs, inputs), nullptr, 0, result, in_gradient,
                in_gradient_stride, shared.transformed, shared.products);
  }

  void heads() {
    BlockWork& shared = work.shared;
    head_gradients(a, s, shared.heads);
    activation_gradient<V>(s.extent, shared.heads, s.padded_heads(), nullptr, 0, s.padded_heads(),
                           a.slope, work.head_bias_gradient);
    merge_heads(a, s, shared);
    layer(1, a.activations, s.width, s.channels(), shared.head_weight, work.head_weight_gradient,
          shared.heads, s.padded_heads(), s.heads, Result::kPlain, work.block_gradient, s.width);
    split_head_gradients(a, s, work.head_weight_gradient, work.head_bias_gradient);
  }

  // Begins with the flow's gradient in the heads' first channels.
  void context() {
    const ContextPlaces places(a, s, nullptr, a.activations + s.extent.pixels() * s.width, true);
    float* gradient = work.context_gradient[0];
    long stride = s.widest_context;
    clear_all_but_flow(gradient, stride);
    for (int i = kContextLayers - 1; i >= 0; --i) {
      const Layer& own = a.context[i];
      const bool first = i == 0, last = i == kContextLayers - 1;
      activation_gradient<V>(s.extent, gradient, stride, last ? nullptr : places.place[i],
                             places.stride[i], own.outputs, a.slope, own.bias_gradient);
      float* back = first ? work.block_gradient : work.context_gradient[(kContextLayers - i) % 2];
      layer(a.dilation[i], first ? a.activations : places.place[i - 1],
            first ? s.width : places.stride[i - 1], first ? s.channels() : a.context[i - 1].outputs,
            own.weight, own.weight_gradient, gradient, stride, own.outputs,
            first ? Result::kAdded : Result::kPlain, back, first ? s.width : s.widest_context);
      gradient = back;
    }
  }

  void clear_all_but_flow(float* gradient, long stride) {
    const float* heads = work.shared.heads;
    for (long p = 0; p < s.extent.pixels(); ++p) {
      std::memset(gradient + p * stride, 0, kReadOff * sizeof(float));
      std::memcpy(gradient + p * stride, heads + p * s.padded_heads(),
                  kFlowChannels * sizeof(float));
    }
  }

  void dense() {
    long channel = 0, inputs = s.channels();
    for (int i = kDenseLayers - 1; i >= 0; --i) {
      const Layer& own = a.dense[i];
      float* gradient = work.block_gradient + channel;
      activation_gradient<V>(s.extent, gradient, s.width, a.activations + channel, s.width,
                             own.outputs, a.slope, own.bias_gradient);
      channel += own.outputs;
      inputs -= own.outputs;
      layer(1, a.activations + channel, s.width, inputs, own.weight, own.weight_gradient, gradient,
            s.width, own.outputs, Result::kAdded, work.block_gradient + channel, s.width);
    }
    for (int i = 0; i < a.maps; ++i) {
      to_channels_first(s.extent, work.block_gradient + channel, s.width, a.map_channels[i],
                        a.map_gradient[i]);
      channel += a.map_channels[i];
    }
  }
};

template <class V>
void dense_block_backward(const DenseBlock& a) {
  const BlockSizes s(a);
  Arena arena{a.workspace};
  BackwardWork work(a, s, arena);
  Backward<V> backward{a, s, work};
  backward.heads();
  if (a.has_context) backward.context();
  backward.dense();
}

// --- Sizes --------------------------------------------------------------------------------------

inline std::size_t dense_block_activations(const DenseBlock& a) {
  const BlockSizes s(a);
  return s.extent.pixels() * (s.width + s.all_context);
}

inline std::size_t dense_block_workspace(const DenseBlock& a, bool backward) {
  const BlockSizes s(a);
  Arena arena{nullptr};
  if (backward) {
    BackwardWork(a, s, arena);
  } else {
    ForwardWork(a, s, arena);
  }
  return arena.used;
}

}  // namespace

// A decoder level (see DenseBlock) on one array of activations: each convolution's output lies in
// front of its input, so that a concatenation is a matter of where the next convolution begins to
// read.
//
//   [ 32 | 64 | 96 | 128 | 128 | maps, padded to a multiple of 16 ]
//
// What reads all of it is one convolution, "the heads":
//
//   [ flow (2), mask (1), padding | 4 * feat, or the context network's first layer ]
//
// A 4x4 transposed convolution of stride 2 is a 3x3 convolution for each of the four pixels that
// one pixel becomes.

#pragma once

#include <omp.h>

#include <cstring>

#include "arrays.h"
#include "convolution.h"
#include "kernels.h"
#include "layout.h"
#include "vector.h"

namespace {

using maskflownet::DenseBlock;
using maskflownet::kContextLayers;
using maskflownet::kDenseLayers;
using maskflownet::Layer;

constexpr long kFlowChannels = 2;
constexpr long kReadOff = kLane;  // flow and mask, padded: the others begin here
constexpr long kNever = 1L << 40;  // "activated from" an output that there is not

struct BlockSizes {
  Extent extent;
  long inputs = 0, padded_inputs, grown = 0;  // channels of the maps, and what the layers add
  long width;                                 // of the whole block, padded
  long feat;                                  // channels of the up-convolution
  long heads;                                 // outputs of the heads
  long widest_context = 0, later_context = 0;  // outputs of the context layers after the first
  int most_dilation = 1;

  explicit BlockSizes(const DenseBlock& a) : extent{a.batch, a.height, a.width} {
    for (int i = 0; i < a.maps; ++i) inputs += a.map_channels[i];
    for (const Layer& layer : a.dense) grown += layer.outputs;
    padded_inputs = round_up(inputs, kLane);
    width = grown + padded_inputs;
    feat = a.upfeat.outputs;
    heads = kReadOff + (a.has_context ? a.context[0].outputs : 4 * feat);
    for (int i = 1; a.has_context && i < kContextLayers; ++i) {
      const long outputs = round_up(a.context[i].outputs, kLane);
      widest_context = outputs > widest_context ? outputs : widest_context;
      later_context += outputs;
      most_dilation = a.dilation[i] > most_dilation ? a.dilation[i] : most_dilation;
    }
  }

  long channels() const { return inputs + grown; }
  long padded_heads() const { return round_up(heads, kLane); }
  long kept() const { return width + padded_heads() + later_context; }  // for the backward pass

  // Where nothing is kept, later context layers lie in the places of the block and of the heads.
  long block_place() const { return widest_context > width ? widest_context : width; }
  long heads_place() const {
    const long context = kReadOff + widest_context;
    return context > padded_heads() ? context : padded_heads();
  }
  long passing() const { return block_place() + heads_place(); }

  long widest_kernel(const DenseBlock& a) const {
    long widest = padded_heads();
    for (const Layer& layer : a.dense) widest = layer.outputs > widest ? layer.outputs : widest;
    return widest_context > widest ? widest_context : widest;
  }
};

// What forward and backward share of the workspace.
struct BlockWork {
  ConvolutionWork convolution;
  float *head_weight, *head_bias;

  BlockWork(const DenseBlock& a, const BlockSizes& s, Arena& arena) {
    // On a gradient's way back, the block's whole width are the outputs.
    const long widest = s.widest_kernel(a) > s.width ? s.widest_kernel(a) : s.width;
    convolution.pieces = arena.take(pieces_room(s.extent, s.most_dilation));
    convolution.kernel = arena.take(kernel_room(widest, s.widest_kernel(a)));
    convolution.threads =
        arena.take(omp_get_max_threads() * thread_room(s.extent, s.most_dilation, widest));
    convolution.products = a.products;
    head_weight = arena.take(s.heads * s.channels() * 9);
    head_bias = arena.take(s.padded_heads());
  }
};

// --- The heads as one convolution ---------------------------------------------------------------

// Calls visit(output, input, tap, place in the weight) for each weight of the up-convolution
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

inline void copy(float* to, const float* from, long floats) {
  std::memcpy(to, from, floats * sizeof(float));
}

inline void clear(float* to, long floats) { std::memset(to, 0, floats * sizeof(float)); }

inline void merge_heads(const DenseBlock& a, const BlockSizes& s, BlockWork& work) {
  const long row = s.channels() * 9;
  float *weight = work.head_weight, *bias = work.head_bias;
  clear(weight, s.heads * row);
  clear(bias, s.padded_heads());
  copy(weight, a.flow_head.weight, kFlowChannels * row);
  copy(bias, a.flow_head.bias, kFlowChannels);
  if (a.mask_head.weight) {
    copy(weight + kFlowChannels * row, a.mask_head.weight, row);
    bias[kFlowChannels] = a.mask_head.bias[0];
  }
  if (a.has_context) {
    copy(weight + kReadOff * row, a.context[0].weight, a.context[0].outputs * row);
    copy(bias + kReadOff, a.context[0].bias, a.context[0].outputs);
  }
  if (!s.feat) return;
  for_up_convolution(s.channels(), s.feat, [&](long o, long c, int tap, long own) {
    weight[o * row + c * 9 + tap] = a.upfeat.weight[own];
  });
  for (long i = 0; i < 4 * s.feat; ++i) bias[kReadOff + i] = a.upfeat.bias[i % s.feat];
}

inline void split_head_gradients(const DenseBlock& a, const BlockSizes& s, const float* weight,
                                 const float* bias) {
  const long row = s.channels() * 9;
  copy(a.flow_head.weight_gradient, weight, kFlowChannels * row);
  copy(a.flow_head.bias_gradient, bias, kFlowChannels);
  if (a.mask_head.weight) {
    copy(a.mask_head.weight_gradient, weight + kFlowChannels * row, row);
    a.mask_head.bias_gradient[0] = bias[kFlowChannels];
  }
  if (a.has_context) {
    copy(a.context[0].weight_gradient, weight + kReadOff * row, a.context[0].outputs * row);
    copy(a.context[0].bias_gradient, bias + kReadOff, a.context[0].outputs);
  }
  if (!s.feat) return;
  for_up_convolution(s.channels(), s.feat, [&](long o, long c, int tap, long own) {
    a.upfeat.weight_gradient[own] = weight[o * row + c * 9 + tap];
  });
  clear(a.upfeat.bias_gradient, s.feat);
  for (long i = 0; i < 4 * s.feat; ++i) a.upfeat.bias_gradient[i % s.feat] += bias[kReadOff + i];
}

// --- Forward ------------------------------------------------------------------------------------

// Where the activations lie: one behind the other if they are kept for the backward pass; else the
// context network's layers take turns in the places of the block and of the heads, which nobody
// needs any more. The last layer's output is added to the flow, among the heads.
struct Activations {
  float *block, *heads, *context[kContextLayers];

  Activations(const DenseBlock& a, const BlockSizes& s, float* base) {
    block = base;
    heads = block + s.extent.channel(a.activations ? s.width : s.block_place());
    context[0] = heads + s.extent.channel(kReadOff);
    float* next = heads + s.extent.channel(s.padded_heads());
    for (int i = 1; a.has_context && i < kContextLayers; ++i) {
      context[i] = a.activations ? next : i % 2 ? block : context[0];
      next += s.extent.channel(round_up(a.context[i].outputs, kLane));
    }
  }
};

inline void gather_maps(const DenseBlock& a, const BlockSizes& s, float* to) {
  const long P = a.height * a.width;
#pragma omp parallel
  for (long first = 0; first < s.padded_inputs; first += kLane) {
    Channel from[kLane];
    for (long i = 0; i < kLane; ++i) {
      long c = first + i;
      int map = 0;
      while (map < a.maps && c >= a.map_channels[map]) c -= a.map_channels[map++];
      from[i] =
          map < a.maps ? Channel{a.map[map] + c * P, a.map_channels[map]} : Channel{nullptr, 0};
    }
    to_block(s.extent, from, to + s.extent.channel(first));
  }
}

template <class V>
void dense_block_forward(const DenseBlock& a) {
  const BlockSizes s(a);
  Arena arena{a.workspace};
  BlockWork work(a, s, arena);
  const Extent& e = s.extent;
  const Activations at(a, s, a.activations ? a.activations
                                         : arena.take(e.channel(s.passing())));
  auto run = [&](int dilation, const float* in, long inputs, const float* weight, long outputs,
                 const Result& result, float* out) {
    convolve<V>(e, Pieces(e, dilation, work.convolution.pieces), in,
                Taps3x3::forward(weight, outputs, inputs), result, out, work.convolution);
  };

  long channel = s.grown, inputs = s.inputs;
  gather_maps(a, s, at.block + e.channel(channel));
  for (const Layer& layer : a.dense) {
    const float* in = at.block + e.channel(channel);
    channel -= layer.outputs;
    run(1, in, inputs, layer.weight, layer.outputs, {layer.bias, a.slope, 0, false},
        at.block + e.channel(channel));
    inputs += layer.outputs;
  }
  merge_heads(a, s, work);
  run(1, at.block, inputs, work.head_weight, s.heads, {work.head_bias, a.slope, kReadOff, false},
      at.heads);
  for (int i = 1; a.has_context && i < kContextLayers; ++i) {
    const Layer& layer = a.context[i];
    const bool last = i == kContextLayers - 1;
    run(a.dilation[i], at.context[i - 1], a.context[i - 1].outputs, layer.weight, layer.outputs,
        {layer.bias, a.slope, last ? kNever : 0, last}, last ? at.heads : at.context[i]);
  }
  from_blocks(e, at.heads, 0, kFlowChannels, a.flow);
  if (a.mask_head.weight) from_blocks(e, at.heads, kFlowChannels, 1, a.mask);
  if (s.feat)
    for_depth_and_space(e, kReadOff, s.feat,
                        [&](long from, long to) { a.feat[to] = at.heads[from]; });
}

// --- Backward -----------------------------------------------------------------------------------

struct BackwardWork {
  BlockWork shared;
  float *block, *heads, *context[2], *head_weight, *head_bias;  // gradients

  BackwardWork(const DenseBlock& a, const BlockSizes& s, Arena& arena) : shared(a, s, arena) {
    const Extent& e = s.extent;
    block = arena.take(e.channel(s.width));
    heads = arena.take(e.channel(s.padded_heads()));
    for (float*& gradient : context) gradient = arena.take(e.channel(s.widest_context));
    head_weight = arena.take(s.heads * s.channels() * 9);
    head_bias = arena.take(s.padded_heads());
    shared.convolution.products = backward_products(a.products);
    shared.convolution.gradients =
        arena.take(gradients_room(e, s.most_dilation, s.widest_kernel(a)));
  }
};

template <class V>
struct Backward {
  const DenseBlock& a;
  const BlockSizes& s;
  BackwardWork& work;
  const Activations at;

  // One convolution: the gradients of its weight and, written or added there, of its input.
  void layer(int dilation, const float* in, long inputs, const float* weight,
             float* weight_gradient, const float* gradient, long outputs, bool added,
             float* in_gradient) {
    const ConvolutionWork& own = work.shared.convolution;
    const Pieces pieces(s.extent, dilation, own.pieces);
    convolution_weight_gradient<V>(s.extent, pieces, in, inputs, gradient, outputs,
                                   weight_gradient, own);
    convolve<V>(s.extent, pieces, gradient, Taps3x3::backward(weight, outputs, inputs),
                {nullptr, 0, kNever, added}, in_gradient, own);
  }

  void read_off_gradients() {
    const Extent& e = s.extent;
    const long P = a.height * a.width;
    Channel from[kLane] = {};
    for (long i = 0; i < kFlowChannels; ++i) from[i] = {a.flow_gradient + i * P, kFlowChannels};
    if (a.mask_head.weight) from[kFlowChannels] = {a.mask_gradient, 1};
#pragma omp parallel
    to_block(e, from, work.heads);
    if (!s.feat) return;
    const long all = e.channel(s.padded_heads()), read = e.channel(kReadOff);
    clear(work.heads + read, all - read);
    for_depth_and_space(e, kReadOff, s.feat, [&](long to, long from_feat) {
      work.heads[to] = a.feat_gradient[from_feat];
    });
  }

  // Leaves the gradient of the first layer's output in its place among the heads.
  void context() {
    const Extent& e = s.extent;
    // The flow's; other channels of its block meet the zeros that pad the kernel.
    float* gradient = work.heads;
    for (int i = kContextLayers - 1; i >= 1; --i) {
      const Layer& own = a.context[i];
      const bool last = i == kContextLayers - 1;
      activation_gradient<V>(e, gradient, at.context[i], own.outputs, last ? kNever : 0, a.slope,
                             own.bias_gradient);
      float* back = i == 1 ? work.heads + e.channel(kReadOff) : work.context[i % 2];
      layer(a.dilation[i], at.context[i - 1], a.context[i - 1].outputs, own.weight,
            own.weight_gradient, gradient, own.outputs, false, back);
      gradient = back;
    }
  }

  void heads() {
    activation_gradient<V>(s.extent, work.heads, at.heads, s.padded_heads(), kReadOff, a.slope,
                           work.head_bias);
    merge_heads(a, s, work.shared);
    layer(1, at.block, s.channels(), work.shared.head_weight, work.head_weight, work.heads, s.heads,
          false, work.block);
    split_head_gradients(a, s, work.head_weight, work.head_bias);
  }

  void dense() {
    const Extent& e = s.extent;
    long channel = 0, inputs = s.channels();
    for (int i = kDenseLayers - 1; i >= 0; --i) {
      const Layer& own = a.dense[i];
      float* gradient = work.block + e.channel(channel);
      activation_gradient<V>(e, gradient, at.block + e.channel(channel), own.outputs, 0, a.slope,
                             own.bias_gradient);
      channel += own.outputs;
      inputs -= own.outputs;
      layer(1, at.block + e.channel(channel), inputs, own.weight, own.weight_gradient, gradient,
            own.outputs, true, work.block + e.channel(channel));
    }
    for (int i = 0; i < a.maps; ++i) {
      from_blocks(e, work.block, channel, a.map_channels[i], a.map_gradient[i]);
      channel += a.map_channels[i];
    }
  }
};

template <class V>
void dense_block_backward(const DenseBlock& a) {
  const BlockSizes s(a);
  Arena arena{a.workspace};
  BackwardWork work(a, s, arena);
  Backward<V> backward{a, s, work, Activations(a, s, a.activations)};
  backward.read_off_gradients();
  if (a.has_context) backward.context();
  backward.heads();
  backward.dense();
}

// --- Sizes --------------------------------------------------------------------------------------

inline std::size_t dense_block_activations(const DenseBlock& a) {
  const BlockSizes s(a);
  return s.extent.channel(s.kept());
}

inline std::size_t dense_block_workspace(const DenseBlock& a, bool backward) {
  const BlockSizes s(a);
  Arena arena{nullptr};
  if (backward) {
    BackwardWork(a, s, arena);
  } else {
    BlockWork(a, s, arena);
    if (!a.activations) arena.take(s.extent.channel(s.passing()));
  }
  return arena.used;
}

}  // namespace

// A 3x3 convolution and its kernel's gradient, by Winograd's algorithm or with the processor's
// matrix unit where this is compiled for one.
//
// In training in float32, the forward pass is by Winograd's algorithm still: where an activation is
// near zero, an error of 1e-5 is enough to put it on LeakyReLU's other side, and its gradient is
// another then. What is on its way back meets no such turn.

#pragma once

#include "arrays.h"
#include "winograd_convolution.h"
#ifdef __AMX_BF16__
#include "matrix_convolution.h"
#endif

namespace {

#ifdef __AMX_BF16__

// How the images are divided among threads.
struct Pieces {
  Tiles tiles;
  Strips strips;

  Pieces(const Extent& extent, int dilation, float* memory)
      : tiles(extent, dilation, memory), strips(extent, dilation) {}
};

// Where rounding spoils more than it saves.
inline Products sensitive_products(Products asked) { return asked; }
inline Products backward_products(Products forward) {
  return forward == maskflownet::kRounded ? forward : maskflownet::kSplit;
}

// Floats for the parts of a ConvolutionWork, with channels padded to multiples of kLane.
inline long pieces_room(const Extent& extent, int most_dilation) {
  return winograd::pieces_room(extent, most_dilation);
}
inline long kernel_room(long inputs, long outputs) {
  return most(winograd::kernel_room(inputs, outputs), matrix::kernel_room(inputs, outputs));
}
inline long thread_room(const Extent& extent, int most_dilation, long outputs) {
  return most(winograd::thread_room(extent, most_dilation, outputs),
              matrix::thread_room(extent, most_dilation, outputs));
}
inline long gradients_room(const Extent& extent, int most_dilation, long outputs) {
  return matrix::gradients_room(extent, most_dilation, outputs);
}

// out = the convolution of `in`.
template <class V>
void convolve(const Extent& extent, const Pieces& pieces, const float* in, const Taps3x3& kernel,
              const Result& result, float* out, const ConvolutionWork& work) {
  if (work.products == maskflownet::kFloat32)
    winograd::convolve<V, float>(extent, pieces.tiles, in, kernel, result, out, work);
  else
    matrix::convolve<V>(extent, pieces.strips, in, kernel, result, out, work);
}

// Writes weight_gradient (outputs, inputs, 3, 3), given an input and the gradient of the output.
template <class V>
void convolution_weight_gradient(const Extent& extent, const Pieces& pieces, const float* in,
                                 long in_channels, const float* out_gradient, long out_channels,
                                 float* weight_gradient, const ConvolutionWork& work) {
  matrix::convolution_weight_gradient<V>(extent, pieces.strips, in, in_channels, out_gradient,
                                         out_channels, weight_gradient, work);
}

#else

using Pieces = Tiles;
using winograd::gradients_room;
using winograd::kernel_room;
using winograd::pieces_room;
using winograd::thread_room;

// Winograd's transforms make rounding errors some four times as large. So what takes little time and
// brings half of the flow's errors is not rounded: what comes before a cost volume, and convolutions
// of up to so many outputs (a level's heads, as one convolution, have more). Few tiles are not either.
constexpr long kNeverRounded = 64;

inline Products sensitive_products(Products) { return maskflownet::kFloat32; }
inline Products backward_products(Products forward) { return forward; }

#ifdef __AVX512BF16__
using Rounded = Bf16;
inline bool is_rounded(const ConvolutionWork& work, long outputs) {
  return work.products == maskflownet::kRounded && outputs > kNeverRounded;
}
#else
using Rounded = float;  // there are no products of others
constexpr bool is_rounded(const ConvolutionWork&, long) { return false; }
#endif

template <class V>
void convolve(const Extent& extent, const Tiles& tiles, const float* in, const Taps3x3& kernel,
              const Result& result, float* out, const ConvolutionWork& work) {
  if (is_rounded(work, kernel.outputs))
    winograd::convolve<V, Rounded>(extent, tiles, in, kernel, result, out, work);
  else
    winograd::convolve<V, float>(extent, tiles, in, kernel, result, out, work);
}

template <class V>
void convolution_weight_gradient(const Extent& extent, const Tiles& tiles, const float* in,
                                 long in_channels, const float* out_gradient, long out_channels,
                                 float* weight_gradient, const ConvolutionWork& work) {
  if (is_rounded(work, out_channels))
    winograd::convolution_weight_gradient<V, Rounded>(extent, tiles, in, in_channels, out_gradient,
                                                      out_channels, weight_gradient, work);
  else
    winograd::convolution_weight_gradient<V, float>(extent, tiles, in, in_channels, out_gradient,
                                                    out_channels, weight_gradient, work);
}

#endif

}  // namespace

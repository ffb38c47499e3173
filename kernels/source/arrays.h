// The kernels' own arrays are blocks of 16 channels, (C / 16, N, H, W, 16), the last block padded
// with zeros: a pixel of a block is one cache line, and neighbouring pixels are neighbouring lines.

#pragma once

#include "kernels.h"
#include "vector.h"

namespace {

constexpr long kLane = 16;  // channels of a block

// Hands out pieces of the workspace; from a null pointer, only counts what is needed.
struct Arena {
  float* base;
  long used = 0;

  float* take(long floats) {
    float* piece = base ? base + used : nullptr;
    used += round_up(floats, 16);
    return piece;
  }
};

// A stack of images.
struct Extent {
  long batch, height, width;
  long pixels() const { return batch * height * width; }
  long plane() const { return pixels() * kLane; }  // floats from one block of channels to the next
  // Where a channel begins, in an array of such blocks.
  long channel(long c) const { return c / kLane * plane() + c % kLane; }
};

// Where a kernel's elements lie: that of output o, input c and tap t at
// data[o * output_stride + c * input_stride + (turned ? 8 - t : t)].
struct Taps3x3 {
  const float* data;
  long outputs, inputs;  // before padding
  long output_stride, input_stride;
  bool turned;

  static Taps3x3 forward(const float* weight, long outputs, long inputs) {
    return {weight, outputs, inputs, inputs * 9, 9, false};
  }
  // The convolution that takes an output's gradient back to the input.
  static Taps3x3 backward(const float* weight, long outputs, long inputs) {
    return {weight, inputs, outputs, 9, inputs * 9, true};
  }
  long padded_outputs() const { return round_up(outputs, kLane); }
  long padded_inputs() const { return round_up(inputs, kLane); }
};

// What becomes of a convolution's outputs.
struct Result {
  const float* bias;  // or nullptr
  float slope;
  long activated_from;  // LeakyReLU from this output on
  bool added;           // to what is there
};
constexpr Result kAsItIs{nullptr, 1, 0, false};

using maskflownet::Products;

// Working memory of convolutions, one after the other; `pieces_room` and so on tell how much.
struct ConvolutionWork {
  float *pieces, *kernel, *threads;
  float* gradients = nullptr;  // for the gradients of kernels alone
  Products products;
};

}  // namespace

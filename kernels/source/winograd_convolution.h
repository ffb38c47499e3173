// A 3x3 convolution and its kernel's gradient by Winograd's algorithm: transformed tiles times
// transformed kernels (see winograd.h), block by block, so that what is at work stays in the cache.

#pragma once

#include <omp.h>

#include "arrays.h"
#include "vector.h"
#include "winograd.h"

namespace {

// The outputs of one tile and V::width channels, from the products at `products`[f * step].
template <class V, bool added>
NOINLINE void output_pixels(const float* products, long step, V bias, float slope, float* to,
                            long down, long right) {
  V columns[4][6];
  UNROLL for (int i = 0; i < 6; ++i) {
    V row[6];
    UNROLL for (int j = 0; j < 6; ++j) row[j] = V::load(products + (i * 6 + j) * step);
    output_transform(row);
    UNROLL for (int j = 0; j < 4; ++j) columns[j][i] = row[j];
  }
  UNROLL for (int j = 0; j < 4; ++j) {
    output_transform(columns[j]);
    UNROLL for (int i = 0; i < 4; ++i) {
      float* pixel = to + i * down + j * right;
      const V value = leaky(columns[j][i] + bias, slope);
      (added ? value + V::load(pixel) : value).store(pixel);
    }
  }
}

template <class V>
void transform_output_tile(const Extent& extent, const int* tile, int dilation,
                           const float* products, long step, long O, long outputs,
                           const Result& result, float* out) {
  const Window<4, 0> window(extent, tile, dilation);
  const long down = 4 * V::width, right = V::width;
  float whole[16 * V::width];
  for (long o = 0; o < O; o += V::width) {
    V bias = V::zero();
    if (result.bias && o < outputs)
      bias = V::load_first(result.bias + o, static_cast<int>(least(V::width, outputs - o)));
    const float slope = o >= result.activated_from ? result.slope : 1;
    const float* from = products + o;
    float* to = out + extent.channel(o) + window.place;
    if (window.is_whole()) {
      if (result.added)
        output_pixels<V, true>(from, step, bias, slope, to, window.down, window.right);
      else
        output_pixels<V, false>(from, step, bias, slope, to, window.down, window.right);
      continue;
    }
    output_pixels<V, false>(from, step, bias, slope, whole, down, right);
    for (int i = window.first_y; i < window.end_y; ++i)
      for (int j = window.first_x; j < window.end_x; ++j) {
        float* pixel = to + i * window.down + j * window.right;
        const V value = V::load(whole + i * down + j * right);
        (result.added ? value + V::load(pixel) : value).store(pixel);
      }
  }
}

namespace winograd {

inline long pieces_room(const Extent& extent, int most_dilation) {
  return Tiles::size(extent, most_dilation);
}

// With as many sums of a kernel's gradient as there are threads without a block of channels.
inline long kernel_room(long C, long O) {
  return kFrequencies * frequency_step(O, C + kLane * omp_get_max_threads());
}

inline long gradients_room(const Extent& extent, int most_dilation, long O) {
  return kFrequencies * ((Tiles::size(extent, most_dilation) / 3 + kTileBlock) * O + kGap);
}

inline long thread_room(const Extent&, int, long O) {
  return kFrequencies * (kTileBlock * (kChannelBlock + O) + 2 * kGap);
}

template <class V>
void convolve(const Extent& extent, const Tiles& tiles, const float* in, const Taps3x3& kernel,
              const Result& result, float* out, const ConvolutionWork& work) {
  const int dilation = tiles.dilation;
  const long C = kernel.padded_inputs(), O = kernel.padded_outputs();
  const long per_thread = (tiles.count - 1) / omp_get_max_threads() + 1;
  const long block = least(kTileBlock, round_up(per_thread, kRowStep));
#pragma omp parallel
  {
    transform_kernel<V>(kernel, work.kernel);
    float* inputs = work.threads + omp_get_thread_num() * thread_room(extent, dilation, O);
    float* outputs = inputs + kFrequencies * (kTileBlock * kChannelBlock + kGap);
#pragma omp for schedule(dynamic)
    for (long start = 0; start < tiles.count; start += block) {
      const long count = least(block, tiles.count - start), rows = round_up(count, kRowStep);
      const int* tile = tiles.origin + 3 * start;
      const long out_step = rows * O + kGap;
      for (long c = 0; c < C; c += kChannelBlock) {
        const long K = least(kChannelBlock, C - c), in_step = rows * K + kGap;
        transform_inputs<V>(extent, in + extent.channel(c), tile, dilation, count, K, inputs,
                            in_step, K, kLane);
        for (int f = 0; f < kFrequencies; ++f) {
          float* own = inputs + f * in_step;
          for (long i = count * K; i < rows * K; ++i) own[i] = 0;
          multiply<V>(own, work.kernel + kernel_place(O, c, K, f, 0), outputs + f * out_step, rows,
                      K, O, c == 0);
        }
      }
      for (long t = 0; t < count; ++t)
        transform_output_tile<V>(extent, tile + 3 * t, dilation, outputs + t * O, out_step, O,
                                 kernel.outputs, result, out);
    }
  }
}

// Parts of the tiles that are summed apart, for as many threads as there are no blocks of channels.
inline long weight_gradient_parts(long C) { return (omp_get_max_threads() - 1) / (C / kLane) + 1; }

// Channels of a block that one thread takes: so many that the threads end together, and not too few,
// for each block reads all of the output's gradients.
inline long weight_gradient_block(long C) {
  constexpr long kReading = 8;  // takes as long as so many channels
  const long threads = omp_get_max_threads();
  long best = 0, least_time = 0;
  for (long block = kChannelBlock; block >= kLane; block -= kLane) {
    const long turns = C / block / threads, left = C - turns * threads * block;
    const long last = least(left, block);
    const long time = turns * (block + kReading) + (left ? last + kReading : 0);
    if (best && time >= least_time) continue;
    best = block;
    least_time = time;
  }
  return best;
}

template <class V>
void convolution_weight_gradient(const Extent& extent, const Tiles& tiles, const float* in,
                                 long in_channels, const float* out_gradient, long out_channels,
                                 float* weight_gradient, const ConvolutionWork& work) {
  float *sums = work.kernel, *gradients = work.gradients;
  const int dilation = tiles.dilation;
  const long C = round_up(in_channels, kLane), O = round_up(out_channels, kLane);
  const long step = round_up(tiles.count, kTileBlock) * O + kGap;
  const long parts = weight_gradient_parts(C), part_sums = kFrequencies * frequency_step(O, C);
  const long part_tiles = round_up((tiles.count - 1) / parts + 1, kTileBlock);
  // Both factors lie in panels of a block of tiles and kLane channels, so that they are read from
  // one end to the other: with tiles as rows of all channels half of the time is spent waiting.
  constexpr long kPanel = kTileBlock * kLane;
  const long block = weight_gradient_block(C);
#pragma omp parallel
  {
#pragma omp for schedule(static) nowait
    for (long i = 0; i < parts * part_sums; i += V::width) V::zero().store(sums + i);
#pragma omp for schedule(static)
    for (long t = 0; t < tiles.count; ++t)
      transform_gradient_tile<V>(
          extent, tiles.origin + 3 * t, dilation, out_gradient, O,
          gradients + t / kTileBlock * kTileBlock * O + t % kTileBlock * kLane, step, kPanel);
    float* inputs = work.threads + omp_get_thread_num() * thread_room(extent, dilation, O);
#pragma omp for schedule(dynamic) collapse(2)
    for (long c = 0; c < C; c += block) {
      for (long part = 0; part < parts; ++part) {
        const long K = least(block, C - c);
        const long end = least((part + 1) * part_tiles, tiles.count);
        float* sum = sums + part * part_sums;
        for (long start = part * part_tiles; start < end; start += kTileBlock) {
          const long count = least(kTileBlock, end - start), in_step = kTileBlock * K + kGap;
          transform_inputs<V>(extent, in + extent.channel(c), tiles.origin + 3 * start, dilation,
                              count, K, inputs, in_step, kLane, kPanel);
          for (int f = 0; f < kFrequencies; ++f)
            add_outer<V>({inputs + f * in_step, kLane, kPanel},
                         {gradients + f * step + start * O, kLane, kPanel},
                         sum + kernel_place(O, c, K, f, 0), count, K, O);
        }
      }
    }
    kernel_gradient<V>(sums, parts, block, out_channels, in_channels, weight_gradient);
  }
}

}  // namespace winograd

}  // namespace

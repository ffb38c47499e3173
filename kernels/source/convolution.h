// A 3x3 convolution and its kernel's gradient by Winograd's algorithm: transformed tiles times
// transformed kernels (see winograd.h), block by block, so that what is at work stays in the cache.

#pragma once

#include <omp.h>

#include "vector.h"
#include "winograd.h"

namespace {

// --- Matrix products ----------------------------------------------------------------------------

// product[r, 0:NV] = sum over k of a[r, k] * b[k, 0:NV], for R rows and NV vectors; added to what
// is there unless `first`.
template <class V, int R, int NV>
inline void multiply_block(const float* a, long a_stride, const float* b, float* product,
                           long product_stride, long K, bool first) {
  V sum[R][NV];
  UNROLL for (int r = 0; r < R; ++r)
    UNROLL for (int v = 0; v < NV; ++v) sum[r][v] = V::zero();
  for (long k = 0; k < K; ++k) {
    V row[NV];
    UNROLL for (int v = 0; v < NV; ++v) {
      row[v] = V::load(b + (k * NV + v) * V::width);
      prefetch(b + (k * NV + v) * V::width + kAhead);
    }
    UNROLL for (int r = 0; r < R; ++r) {
      const V one = V::all(a[r * a_stride + k]);
      UNROLL for (int v = 0; v < NV; ++v) sum[r][v] = fma(one, row[v], sum[r][v]);
    }
  }
  UNROLL for (int r = 0; r < R; ++r)
    UNROLL for (int v = 0; v < NV; ++v) {
      float* to = product + r * product_stride + v * V::width;
      (first ? sum[r][v] : sum[r][v] + V::load(to)).store(to);
    }
}

// One frequency of a block of channels: tiles (rows, K) times a transformed kernel's part
// (groups, K, group) -> (rows, O).
template <class V>
void multiply(const float* tiles, const float* kernel, float* product, long rows, long K, long O,
              bool first) {
  for (long o = 0; o < O; o += group_width<V>(O - o)) {
    const float* b = kernel + o * K;
    switch (group_width<V>(O - o) / V::width) {
      case 4:
        for (long r = 0; r < rows; r += 6)
          multiply_block<V, 6, 4>(tiles + r * K, K, b, product + r * O + o, O, K, first);
        break;
      case 2: {
        constexpr int R = V::width == 16 ? 12 : 6;  // as many sums as there are registers for
        for (long r = 0; r < rows; r += R)
          multiply_block<V, R, 2>(tiles + r * K, K, b, product + r * O + o, O, K, first);
        break;
      }
      default:
        for (long r = 0; r < rows; r += 12)
          multiply_block<V, 12, 1>(tiles + r * K, K, b, product + r * O + o, O, K, first);
    }
  }
}

// product[r, 0:NV] += sum over t of a[t, r] * b[t, 0:NV].
template <class V, int R, int NV>
inline void add_outer_block(const float* a, long a_stride, const float* b, long b_stride,
                            float* product, long tiles) {
  V sum[R][NV];
  UNROLL for (int r = 0; r < R; ++r)
    UNROLL for (int v = 0; v < NV; ++v) sum[r][v] = V::load(product + (r * NV + v) * V::width);
  for (long t = 0; t < tiles; ++t) {
    V row[NV];
    UNROLL for (int v = 0; v < NV; ++v) row[v] = V::load(b + t * b_stride + v * V::width);
    UNROLL for (int r = 0; r < R; ++r) {
      const V one = V::all(a[t * a_stride + r]);
      UNROLL for (int v = 0; v < NV; ++v) sum[r][v] = fma(one, row[v], sum[r][v]);
    }
  }
  UNROLL for (int r = 0; r < R; ++r)
    UNROLL for (int v = 0; v < NV; ++v) sum[r][v].store(product + (r * NV + v) * V::width);
}

// One frequency of a block of the kernel gradient: (tiles, K)^T times (tiles, O), added to
// (groups, K, group).
template <class V>
void add_outer(const float* inputs, const float* gradients, float* product, long tiles, long K,
               long O) {
  for (long o = 0; o < O; o += group_width<V>(O - o)) {
    const long group = group_width<V>(O - o);
    float* to = product + o * K;
    const float* b = gradients + o;
    switch (group / V::width) {
      case 4:
        for (long c = 0; c < K; c += 4)
          add_outer_block<V, 4, 4>(inputs + c, K, b, O, to + c * group, tiles);
        break;
      case 2: {
        constexpr int R = V::width == 16 ? 8 : 4;
        for (long c = 0; c < K; c += R)
          add_outer_block<V, R, 2>(inputs + c, K, b, O, to + c * group, tiles);
        break;
      }
      default:
        for (long c = 0; c < K; c += 8)
          add_outer_block<V, 8, 1>(inputs + c, K, b, O, to + c * group, tiles);
    }
  }
}

// --- Convolutions -------------------------------------------------------------------------------

// What becomes of a convolution's outputs.
struct Result {
  const float* bias;  // or nullptr
  float slope;
  long activated_from;  // LeakyReLU from this output on
  bool added;           // to what is there
};

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

inline long convolve_size(long O) {  // per thread
  return kFrequencies * (kTileBlock * (kChannelBlock + O) + 2 * kGap);
}

// out = convolution of in with a kernel; `transformed` has room for the kernel, `products` for
// `convolve_size` floats per thread.
template <class V>
void convolve(const Extent& extent, const Tiles& tiles, int dilation, const float* in,
              const Taps3x3& kernel, const Result& result, float* out, float* transformed,
              float* products) {
  const long C = kernel.padded_inputs(), O = kernel.padded_outputs();
  const long per_thread = (tiles.count - 1) / omp_get_max_threads() + 1;
  const long block = least(kTileBlock, round_up(per_thread, kRowStep));
#pragma omp parallel
  {
    transform_kernel<V>(kernel, transformed);
    float* inputs = products + omp_get_thread_num() * convolve_size(O);
    float* outputs = inputs + kFrequencies * (kTileBlock * kChannelBlock + kGap);
#pragma omp for schedule(dynamic)
    for (long start = 0; start < tiles.count; start += block) {
      const long count = least(block, tiles.count - start), rows = round_up(count, kRowStep);
      const int* tile = tiles.origin + 3 * start;
      const long out_step = rows * O + kGap;
      for (long c = 0; c < C; c += kChannelBlock) {
        const long K = least(kChannelBlock, C - c), in_step = rows * K + kGap;
        transform_inputs<V>(extent, in + extent.channel(c), tile, dilation, count, K, inputs, in_step);
        for (int f = 0; f < kFrequencies; ++f) {
          float* own = inputs + f * in_step;
          for (long i = count * K; i < rows * K; ++i) own[i] = 0;
          multiply<V>(own, transformed + kernel_place(O, c, K, f, 0), outputs + f * out_step, rows,
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
inline long weight_gradient_parts(long C) {
  return (omp_get_max_threads() - 1) / (C / kLane) + 1;
}

// Room for the sums of `convolution_weight_gradient`, with padded inputs and outputs.
inline long weight_gradient_room(long C, long O) {
  return weight_gradient_parts(C) * kFrequencies * C * O;
}

// Writes weight_gradient (outputs, inputs, 3, 3) for an input and the gradient of the output.
// `sums` has room for `weight_gradient_room`, `gradients` for 36 * (tiles * O + kGap), `products`
// for `convolve_size` per thread.
template <class V>
void convolution_weight_gradient(const Extent& extent, const Tiles& tiles, int dilation,
                                 const float* in, long in_channels, const float* out_gradient,
                                 long out_channels, float* weight_gradient, float* sums,
                                 float* gradients, float* products) {
  const long C = round_up(in_channels, kLane), O = round_up(out_channels, kLane);
  const long step = tiles.count * O + kGap;
  const long parts = weight_gradient_parts(C), part_tiles = (tiles.count - 1) / parts + 1;
  // Each thread takes the same number of blocks of channels.
  const long blocks = round_up((C - 1) / kChannelBlock + 1, omp_get_max_threads());
  const long block = round_up((C - 1) / blocks + 1, kLane);
#pragma omp parallel
  {
#pragma omp for schedule(static) nowait
    for (long i = 0; i < parts * kFrequencies * C * O; i += V::width) V::zero().store(sums + i);
#pragma omp for schedule(static)
    for (long t = 0; t < tiles.count; ++t)
      transform_gradient_tile<V>(extent, tiles.origin + 3 * t, dilation, out_gradient, O,
                                 gradients + t * O, step);
    float* inputs = products + omp_get_thread_num() * convolve_size(O);
#pragma omp for schedule(dynamic) collapse(2)
    for (long c = 0; c < C; c += block) {
      for (long part = 0; part < parts; ++part) {
        const long K = least(block, C - c);
        const long end = least((part + 1) * part_tiles, tiles.count);
        float* sum = sums + part * kFrequencies * C * O;
        for (long start = part * part_tiles; start < end; start += kTileBlock) {
          const long count = least(kTileBlock, end - start), in_step = count * K + kGap;
          transform_inputs<V>(extent, in + extent.channel(c), tiles.origin + 3 * start, dilation,
                              count, K, inputs, in_step);
          for (int f = 0; f < kFrequencies; ++f)
            add_outer<V>(inputs + f * in_step, gradients + f * step + start * O,
                         sum + kernel_place(O, c, K, f, 0), count, K, O);
        }
      }
    }
    kernel_gradient<V>(sums, parts, block, out_channels, in_channels, weight_gradient);
  }
}

}  // namespace

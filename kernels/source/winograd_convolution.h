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

// The same for outputs from `first` up to `end`, which may be padding beyond `outputs`; products are
// of these alone.
template <class V>
void transform_output_tile(const Extent& extent, const int* tile, int dilation,
                           const float* products, long step, long first, long end, long outputs,
                           const Result& result, float* out) {
  const Window<4, 0> window(extent, tile, dilation);
  const long down = 4 * V::width, right = V::width;
  float whole[16 * V::width];
  for (long o = first; o < end; o += V::width) {
    V bias = V::zero();
    if (result.bias && o < outputs)
      bias = V::load_first(result.bias + o, static_cast<int>(least(V::width, outputs - o)));
    const float slope = o >= result.activated_from ? result.slope : 1;
    const float* from = products + (o - first);
    float* to = out + extent.channel(o) + window.place;
    if (o % kLane == 0 && o + kLane < end) window.fetch(out + extent.channel(o + kLane));
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

// With few tiles, making a whole transformed kernel takes a good part of the time. So each piece of
// it is made by the thread that multiplies with it, stays in its cache and is not kept; and all
// pieces read the same transformed inputs, which must not be too many for that.
constexpr long kFewTiles = 4 * kTileBlock, kFewInputs = 24 * 1024;
constexpr long kWidestPiece = 64;  // outputs

// The blocks of tiles that threads take one after the other: whole ones, as many for each thread, and
// what is left in equal parts, so that all threads end together.
class TileBlocks {
 public:
  explicit TileBlocks(long tiles) : tiles_(tiles) {
    const long threads = omp_get_max_threads();
    whole_ = tiles / (kTileBlock * threads) * threads;
    const long rest = tiles - first_part();
    part_ = least(kTileBlock, round_up((rest - 1) / threads + 1, kRowStep));
    count_ = whole_ + (rest ? (rest - 1) / part_ + 1 : 0);
  }
  long count() const { return count_; }
  long start(long i) const {
    return i < whole_ ? i * kTileBlock : first_part() + (i - whole_) * part_;
  }
  long size(long i) const { return (i + 1 < count_ ? start(i + 1) : tiles_) - start(i); }

 private:
  long first_part() const { return whole_ * kTileBlock; }

  long tiles_, whole_, part_, count_;
};

template <class V>
bool are_few(const Tiles& tiles, long C, long O) {
  // Not if the pieces, of outputs, would keep fewer threads at work than blocks of tiles do.
  return tiles.count <= kFewTiles && tiles.count * C <= kFewInputs &&
         O / V::width >= least(TileBlocks(tiles.count).count(), omp_get_max_threads());
}

// How long it takes until the last thread has done its share of n, `block` at a time.
inline long time_until_all(long n, long block, long extra) {
  const long threads = omp_get_max_threads();
  const long turns = n / block / threads, left = n - turns * threads * block;
  return turns * (block + extra) + (left ? least(left, block) + extra : 0);
}

// Outputs of a piece of a kernel: as wide as a product's group, if the threads end together so.
template <class V>
long piece_outputs(long O) {
  long best = V::widest_group;
  for (long outputs = best / 2; outputs >= V::width; outputs /= 2)
    if (8 * time_until_all(O, outputs, 0) < 7 * time_until_all(O, best, 0)) best = outputs;
  return best;
}

// For the sums of a kernel's gradient: that many channels are enough for C in as many parts as there
// are, and for a block on each thread.
inline long summed_channels(long C) { return C + kLane * omp_get_max_threads(); }

// Parts of the tiles that are summed apart, for as many threads as there are no blocks of channels.
inline long weight_gradient_parts(long C) { return (omp_get_max_threads() - 1) / (C / kLane) + 1; }

// Channels of a block of a kernel's gradient that one thread takes: so many that the threads end
// together, and not too few, for each block reads all of the output's gradients.
inline long weight_gradient_block(long C) {
  constexpr long kReading = 8;  // takes as long as so many channels
  auto time = [&](long block) { return time_until_all(C, block, kReading); };
  long best = kLane;
  for (long block = 2 * kLane; block <= kChannelBlock; block += kLane)
    if (block * omp_get_max_threads() <= summed_channels(C) && time(block) <= time(best))
      best = block;
  return best;
}

// For a whole transformed kernel, for such sums, or for all inputs of few tiles.
inline long kernel_room(long C, long O) {
  const long few = least(kFewInputs, kFewTiles * C) + kRowStep * C;
  const long inputs = most(few + kGap * (C / kChannelBlock + 1), kTileBlock * C + kGap);
  return kFrequencies * most(frequency_step(O, summed_channels(C)), inputs);
}

inline long gradients_room(const Extent& extent, int most_dilation, long O) {
  return kFrequencies * ((Tiles::size(extent, most_dilation) / 3 + kTileBlock) * O + kGap);
}

inline long thread_room(const Extent&, int, long O) {
  const long block = kTileBlock * (kChannelBlock + O);
  const long piece = (kChannelBlock + kFewTiles) * least(O, kWidestPiece);
  return kFrequencies * (most(block, piece) + 2 * kGap);
}

template <class V>
void convolve_few(const Extent& extent, const Tiles& tiles, const float* in, const Taps3x3& kernel,
                  const Result& result, float* out, const ConvolutionWork& work) {
  static_assert(V::widest_group <= kWidestPiece);
  const int dilation = tiles.dilation;
  const long C = kernel.padded_inputs(), O = kernel.padded_outputs();
  const long rows = round_up(tiles.count, kRowStep), piece = piece_outputs<V>(O);
  // Blocks of channels follow each other, as in a transformed kernel.
  auto inputs_of = [&](long c) {
    return work.kernel + kFrequencies * (rows * c + kGap * (c / kChannelBlock));
  };
#pragma omp parallel
  {
#pragma omp for schedule(static)
    for (long c = 0; c < C; c += kLane) {
      const long first = c / kChannelBlock * kChannelBlock, K = least(kChannelBlock, C - first);
      const long step = rows * K + kGap;
      float* to = inputs_of(first) + c - first;
      for (long start = 0; start < tiles.count; start += kTileBlock) {
        const InputWindows windows(extent, tiles.origin + 3 * start, dilation,
                                   least(kTileBlock, tiles.count - start));
        transform_inputs<V>(extent, in + extent.channel(c), windows, kLane, to + start * K, step, K,
                            kLane);
      }
      for (int f = 0; f < kFrequencies; ++f)
        for (long r = tiles.count; r < rows; ++r)
          for (long i = 0; i < kLane; ++i) to[f * step + r * K + i] = 0;
    }
    float* taps = work.threads + omp_get_thread_num() * thread_room(extent, dilation, O);
    float* outputs = taps + kFrequencies * (kChannelBlock * least(O, kWidestPiece) + kGap);
#pragma omp for schedule(dynamic)
    for (long begin = 0; begin < O; begin += piece) {
      const long end = least(begin + piece, O);
      for (long o = begin, group; o < end; o += group) {
        group = group_width<V>(end - o);
        const long out_step = rows * group + kGap;
        for (long first = 0; first < C; first += kChannelBlock) {
          const long K = least(kChannelBlock, C - first), step = K * group + kGap;
          for (long c = 0; c < K; ++c)
            for (long i = 0; i < group; i += V::width)
              transform_kernels<V>(kernel, first + c, o + i, taps + c * group + i, step);
          for (int f = 0; f < kFrequencies; ++f)
            multiply<V>(inputs_of(first) + f * (rows * K + kGap), taps + f * step,
                        outputs + f * out_step, rows, K, group, first == 0);
        }
        for (long t = 0; t < tiles.count; ++t)
          transform_output_tile<V>(extent, tiles.origin + 3 * t, dilation, outputs + t * group,
                                   out_step, o, o + group, kernel.outputs, result, out);
      }
    }
  }
}

// Few tiles are multiplied as float32 whatever Number is: their products do not take the time.
template <class V, class Number>
void convolve(const Extent& extent, const Tiles& tiles, const float* in, const Taps3x3& kernel,
              const Result& result, float* out, const ConvolutionWork& work) {
  const int dilation = tiles.dilation;
  const long C = kernel.padded_inputs(), O = kernel.padded_outputs();
  if (are_few<V>(tiles, C, O)) return convolve_few<V>(extent, tiles, in, kernel, result, out, work);
  const TileBlocks blocks(tiles.count);
#pragma omp parallel
  {
    Number* transformed = reinterpret_cast<Number*>(work.kernel);
    transform_kernel<V>(kernel, transformed);
    float* own = work.threads + omp_get_thread_num() * thread_room(extent, dilation, O);
    Number* inputs = reinterpret_cast<Number*>(own);
    float* outputs = own + kFrequencies * (kTileBlock * kChannelBlock + kGap);
#pragma omp for schedule(dynamic)
    for (long i = 0; i < blocks.count(); ++i) {
      const long start = blocks.start(i), count = blocks.size(i), rows = round_up(count, kRowStep);
      const int* tile = tiles.origin + 3 * start;
      const InputWindows windows(extent, tile, dilation, count);
      const long out_step = rows * O + kGap;
      for (long c = 0; c < C; c += channel_block<Number>()) {
        const long K = least(channel_block<Number>(), C - c), in_step = rows * K + kGap;
        transform_inputs<V>(extent, in + extent.channel(c), windows, K, inputs, in_step, K, kLane);
        for (int f = 0; f < kFrequencies; ++f) {
          Number* factors = inputs + f * in_step;
          for (long k = count * K; k < rows * K; ++k) factors[k] = {};
          multiply<V>(factors, transformed + kernel_place<Number>(O, c, K, f, 0),
                      outputs + f * out_step, rows, K, O, c == 0);
        }
      }
      for (long t = 0; t < count; ++t)
        transform_output_tile<V>(extent, tile + 3 * t, dilation, outputs + t * O, out_step, 0, O,
                                 kernel.outputs, result, out);
    }
  }
}

// --- The gradient of a kernel -------------------------------------------------------------------

// Both factors lie in panels of a block of tiles and kLane channels, so that they are read from one
// end to the other: with tiles as rows of all channels half of the time is spent waiting.
constexpr long kPanel = kTileBlock * kLane;

// All tiles of the output's gradient. All threads of a parallel region call it; it ends with a
// barrier.
template <class V, class Number>
void transform_gradients(const Extent& extent, const Tiles& tiles, const float* out_gradient,
                         long O, Number* gradients, long step) {
#pragma omp for schedule(static)
  for (long t = 0; t < tiles.count; t += Factors<V, Number>::together)
    transform_gradient_tiles<V>(
        extent, tiles.origin + 3 * t, tiles.count - t, tiles.dilation, out_gradient, O,
        gradients + t / kTileBlock * kTileBlock * O + t % kTileBlock * kLane, step, kPanel);
}

// The gradients of the kernels of inputs c to c + K and of outputs o to o + group.
template <class V>
void finish_gradients(const KernelSums& sums, long c, long K, long o, long group, long in_channels,
                      long out_channels, float* weight_gradient) {
  for (long k = 0; k < least(K, in_channels - c); ++k)
    for (long i = 0; i < least(group, out_channels - o); i += V::width)
      kernel_gradients<V>(sums.at(k * group + i), c + k, o + i, out_channels, in_channels,
                          weight_gradient);
}

// Of one block of tiles: the sums are of some channels and outputs at a time, so that they stay in
// the cache of the thread that makes and finishes them.
template <class V>
void few_weight_gradient(const Extent& extent, const Tiles& tiles, const float* in,
                         long in_channels, const float* out_gradient, long out_channels,
                         float* weight_gradient, const ConvolutionWork& work) {
  const long C = round_up(in_channels, kLane), O = round_up(out_channels, kLane);
  const long in_step = kTileBlock * C + kGap, out_step = kTileBlock * O + kGap;
  const InputWindows windows(extent, tiles.origin, tiles.dilation, tiles.count);
  long block = kChannelBlock;
  auto pieces = [&] { return ((C - 1) / block + 1) * ((O - 1) / V::widest_group + 1); };
  while (block > kLane && pieces() < omp_get_max_threads()) block /= 2;
  float *inputs = work.kernel, *gradients = work.gradients;
#pragma omp parallel
  {
#pragma omp for schedule(static) nowait
    for (long c = 0; c < C; c += kLane)
      transform_inputs<V>(extent, in + extent.channel(c), windows, kLane,
                          inputs + c / kLane * kPanel, in_step, kLane, kPanel);
    transform_gradients<V>(extent, tiles, out_gradient, O, gradients, out_step);
    float* sums = work.threads + omp_get_thread_num() * thread_room(extent, tiles.dilation, O);
#pragma omp for schedule(dynamic) collapse(2)
    for (long c = 0; c < C; c += block)
      for (long begin = 0; begin < O; begin += V::widest_group) {
        const long K = least(block, C - c), end = least(begin + V::widest_group, O);
        for (long o = begin, group; o < end; o += group) {
          group = group_width<V>(end - o);
          const long step = K * group + kGap;
          for (int f = 0; f < kFrequencies; ++f) {
            float* sum = sums + f * step;
            for (long i = 0; i < K * group; i += V::width) V::zero().store(sum + i);
            add_outer<V, float>({inputs + f * in_step + c / kLane * kPanel, kLane, kPanel},
                                {gradients + f * out_step + o / kLane * kPanel, kLane, kPanel}, sum,
                                tiles.count, K, group);
          }
          finish_gradients<V>({sums, step, 1, 0}, c, K, o, group, in_channels, out_channels,
                              weight_gradient);
        }
      }
  }
}

template <class V, class Number>
void convolution_weight_gradient(const Extent& extent, const Tiles& tiles, const float* in,
                                 long in_channels, const float* out_gradient, long out_channels,
                                 float* weight_gradient, const ConvolutionWork& work) {
  if (tiles.count <= kTileBlock)
    return few_weight_gradient<V>(extent, tiles, in, in_channels, out_gradient, out_channels,
                                  weight_gradient, work);
  const long C = round_up(in_channels, kLane), O = round_up(out_channels, kLane);
  const long step = round_up(tiles.count, kTileBlock) * O + kGap;
  const long parts = weight_gradient_parts(C), part_sums = kFrequencies * frequency_step(O, C);
  const long part_tiles = round_up((tiles.count - 1) / parts + 1, kTileBlock);
  const long block = weight_gradient_block(C);
  // In one part, a thread finishes what it has summed, and sums the next in the same place.
  const bool is_one = parts == 1;
  const long own_sums = is_one ? kFrequencies * frequency_step(O, block) : 0;
  Number* gradients = reinterpret_cast<Number*>(work.gradients);
  // Of inputs c to c + count, given the sums of the block of K channels from `first` on.
  auto finish = [&](const float* sums, long first, long K, long c, long count) {
    for (long o = 0, group; o < O; o += group) {
      group = group_width<V>(O - o);
      const float* own = sums + o * K + (c - first) * group;
      finish_gradients<V>({own, frequency_step(O, K), parts, part_sums}, c, count, o, group,
                          in_channels, out_channels, weight_gradient);
    }
  };
#pragma omp parallel
  {
    transform_gradients<V>(extent, tiles, out_gradient, O, gradients, step);
    Number* inputs = reinterpret_cast<Number*>(
        work.threads + omp_get_thread_num() * thread_room(extent, tiles.dilation, O));
#pragma omp for schedule(dynamic) collapse(2)
    for (long c = 0; c < C; c += block) {
      for (long part = 0; part < parts; ++part) {
        const long K = least(block, C - c), sum_step = frequency_step(O, K);
        const long end = least((part + 1) * part_tiles, tiles.count);
        float* sums = work.kernel + (is_one ? omp_get_thread_num() * own_sums
                                            : part * part_sums + kernel_place(O, c, K, 0, 0));
        for (long i = 0; i < kFrequencies * sum_step; i += V::width) V::zero().store(sums + i);
        for (long start = part * part_tiles; start < end; start += kTileBlock) {
          const long count = least(kTileBlock, end - start), in_step = kTileBlock * K + kGap;
          const InputWindows windows(extent, tiles.origin + 3 * start, tiles.dilation, count);
          transform_input_panels<V>(extent, in + extent.channel(c), windows, K, inputs, in_step,
                                    kPanel);
          for (int f = 0; f < kFrequencies; ++f)
            add_outer<V, Number>({inputs + f * in_step, kLane, kPanel},
                                 {gradients + f * step + start * O, kLane, kPanel},
                                 sums + f * sum_step, count, K, O);
        }
        if (is_one) finish(sums, c, K, c, K);
      }
    }
    if (!is_one) {
#pragma omp for schedule(static)
      for (long c = 0; c < in_channels; ++c) {
        const long first = c / block * block, K = least(block, C - first);
        finish(work.kernel + kernel_place(O, first, K, 0, 0), first, K, c, 1);
      }
    }
  }
}

}  // namespace winograd

}  // namespace

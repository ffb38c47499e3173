// Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, "Fast Algorithms for Convolutional
// Neural Networks", CVPR 2016): a 3x3 convolution of 4x4 output pixels as 36 products in place of
// 144. With d a 6x6 tile of the input and g a kernel,
//
//   Y = A^T [ (G g G^T) * (B^T d B) ] A,
//
// where * goes element by element; summed over input channels, each of the 36 elements
// ("frequencies") is one matrix product, tiles x channels times channels x outputs.
//
// The two gradients are of the same form: that of the input is a convolution with the kernel turned
// by 180 degrees and its channels exchanged; that of the kernel is
//
//   G^T [ sum over tiles of (B^T d B) * (A dY A^T) ] G.
//
// Arrays are as in arrays.h.

#pragma once

#include "arrays.h"
#include "products.h"
#include "vector.h"

namespace {

constexpr int kFrequencies = 36;
// Tiles that a thread has transformed at a time, for kChannelBlock input channels. With 128 outputs
// they and their products are 36 * 4 bytes * (36 * 64 + 36 * 128) = 1 MB, which fits most processors'
// own cache.
constexpr long kTileBlock = 36;
// Between one frequency and the next, so that the 36 do not fall on the same cache lines.
constexpr long kGap = 16;
// How far ahead of their transform tiles of an input are fetched from memory, and the inputs of a
// kernel or of its gradient.
constexpr long kTilesAhead = 2, kInputsAhead = 4;

// --- Transforms of six (or four, or three) vectors -----------------------------------------------

// The points of the interpolation are 0, +-kNear, +-kFar and infinity: with these, rounding errors
// are half as large as with the usual 1 and 2. All constants but those that
// divide by a slope are exact in float32.
constexpr float kNear = 0.625f, kFar = 1.5f;
constexpr float kNear2 = kNear * kNear, kFar2 = kFar * kFar;
constexpr float kNear3 = kNear2 * kNear, kFar3 = kFar2 * kFar;
// The derivative of x (x^2 - kNear2) (x^2 - kFar2) at the points, without its sign.
constexpr float kZeroSlope = kNear2 * kFar2;
constexpr float kNearSlope = 2 * kNear2 * (kFar2 - kNear2), kFarSlope = 2 * kFar2 * (kFar2 - kNear2);

// a + b and a - b take the places of two points that differ by their sign alone.
template <class V>
inline void pair(V a, float factor, V b, V* x) {
  x[0] = fma(V::all(factor), b, a);
  x[1] = fma(V::all(-factor), b, a);
}

template <class V>
inline void input_transform(V* x) {  // B^T x
  const V near2 = V::all(-kNear2), far2 = V::all(-kFar2), sum = V::all(-kNear2 - kFar2);
  const V a = fma(far2, x[2], x[4]), b = fma(far2, x[1], x[3]);
  const V c = fma(near2, x[2], x[4]), d = fma(near2, x[1], x[3]);
  x[0] = fma(V::all(kZeroSlope), x[0], fma(sum, x[2], x[4]));
  x[5] = fma(V::all(kZeroSlope), x[1], fma(sum, x[3], x[5]));
  pair(a, kNear, b, x + 1);
  pair(c, kFar, d, x + 3);
}

template <class V>
inline void output_transform(V* x) {  // A^T x, six to four
  const V s1 = x[1] + x[2], d1 = x[1] - x[2], s2 = x[3] + x[4], d2 = x[3] - x[4];
  x[0] = x[0] + s1 + s2;
  x[1] = fma(V::all(kFar), d2, V::all(kNear) * d1);
  x[2] = fma(V::all(kFar2), s2, V::all(kNear2) * s1);
  x[3] = fma(V::all(kFar3), d2, fma(V::all(kNear3), d1, x[5]));
}

template <class V>
inline void output_gradient_transform(const V* y, V* x) {  // A y, four to six
  x[0] = y[0];
  pair(fma(V::all(kNear2), y[2], y[0]), kNear, fma(V::all(kNear2), y[3], y[1]), x + 1);
  pair(fma(V::all(kFar2), y[2], y[0]), kFar, fma(V::all(kFar2), y[3], y[1]), x + 3);
  x[5] = y[3];
}

template <class V>
inline void kernel_transform(const V* g, V* x) {  // G g, three to six
  const V near = V::all(-1 / kNearSlope), far = V::all(1 / kFarSlope);
  x[0] = V::all(1 / kZeroSlope) * g[0];
  pair(near * fma(V::all(kNear2), g[2], g[0]), kNear, near * g[1], x + 1);
  pair(far * fma(V::all(kFar2), g[2], g[0]), kFar, far * g[1], x + 3);
  x[5] = g[2];
}

template <class V>
inline void kernel_gradient_transform(const V* x, V* g) {  // G^T x, six to three
  const V near = V::all(-1 / kNearSlope), far = V::all(1 / kFarSlope);
  const V s1 = near * (x[1] + x[2]), d1 = near * (x[1] - x[2]);
  const V s2 = far * (x[3] + x[4]), d2 = far * (x[3] - x[4]);
  g[0] = fma(V::all(1 / kZeroSlope), x[0], s1 + s2);
  g[1] = fma(V::all(kFar), d2, V::all(kNear) * d1);
  g[2] = fma(V::all(kFar2), s2, fma(V::all(kNear2), s1, x[5]));
}

// --- Kernels ------------------------------------------------------------------------------------

// Transformed kernels are stored in the order in which the products read them, block by block of
// input channels: (blocks, 36, groups of outputs, channels of the block, outputs of the group), in
// bf16 with two channels' numbers in turn. A group is what one register block of the product makes.
// Four bytes more per channel keep the 36 elements of a kernel, which are written together, from
// falling on the same cache lines.
template <class Number = float>
inline long frequency_step(long O, long channels) {
  return channels * (O + 4 / static_cast<long>(sizeof(Number)));
}

template <class Number = float>
inline long kernel_place(long O, long first_channel, long block_channels, int f, long group_start) {
  return kFrequencies * frequency_step<Number>(O, first_channel) +
         f * frequency_step<Number>(O, block_channels) + group_start * block_channels;
}

// x = the 36 frequencies of the kernels of input c and V::width outputs from o on; zeros for those
// that only pad.
template <class V>
inline void kernel_frequencies(const Taps3x3& k, long c, long o, V* x) {
  const long valid = c < k.inputs ? least(V::width, k.outputs - o) : 0;
  if (valid <= 0) {
    for (int f = 0; f < kFrequencies; ++f) x[f] = V::zero();
    return;
  }
  int lane[V::width];
  for (long i = 0; i < V::width; ++i)
    lane[i] = static_cast<int>(least(i, valid - 1) * k.output_stride);
  const float* from = k.data + o * k.output_stride + c * k.input_stride;
  for (int place : lane) prefetch(from + place + kInputsAhead * k.input_stride);
  V taps[9], columns[3][6], g[3];
  V::load_columns(from, lane, taps);
  taps[8] = V::gather(from + 8, lane);
  if (valid < V::width) {
    float ones[V::width] = {0};
    for (long i = 0; i < valid; ++i) ones[i] = 1;
    for (V& tap : taps) tap = tap * V::load(ones);
  }
  for (int j = 0; j < 3; ++j) {
    for (int i = 0; i < 3; ++i) g[i] = taps[k.turned ? 8 - (3 * i + j) : 3 * i + j];
    kernel_transform(g, columns[j]);
  }
  for (int i = 0; i < 6; ++i) {
    for (int j = 0; j < 3; ++j) g[j] = columns[j][i];
    kernel_transform(g, x + i * 6);
  }
}

// to[f * step] for the kernels of input c (and of the next one, if `to` is of bf16) and V::width
// outputs from o on.
template <class V, class Number>
inline void transform_kernels(const Taps3x3& k, long c, long o, Number* to, long step) {
  V x[kFrequencies];
  kernel_frequencies(k, c, o, x);
  if constexpr (Factors<V, Number>::together == 1) {
    for (int f = 0; f < kFrequencies; ++f) store(x[f], to + f * step);
  } else {
    V next[kFrequencies];
    kernel_frequencies(k, c + 1, o, next);
    for (int f = 0; f < kFrequencies; ++f) store_alternating(x[f], next[f], to + f * step);
  }
}

// A whole transformed kernel. All threads of a parallel region call it; it ends with a barrier.
template <class V, class Number>
void transform_kernel(const Taps3x3& k, Number* transformed) {
  constexpr long together = Factors<V, Number>::together, block = channel_block<Number>();
  const long O = k.padded_outputs(), C = k.padded_inputs();
  for (long o0 = 0; o0 < O; o0 += group_width<V>(O - o0)) {
    const long group = group_width<V>(O - o0);
#pragma omp for schedule(static) nowait
    for (long c = 0; c < C; c += together) {
      const long first = c / block * block, K = least(block, C - first);
      Number* to = transformed + kernel_place<Number>(O, first, K, 0, o0) + (c - first) * group;
      for (long o = 0; o < group; o += V::width)
        transform_kernels<V>(k, c, o0 + o, to + o * together, frequency_step<Number>(O, K));
    }
  }
#pragma omp barrier
}

// The 36 frequencies of a kernel's gradient, in `parts` that are still to be added up.
struct KernelSums {
  const float* data;  // as in a block of channels of a transformed kernel
  long step;          // from one frequency to the next
  long parts, part_step;

  KernelSums at(long place) const { return {data + place, step, parts, part_step}; }
};

// Writes the gradients of the kernels of input c and V::width outputs from o on, in a gradient
// (outputs, inputs, 3, 3).
template <class V>
inline void kernel_gradients(const KernelSums& sums, long c, long o, long outputs, long inputs,
                             float* gradient) {
  const long valid = least(V::width, outputs - o);
  float* to = gradient + (o * inputs + c) * 9;
  for (long i = 0; i < valid; ++i) prefetch(to + (i * inputs + kInputsAhead) * 9);
  V rows[6][3];
  for (int i = 0; i < 6; ++i) {
    V x[6];
    for (int j = 0; j < 6; ++j) x[j] = V::load(sums.data + (i * 6 + j) * sums.step);
    for (long part = 1; part < sums.parts; ++part)
      for (int j = 0; j < 6; ++j)
        x[j] = x[j] + V::load(sums.data + part * sums.part_step + (i * 6 + j) * sums.step);
    kernel_gradient_transform(x, rows[i]);
  }
  V taps[9];
  for (int j = 0; j < 3; ++j) {
    V x[6], g[3];
    for (int i = 0; i < 6; ++i) x[i] = rows[i][j];
    kernel_gradient_transform(x, g);
    for (int i = 0; i < 3; ++i) taps[3 * i + j] = g[i];
  }
  if (valid == V::width) {
    int lane[V::width];
    for (int i = 0; i < V::width; ++i) lane[i] = static_cast<int>(i * inputs * 9);
    V::store_columns(taps, to, lane);
  }
  for (int tap = valid == V::width ? 8 : 0; tap < 9; ++tap) {
    float lanes[V::width];
    taps[tap].store(lanes);
    for (long i = 0; i < valid; ++i) to[i * inputs * 9 + tap] = lanes[i];
  }
}

// --- Tiles --------------------------------------------------------------------------------------

// A dilated convolution is an ordinary one on each of dilation^2 interleaved sub-images; a tile's
// pixels are `dilation` apart. A tile is (n, y, x) of its first output pixel.
struct Tiles {
  const int dilation;
  long count = 0;
  int* origin;  // (count, 3)

  Tiles(const Extent& extent, int dilation, float* workspace)
      : dilation(dilation), origin(reinterpret_cast<int*>(workspace)) {
    const int height = static_cast<int>(extent.height), width = static_cast<int>(extent.width);
    for (int n = 0; n < extent.batch; ++n)
      for (int py = 0; py < dilation; ++py)
        for (int px = 0; px < dilation; ++px)
          for (int y = py; y < height; y += 4 * dilation)
            for (int x = px; x < width; x += 4 * dilation) {
              int* tile = origin + 3 * count++;
              tile[0] = n;
              tile[1] = y;
              tile[2] = x;
            }
  }

  // Enough for any dilation of up to `most`.
  static long size(const Extent& extent, int most) {
    return 3 * extent.batch * (extent.height / 4 + most) * (extent.width / 4 + most);
  }
};

// The pixels of a tile in a block of channels: `size` per side, beginning `margin` dilated pixels
// before its origin. Pixel (i, j) is at place + i * down + j * right, in floats.
template <int size, int margin>
struct Window {
  long place, down, right;
  int first_y, end_y, first_x, end_x;  // the part of it that is inside of the image

  Window() = default;
  Window(const Extent& extent, const int* tile, int dilation) {
    const long y = tile[1] - margin * dilation, x = tile[2] - margin * dilation;
    right = dilation * kLane;
    down = extent.width * right;
    place = ((tile[0] * extent.height + y) * extent.width + x) * kLane;
    inside(y, extent.height, dilation, first_y, end_y);
    inside(x, extent.width, dilation, first_x, end_x);
  }
  bool is_whole() const { return (end_y - first_y) * (end_x - first_x) == size * size; }

  // Has its pixels of a block of channels read from memory before they are used, but for those that
  // its left neighbour has read.
  void fetch(const float* block) const {
    const float* from = block + place;
    if (is_whole()) {
      UNROLL for (int i = 0; i < size; ++i)
        UNROLL for (int j = 2 * margin; j < size; ++j) prefetch_far(from + i * down + j * right);
    } else {
      for (int i = first_y; i < end_y; ++i)
        for (int j = first_x; j < end_x; ++j) prefetch_far(from + i * down + j * right);
    }
  }

 private:
  static void inside(long begin, long length, int dilation, int& first, int& end) {
    first = end = 0;
    for (int i = 0; i < size; ++i) {
      const long at = begin + i * dilation;
      first += at < 0;
      end += at < length;
    }
  }
};

// A window's pixels for V::width channels: where they lie or, if the image ends within it, copied
// among zeros.
template <class V, int size>
struct Pixels {
  const float* from;
  long down, right;

  template <int margin>
  Pixels(const Window<size, margin>& window, const float* block, float* copy)
      : from(block + window.place), down(window.down), right(window.right) {
    if (window.is_whole()) return;
    for (int i = 0; i < size * size; ++i) V::zero().store(copy + i * V::width);
    for (int i = window.first_y; i < window.end_y; ++i)
      for (int j = window.first_x; j < window.end_x; ++j)
        at(i, j).store(copy + (i * size + j) * V::width);
    from = copy;
    down = size * V::width;
    right = V::width;
  }
  V at(int i, int j) const { return V::load(from + i * down + j * right); }
};

// to[f * step] for the 36 frequencies of one tile and V::width channels.
template <class V, class Number>
NOINLINE void transform_input_tile(const Pixels<V, 6> pixels, Number* to, long step) {
  V columns[6][6];
  UNROLL for (int i = 0; i < 6; ++i) {
    V row[6];
    UNROLL for (int j = 0; j < 6; ++j) row[j] = pixels.at(i, j);
    input_transform(row);
    UNROLL for (int j = 0; j < 6; ++j) columns[j][i] = row[j];
  }
  UNROLL for (int j = 0; j < 6; ++j) {
    input_transform(columns[j]);
    UNROLL for (int i = 0; i < 6; ++i) store(columns[j][i], to + (i * 6 + j) * step);
  }
}

// Where the tiles of one block read.
struct InputWindows {
  long count;
  Window<6, 1> window[kTileBlock];

  InputWindows(const Extent& extent, const int* tile, int dilation, long count) : count(count) {
    for (long t = 0; t < count; ++t) window[t] = Window<6, 1>(extent, tile + 3 * t, dilation);
  }

  // After a block's last tiles come the first ones of the next block (of the last one, which has
  // none, nothing is used of what is fetched there).
  void fetch_ahead(long t, const float* block, long plane) const {
    const long next = t + kTilesAhead;
    if (next < count)
      window[next].fetch(block);
    else
      window[least(next - count, count - 1)].fetch(block + plane);
  }
};

// Those tiles, transformed for K channels (a multiple of kLane) that begin at `data`:
// to[f * step + t * tile_step + c / kLane * panel + c % kLane].
template <class V, class Number>
void transform_inputs(const Extent& extent, const float* data, const InputWindows& windows, long K,
                      Number* to, long step, long tile_step, long panel) {
  // One block of channels after the other, so that memory is read in a few long streams, and its
  // cache lines once; and ahead of its use, or half of the time would be spent waiting for it.
  float copy[36 * V::width];
  for (long c = 0; c < K; c += kLane) {
    const float* block = data + extent.channel(c);
    for (long t = 0; t < windows.count; ++t) {
      windows.fetch_ahead(t, block, extent.plane());
      for (long i = 0; i < kLane; i += V::width) {
        const Pixels<V, 6> pixels(windows.window[t], block + i, copy);
        transform_input_tile<V>(pixels, to + t * tile_step + c / kLane * panel + i, step);
      }
    }
  }
}

// The frequencies of two tiles in turn, transform(i, to) being those of tile i, V::width floats each;
// without a second tile, zeros are in its place.
template <class V, class Transform>
inline void transform_pair(Transform transform, bool has_second, Bf16* to, long step) {
  float tiles[2][kFrequencies * V::width];
  transform(0, tiles[0]);
  if (has_second)
    transform(1, tiles[1]);
  else
    for (float& one : tiles[1]) one = 0;
  for (int f = 0; f < kFrequencies; ++f)
    store_alternating(V::load(tiles[0] + f * V::width), V::load(tiles[1] + f * V::width),
                      to + f * step);
}

// The same for the gradient of a kernel, whose sums are over tiles:
// to[f * step + t * kLane + c / kLane * panel + c % kLane], in bf16 with two tiles' numbers in turn.
template <class V, class Number>
void transform_input_panels(const Extent& extent, const float* data, const InputWindows& windows,
                            long K, Number* to, long step, long panel) {
  if constexpr (Factors<V, Number>::together == 1) {
    transform_inputs<V>(extent, data, windows, K, to, step, kLane, panel);
  } else {
    float copy[36 * V::width];
    for (long c = 0; c < K; c += kLane) {
      const float* block = data + extent.channel(c);
      for (long t = 0; t < windows.count; t += 2) {
        auto transform = [&](int i, float* tile) {
          windows.fetch_ahead(t + i, block, extent.plane());
          const Pixels<V, 6> pixels(windows.window[t + i], block, copy);
          transform_input_tile<V>(pixels, tile, V::width);
        };
        transform_pair<V>(transform, t + 1 < windows.count, to + t * kLane + c / kLane * panel, step);
      }
    }
  }
}

template <class V>
NOINLINE void transform_gradient_pixels(const Pixels<V, 4> pixels, float* to, long step) {
  V columns[6][4];
  UNROLL for (int i = 0; i < 4; ++i) {
    V row[4], wide[6];
    UNROLL for (int j = 0; j < 4; ++j) row[j] = pixels.at(i, j);
    output_gradient_transform(row, wide);
    UNROLL for (int j = 0; j < 6; ++j) columns[j][i] = wide[j];
  }
  UNROLL for (int j = 0; j < 6; ++j) {
    V wide[6];
    output_gradient_transform(columns[j], wide);
    UNROLL for (int i = 0; i < 6; ++i) wide[i].store(to + (i * 6 + j) * step);
  }
}

// One tile (or, in bf16, two in turn), transformed for O channels:
// to[f * step + o / kLane * panel + o % kLane].
template <class V, class Number>
void transform_gradient_tiles(const Extent& extent, const int* tile, long count, int dilation,
                              const float* data, long O, Number* to, long step, long panel) {
  constexpr long together = Factors<V, Number>::together;
  Window<4, 0> window[together];
  for (long i = 0; i < least(together, count); ++i)
    window[i] = Window<4, 0>(extent, tile + 3 * i, dilation);
  float copy[16 * V::width];
  for (long o = 0; o < O; o += V::width) {
    auto transform = [&](int i, float* own, long own_step) {
      if (o % kLane == 0 && o + kLane < O) window[i].fetch(data + extent.channel(o + kLane));
      const Pixels<V, 4> pixels(window[i], data + extent.channel(o), copy);
      transform_gradient_pixels<V>(pixels, own, own_step);
    };
    Number* place = to + o / kLane * panel + o % kLane;
    if constexpr (together == 1)
      transform(0, place, step);
    else
      transform_pair<V>([&](int i, float* own) { transform(i, own, V::width); }, count > 1, place,
                        step);
  }
}

}  // namespace

// Convolutions of stride 2 as matrix products: for some outputs at a time, the pixels that each of
// them reads are gathered into a row of a matrix ("columns" to the product, hence im2col). The
// gradient of the input is of the same form: the input's pixels of even and of odd rows and columns
// read one, two or four of the output's gradients.

#pragma once

#include <omp.h>

#include <cstring>

#include "arrays.h"
#include "products.h"
#include "vector.h"

namespace {

constexpr long kRows = 48;       // outputs that a thread has gathered at a time
constexpr long kColumnStep = 8;  // the columns are padded to a multiple of this
constexpr long kImageLanes = 4;  // channels of an image are padded to a multiple of this

// Where an array of pixels lies: (blocks, N, H, W, lanes), the channels padded with zeros.
struct Gridded {
  Extent extent;
  const float* data;
  long channels;
  long lanes;  // kLane, or a multiple of kImageLanes

  long blocks() const { return (channels - 1) / lanes + 1; }
  long plane() const { return extent.pixels() * lanes; }
};

// What output (y, x) reads: pixel (step * y + dy[t], step * x + dx[t]) for tap[t] of the kernel. It
// is written at (out_step * y + out_y, out_step * x + out_x).
struct Reach {
  int taps = 0, step, out_step, out_y, out_x;
  int dy[9], dx[9], tap[9];

  // A 3x3 convolution of stride 2, padding 1.
  static Reach forward() {
    Reach reach{0, 2, 1, 0, 0, {}, {}, {}};
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j) reach.add(i - 1, j - 1, 3 * i + j);
    return reach;
  }

  // Its way back, to the input's pixels of even or odd rows and columns.
  static Reach backward(int odd_y, int odd_x) {
    Reach reach{0, 1, 2, odd_y, odd_x, {}, {}, {}};
    for (int i = 1 - odd_y; i < 3; i += 2)
      for (int j = 1 - odd_x; j < 3; j += 2)
        reach.add((odd_y + 1 - i) / 2, (odd_x + 1 - j) / 2, 3 * i + j);
    return reach;
  }

  // The outputs, given the array that they are written to.
  Extent outputs(const Extent& to) const {
    return {to.batch, (to.height - out_y + out_step - 1) / out_step,
            (to.width - out_x + out_step - 1) / out_step};
  }

 private:
  void add(int y, int x, int kernel_tap) {
    dy[taps] = y;
    dx[taps] = x;
    tap[taps++] = kernel_tap;
  }
};

// A walk over all pixels of some images.
struct Walk {
  const Extent& extent;
  long x, y, n;

  Walk(const Extent& over, long start)
      : extent(over),
        x(start % over.width),
        y(start / over.width % over.height),
        n(start / over.width / over.height) {}

  void step() {
    if (++x < extent.width) return;
    x = 0;
    if (++y < extent.height) return;
    y = 0;
    ++n;
  }
};

// The columns of `blocks` blocks of channels.
inline long column_count(const Reach& reach, long blocks, long lanes) {
  return round_up(reach.taps * blocks * lanes, kColumnStep);
}

constexpr long blocks_together(long lanes) { return kChannelBlock / lanes; }

inline long column_count(const Reach& reach, const Gridded& from) {  // of all of its channels
  long sum = 0;
  for (long b = 0; b < from.blocks(); b += blocks_together(from.lanes))
    sum += column_count(reach, least(blocks_together(from.lanes), from.blocks() - b), from.lanes);
  return sum;
}

// Copies one pixel of `lanes` channels, or writes zeros where `from` is null.
template <class V, bool is_image>
inline void copy_pixel(const float* from, long lanes, float* to) {
  if (is_image) {
    for (long i = 0; i < lanes; i += kImageLanes)
      _mm_storeu_ps(to + i, from ? _mm_loadu_ps(from + i) : _mm_setzero_ps());
  } else {
    for (long i = 0; i < kLane; i += V::width)
      (from ? V::load(from + i) : V::zero()).store(to + i);
  }
}

// columns[r * K + (t * blocks + b) * lanes + lane] for outputs `start` to start + rows.
template <class V, bool is_image>
void gather_columns(const Gridded& from, const Reach& reach, const Extent& outputs,
                    long first_block, long blocks, long start, long rows, float* columns) {
  const long lanes = is_image ? from.lanes : kLane, used = reach.taps * blocks * lanes;
  const long K = column_count(reach, blocks, lanes);
  const long H = from.extent.height, W = from.extent.width, plane = from.plane();
  long offset[9];
  for (int t = 0; t < reach.taps; ++t) offset[t] = (reach.dy[t] * W + reach.dx[t]) * lanes;
  Walk at(outputs, start);
  for (long r = 0; r < rows; ++r, at.step()) {
    float* to = columns + r * K;
    const long y = at.y * reach.step, x = at.x * reach.step;
    const float* pixel = from.data + first_block * plane + ((at.n * H + y) * W + x) * lanes;
    const bool whole = y > 0 && x > 0 && y + 1 < H && x + 1 < W;
    for (int t = 0; t < reach.taps; ++t) {
      const long py = y + reach.dy[t], px = x + reach.dx[t];
      const bool inside = whole || (py >= 0 && px >= 0 && py < H && px < W);
      for (long b = 0; b < blocks; ++b, to += lanes)
        copy_pixel<V, is_image>(inside ? pixel + b * plane + offset[t] : nullptr, lanes, to);
    }
    for (long i = used; i < K; ++i) *to++ = 0;
  }
}

template <class V>
void gather_columns(const Gridded& from, const Reach& reach, const Extent& outputs,
                    long first_block, long blocks, long start, long rows, float* columns) {
  (from.lanes < kLane ? gather_columns<V, true> : gather_columns<V, false>)(
      from, reach, outputs, first_block, blocks, start, rows, columns);
}

// Where the columns of a block of channels begin in an arranged kernel of O outputs.
inline long kernel_start(const Reach& reach, const Gridded& from, long first_block, long O) {
  return first_block / blocks_together(from.lanes) *
         column_count(reach, blocks_together(from.lanes), from.lanes) * O;
}

// Calls visit(output, channel, tap, place in an arranged kernel) for all outputs and channels.
template <class V, class Visit>
void for_arranged(const Reach& reach, const Gridded& from, long outputs, Visit visit) {
  const long O = round_up(outputs, kLane), together = blocks_together(from.lanes);
#pragma omp for schedule(static)
  for (long c = 0; c < from.channels; ++c) {
    const long block = c / from.lanes, first = block / together * together;
    const long blocks = least(together, from.blocks() - first);
    const long K = column_count(reach, blocks, from.lanes);
    const long start = kernel_start(reach, from, first, O);
    for (int t = 0; t < reach.taps; ++t) {
      const long k = (t * blocks + block - first) * from.lanes + c % from.lanes;
      for (long o0 = 0; o0 < O; o0 += group_width<V>(O - o0)) {
        const long group = group_width<V>(O - o0);
        for (long o = o0; o < least(o0 + group, outputs); ++o)
          visit(o, c, reach.tap[t], start + o0 * K + k * group + o - o0);
      }
    }
  }
}

// Floats that a thread needs for its rows: columns, and their products.
inline long gathered_size(long O) {
  return kRows * (9 * kChannelBlock + kColumnStep + O);
}

// Writes outputs `start` to start + rows, given their products (rows, O).
template <class V>
void write_gathered(const float* products, long start, long rows, long O, const Extent& outputs,
                    const Reach& reach, long channels, const Result& result, const Extent& to,
                    long lanes, float* out) {
  for (long o = 0; o < (lanes < kLane ? lanes : O); o += V::width) {
    V bias = V::zero();
    if (result.bias && o < channels)
      bias = V::load_first(result.bias + o, static_cast<int>(least(V::width, channels - o)));
    float* block = out + (lanes < kLane ? o : to.channel(o));
    const int floats = static_cast<int>(lanes < kLane ? least(V::width, lanes - o) : V::width);
    Walk at(outputs, start);
    for (long r = 0; r < rows; ++r, at.step()) {
      const long y = at.y * reach.out_step + reach.out_y, x = at.x * reach.out_step + reach.out_x;
      const V value = leaky(V::load(products + r * O + o) + bias, result.slope);
      value.store_first(block + ((at.n * to.height + y) * to.width + x) * lanes, floats);
    }
  }
}

// out = the convolution of `from`, of `lanes` channels per block (if fewer than kLane, in one block);
// `arranged` has room for its columns times its padded outputs, `work` for `gathered_size` floats
// per thread. `result.added` must not be set.
template <class V>
void gathered_convolve(const Gridded& from, const Reach& reach, const Taps3x3& kernel,
                       const Result& result, const Extent& to, long lanes, float* out,
                       float* arranged, float* work) {
  const long O = kernel.padded_outputs(), together = blocks_together(from.lanes);
  const Extent outputs = reach.outputs(to);
#pragma omp parallel
  {
    const long size = column_count(reach, from) * O;
#pragma omp for schedule(static)
    for (long i = 0; i < size; i += V::width) V::zero().store(arranged + i);
    for_arranged<V>(reach, from, kernel.outputs, [&](long o, long c, int tap, long place) {
      arranged[place] = kernel.data[o * kernel.output_stride + c * kernel.input_stride + tap];
    });
    float* columns = work + omp_get_thread_num() * gathered_size(O);
    float* products = columns + kRows * (9 * kChannelBlock + kColumnStep);
#pragma omp for schedule(dynamic)
    for (long start = 0; start < outputs.pixels(); start += kRows) {
      const long count = least(kRows, outputs.pixels() - start), rows = round_up(count, kRowStep);
      for (long b = 0; b < from.blocks(); b += together) {
        const long blocks = least(together, from.blocks() - b);
        const long K = column_count(reach, blocks, from.lanes);
        gather_columns<V>(from, reach, outputs, b, blocks, start, count, columns);
        std::memset(columns + count * K, 0, (rows - count) * K * sizeof(float));
        multiply<V>(columns, arranged + kernel_start(reach, from, b, O), products, rows, K, O,
                    b == 0);
      }
      write_gathered<V>(products, start, count, O, outputs, reach, kernel.outputs, result, to,
                        lanes, out);
    }
  }
}

// The gradient of the input of a convolution of stride 2, given that of its output.
template <class V>
void strided_input_gradient(const Gridded& gradient, const float* weight, long inputs,
                            const Extent& to, long lanes, float* out, float* arranged,
                            float* work) {
  const Taps3x3 kernel{weight, inputs, gradient.channels, 9, inputs * 9, false};
  for (int odd_y = 0; odd_y < 2; ++odd_y)
    for (int odd_x = 0; odd_x < 2; ++odd_x)
      gathered_convolve<V>(gradient, Reach::backward(odd_y, odd_x), kernel, {nullptr, 1, 0, false},
                           to, lanes, out, arranged, work);
}

inline long gathered_gradient_size(const Gridded& from, long O) {  // per thread
  return column_count(Reach::forward(), from) * O + gathered_size(O);
}

// Writes weight_gradient (outputs, inputs, 3, 3) of a convolution of stride 2; `work` has room for
// `gathered_gradient_size` floats per thread.
template <class V>
void strided_weight_gradient(const Gridded& from, const Gridded& gradient, float* weight_gradient,
                             float* work) {
  const Reach reach = Reach::forward();
  const long O = round_up(gradient.channels, kLane), together = blocks_together(from.lanes);
  const Extent& outputs = gradient.extent;
  const long size = column_count(reach, from) * O, own_size = gathered_gradient_size(from, O);
  int threads = 1;
#pragma omp parallel
  {
#pragma omp single
    threads = omp_get_num_threads();
    float* sums = work + omp_get_thread_num() * own_size;
    float* columns = sums + size;
    float* gradients = columns + kRows * (9 * kChannelBlock + kColumnStep);
    std::memset(sums, 0, size * sizeof(float));
#pragma omp for schedule(static)
    for (long start = 0; start < outputs.pixels(); start += kRows) {
      const long rows = least(kRows, outputs.pixels() - start);
      for (long r = 0; r < rows; ++r)
        for (long o = 0; o < O; o += V::width)
          V::load(gradient.data + outputs.channel(o) + (start + r) * kLane)
              .store(gradients + r * O + o);
      for (long b = 0; b < from.blocks(); b += together) {
        const long blocks = least(together, from.blocks() - b);
        const long K = column_count(reach, blocks, from.lanes);
        gather_columns<V>(from, reach, outputs, b, blocks, start, rows, columns);
        add_outer<V, float>({columns, K, kLane}, {gradients, O, kLane},
                     sums + kernel_start(reach, from, b, O), rows, K, O);
      }
    }
    for_arranged<V>(reach, from, gradient.channels, [&](long o, long c, int tap, long place) {
      float sum = 0;
      for (int thread = 0; thread < threads; ++thread) sum += work[thread * own_size + place];
      weight_gradient[(o * from.channels + c) * 9 + tap] = sum;
    });
  }
}

}  // namespace

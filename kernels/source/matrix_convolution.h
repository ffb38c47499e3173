// A 3x3 convolution and its kernel's gradient on the processor's matrix unit (Intel's AMX), which
// multiplies 16 x 32 by 32 x 16 numbers of 16 bits (bf16) at a time and adds up in float32, some
// sixteen times as fast as vectors of float32.
//
// To be as exact as float32 asks for, each number is split into two, x = high + low, both bf16, and
//
//   a * b = high(a) * high(b) + high(a) * low(b) + low(a) * high(b),
//
// which leaves out 2^-18 of a product at most; with the rounding of `low`, the error of one is
// below 2^-16. Numbers that are `rounded` are their high half alone.
//
// What is multiplied is arranged by each thread for a strip of the image at a time:
//
// - forward, a "line" is one pixel's 32 channels: 64 bytes. The nine taps of a 3x3 convolution are
//   nine places to begin reading the same lines, 16 pixels at a time;
// - for a kernel's gradient, which sums over pixels, the gradient's pixels lie side by side, output by
//   output, and the input's in pairs, twice: from an even pixel on and from an odd one.

#pragma once

#include <omp.h>

#include <cstdint>
#include <cstring>

#include "arrays.h"
#include "vector.h"

namespace {

using Half = std::uint16_t;  // the upper half of a float32

constexpr long kLine = 32;                       // numbers in a row of a register
constexpr long kRegisterRows = 16;               // rows of a register
constexpr long kSquare = kRegisterRows * kLine;  // numbers in a register
constexpr long kStep = 2 * kRegisterRows;        // pixels that are multiplied at a time
constexpr int kKernelTaps = 9;
// Pixels of a strip: with 64 input channels and 128 outputs, lines, kernel and sums take 1.2 MB.
constexpr long kStripPixels = 1024;
// Channels that are arranged at a time: all of them, if they are as few as this ...
constexpr long kFewLines = 5;
// ... else so many.
constexpr long kLinesTogether = 2;

// The functions that load registers are never inlined: GCC does not know that they read memory, so
// what was written for them must be written when they are called.

// --- Registers ----------------------------------------------------------------------------------

// All eight registers of this thread, 16 rows of 64 bytes each, for the life of this.
struct MatrixRegisters {
  MatrixRegisters() {
    alignas(64) struct {
      std::uint8_t palette = 1, start = 0, reserved[14] = {};
      std::uint16_t row_bytes[16] = {};
      std::uint8_t rows[16] = {};
    } form;
    for (int i = 0; i < 8; ++i) {
      form.row_bytes[i] = 64;
      form.rows[i] = kRegisterRows;
    }
    asm volatile("" ::: "memory");  // GCC takes it to read the first bytes of `form` alone
    _tile_loadconfig(&form);
  }
  ~MatrixRegisters() { _tile_release(); }
};

// --- Splitting ----------------------------------------------------------------------------------

// A vector as the sum of two whose lower 16 bits are zero.
struct Split {
  __m512i high, low;

  explicit Split(__m512 x) {
    high = rounded(x);
    low = rounded(_mm512_sub_ps(x, _mm512_castsi512_ps(high)));
  }

  static __m512i rounded(__m512 x) {  // to the nearest, which the upper 16 bits can hold
    const __m256i halves = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x));
    return _mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
  }
};

// Two vectors side by side in halves: even[0], odd[0], even[1], odd[1], ...
inline __m512i interleave(__m512i even, __m512i odd) {
  return _mm512_or_si512(_mm512_srli_epi32(even, 16), odd);
}

// The high halves of two vectors, one vector after the other, and their low halves.
struct SplitLine {
  __m512i high, low;

  SplitLine(__m512 one, __m512 other) {
    const __m512bh halves = _mm512_cvtne2ps_pbh(other, one);
    high = reinterpret_cast<__m512i>(halves);
    const __m512 one_high = widened(_mm512_castsi512_si256(high));
    const __m512 other_high = widened(_mm512_extracti64x4_epi64(high, 1));
    low = reinterpret_cast<__m512i>(
        _mm512_cvtne2ps_pbh(_mm512_sub_ps(other, other_high), _mm512_sub_ps(one, one_high)));
  }

 private:
  static __m512 widened(__m256i halves) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
  }
};

// --- Strips -------------------------------------------------------------------------------------

// How the images are divided. A dilated convolution is an ordinary one on every `dilation`-th row,
// so a strip's rows are `dilation` apart; its pixels are counted row by row, each of `pitch`
// pixels: a margin of `dilation` before and after those that are wanted.
struct Strips {
  const Extent extent;
  const int dilation;
  long columns, pitch, rows;  // of a strip
  long across, down, phases;  // strips beside, above and between each other
  long count;

  Strips(const Extent& extent, int dilation) : extent(extent), dilation(dilation) {
    across = (extent.width - 1) / most_columns(dilation) + 1;
    columns = (extent.width - 1) / across + 1;
    pitch = columns + 2 * dilation;
    phases = least(dilation, extent.height);
    const long height = (extent.height - 1) / dilation + 1;  // rows of a phase
    const long most_rows = kStripPixels / pitch > 1 ? kStripPixels / pitch : 1;
    const long others = extent.batch * phases * across;
    const long wanted = (omp_get_max_threads() - 1) / others + 1;  // one for each thread
    down = (height - 1) / least(most_rows, height) + 1;
    if (down < wanted) down = least(wanted, height);
    rows = (height - 1) / down + 1;
    down = (height - 1) / rows + 1;
    count = others * down;
  }

  // Wider where the margin is.
  static long most_columns(int dilation) { return 64 * (dilation > 4 ? dilation / 4 : 1); }

  long pixels() const { return round_up((rows - 1) * pitch + columns, kStep); }
  // With the margins above and below, and what the last tap reads.
  long lines() const { return pixels() + 2 * pitch + 2 * dilation; }

  static long most_pixels(int dilation) {
    const long pitch = most_columns(dilation) + 2 * dilation;
    return round_up(pitch > kStripPixels ? pitch : kStripPixels, kStep);
  }
  static long most_lines(int dilation) {
    return most_pixels(dilation) + 2 * (most_columns(dilation) + 2 * dilation) + 2 * dilation;
  }
};

// One of them.
struct Strip {
  const Strips& all;
  long image, y, x;  // its first pixel

  Strip(const Strips& strips, long index) : all(strips) {
    x = index % strips.across * strips.columns;
    index /= strips.across;
    const long row = index % strips.down * strips.rows;
    index /= strips.down;
    y = index % strips.phases + row * strips.dilation;
    image = index / strips.phases;
  }

  // Calls visit(first pixel, pixels, place of the first one in a block, or -1 where the image has
  // none) for runs of pixels, one after the other, from `margin` pixels before the strip to
  // `margin` behind.
  template <class Visit>
  void for_runs(long margin, Visit visit) const {
    const Extent& e = all.extent;
    const long around = margin * all.dilation, left = x - around, width = all.columns + 2 * around;
    const long begin = left < 0 ? -left : 0, end = least(width, e.width - left);
    for (long i = 0; i < all.rows + 2 * margin; ++i) {
      const long row = y + (i - margin) * all.dilation, first = i * all.pitch;
      if (row < 0 || row >= e.height) {
        visit(first, width, -1L);
        continue;
      }
      if (begin > 0) visit(first, begin, -1L);
      visit(first + begin, end - begin,
            ((image * e.height + row) * e.width + left + begin) * kLane);
      if (end < width) visit(first + end, width - end, -1L);
    }
  }
};

// --- Convolution --------------------------------------------------------------------------------

// The kernel, in the order in which it is read: for each group of one or two times 16 outputs, each
// 32 channels and each tap, a register of pairs of channels per 16 outputs: high halves, low
// halves.
inline long group_squares(long outputs_left) { return outputs_left > kLane ? 2 : 1; }

inline long squares_of_kernel(long C, bool split) {  // per 16 outputs
  return round_up(C, kLine) / kLine * kKernelTaps * (split ? 2 : 1);
}

template <bool split>
NOINLINE void arrange_kernel(const Taps3x3& k, Half* to) {
  const long O = k.padded_outputs(), lines = round_up(k.inputs, kLine) / kLine;
  const long own = squares_of_kernel(k.inputs, split) * kSquare;
  for (long o0 = 0; o0 < O; o0 += 2 * kLane) {
    const long group = group_squares(O - o0);
#pragma omp for schedule(static) nowait
    for (long pair = 0; pair < lines * kRegisterRows; ++pair) {
      const long line = pair / kRegisterRows, row = pair % kRegisterRows, c = 2 * pair;
      for (long part = 0; part < group; ++part) {
        const long o = o0 + part * kLane, valid = least(kLane, k.outputs - o);
        int lane[kLane];
        for (long i = 0; i < kLane; ++i) lane[i] = static_cast<int>(i * k.output_stride);
        const __mmask16 mask =
            valid > 0 ? static_cast<__mmask16>((1u << valid) - 1) : static_cast<__mmask16>(0);
        const __mmask16 even = c < k.inputs ? mask : 0, odd = c + 1 < k.inputs ? mask : 0;
        const float* from = k.data + o * k.output_stride + c * k.input_stride;
        Half* place = to + o0 / kLane * own +
                      line * kKernelTaps * group * (split ? 2 : 1) * kSquare + part * kSquare +
                      row * kLine;
        for (int t = 0; t < kKernelTaps; ++t, place += group * (split ? 2 : 1) * kSquare) {
          const int tap = k.turned ? 8 - t : t;
          const __m512i index = _mm512_loadu_si512(lane);
          const __m512 none = _mm512_setzero_ps();
          const Split one(_mm512_mask_i32gather_ps(none, even, index, from + tap, 4));
          const Split other(
              _mm512_mask_i32gather_ps(none, odd, index, from + k.input_stride + tap, 4));
          _mm512_storeu_si512(place, interleave(one.high, other.high));
          if (split) _mm512_storeu_si512(place + group * kSquare, interleave(one.low, other.low));
        }
      }
    }
  }
#pragma omp barrier
}

// The lines of a strip, for `blocks` blocks of 16 channels: high halves of all, then low halves.
template <bool split>
NOINLINE void arrange_lines(const Strip& strip, const float* in, long blocks, Half* to) {
  const Strips& all = strip.all;
  const long lines = all.lines(), plane = all.extent.plane();
  const long low = (blocks + 1) / 2 * lines * kLine;
  for (long b = 0; b < blocks; b += 2, in += 2 * plane, to += lines * kLine) {
    const bool both = b + 1 < blocks;
    const auto put = [&](Half* line, __m512i high, __m512i low_halves) {
      _mm512_storeu_si512(line, high);
      if (split) _mm512_storeu_si512(line + low, low_halves);
    };
    const __m512i none = _mm512_setzero_si512();
    strip.for_runs(1, [&](long pixel, long count, long place) {
      Half* line = to + pixel * kLine;
      const float *one = in + place, *other = one + plane;
      if (place < 0) {
        for (long i = 0; i < count; ++i) put(line + i * kLine, none, none);
      } else if (both) {
        for (long i = 0; i < count; ++i) {
          const SplitLine own(_mm512_loadu_ps(one + i * kLane), _mm512_loadu_ps(other + i * kLane));
          put(line + i * kLine, own.high, own.low);
        }
      } else {
        for (long i = 0; i < count; ++i) {
          const SplitLine own(_mm512_loadu_ps(one + i * kLane), _mm512_setzero_ps());
          put(line + i * kLine, own.high, own.low);
        }
      }
    });
    for (long pixel = (all.rows + 2) * all.pitch; pixel < lines; ++pixel)
      put(to + pixel * kLine, none, none);
  }
}

// Brings part `part` of `parts` of some memory closer, while something else is computed.
inline void fetch_part(const void* from, long bytes, long part, long parts) {
  const char* begin = static_cast<const char*>(from);
  const long step = round_up(bytes / parts + 1, 64);
  for (long at = part * step; at < least((part + 1) * step, bytes); at += 64)
    _mm_prefetch(begin + at, _MM_HINT_T1);
}

// The same for what `arrange_lines` will read.
inline void fetch_lines(const Strip& strip, const float* in, long blocks, long part, long parts) {
  const Strips& all = strip.all;
  const Extent& e = all.extent;
  const long pieces = blocks * (all.rows + 2), step = (pieces - 1) / parts + 1;
  const long begin = strip.x > all.dilation ? strip.x - all.dilation : 0;
  const long end = least(strip.x + all.columns + all.dilation, e.width);
  for (long piece = part * step; piece < least((part + 1) * step, pieces); ++piece) {
    const long row = strip.y + (piece % (all.rows + 2) - 1) * all.dilation;
    if (row < 0 || row >= e.height) continue;
    const float* line =
        in + piece / (all.rows + 2) * e.plane() + (strip.image * e.height + row) * e.width * kLane;
    fetch_part(line + begin * kLane, (end - begin) * kLane * sizeof(float), 0, 1);
  }
}

// sums (32 pixels, 32 outputs; or 16 of them) = or += lines times kernel, over all channels of
// `line`.
template <bool split, int group>
NOINLINE void multiply_lines(const Half* line, long count, long line_step, long low,
                             const long* tap, const Half* kernel, float* sums, bool first) {
  constexpr long kBytes = 2 * kLane * sizeof(float);  // from one pixel's sums to the next
  float* lower = sums + kRegisterRows * 2 * kLane;
  if (first) {
    _tile_zero(0);
    _tile_zero(2);
    if (group == 2) {
      _tile_zero(1);
      _tile_zero(3);
    }
  } else {
    _tile_loadd(0, sums, kBytes);
    _tile_loadd(2, lower, kBytes);
    if (group == 2) {
      _tile_loadd(1, sums + kLane, kBytes);
      _tile_loadd(3, lower + kLane, kBytes);
    }
  }
#define MULTIPLY             \
  _tile_dpbf16ps(0, 4, 6);   \
  _tile_dpbf16ps(2, 5, 6);   \
  if (group == 2) {          \
    _tile_dpbf16ps(1, 4, 7); \
    _tile_dpbf16ps(3, 5, 7); \
  }
  for (long i = 0; i < count; ++i, line += line_step)
    for (int t = 0; t < kKernelTaps; ++t) {
      const Half* a = line + tap[t];
      _tile_loadd(6, kernel, 64);
      if (group == 2) _tile_loadd(7, kernel + kSquare, 64);
      kernel += group * kSquare;
      if (split) {
        _tile_loadd(4, a + low, 64);
        _tile_loadd(5, a + low + kSquare, 64);
        MULTIPLY
      }
      _tile_loadd(4, a, 64);
      _tile_loadd(5, a + kSquare, 64);
      MULTIPLY
      if (split) {
        _tile_loadd(6, kernel, 64);
        if (group == 2) _tile_loadd(7, kernel + kSquare, 64);
        kernel += group * kSquare;
        MULTIPLY
      }
    }
  _tile_stored(0, sums, kBytes);
  _tile_stored(2, lower, kBytes);
  if (group == 2) {
    _tile_stored(1, sums + kLane, kBytes);
    _tile_stored(3, lower + kLane, kBytes);
  }
}
#undef MULTIPLY

// Writes 16 outputs of a strip, from channel o on.
template <class V>
NOINLINE void write_strip(const Strip& strip, const float* sums, long o, long outputs,
                          const Result& result, float* out) {
  V bias = V::zero();
  if (result.bias && o < outputs)
    bias = V::load_first(result.bias + o, static_cast<int>(least(V::width, outputs - o)));
  const float slope = o >= result.activated_from ? result.slope : 1;
  float* block = out + strip.all.extent.channel(o);
  strip.for_runs(0, [&](long pixel, long count, long place) {
    if (place < 0) return;
    const float* from = sums + pixel * 2 * kLane;
    float* to = block + place;
    for (long i = 0; i < count; ++i) {
      const V value = leaky(V::load(from + i * 2 * kLane) + bias, slope);
      (result.added ? value + V::load(to + i * kLane) : value).store(to + i * kLane);
    }
  });
}

template <class V, bool split>
void convolve_strips(const Strips& strips, const float* in, const Taps3x3& kernel,
                     const Result& result, float* out, const ConvolutionWork& work,
                     long thread_floats) {
  const Extent& e = strips.extent;
  const long C = round_up(kernel.inputs, kLane), O = kernel.padded_outputs();
  const long all_lines = round_up(C, kLine) / kLine;
  const long together = all_lines <= kFewLines ? all_lines : kLinesTogether;
  const bool at_once = together == all_lines;
  const long pixels = strips.pixels(), line_step = strips.lines() * kLine;
  const long kernel_step = squares_of_kernel(C, split) * kSquare;  // per 16 outputs
  long tap[kKernelTaps];
  for (long t = 0; t < kKernelTaps; ++t)
    tap[t] = (t / 3 * strips.pitch + t % 3 * strips.dilation) * kLine;
  Half* arranged = reinterpret_cast<Half*>(work.kernel);
#pragma omp parallel
  {
    const MatrixRegisters registers;
    arrange_kernel<split>(kernel, arranged);
    float* sums = work.threads + omp_get_thread_num() * thread_floats;
    Half* lines =
        reinterpret_cast<Half*>(sums + pixels * (at_once ? 2 * kLane : round_up(O, 2 * kLane)));
#pragma omp for schedule(dynamic)
    for (long index = 0; index < strips.count; ++index) {
      const Strip strip(strips, index);
      for (long first = 0; first < all_lines; first += together) {
        const long count = least(together, all_lines - first);
        const long blocks = least(2 * count, C / kLane - 2 * first);
        const long next = first + together, later = least(together, all_lines - next);
        arrange_lines<split>(strip, in + e.channel(first * kLine), blocks, lines);
        for (long o = 0; o < O; o += 2 * kLane) {
          const long group = group_squares(O - o);
          const Half* own = arranged + o / kLane * kernel_step +
                            first * kKernelTaps * group * (split ? 2 : 1) * kSquare;
          float* to = at_once ? sums : sums + o * pixels;
          for (long p = 0; p < pixels; p += kStep) {
            if (later > 0) {
              const long part = p / kStep, parts = pixels / kStep,
                         groups = (O - 1) / (2 * kLane) + 1;
              const long bytes =
                  later * kKernelTaps * group * (split ? 2 : 1) * kSquare * sizeof(Half);
              fetch_part(own + count * kKernelTaps * group * (split ? 2 : 1) * kSquare, bytes, part,
                         parts);
              fetch_lines(strip, in + e.channel(next * kLine),
                          least(2 * later, C / kLane - 2 * next), o / (2 * kLane) * parts + part,
                          groups * parts);
            }
            (group == 2 ? multiply_lines<split, 2>
                        : multiply_lines<split, 1>)(lines + p * kLine, count, line_step,
                                                    count * line_step, tap, own, to + p * 2 * kLane,
                                                    first == 0);
          }
          if (first + count < all_lines) continue;
          for (long part = 0; part < group; ++part)
            write_strip<V>(strip, to + part * kLane, o + part * kLane, kernel.outputs, result, out);
        }
      }
    }
  }
}

// --- The kernel's gradient ----------------------------------------------------------------------

inline void transpose(__m512* x) {  // 16 x 16
  __m512 y[16];
  UNROLL for (int i = 0; i < 16; i += 2) {
    y[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
    y[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
  }
  UNROLL for (int i = 0; i < 16; i += 4) {
    UNROLL for (int j = 0; j < 2; ++j) {
      const __m512d a = _mm512_castps_pd(y[i + j]), b = _mm512_castps_pd(y[i + j + 2]);
      x[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
      x[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    }
  }
  // x[4 i + k] holds rows 4 i to 4 i + 3 of columns k, k + 4, k + 8 and k + 12, 128 bits each.
  UNROLL for (int k = 0; k < 4; ++k) {
    const __m512 ab = _mm512_shuffle_f32x4(x[k], x[k + 4], 0x88),
                 cd = _mm512_shuffle_f32x4(x[k + 8], x[k + 12], 0x88);
    const __m512 ef = _mm512_shuffle_f32x4(x[k], x[k + 4], 0xdd),
                 gh = _mm512_shuffle_f32x4(x[k + 8], x[k + 12], 0xdd);
    y[k] = _mm512_shuffle_f32x4(ab, cd, 0x88);
    y[k + 4] = _mm512_shuffle_f32x4(ef, gh, 0x88);
    y[k + 8] = _mm512_shuffle_f32x4(ab, cd, 0xdd);
    y[k + 12] = _mm512_shuffle_f32x4(ef, gh, 0xdd);
  }
  UNROLL for (int i = 0; i < 16; ++i) x[i] = y[i];
}

// The gradients of a strip's 16 outputs, output by output: for each 32 pixels, a register of high
// halves, then one of low halves.
template <bool split>
NOINLINE void arrange_gradients(const Strip& strip, const float* block, Half* to) {
  const Strips& all = strip.all;
  const Extent& e = all.extent;
  const long square = (split ? 2 : 1) * kSquare;
  std::memset(to, 0, all.pixels() / kLine * square * sizeof(Half));
  const long columns = least(all.columns, e.width - strip.x);
  for (long i = 0; i < all.rows; ++i) {
    const long row = strip.y + i * all.dilation;
    if (row >= e.height) break;
    const float* pixels = block + ((strip.image * e.height + row) * e.width + strip.x) * kLane;
    // Sixteen pixels at a time of those that lie in one half of a register.
    for (long j = 0, valid; j < columns; j += valid) {
      const long pixel = i * all.pitch + j;
      valid = least(kLane - pixel % kLane, columns - j);
      __m512 x[16];
      UNROLL for (int p = 0; p < 16; ++p) x[p] =
          p < valid ? _mm512_loadu_ps(pixels + (j + p) * kLane) : _mm512_setzero_ps();
      transpose(x);
      const __mmask16 mask = static_cast<__mmask16>((1u << valid) - 1);
      Half* place = to + pixel / kLine * square + pixel % kLine;
      UNROLL for (int o = 0; o < 16; ++o) {
        const Split own(x[o]);
        _mm256_mask_storeu_epi16(place + o * kLine, mask,
                                 _mm512_cvtepi32_epi16(_mm512_srli_epi32(own.high, 16)));
        if (split)
          _mm256_mask_storeu_epi16(place + kSquare + o * kLine, mask,
                                   _mm512_cvtepi32_epi16(_mm512_srli_epi32(own.low, 16)));
      }
    }
  }
}

// What `arrange_pairs` takes for 16 channels: halves, of twice half of the lines each.
inline long pairs_floats(long lines) { return 2 * (lines / 2 + 1) * kLine; }

// The pixels of a strip in pairs, for a block of 16 channels: pairs (0, 1), (2, 3), ..., then pairs
// (1, 2), (3, 4), ..., so that pixels can be read from any one on; of each, high halves, low
// halves.
template <bool split>
NOINLINE void arrange_pairs(const Strip& strip, const float* block, Half* to) {
  const Strips& all = strip.all;
  const long pairs = all.lines() / 2 + 1;  // of the even ones, as of the odd ones
  const long low = pairs * kLine, odd = (split ? 2 : 1) * low;
  const Split none(_mm512_setzero_ps());
  Split before = none;
  const auto put = [&](long pixel, const Split& own) {  // the pair that ends with it
    Half* place = pixel % 2 ? to + pixel / 2 * kLine : to + odd + (pixel / 2 - 1) * kLine;
    if (pixel > 0) {
      _mm512_storeu_si512(place, interleave(before.high, own.high));
      if (split) _mm512_storeu_si512(place + low, interleave(before.low, own.low));
    }
    before = own;
  };
  strip.for_runs(1, [&](long pixel, long count, long place) {
    for (long i = 0; i < count; ++i)
      put(pixel + i, place < 0 ? none : Split(_mm512_loadu_ps(block + place + i * kLane)));
  });
  for (long pixel = (all.rows + 2) * all.pitch; pixel < 2 * pairs; ++pixel) put(pixel, none);
}

// sums (2 x 2 registers of 16 outputs x 16 channels; without `group` == 2, of 16 outputs alone) =
// or
// += gradients times pairs, over all pixels of a strip.
template <bool split, int group>
NOINLINE void multiply_pairs(const Half* gradients, long gradients_step, const Half* pairs,
                             long block_step, long low, long pixels, float* sums, bool first) {
  constexpr long kTile = kLane * kLane;
  if (first) {
    _tile_zero(0);
    _tile_zero(1);
    if (group == 2) {
      _tile_zero(2);
      _tile_zero(3);
    }
  } else {
    _tile_loadd(0, sums, 64);
    _tile_loadd(1, sums + kTile, 64);
    if (group == 2) {
      _tile_loadd(2, sums + 2 * kTile, 64);
      _tile_loadd(3, sums + 3 * kTile, 64);
    }
  }
#define MULTIPLY_PAIRS       \
  _tile_dpbf16ps(0, 4, 6);   \
  _tile_dpbf16ps(1, 4, 7);   \
  if (group == 2) {          \
    _tile_dpbf16ps(2, 5, 6); \
    _tile_dpbf16ps(3, 5, 7); \
  }
  for (long p = 0; p < pixels; p += kLine) {
    const Half *a = gradients, *b = pairs + p / 2 * kLine;
    gradients += (split ? 2 : 1) * kSquare;
    _tile_loadd(4, a, 64);
    if (group == 2) _tile_loadd(5, a + gradients_step, 64);
    if (split) {
      _tile_loadd(6, b + low, 64);
      _tile_loadd(7, b + block_step + low, 64);
      MULTIPLY_PAIRS
    }
    _tile_loadd(6, b, 64);
    _tile_loadd(7, b + block_step, 64);
    MULTIPLY_PAIRS
    if (split) {
      _tile_loadd(4, a + kSquare, 64);
      if (group == 2) _tile_loadd(5, a + gradients_step + kSquare, 64);
      MULTIPLY_PAIRS
    }
  }
#undef MULTIPLY_PAIRS
  _tile_stored(0, sums, 64);
  _tile_stored(1, sums + kTile, 64);
  if (group == 2) {
    _tile_stored(2, sums + 2 * kTile, 64);
    _tile_stored(3, sums + 3 * kTile, 64);
  }
}

// Parts of the strips that are summed apart: four pieces of work for each thread.
inline long gradient_parts(long C, long strips) {
  const long wanted = (4 * omp_get_max_threads() - 1) / (round_up(C, kLine) / kLine) + 1;
  return least(wanted, strips);
}

template <class V, bool split>
void strips_weight_gradient(const Strips& strips, const float* in, long in_channels,
                            const float* out_gradient, long out_channels, float* weight_gradient,
                            const ConvolutionWork& work, long thread_floats) {
  const Extent& e = strips.extent;
  const long C = round_up(in_channels, kLane), O = round_up(out_channels, kLane);
  const long lines = round_up(C, kLine) / kLine, pixels = strips.pixels();
  const long part_strips = (strips.count - 1) / gradient_parts(C, strips.count) + 1;
  const long parts = (strips.count - 1) / part_strips + 1;
  const long part_floats = lines * kKernelTaps * kLine * O;
  const long gradients_step = pixels * kLane * (split ? 2 : 1);  // per 16 outputs
  const long low = (strips.lines() / 2 + 1) * kLine, block_step = 2 * low * (split ? 2 : 1);
  long tap[kKernelTaps];
  for (long t = 0; t < kKernelTaps; ++t) {
    const long pixel = t / 3 * strips.pitch + t % 3 * strips.dilation;
    tap[t] = pixel / 2 * kLine + pixel % 2 * (split ? 2 : 1) * low;
  }
  Half* gradients = reinterpret_cast<Half*>(work.gradients);
  float* sums = work.kernel;
#pragma omp parallel
  {
    const MatrixRegisters registers;
    Half* pairs = reinterpret_cast<Half*>(work.threads + omp_get_thread_num() * thread_floats);
#pragma omp for schedule(static) collapse(2)
    for (long index = 0; index < strips.count; ++index)
      for (long o = 0; o < O; o += kLane)
        arrange_gradients<split>(Strip(strips, index), out_gradient + e.channel(o),
                                 gradients + (index * O + o) / kLane * gradients_step);
#pragma omp for schedule(dynamic) collapse(2)
    for (long line = 0; line < lines; ++line) {
      for (long part = 0; part < parts; ++part) {
        float* sum = sums + part * part_floats + line * kKernelTaps * kLine * O;
        const bool both = line * kLine + kLane < C;
        if (!both) std::memset(pairs + block_step, 0, block_step * sizeof(Half));
        for (long index = part * part_strips; index < least((part + 1) * part_strips, strips.count);
             ++index) {
          const Strip strip(strips, index);
          for (long b = 0; b < (both ? 2 : 1); ++b)
            arrange_pairs<split>(strip, in + e.channel(line * kLine + b * kLane),
                                 pairs + b * block_step);
          for (long o = 0; o < O; o += 2 * kLane) {
            const Half* own = gradients + (index * O + o) / kLane * gradients_step;
            for (int t = 0; t < kKernelTaps; ++t)
              (group_squares(O - o) == 2
                   ? multiply_pairs<split, 2>
                   : multiply_pairs<split, 1>)(own, gradients_step, pairs + tap[t], block_step, low,
                                               pixels,
                                               sum + (o * kKernelTaps +
                                                      t * group_squares(O - o) * kLane) *
                                                         kLine,
                                               index == part * part_strips);
          }
        }
      }
    }
#pragma omp for schedule(static)
    for (long o = 0; o < out_channels; ++o) {
      const long o0 = o / (2 * kLane) * 2 * kLane, group = group_squares(O - o0);
      for (long c = 0; c < in_channels; c += kLane) {
        const float* line = sums + c / kLine * kKernelTaps * kLine * O;
        for (int t = 0; t < kKernelTaps; ++t) {
          const float* from = line + (o0 * kKernelTaps + t * group * kLane) * kLine +
                              ((o - o0) / kLane * 2 + c % kLine / kLane) * kLane * kLane +
                              o % kLane * kLane;
          V sum = V::load(from);
          for (long part = 1; part < parts; ++part) sum = sum + V::load(from + part * part_floats);
          float lanes[V::width];
          sum.store(lanes);
          for (long lane = 0; lane < least(kLane, in_channels - c); ++lane)
            weight_gradient[(o * in_channels + c + lane) * kKernelTaps + t] = lanes[lane];
        }
      }
    }
  }
}

// --- What convolution.h promises ----------------------------------------------------------------

namespace matrix {

inline long kernel_room(long C, long O) {
  return kKernelTaps * (round_up(C, kLine) + 4 * kLine * omp_get_max_threads()) * O;
}

inline long thread_room(const Extent&, int most_dilation, long O) {
  long most = 0;
  for (int dilation = 1; dilation <= most_dilation; ++dilation) {
    const long lines = kFewLines * kLine * Strips::most_lines(dilation);
    const long forward = Strips::most_pixels(dilation) * round_up(O, 2 * kLane) + lines;
    const long backward = 2 * pairs_floats(Strips::most_lines(dilation));
    const long larger = forward > backward ? forward : backward;
    most = larger > most ? larger : most;
  }
  return round_up(most, kLane);
}

inline long gradients_room(const Extent& extent, int most_dilation, long O) {
  long most = 0;
  for (int dilation = 1; dilation <= most_dilation; ++dilation) {
    const Strips strips(extent, dilation);
    const long floats = strips.count * strips.pixels() * O;
    most = floats > most ? floats : most;
  }
  return most;
}

template <class V>
void convolve(const Extent& extent, const Strips& strips, const float* in, const Taps3x3& kernel,
              const Result& result, float* out, const ConvolutionWork& work) {
  const long O = kernel.padded_outputs(), floats = thread_room(extent, strips.dilation, O);
  (work.products == maskflownet::kRounded
       ? convolve_strips<V, false>
       : convolve_strips<V, true>)(strips, in, kernel, result, out, work, floats);
}

template <class V>
void convolution_weight_gradient(const Extent& extent, const Strips& strips, const float* in,
                                 long in_channels, const float* out_gradient, long out_channels,
                                 float* weight_gradient, const ConvolutionWork& work) {
  const long O = round_up(out_channels, kLane), floats = thread_room(extent, strips.dilation, O);
  (work.products == maskflownet::kRounded
       ? strips_weight_gradient<V, false>
       : strips_weight_gradient<V, true>)(strips, in, in_channels, out_gradient, out_channels,
                                          weight_gradient, work, floats);
}

}  // namespace matrix

}  // namespace

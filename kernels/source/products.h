// Products of matrices, for tiles that Winograd's algorithm has transformed and for gathered columns:
// of float32 or, where the processor has an instruction for it, of bf16 with sums in float32. A
// register block makes a group of outputs, for some rows.

#pragma once

#include <cstring>

#include "arrays.h"
#include "vector.h"

namespace {

constexpr long kRowStep = 12;       // rows of a product are padded to a multiple of this
constexpr long kChannelBlock = 64;  // input channels of a product of float32
// How far ahead of a product its kernel is fetched: it comes from far, and is used a few times.
constexpr long kAhead = 1024;
// The same of the output's gradients where the product is a kernel's gradient: so many tiles.
constexpr long kGradientsAhead = 24;

// As many of another type as take the same room.
template <class Number>
constexpr long channel_block() {
  return kChannelBlock * static_cast<long>(sizeof(float) / sizeof(Number));
}

template <class V>
inline long group_width(long outputs_left) {
  long width = V::widest_group;
  while (width > outputs_left) width /= 2;
  return width;
}

// What products multiply, `together` neighbouring numbers of a sum at a time: a vector of V::width
// such groups, to be added to as many sums.
template <class V, class Number>
struct Factors;

template <class V>
struct Factors<V, float> {
  static constexpr long together = 1;
  V v;

  static Factors load(const float* p) { return {V::load(p)}; }
  static Factors all(const float* p) { return {V::all(*p)}; }
};

template <class V>
inline V fma(Factors<V, float> a, Factors<V, float> b, V sum) {
  return fma(a.v, b.v, sum);
}

// Vectors as numbers to be multiplied: one, or two whose numbers alternate.
template <class V>
inline void store(V x, float* to) {
  x.store(to);
}

#ifdef __AVX512BF16__

template <>
struct Factors<Avx512, Bf16> {
  static constexpr long together = 2;
  __m512bh v;

  static Factors load(const Bf16* p) { return {(__m512bh)_mm512_loadu_si512(p)}; }
  static Factors all(const Bf16* p) {
    int both;
    std::memcpy(&both, p, sizeof both);
    return {(__m512bh)_mm512_set1_epi32(both)};
  }
};

inline Avx512 fma(Factors<Avx512, Bf16> a, Factors<Avx512, Bf16> b, Avx512 sum) {
  return {_mm512_dpbf16_ps(sum.v, a.v, b.v)};
}

inline void store(Avx512 x, Bf16* to) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), (__m256i)_mm512_cvtneps_pbh(x.v));
}

inline void store_alternating(Avx512 even, Avx512 odd, Bf16* to) {
  alignas(64) static constexpr short kOrder[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,
                                                   21, 6, 22, 7, 23, 8,  24, 9,  25, 10, 26,
                                                   11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(odd.v, even.v);
  _mm512_storeu_si512(to, _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), both));
}

#endif

// Has a cache line of a kernel's numbers read.
template <class Number>
inline void fetch_kernel(const Number* p) {
  prefetch_far(reinterpret_cast<const float*>(p) + kAhead);
}

// product[r, 0:NV] = sum over k of a[r, k] * b[k, 0:NV], for R rows and NV vectors; added to what
// is there unless `first`. Of b, `together` rows alternate.
template <class V, int R, int NV, class Number>
inline void multiply_block(const Number* a, long a_stride, const Number* b, float* product,
                           long product_stride, long K, bool first) {
  using Own = Factors<V, Number>;
  V sum[R][NV];
  UNROLL for (int r = 0; r < R; ++r)
    UNROLL for (int v = 0; v < NV; ++v) sum[r][v] = V::zero();
  for (long k = 0; k < K; k += Own::together) {
    Own row[NV];
    UNROLL for (int v = 0; v < NV; ++v) {
      const Number* own = b + (k * NV + v * Own::together) * V::width;
      row[v] = Own::load(own);
      if (v * V::width % kLane == 0) fetch_kernel(own);  // a line once
    }
    UNROLL for (int r = 0; r < R; ++r) {
      const Own one = Own::all(a + r * a_stride + k);
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
template <class V, class Number>
void multiply(const Number* tiles, const Number* kernel, float* product, long rows, long K, long O,
              bool first) {
  for (long o = 0; o < O; o += group_width<V>(O - o)) {
    const Number* b = kernel + o * K;
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

// Tiles or pixels times channels: channel c of row t at data[t * step + c / kLane * panel + c % kLane];
// where two numbers are multiplied together, those of two rows alternate.
template <class Number>
struct Rows {
  const Number* data;
  long step, panel;

  const Number* channel(long c, long together) const {
    return data + c / kLane * panel + c % kLane * together;
  }
};

// product[r, 0:NV] += sum over t of a[t, r] * b[t, 0:NV], for R channels of a, all in one panel.
template <class V, int R, int NV, class Number>
inline void add_outer_block(const Rows<Number>& inputs, long first, const Rows<Number>& gradients,
                            long o, float* product, long tiles) {
  using Own = Factors<V, Number>;
  const Number* a = inputs.channel(first, Own::together);
  const Number* b = gradients.channel(o, Own::together);
  V sum[R][NV];
  UNROLL for (int r = 0; r < R; ++r)
    UNROLL for (int v = 0; v < NV; ++v) sum[r][v] = V::load(product + (r * NV + v) * V::width);
  for (long t = 0; t < tiles; t += Own::together) {
    Own row[NV];
    UNROLL for (int v = 0; v < NV; ++v) {
      constexpr long width = V::width;
      const Number* own = b + v * width / kLane * gradients.panel + v * width % kLane * Own::together;
      row[v] = Own::load(own);
      if (v * width % kLane == 0)  // a line once
        prefetch(reinterpret_cast<const float*>(own + kGradientsAhead * gradients.step));
    }
    UNROLL for (int r = 0; r < R; ++r) {
      const Own one = Own::all(a + r * Own::together);
      UNROLL for (int v = 0; v < NV; ++v) sum[r][v] = fma(one, row[v], sum[r][v]);
    }
    a += inputs.step * Own::together;
    b += gradients.step * Own::together;
  }
  UNROLL for (int r = 0; r < R; ++r)
    UNROLL for (int v = 0; v < NV; ++v) sum[r][v].store(product + (r * NV + v) * V::width);
}

// One frequency of a block of the kernel gradient: (tiles, K)^T times (tiles, O), added to
// (groups, K, group); K is a multiple of 8.
template <class V, class Number>
void add_outer(const Rows<Number>& inputs, const Rows<Number>& gradients, float* product, long tiles,
               long K, long O) {
  for (long o = 0; o < O; o += group_width<V>(O - o)) {
    const long group = group_width<V>(O - o);
    float* to = product + o * K;
    for (long c = 0; c < K; c += kLane) {
      const bool is_half = K - c < kLane;
      // R channels from `first` on; R * NV sums, as many as there are registers for.
#define BLOCK(first, R, NV)                                                     \
  add_outer_block<V, R, NV>(inputs, c + first, gradients, o, to + (c + first) * group, tiles)
      switch (group / V::width) {
        case 4:
          BLOCK(0, 4, 4), BLOCK(4, 4, 4);
          if (!is_half) BLOCK(8, 4, 4), BLOCK(12, 4, 4);
          break;
        case 2:
          if (is_half) {
            BLOCK(0, 4, 2), BLOCK(4, 4, 2);
          } else if constexpr (V::width == 16) {
            BLOCK(0, 8, 2), BLOCK(8, 8, 2);
          } else {
            BLOCK(0, 5, 2), BLOCK(5, 6, 2), BLOCK(11, 5, 2);
          }
          break;
        default:
          BLOCK(0, 8, 1);
          if (!is_half) BLOCK(8, 8, 1);
      }
#undef BLOCK
    }
  }
}

}  // namespace

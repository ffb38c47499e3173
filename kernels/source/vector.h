// The vector unit: one struct per width, with the few operations that the kernels are written in.
//
// The kernels are templates over such a struct. avx2.cc and so on instantiate them, each
// compiled for its own unit. All code that they share stands in unnamed namespaces: were it
// visible to the linker, it could keep one copy only, and a processor without AVX-512 might get
// the copy that was compiled for it.

#pragma once

#include <immintrin.h>

// Before a loop over an array of vectors: so that the array lies in registers.
#define NOINLINE __attribute__((noinline))
#define UNROLL _Pragma("GCC unroll 16")

namespace {

// The upper half of a float32: 8 significant bits.
struct Bf16 {
  unsigned short bits;
};

// Rows and columns of 8x8 floats change places.
inline void transpose(__m256* r) {
  __m256 pairs[8], fours[8];
  UNROLL for (int i = 0; i < 8; i += 2) {
    pairs[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    pairs[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  UNROLL for (int i = 0; i < 8; i += 4)
    UNROLL for (int j = 0; j < 2; ++j) {
      fours[i + 2 * j] = _mm256_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0x44);
      fours[i + 2 * j + 1] = _mm256_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0xee);
    }
  UNROLL for (int i = 0; i < 4; ++i) {
    r[i] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x20);
    r[i + 4] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x31);
  }
}

#ifdef __AVX512F__

struct Avx512 {
  static constexpr int width = 16;       // floats
  static constexpr int widest_group = 64;  // channels of a Winograd product's register block
  __m512 v;

  static Avx512 zero() { return {_mm512_setzero_ps()}; }
  static Avx512 all(float x) { return {_mm512_set1_ps(x)}; }
  static Avx512 load(const float* p) { return {_mm512_loadu_ps(p)}; }
  void store(float* p) const { _mm512_storeu_ps(p, v); }

  // The first `count` floats alone; the others read as zero and are not touched.
  static Avx512 load_first(const float* p, int count) {
    return {_mm512_maskz_loadu_ps(first(count), p)};
  }
  void store_first(float* p, int count) const { _mm512_mask_storeu_ps(p, first(count), v); }

  // p[index[0]], p[index[1]], ...
  static Avx512 gather(const float* p, const int* index) {
    return {_mm512_i32gather_ps(_mm512_loadu_si512(index), p, 4)};
  }
  // x[k] = p[row[0] + k], p[row[1] + k], ..., for eight k; and the way back.
  static void load_columns(const float* p, const int* row, Avx512* x) {
    __m256 low[8], high[8];
    UNROLL for (int i = 0; i < 8; ++i) {
      low[i] = _mm256_loadu_ps(p + row[i]);
      high[i] = _mm256_loadu_ps(p + row[i + 8]);
    }
    transpose(low);
    transpose(high);
    UNROLL for (int k = 0; k < 8; ++k)
      x[k].v = _mm512_insertf32x8(_mm512_castps256_ps512(low[k]), high[k], 1);
  }
  static void store_columns(const Avx512* x, float* p, const int* row) {
    __m256 low[8], high[8];
    UNROLL for (int k = 0; k < 8; ++k) {
      low[k] = _mm512_castps512_ps256(x[k].v);
      high[k] = _mm512_extractf32x8_ps(x[k].v, 1);
    }
    transpose(low);
    transpose(high);
    UNROLL for (int i = 0; i < 8; ++i) {
      _mm256_storeu_ps(p + row[i], low[i]);
      _mm256_storeu_ps(p + row[i + 8], high[i]);
    }
  }

  float sum() const { return _mm512_reduce_add_ps(v); }

 private:
  static __mmask16 first(int count) {
    return count >= width ? 0xffff : static_cast<__mmask16>((1u << count) - 1);
  }
};

inline Avx512 operator+(Avx512 a, Avx512 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Avx512 operator-(Avx512 a, Avx512 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Avx512 operator*(Avx512 a, Avx512 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Avx512 operator/(Avx512 a, Avx512 b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Avx512 sqrt(Avx512 a) { return {_mm512_sqrt_ps(a.v)}; }
inline Avx512 max(Avx512 a, Avx512 b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Avx512 fma(Avx512 a, Avx512 b, Avx512 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// x > 0 ? a : b
inline Avx512 where_positive(Avx512 x, Avx512 a, Avx512 b) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, _mm512_setzero_ps(), _CMP_GT_OQ), b.v, a.v)};
}

#endif

struct Avx2 {
  static constexpr int width = 8;
  static constexpr int widest_group = 16;
  __m256 v;

  static Avx2 zero() { return {_mm256_setzero_ps()}; }
  static Avx2 all(float x) { return {_mm256_set1_ps(x)}; }
  static Avx2 load(const float* p) { return {_mm256_loadu_ps(p)}; }
  void store(float* p) const { _mm256_storeu_ps(p, v); }

  static Avx2 load_first(const float* p, int count) {
    return {_mm256_maskload_ps(p, first(count))};
  }
  void store_first(float* p, int count) const { _mm256_maskstore_ps(p, first(count), v); }

  static Avx2 gather(const float* p, const int* index) {
    return {_mm256_i32gather_ps(p, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(index)), 4)};
  }
  static void load_columns(const float* p, const int* row, Avx2* x) {
    __m256 r[8];
    UNROLL for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(p + row[i]);
    transpose(r);
    UNROLL for (int k = 0; k < 8; ++k) x[k].v = r[k];
  }
  static void store_columns(const Avx2* x, float* p, const int* row) {
    __m256 r[8];
    UNROLL for (int k = 0; k < 8; ++k) r[k] = x[k].v;
    transpose(r);
    UNROLL for (int i = 0; i < 8; ++i) _mm256_storeu_ps(p + row[i], r[i]);
  }

  float sum() const {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
  }

 private:
  static __m256i first(int count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane);
  }
};

inline Avx2 operator+(Avx2 a, Avx2 b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Avx2 operator-(Avx2 a, Avx2 b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Avx2 operator*(Avx2 a, Avx2 b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Avx2 operator/(Avx2 a, Avx2 b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Avx2 sqrt(Avx2 a) { return {_mm256_sqrt_ps(a.v)}; }
inline Avx2 max(Avx2 a, Avx2 b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Avx2 fma(Avx2 a, Avx2 b, Avx2 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Avx2 where_positive(Avx2 x, Avx2 a, Avx2 b) {
  return {_mm256_blendv_ps(b.v, a.v, _mm256_cmp_ps(x.v, _mm256_setzero_ps(), _CMP_GT_OQ))};
}

// Keeps a product from being rounded together with the sum that follows, as a compiler may choose to.
template <class V>
inline V rounded_alone(V product) {
  asm("" : "+v"(product.v));
  return product;
}

// Has a cache line read before it is used; `far`: into the second cache alone, where the first one is
// too small for what is at work and for what will be. As assembler, for GCC takes a function that
// does nothing but prefetch for one without effect, and drops calls of it.
inline void prefetch(const float* p) { asm volatile("prefetcht0 %0" : : "m"(*p)); }
inline void prefetch_far(const float* p) { asm volatile("prefetcht1 %0" : : "m"(*p)); }

template <class V>
inline V leaky(V x, float slope) {
  return max(x, x * V::all(slope));  // for 0 <= slope <= 1
}

inline long least(long a, long b) { return a < b ? a : b; }
inline long most(long a, long b) { return a > b ? a : b; }
inline long round_up(long n, long step) { return (n + step - 1) / step * step; }

}  // namespace

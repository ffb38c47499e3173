// Compiles where the compiler and its assembler know AVX-512's instructions for bf16.

#include <immintrin.h>

int main() {
  const auto halves = _mm512_cvtne2ps_pbh(_mm512_setzero_ps(), _mm512_setzero_ps());
  return static_cast<int>(_mm512_reduce_add_ps(_mm512_dpbf16_ps(_mm512_setzero_ps(), halves, halves)));
}

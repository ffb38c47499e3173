// Compiles where the compiler and its assembler know AMX.

#include <immintrin.h>

int main() {
  alignas(64) char memory[2048] = {};
  _tile_loadconfig(memory);
  _tile_loadd(0, memory, 64);
  _tile_dpbf16ps(0, 1, 2);
  const auto halves = _mm512_cvtne2ps_pbh(_mm512_setzero_ps(), _mm512_setzero_ps());
  _mm512_storeu_si512(memory, reinterpret_cast<__m512i>(halves));
  _tile_release();
}

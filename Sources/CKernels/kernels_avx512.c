#if defined(__x86_64__)
#include "table.h"

#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx2,fma,f16c"))), apply_to = function)
#include "vector.h"

#define CK_TABLE ck_avx512_table
// Vectors per attention tile: eight cover four cycles of latency at two multiply-adds per cycle.
#define CK_TILE_VECTORS 8
// A tile of a product: 28 of the 32 registers hold sums.
#define CK_GEMM_ROWS 14
#define CK_GEMM_VECTORS 2

INLINE __mmask16 first_lanes(size_t count) { return (__mmask16)((1u << count) - 1); }

INLINE vf load_first(const float *p, size_t count) { return (vf)_mm512_maskz_loadu_ps(first_lanes(count), p); }

INLINE void store_first(float *p, vf v, size_t count) { _mm512_mask_storeu_ps(p, first_lanes(count), (__m512)v); }

INLINE vf widen_f16(vh bits) {
    __m256i words;
    memcpy(&words, &bits, sizeof words);
    return (vf)_mm512_cvtph_ps(words);
}

#include "vector_math.h"

#include "kernels.h"
#pragma clang attribute pop
#endif

#if defined(__x86_64__)
#include "table.h"

#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#include "vector.h"

#define CK_TABLE ck_avx2_table
// Tiles of attention: one vector of six rows, twelve of the sixteen registers.
#define CK_ATTENTION_VECTORS 1
#define CK_ATTENTION_ROWS 6
// A tile of a product: twelve of the sixteen registers hold sums.
#define CK_GEMM_ROWS 6
#define CK_GEMM_VECTORS 1

typedef union halves {
    vf whole;
    __m256 part[2];
} halves;

typedef union mask_halves {
    vi whole;
    __m256i part[2];
} mask_halves;

INLINE vf load_first(const float *p, size_t count) {
    const mask_halves mask = {.whole = lane_is_below(count)};
    const halves v = {.part = {_mm256_maskload_ps(p, mask.part[0]), _mm256_maskload_ps(p + 8, mask.part[1])}};
    return v.whole;
}

INLINE void store_first(float *p, vf v, size_t count) {
    const mask_halves mask = {.whole = lane_is_below(count)};
    const halves parts = {.whole = v};
    _mm256_maskstore_ps(p, mask.part[0], parts.part[0]);
    _mm256_maskstore_ps(p + 8, mask.part[1], parts.part[1]);
}

INLINE vf widen_f16(vh bits) {
    __m128i words[2];
    memcpy(words, &bits, sizeof words);
    const halves v = {.part = {_mm256_cvtph_ps(words[0]), _mm256_cvtph_ps(words[1])}};
    return v.whole;
}

#include "vector_math.h"

#include "kernels.h"
#pragma clang attribute pop
#endif

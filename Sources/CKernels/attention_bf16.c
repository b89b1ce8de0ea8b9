// Attention in bfloat16 with float32 sums, for processors with AVX512_BF16.
#include "table.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16,avx2,fma,f16c"))), apply_to = function)
#include "vector_avx512.h"

#define operand uint16_t
#define PAIR 2
#define CK_ATTENTION_KEYS 256
#define CK_ATTENTION_VECTORS 5
#define CK_ATTENTION_ROWS 10

// `rows` and `vectors` are constants.
INLINE void product_tile(size_t rows, size_t vectors, const uint16_t *x, size_t x_stride, const uint16_t *panel,
                         size_t depth, float *y, size_t y_stride, bool adds) {
    __m512 s[10][CK_ATTENTION_VECTORS];
    UNROLL for (size_t r = 0; r < rows; r++)
        UNROLL for (size_t u = 0; u < vectors; u++)
            s[r][u] = adds ? _mm512_loadu_ps(y + r * y_stride + u * LANES) : _mm512_setzero_ps();
    for (size_t k = 0; k < depth; k += 2, panel += vectors * 2 * LANES) {
        __m512bh w[CK_ATTENTION_VECTORS];
        UNROLL for (size_t u = 0; u < vectors; u++) w[u] = (__m512bh)_mm512_loadu_si512(panel + u * 2 * LANES);
        UNROLL for (size_t r = 0; r < rows; r++) {
            int pair;
            memcpy(&pair, x + r * x_stride + k, sizeof pair);
            const __m512bh factor = (__m512bh)_mm512_set1_epi32(pair);
            UNROLL for (size_t u = 0; u < vectors; u++) s[r][u] = _mm512_dpbf16_ps(s[r][u], factor, w[u]);
        }
    }
    UNROLL for (size_t r = 0; r < rows; r++)
        UNROLL for (size_t u = 0; u < vectors; u++) _mm512_storeu_ps(y + r * y_stride + u * LANES, s[r][u]);
}

INLINE size_t group_vectors(size_t rest);
INLINE size_t token_row(ck_token_rows rows, size_t token);

INLINE __mmask32 first_elements(size_t count) { return count >= 32 ? ~0u : (1u << count) - 1; }

// Groups of vectors of keys, [group][pair of the dimension][vectors * LANES][2]; zeros beyond `keys` and `dimension`.
static void pack_keys(const ck_attention_head *a, size_t first_key, size_t keys, uint16_t *panel) {
    const size_t dimension = a->dimension, depth = (dimension + 1) / 2 * 2;
    for (size_t first = 0; first < keys;) {
        const size_t vectors = group_vectors((keys - first + LANES - 1) / LANES);
        for (size_t u = 0; u < vectors; u++) {
            const uint16_t *rows[LANES];
            const size_t key = first + u * LANES, count = smaller(LANES, keys - key);
            for (size_t i = 0; i < count; i++)
                rows[i] = (const uint16_t *)a->k + token_row(a->key_rows, first_key + key + i) * a->k_stride;
            for (size_t d = 0; d < dimension; d += 2 * LANES) {
                const __mmask32 mask = first_elements(dimension - d);
                vf square[LANES];
                for (size_t i = 0; i < LANES; i++)
                    square[i] = i < count ? (vf)_mm512_maskz_loadu_epi16(mask, rows[i] + d) : splat(0.0f);
                transpose_16x16(square);
                for (size_t i = 0; i < smaller(LANES, (depth - d) / 2); i++)
                    memcpy(panel + ((d / 2 + i) * vectors + u) * 2 * LANES, &square[i], sizeof square[i]);
            }
        }
        first += vectors * LANES;
        panel += vectors * LANES * depth;
    }
}

// Groups of vectors of columns, [group][pair of keys][vectors * LANES][2]; zeros beyond them.
static void pack_values(const ck_attention_head *a, size_t first_key, size_t keys, uint16_t *panel) {
    const size_t dimension = a->dimension;
    const size_t padded = (keys + LANES - 1) / LANES * LANES;
    for (size_t j = 0; j < dimension;) {
        const size_t vectors = group_vectors((dimension - j + LANES - 1) / LANES);
        for (size_t key = 0; key < padded; key += 2) {
            const uint16_t *const first =
                (const uint16_t *)a->v + token_row(a->key_rows, first_key + key) * a->v_stride;
            const uint16_t *const second =
                (const uint16_t *)a->v + token_row(a->key_rows, first_key + key + 1) * a->v_stride;
            for (size_t u = 0; u < vectors; u++, panel += 2 * LANES) {
                const size_t column = j + u * LANES;
                const __mmask16 mask = (__mmask16)first_elements(smaller(LANES, dimension - column));
                __m512i lower = _mm512_setzero_si512(), upper = lower;
                if (key < keys)
                    lower = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, first + column));
                if (key + 1 < keys)
                    upper = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, second + column));
                _mm512_storeu_si512(panel, _mm512_or_si512(lower, _mm512_slli_epi32(upper, 16)));
            }
        }
        j += vectors * LANES;
    }
}

// Scores are compared before scaling: the scale is positive.
INLINE float largest_score(const ck_attention_head *a, const float *scores, const float *bias, size_t keys) {
    (void)bias;
    const __m512 none = _mm512_set1_ps(-INFINITY);
    __m512 top[2] = {none, none};
    size_t j = 0;
    for (; j + 2 * LANES <= keys; j += 2 * LANES) {
        top[0] = _mm512_max_ps(top[0], _mm512_loadu_ps(scores + j));
        top[1] = _mm512_max_ps(top[1], _mm512_loadu_ps(scores + j + LANES));
    }
    for (; j < keys; j += LANES)
        top[0] = _mm512_max_ps(
            top[0], _mm512_mask_loadu_ps(none, (__mmask16)first_elements(smaller(LANES, keys - j)), scores + j));
    return _mm512_reduce_max_ps(_mm512_max_ps(top[0], top[1])) * a->scale;
}

// 2^t, t <= 0. The polynomial is within 7.5e-5 on [-1/2, 1/2], a twenty-fifth of what rounding to bfloat16 loses.
INLINE __m512 power_of_two(__m512 t) {
    const __m512 whole = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 f = _mm512_sub_ps(t, whole);
    __m512 p = _mm512_set1_ps(0x1.c3f760p-5f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0x1.f0de1ap-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0x1.62f31ap-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0x1.fff692p-1f));
    return _mm512_scalef_ps(p, whole);
}

// The sum is that of the rounded weights, so that the weights of a row add up to one.
INLINE float exponentials(const ck_attention_head *a, const float *scores, const float *bias, float top, size_t keys,
                          size_t padded, uint16_t *weights) {
    (void)bias;
    const float log2e = 0x1.715476p+0f;
    const __m512 factor = _mm512_set1_ps(a->scale * log2e), shift = _mm512_set1_ps(-top * log2e);
    const __m512bh one = (__m512bh)_mm512_set1_epi16(0x3f80);
    __m512 sum = _mm512_setzero_ps();
    for (size_t j = 0; j < padded; j += 2 * LANES) {
        __m512 e[2];
        UNROLL for (size_t u = 0; u < 2; u++) {
            const size_t first = j + u * LANES;
            e[u] = _mm512_setzero_ps();
            if (first < keys)
                e[u] = _mm512_maskz_mov_ps(
                    (__mmask16)first_elements(smaller(LANES, keys - first)),
                    power_of_two(_mm512_fmadd_ps(_mm512_loadu_ps(scores + first), factor, shift)));
        }
        const __m512bh pair = _mm512_cvtne2ps_pbh(e[1], e[0]);
        sum = _mm512_dpbf16_ps(sum, pair, one);
        _mm512_storeu_si512(weights + j, (__m512i)pair);
    }
    return _mm512_reduce_add_ps(sum);
}

#include "attention.h"

void ck_bf16_attention(const ck_attention_head *a, void *scratch) { attend(a, scratch); }
#pragma clang attribute pop
#else
void ck_bf16_attention(const ck_attention_head *a, void *scratch) { (void)a, (void)scratch; }
#endif

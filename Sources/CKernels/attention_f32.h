// Attention in float32.
#define operand float
#define PAIR 1
#define CK_ATTENTION_KEYS 256

// `rows` and `vectors` are constants.
INLINE void product_tile(size_t rows, size_t vectors, const float *x, size_t x_stride, const float *panel, size_t depth,
                         float *y, size_t y_stride, bool adds) {
    vf s[10][CK_ATTENTION_VECTORS];
    UNROLL for (size_t r = 0; r < rows; r++)
        UNROLL for (size_t u = 0; u < vectors; u++) s[r][u] = adds ? load(y + r * y_stride + u * LANES) : splat(0.0f);
    for (size_t k = 0; k < depth; k++, panel += vectors * LANES) {
        vf w[CK_ATTENTION_VECTORS];
        UNROLL for (size_t u = 0; u < vectors; u++) w[u] = load(panel + u * LANES);
        UNROLL for (size_t r = 0; r < rows; r++) {
            const vf factor = splat(x[r * x_stride + k]);
            UNROLL for (size_t u = 0; u < vectors; u++) s[r][u] = fma16(factor, w[u], s[r][u]);
        }
    }
    UNROLL for (size_t r = 0; r < rows; r++)
        UNROLL for (size_t u = 0; u < vectors; u++) store(y + r * y_stride + u * LANES, s[r][u]);
}

INLINE size_t group_vectors(size_t rest);
INLINE size_t token_row(ck_token_rows rows, size_t token);

// Groups of vectors of keys, [group][dimension][vectors * LANES]; zeros beyond `keys`.
static void pack_keys(const ck_attention_head *a, size_t first_key, size_t keys, float *panel) {
    const size_t dimension = a->dimension;
    for (size_t first = 0; first < keys;) {
        const size_t vectors = group_vectors((keys - first + LANES - 1) / LANES);
        for (size_t u = 0; u < vectors; u++) {
            const float *rows[LANES];
            const size_t key = first + u * LANES, count = smaller(LANES, keys - key);
            for (size_t i = 0; i < count; i++)
                rows[i] = (const float *)a->k + token_row(a->key_rows, first_key + key + i) * a->k_stride;
            for (size_t d = 0; d < dimension; d += LANES) {
                vf square[LANES];
                for (size_t i = 0; i < LANES; i++)
                    square[i] = i < count ? load_some(rows[i] + d, dimension - d) : splat(0.0f);
                transpose_16x16(square);
                for (size_t i = 0; i < smaller(LANES, dimension - d); i++)
                    store(panel + ((d + i) * vectors + u) * LANES, square[i]);
            }
        }
        first += vectors * LANES;
        panel += vectors * LANES * dimension;
    }
}

// Groups of vectors of columns, [group][keys, rounded up to LANES][vectors * LANES]; zeros beyond them.
static void pack_values(const ck_attention_head *a, size_t first_key, size_t keys, float *panel) {
    const size_t dimension = a->dimension;
    const size_t padded = (keys + LANES - 1) / LANES * LANES;
    for (size_t j = 0; j < dimension;) {
        const size_t vectors = group_vectors((dimension - j + LANES - 1) / LANES);
        for (size_t key = 0; key < padded; key++) {
            const float *const row = (const float *)a->v + token_row(a->key_rows, first_key + key) * a->v_stride;
            for (size_t u = 0; u < vectors; u++, panel += LANES) {
                const size_t column = j + u * LANES;
                store(panel, key < keys ? load_some(row + column, dimension - column) : splat(0.0f));
            }
        }
        j += vectors * LANES;
    }
}

INLINE vf score(const ck_attention_head *a, const float *scores, const float *bias, size_t j, size_t keys) {
    const vf v = load(scores + j);
    return bias ? fma16(v, splat(a->scale), load_some(bias + j, keys - j)) : v * splat(a->scale);
}

INLINE float largest_score(const ck_attention_head *a, const float *scores, const float *bias, size_t keys) {
    vf top = splat(-INFINITY);
    for (size_t j = 0; j < keys; j += LANES) {
        const vf v = keep(score(a, scores, bias, j, keys), keys - j, splat(-INFINITY));
        top = v > top ? v : top;
    }
    return horizontal_max(top);
}

INLINE float exponentials(const ck_attention_head *a, const float *scores, const float *bias, float top, size_t keys,
                          size_t padded, float *weights) {
    vf sum = 0;
    for (size_t j = 0; j < padded; j += LANES) {
        const vf e = keep(exp16(score(a, scores, bias, j, keys) - splat(top)), keys - j, splat(0.0f));
        sum += e;
        store(weights + j, e);
    }
    return horizontal_sum(sum);
}

#include "attention.h"

static void k_attention(const ck_attention_head *a, void *scratch) { attend(a, scratch); }

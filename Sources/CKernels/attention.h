// Attention of one head without a score matrix (FlashAttention-2, arXiv 2307.08691): keys in blocks, and per query a
// running maximum and sum of the exponentials, by which earlier results are rescaled.
//
// The including file defines, for its precision, `operand` (an element of the products' inputs), PAIR (adjacent elements
// of the depth that are multiplied together), `product_tile`, `pack_keys`, `pack_values` and `exponentials`. Blocks of
// keys start at fixed positions, so the bits of a query's result do not depend on the queries beside it.

enum {
    KEY_BLOCK = CK_ATTENTION_KEYS,
    // Queries whose scores are in memory at a time: a multiple of every tile's rows.
    QUERY_BLOCK = 30,
};

INLINE size_t round_up(size_t count, size_t multiple) { return (count + multiple - 1) / multiple * multiple; }

// The row of a token in the matrices of its image.
INLINE size_t token_row(ck_token_rows rows, size_t token) { return token < rows.split ? token : token + rows.gap; }

// Vectors of the next group of a panel, of which `rest` remain: tiles of one group keep their sums in registers.
INLINE size_t group_vectors(size_t rest) {
    if (rest <= CK_ATTENTION_VECTORS) return rest;
    return rest == CK_ATTENTION_VECTORS + 1 ? (rest + 1) / 2 : CK_ATTENTION_VECTORS == 5 ? 4 : CK_ATTENTION_VECTORS;
}

// y[rows, vectors * LANES] = x[rows, depth] panel, or += it: `vectors` and `tile_rows` are constants. Rows are rounded up
// to whole tiles, for which x and y have room.
INLINE void product_rows(size_t tile_rows, size_t vectors, const operand *x, size_t x_stride, size_t rows,
                         const operand *panel, size_t depth, float *y, size_t y_stride, bool adds) {
    for (size_t r = 0; r < rows; r += tile_rows)
        product_tile(tile_rows, vectors, x + r * x_stride, x_stride, panel, depth, y + r * y_stride, y_stride, adds);
}

static __attribute__((noinline)) void group_product(size_t vectors, const operand *x, size_t x_stride, size_t rows,
                                                    const operand *panel, size_t depth, float *y, size_t y_stride,
                                                    bool adds) {
    switch (vectors) {
#if CK_ATTENTION_VECTORS >= 5
    case 5: return product_rows(5, 5, x, x_stride, rows, panel, depth, y, y_stride, adds);
    case 4: return product_rows(6, 4, x, x_stride, rows, panel, depth, y, y_stride, adds);
    case 3: return product_rows(6, 3, x, x_stride, rows, panel, depth, y, y_stride, adds);
    case 2: return product_rows(10, 2, x, x_stride, rows, panel, depth, y, y_stride, adds);
#endif
    default: return product_rows(CK_ATTENTION_ROWS, 1, x, x_stride, rows, panel, depth, y, y_stride, adds);
    }
}

// y = x panel, or += it, for a panel of `columns`, a multiple of LANES, in groups of vectors.
static void panel_groups_product(const operand *x, size_t x_stride, size_t rows, const operand *panel, size_t columns,
                                 size_t depth, float *y, size_t y_stride, bool adds) {
    for (size_t j = 0; j < columns;) {
        const size_t vectors = group_vectors((columns - j) / LANES);
        group_product(vectors, x, x_stride, rows, panel + j * depth, depth, y + j, y_stride, adds);
        j += vectors * LANES;
    }
}

// The pieces of the scratch memory.
typedef struct attention_scratch {
    operand *queries, *keys, *values, *weights;
    float *scores, *sums, *top, *total;
} attention_scratch;

// Divides scratch memory; with `base` NULL, returns the number of bytes.
static size_t divide_scratch(char *base, size_t dimension, size_t queries, attention_scratch *s) {
    const size_t depth = round_up(dimension, PAIR), columns = round_up(dimension, LANES);
    const size_t rows = round_up(queries, QUERY_BLOCK);
    size_t offset = 0;
#define CK_PIECE(name, count)                                       \
    if (base) s->name = (__typeof__(s->name))(void *)(base + offset); \
    offset += round_up((count) * sizeof *s->name, 64);
    CK_PIECE(queries, QUERY_BLOCK * depth)
    CK_PIECE(keys, KEY_BLOCK * depth)
    CK_PIECE(values, KEY_BLOCK * columns)
    CK_PIECE(weights, QUERY_BLOCK * KEY_BLOCK)
    CK_PIECE(scores, QUERY_BLOCK * KEY_BLOCK)
    CK_PIECE(sums, rows * columns)
    CK_PIECE(top, rows)
    CK_PIECE(total, rows)
#undef CK_PIECE
    return offset;
}

// Copies queries to scratch rows of an even length; rows beyond them are zero.
INLINE void copy_queries(const ck_attention_head *a, size_t first, size_t count, operand *to) {
    const size_t depth = round_up(a->dimension, PAIR);
    memset(to, 0, QUERY_BLOCK * depth * sizeof *to);
    for (size_t r = 0; r < count; r++)
        memcpy(to + r * depth, (const operand *)a->q + token_row(a->query_rows, first + r) * a->q_stride,
               a->dimension * sizeof *to);
}

// Scores of one row to weights exp(score - maximum), zero from `keys` to `padded`; rescales the row's earlier sums.
INLINE void update_row(const ck_attention_head *a, const float *scores, const float *bias, size_t keys, size_t padded,
                       operand *weights, float *sums, size_t columns, float *top, float *total, bool is_first) {
    const float before = is_first ? -INFINITY : *top;
    float after = largest_score(a, scores, bias, keys);
    after = after > before ? after : before;
    // Without a finite score all weights are zero; subtracting an infinity would make them NaN.
    const float shift = after == -INFINITY ? 0.0f : after;
    const float sum = exponentials(a, scores, bias, shift, keys, padded, weights);
    *top = after;
    if (is_first) {
        *total = sum;
        return;
    }
    if (before == after) {
        *total += sum;
        return;
    }
    const vf factor = exp16(splat(before - shift));
    *total = *total * factor[0] + sum;
    for (size_t j = 0; j < columns; j += LANES) store(sums + j, load(sums + j) * factor);
}

static void attend(const ck_attention_head *a, void *scratch) {
    const size_t dimension = a->dimension, depth = round_up(dimension, PAIR), columns = round_up(dimension, LANES);
    attention_scratch s;
    divide_scratch(scratch, dimension, a->queries, &s);
    for (size_t key = 0; key < a->keys; key += KEY_BLOCK) {
        const size_t keys = smaller(KEY_BLOCK, a->keys - key), padded = round_up(keys, LANES);
        pack_keys(a, key, keys, s.keys);
        pack_values(a, key, keys, s.values);
        for (size_t first = 0; first < a->queries; first += QUERY_BLOCK) {
            const size_t rows = smaller(QUERY_BLOCK, a->queries - first);
            float *const sums = s.sums + first * columns;
            copy_queries(a, a->first_query + first, rows, s.queries);
            panel_groups_product(s.queries, depth, rows, s.keys, padded, depth, s.scores, KEY_BLOCK, false);
            for (size_t r = 0; r < rows; r++) {
                const float *const bias = a->bias ? a->bias + (first + r) * a->bias_stride + key : NULL;
                update_row(a, s.scores + r * KEY_BLOCK, bias, keys, padded, s.weights + r * KEY_BLOCK,
                           sums + r * columns, columns, s.top + first + r, s.total + first + r, key == 0);
            }
            panel_groups_product(s.weights, KEY_BLOCK, rows, s.values, columns, padded, sums, columns, key > 0);
        }
    }
    for (size_t row = 0; row < a->queries; row++) {
        const vf factor = splat(1.0f / s.total[row]);
        const size_t to = token_row(a->query_rows, a->first_query + row) * a->output_stride;
        for (size_t j = 0; j < dimension; j += LANES) {
            const vf result = load(s.sums + row * columns + j) * factor;
            const size_t count = dimension - j;
            if (a->narrow) store_narrow(a->narrow + to + j, result, count);
            else store_some(a->output + to + j, result, count);
        }
    }
}

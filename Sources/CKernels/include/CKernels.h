// Fused kernels with run-time dispatch on the instruction set.
//
// Every float32 kernel exists for AVX-512, AVX2 and portable C. All variants use sixteen lanes, explicit fused
// multiply-adds and the same order of summation, so results are bit-identical on every machine; the ck_bf16 kernels need
// AVX512_BF16, and AMX sums their products in another order. Pointers need not be aligned. Matrices are row-major; a `stride` is the distance between two rows in
// elements. A kernel may work in place (x == y) unless its comment says otherwise.
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum ck_level { CK_PORTABLE = 0, CK_AVX2 = 1, CK_AVX512 = 2, CK_AMX = 3 } ck_level;

typedef enum ck_activation {
    CK_NONE = 0,
    CK_GELU_TANH = 1,   // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
    CK_GELU = 2,        // 0.5 x (1 + erf(x / sqrt(2)))
    CK_QUICK_GELU = 3,  // x sigmoid(1.702 x)
    CK_SILU = 4,        // x sigmoid(x)
    CK_RELU = 5
} ck_activation;

typedef enum ck_type { CK_F32 = 0, CK_F16 = 1, CK_BF16 = 2 } ck_type;

// The environment variable that sets the level, and with it bfloat16: portable, avx2, avx512 or amx, which is not used
// otherwise.
#define CK_KERNELS_VARIABLE "ECAD_KERNELS"

// The best level of this processor within the limit, and the one in use. ck_set_level returns the level then in use: the
// requested one, or the best one if that is lower.
ck_level ck_best_level(void);
ck_level ck_current_level(void);
ck_level ck_set_level(ck_level level);

// False if the environment variable names no level of this processor; it is ignored then.
bool ck_requested_level_is_valid(void);

// y[i] = exp(x[i]), tanh(x[i]); relative error below 3e-7.
void ck_exp(const float *x, float *y, size_t count);
void ck_tanh(const float *x, float *y, size_t count);

// y = activation(x); with `narrow` not NULL, the result is rounded to bfloat16 to it instead, with y's stride.
void ck_activate(const float *x, size_t x_stride, float *y, uint16_t *narrow, size_t y_stride, size_t rows,
                   size_t columns, ck_activation activation);

// x += gate * y; gate [columns] or NULL for x += y.
void ck_gated_add(float *x, size_t x_stride, const float *y, size_t y_stride, const float *gate, size_t rows,
                  size_t columns);

// x *= y.
void ck_multiply(float *x, size_t x_stride, const float *y, size_t y_stride, size_t rows, size_t columns);

// y = a x + b y.
void ck_axpby(float a, const float *x, size_t x_stride, float b, float *y, size_t y_stride, size_t rows,
              size_t columns);

// y = (x - mean) / sqrt(variance + epsilon) * (base + scale) + shift of each row; scale and shift [columns] or NULL
// (a NULL scale multiplies by 1). base is 0 for a plain weight and 1 for adaptive modulation. With y NULL, the result is
// rounded to bfloat16 to `narrow`, which has y's stride.
void ck_layer_norm(const float *x, size_t x_stride, const float *scale, float base, const float *shift, float epsilon,
                   float *y, uint16_t *narrow, size_t y_stride, size_t rows, size_t columns);

// y = x / sqrt(mean(x^2) + epsilon) * weight of each row; weight [columns].
void ck_rms_norm(const float *x, size_t x_stride, const float *weight, float epsilon, float *y, size_t y_stride,
                 size_t rows, size_t columns);

// Root-mean-square norm of each row and head unless weight [dimension] is NULL, then rotary position embedding,
// y[j] = x[j] * cosine[j] + x[j ^ 1] * sine[j]. x is [rows, heads * dimension] with an even dimension; cosine and sine are
// [rows, dimension], contiguous. With `narrow` not NULL, the result is rounded to bfloat16 to it instead.
void ck_rotary(const float *x, size_t x_stride, const float *weight, float epsilon, const float *cosine,
               const float *sine, float *y, uint16_t *narrow, size_t y_stride, size_t rows, size_t heads,
               size_t dimension);

// destination[i] = source[i] as float32; source may be unaligned.
void ck_widen(ck_type type, const void *source, float *destination, size_t count);

// y[r, o] = dot(x[r], weight[o]) + bias[o] for a few rows, reading the weight as stored. weight is
// [outputs, inputs] with weight_stride in elements, possibly unaligned; bias may be NULL. x and y must not overlap.
void ck_linear_rows(const float *x, size_t x_stride, size_t rows, ck_type type, const void *weight,
                    size_t weight_stride, const float *bias, float *y, size_t y_stride, size_t outputs,
                    size_t inputs);

// What becomes of the sums of a product: result = activation(sums + bias), bias [columns] or NULL, is written to y unless
// NULL, rounded to bfloat16 to `narrow` unless NULL, and residual += gate * result unless NULL; gate [columns] or NULL
// for 1. With gate_rows not zero, gate has one row for each gate_rows rows of the output, the first of which is row
// first_row of all. y is required where the depth exceeds CK_DEPTH_BLOCK.
typedef struct ck_output {
    float *y;
    size_t y_stride;
    uint16_t *narrow;
    size_t narrow_stride;
    const float *bias;
    ck_activation activation;
    float *residual;
    size_t residual_stride;
    const float *gate;
    size_t gate_stride, gate_rows, first_row;
} ck_output;

// Columns of a panel, and the depth up to which the sums of a product stay in registers.
enum { CK_PANEL = 32, CK_DEPTH_BLOCK = 3072 };

// Columns first to last of x w^T: x [rows, depth], weight [outputs, depth] as stored with weight_stride in elements. The
// output's pointers are those of column 0. first is a multiple of CK_PANEL; scratch holds CK_PANEL * CK_DEPTH_BLOCK floats.
void ck_product(const float *x, size_t x_stride, size_t rows, ck_type type, const void *weight, size_t weight_stride,
                size_t first, size_t last, size_t depth, const ck_output *out, float *scratch);

// Whether the processor multiplies bfloat16 (AVX512_BF16) and the best level is AVX-512, whatever the level in use; the
// ck_bf16 functions need it.
bool ck_has_bf16(void);

// The size of a packed weight in elements, and packing of `outputs` rows. Panels are independent: rows that start at a
// multiple of CK_PANEL are packed at ck_bf16_packed_count(first, inputs).
size_t ck_bf16_packed_count(size_t outputs, size_t inputs);
void ck_bf16_pack(ck_type type, const void *weight, size_t weight_stride, size_t outputs, size_t inputs,
                  uint16_t *packed);

// As ck_product, with x in bfloat16 and a packed weight. Rows of x with an odd depth are followed by a zero.
void ck_bf16_product(const uint16_t *x, size_t x_stride, size_t rows, const uint16_t *packed, size_t first, size_t last,
                     size_t depth, const ck_output *out);

// A convolution's geometry in pixels; the stride is that between outputs.
typedef struct ck_convolution {
    size_t channels, height, width, kernel_height, kernel_width, vertical_padding, horizontal_padding, stride;
    size_t output_width;
} ck_convolution;

// The receptive fields of output pixels first to first + count (at most CK_PANEL) as a panel,
// [channels * kernel_height * kernel_width, CK_PANEL]; zeros beyond the image and beyond count. x is [channels, pixels].
void ck_gather_fields(const float *x, size_t x_stride, const ck_convolution *convolution, size_t first, size_t count,
                      float *panel);

// y += x panel for up to CK_PANEL columns: x [rows, depth], panel [depth, CK_PANEL].
void ck_panel_product(const float *x, size_t x_stride, size_t rows, const float *panel, size_t columns, size_t depth,
                      float *y, size_t y_stride);

// A 3 x 3 convolution by minimal filtering: tiles of 2 x 2 or 4 x 4 outputs, or of 2 x 2 outputs of a map that is first
// doubled by repeating its pixels. Windows of 4 x 4, 6 x 6 and 3 x 3 pixels have as many positions.
typedef enum ck_winograd { CK_WINOGRAD_2 = 0, CK_WINOGRAD_4 = 1, CK_WINOGRAD_UPSAMPLED = 2 } ck_winograd;

// The side of a block in outputs, and the channels transformed at a time; a patch holds
// CK_PATCH_CHANNELS * (CK_BLOCK_SIDE + 2)^2 floats.
enum { CK_BLOCK_SIDE = 16, CK_PATCH_CHANNELS = 128 };

// Tiles of a channels-last map [height * width, channels]: rows x columns of them, at most CK_BLOCK_SIDE outputs each way.
typedef struct ck_winograd_block {
    ck_winograd method;
    size_t height, width, channels;
    size_t first_row, first_column, rows, columns;
} ck_winograd_block;

// (x - mean) * scale + shift of each channel; [channels] each.
typedef struct ck_normalization {
    const float *mean, *scale, *shift;
} ck_normalization;

// One panel of at most CK_PANEL outputs: weight [outputs, inputs * 9] to [position][inputs][CK_PANEL], positions
// position_stride apart; with panel NULL, rounded to bfloat16 to `narrow`, [position][(inputs + 1) / 2][CK_PANEL][2].
void ck_winograd_weights(ck_winograd method, const float *weight, size_t weight_stride, size_t outputs, size_t inputs,
                         size_t position_stride, float *panel, uint16_t *narrow);

// The windows of a block to [position][tile][channels], zero-padded to whole vectors of sixteen; position_stride and
// row_stride are in elements. A normalization is followed by SiLU; there is none if its mean is NULL. With v NULL, rounded to
// bfloat16 to `narrow`.
void ck_winograd_input(const ck_winograd_block *block, const float *x, size_t x_stride,
                       const ck_normalization *normalization, float *v, uint16_t *narrow, size_t position_stride,
                       size_t row_stride, float *patch);

// y = x panel for one panel: x [rows, depth], panel [depth, CK_PANEL], y [rows, CK_PANEL].
void ck_panel_rows(const float *x, size_t x_stride, size_t rows, const float *panel, size_t depth, float *y);
void ck_bf16_panel_rows(const uint16_t *x, size_t x_stride, size_t rows, const uint16_t *panel, size_t depth, float *y);

// The products of a block, [position][panel][tile][CK_PANEL], to outputs plus bias [outputs] or NULL, written or added to
// y [height * width, outputs]; if mean is not NULL, also ck_moments of the block.
void ck_winograd_output(const ck_winograd_block *block, const float *products, size_t position_stride,
                        size_t panel_stride, size_t outputs, const float *bias, bool adds, float *y, size_t y_stride,
                        float *mean, float *deviations);

// Mean and sum of squared deviations of each channel over rows x columns pixels of a channels-last map of this width.
void ck_moments(const float *x, size_t x_stride, size_t width, size_t rows, size_t columns, size_t channels, float *mean,
                float *deviations);

// y = normalization of x, [pixels, channels].
void ck_normalize(const float *x, size_t x_stride, const ck_normalization *normalization, float *y, size_t y_stride,
                  size_t pixels, size_t channels);

// destination[i] = source[i] rounded to bfloat16.
void ck_narrow(const float *source, uint16_t *destination, size_t count);

// The rows of an image's tokens: token t is row t of a matrix below `split`, row t + gap from there on.
typedef struct ck_token_rows {
    size_t split, gap;
} ck_token_rows;

// Attention of one head, softmax(scale * q k^T + bias) v, for `queries` queries from first_query on. q and the output have
// `dimension` columns and the rows query_rows, k and v the rows key_rows of `keys` tokens; all are in float32 or, for
// ck_bf16_attention, in bfloat16. bias [queries, keys] or NULL, and NULL in bfloat16; scale is positive in bfloat16. The
// result goes to `narrow`, rounded to bfloat16, or to `output` if that is NULL.
typedef struct ck_attention_head {
    size_t dimension, first_query, queries, keys;
    const void *q, *k, *v;
    size_t q_stride, k_stride, v_stride;
    ck_token_rows query_rows, key_rows;
    float scale;
    const float *bias;
    size_t bias_stride;
    float *output;
    uint16_t *narrow;
    size_t output_stride;
} ck_attention_head;

// Bytes of scratch memory, aligned to 64 bytes, for any number of keys.
size_t ck_attention_scratch(size_t dimension, size_t queries);
void ck_attention(const ck_attention_head *head, void *scratch);
void ck_bf16_attention(const ck_attention_head *head, void *scratch);

#endif

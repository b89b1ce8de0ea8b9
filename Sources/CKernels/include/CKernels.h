// Fused float32 kernels with run-time dispatch on the instruction set.
//
// Every kernel exists for AVX-512, AVX2 and portable C. All variants use sixteen lanes, explicit fused multiply-adds and
// the same order of summation, so results are bit-identical on every machine. Pointers need not be aligned. Matrices are
// row-major; a `stride` is the distance between two rows in floats. A kernel may work in place (x == y) unless its
// comment says otherwise.
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum ck_level { CK_PORTABLE = 0, CK_AVX2 = 1, CK_AVX512 = 2 } ck_level;

typedef enum ck_activation {
    CK_NONE = 0,
    CK_GELU_TANH = 1,   // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
    CK_GELU = 2,        // 0.5 x (1 + erf(x / sqrt(2)))
    CK_QUICK_GELU = 3,  // x sigmoid(1.702 x)
    CK_SILU = 4,        // x sigmoid(x)
    CK_RELU = 5
} ck_activation;

typedef enum ck_type { CK_F32 = 0, CK_F16 = 1, CK_BF16 = 2 } ck_type;

// The best level of this processor, and the one in use. ck_set_level returns the level then in use: the requested one,
// or the best one if the processor lacks it.
ck_level ck_best_level(void);
ck_level ck_current_level(void);
ck_level ck_set_level(ck_level level);

// y[i] = exp(x[i]), tanh(x[i]); relative error below 3e-7.
void ck_exp(const float *x, float *y, size_t count);
void ck_tanh(const float *x, float *y, size_t count);

// y = activation(y + bias); bias [columns] or NULL.
void ck_bias_activation(float *y, size_t stride, const float *bias, size_t rows, size_t columns,
                        ck_activation activation);

// x += gate * y; gate [columns] or NULL for x += y.
void ck_gated_add(float *x, size_t x_stride, const float *y, size_t y_stride, const float *gate, size_t rows,
                  size_t columns);

// x *= y.
void ck_multiply(float *x, size_t x_stride, const float *y, size_t y_stride, size_t rows, size_t columns);

// y = a x + b y.
void ck_axpby(float a, const float *x, size_t x_stride, float b, float *y, size_t y_stride, size_t rows,
              size_t columns);

// y = (x - mean) / sqrt(variance + epsilon) * (base + scale) + shift of each row; scale and shift [columns] or NULL
// (a NULL scale multiplies by 1). base is 0 for a plain weight and 1 for adaptive modulation.
void ck_layer_norm(const float *x, size_t x_stride, const float *scale, float base, const float *shift, float epsilon,
                   float *y, size_t y_stride, size_t rows, size_t columns);

// y = x / sqrt(mean(x^2) + epsilon) * weight of each row; weight [columns].
void ck_rms_norm(const float *x, size_t x_stride, const float *weight, float epsilon, float *y, size_t y_stride,
                 size_t rows, size_t columns);

// Group norm of one image, x [channels, pixels], weight and bias [channels], then SiLU when silu.
void ck_group_norm(const float *x, size_t x_stride, size_t channels, size_t pixels, size_t groups, const float *weight,
                   const float *bias, float epsilon, bool silu, float *y, size_t y_stride);

// x = softmax(scale * x + bias) of each row, in place; bias [rows, columns] with its own stride, or NULL.
void ck_softmax(float *x, size_t stride, float scale, const float *bias, size_t bias_stride, size_t rows,
                size_t columns);

// Rotary position embedding: y[j] = x[j] * cosine[j] + x[j ^ 1] * sine[j] in place, for each row and head. x is
// [rows, heads * dimension] with an even dimension; cosine and sine are [rows, dimension], contiguous.
void ck_rotary(float *x, size_t stride, const float *cosine, const float *sine, size_t rows, size_t heads,
               size_t dimension);

// destination[i] = source[i] as float32; source may be unaligned.
void ck_widen(ck_type type, const void *source, float *destination, size_t count);

// y[r, o] = dot(x[r], weight[o]) + bias[o] for a few rows, reading the weight as stored. weight is
// [outputs, inputs] with weight_stride in elements, possibly unaligned; bias may be NULL. x and y must not overlap.
void ck_linear_rows(const float *x, size_t x_stride, size_t rows, ck_type type, const void *weight,
                    size_t weight_stride, const float *bias, float *y, size_t y_stride, size_t outputs,
                    size_t inputs);

// output = softmax(scale * q k^T + bias) v for each head of one image. Heads are column slices of width dimension;
// bias [heads * queries, keys] or NULL. scratch holds ck_attention_scratch(dimension, keys) floats. No overlap.
typedef struct ck_attention_shape {
    size_t heads, dimension, queries, keys;
} ck_attention_shape;
size_t ck_attention_scratch(size_t dimension, size_t keys);
void ck_attention(ck_attention_shape shape, const float *q, size_t q_stride, const float *k, size_t k_stride,
                  const float *v, size_t v_stride, float scale, const float *bias, size_t bias_stride, float *output,
                  size_t output_stride, float *scratch);

#endif

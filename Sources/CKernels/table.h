// The kernel table of one instruction set, and the list that generates tables and dispatch functions.
#ifndef CK_TABLE_H
#define CK_TABLE_H

#include "CKernels.h"

// X(name, parameters, arguments)
#define CK_KERNELS(X)                                                                                                  \
    X(exp, (const float *x, float *y, size_t count), (x, y, count))                                                    \
    X(tanh, (const float *x, float *y, size_t count), (x, y, count))                                                   \
    X(activate,                                                                                                      \
      (const float *x, size_t x_stride, float *y, uint16_t *narrow, size_t y_stride, size_t rows, size_t columns,      \
       ck_activation activation),                                                                                      \
      (x, x_stride, y, narrow, y_stride, rows, columns, activation))                                                   \
    X(gated_add,                                                                                                       \
      (float *x, size_t x_stride, const float *y, size_t y_stride, const float *gate, size_t rows, size_t columns),    \
      (x, x_stride, y, y_stride, gate, rows, columns))                                                                 \
    X(multiply, (float *x, size_t x_stride, const float *y, size_t y_stride, size_t rows, size_t columns),             \
      (x, x_stride, y, y_stride, rows, columns))                                                                       \
    X(axpby,                                                                                                           \
      (float a, const float *x, size_t x_stride, float b, float *y, size_t y_stride, size_t rows, size_t columns),     \
      (a, x, x_stride, b, y, y_stride, rows, columns))                                                                 \
    X(layer_norm,                                                                                                      \
      (const float *x, size_t x_stride, const float *scale, float base, const float *shift, float epsilon, float *y,   \
       uint16_t *narrow, size_t y_stride, size_t rows, size_t columns),                                                \
      (x, x_stride, scale, base, shift, epsilon, y, narrow, y_stride, rows, columns))                                  \
    X(rms_norm,                                                                                                        \
      (const float *x, size_t x_stride, const float *weight, float epsilon, float *y, size_t y_stride, size_t rows,    \
       size_t columns),                                                                                                \
      (x, x_stride, weight, epsilon, y, y_stride, rows, columns))                                                      \
    X(rotary,                                                                                                          \
      (const float *x, size_t x_stride, const float *weight, float epsilon, const float *cosine, const float *sine,    \
       float *y, uint16_t *narrow, size_t y_stride, size_t rows, size_t heads, size_t dimension),                      \
      (x, x_stride, weight, epsilon, cosine, sine, y, narrow, y_stride, rows, heads, dimension))                       \
    X(widen, (ck_type type, const void *source, float *destination, size_t count), (type, source, destination, count)) \
    X(linear_rows,                                                                                                     \
      (const float *x, size_t x_stride, size_t rows, ck_type type, const void *weight, size_t weight_stride,           \
       const float *bias, float *y, size_t y_stride, size_t outputs, size_t inputs),                                   \
      (x, x_stride, rows, type, weight, weight_stride, bias, y, y_stride, outputs, inputs))                            \
    X(narrow, (const float *source, uint16_t *destination, size_t count), (source, destination, count))                \
    X(product,                                                                                                         \
      (const float *x, size_t x_stride, size_t rows, ck_type type, const void *weight, size_t weight_stride,           \
       size_t first, size_t last, size_t depth, const ck_output *out, float *scratch),                                 \
      (x, x_stride, rows, type, weight, weight_stride, first, last, depth, out, scratch))                              \
    X(panel_product,                                                                                                   \
      (const float *x, size_t x_stride, size_t rows, const float *panel, size_t columns, size_t depth, float *y,       \
       size_t y_stride),                                                                                               \
      (x, x_stride, rows, panel, columns, depth, y, y_stride))                                                         \
    X(winograd_weights,                                                                                                \
      (ck_winograd method, const float *weight, size_t weight_stride, size_t outputs, size_t inputs,                   \
       size_t position_stride, float *panel, uint16_t *narrow),                                                        \
      (method, weight, weight_stride, outputs, inputs, position_stride, panel, narrow))                                \
    X(winograd_input,                                                                                                  \
      (const ck_winograd_block *block, const float *x, size_t x_stride, const ck_normalization *normalization,         \
       float *v, uint16_t *narrow, size_t position_stride, size_t row_stride, float *patch),                           \
      (block, x, x_stride, normalization, v, narrow, position_stride, row_stride, patch))                              \
    X(winograd_output,                                                                                                 \
      (const ck_winograd_block *block, const float *products, size_t position_stride, size_t panel_stride,             \
       size_t outputs, const float *bias, bool adds, float *y, size_t y_stride, float *mean, float *deviations),       \
      (block, products, position_stride, panel_stride, outputs, bias, adds, y, y_stride, mean, deviations))            \
    X(panel_rows,                                                                                                      \
      (const float *x, size_t x_stride, size_t rows, const float *panel, size_t depth, float *y),                      \
      (x, x_stride, rows, panel, depth, y))                                                                            \
    X(moments,                                                                                                         \
      (const float *x, size_t x_stride, size_t width, size_t rows, size_t columns, size_t channels, float *mean,       \
       float *deviations),                                                                                             \
      (x, x_stride, width, rows, columns, channels, mean, deviations))                                                 \
    X(normalize,                                                                                                       \
      (const float *x, size_t x_stride, const ck_normalization *normalization, float *y, size_t y_stride,              \
       size_t pixels, size_t channels),                                                                                \
      (x, x_stride, normalization, y, y_stride, pixels, channels))                                                     \
    X(attention, (const ck_attention_head *head, void *scratch), (head, scratch))

#define CK_MEMBER(name, parameters, arguments) void(*name) parameters;
typedef struct ck_table {
    CK_KERNELS(CK_MEMBER)
} ck_table;
#undef CK_MEMBER

extern const ck_table ck_portable_table;
#if defined(__x86_64__)
extern const ck_table ck_avx2_table;
extern const ck_table ck_avx512_table;
#endif

#endif

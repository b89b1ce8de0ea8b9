// Any processor. Slow without a hardware fused multiply-add: it calls fmaf to return the same bits.
#include "table.h"
#include "vector.h"

#define CK_TABLE ck_portable_table
#define CK_ATTENTION_VECTORS 1
#define CK_ATTENTION_ROWS 3
#define CK_GEMM_ROWS 4
#define CK_GEMM_VECTORS 1

INLINE vf load_first(const float *p, size_t count) {
    vf v = 0;
    memcpy(&v, p, count * sizeof(float));
    return v;
}

INLINE void store_first(float *p, vf v, size_t count) { memcpy(p, &v, count * sizeof(float)); }

INLINE vf widen_f16(vh bits) {
    const vu wide = __builtin_convertvector(bits, vu);
    const vu magnitude = (wide & 0x7fff) << 13;
    // The exponent biases differ by 112; the product is exact, also for subnormal numbers.
    const vu finite = (vu)((vf)magnitude * splat(0x1p112f));
    const vu special = magnitude | 0x7f800000;
    return (vf)((magnitude >= (vu)(0x7c00u << 13) ? special : finite) | (wide & 0x8000) << 16);
}

#include "vector_math.h"

#include "kernels.h"

// The pieces for bfloat16 are not larger than those for float32.
size_t ck_attention_scratch(size_t dimension, size_t queries) { return divide_scratch(NULL, dimension, queries, NULL); }

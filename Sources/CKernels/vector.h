// Sixteen float lanes on every instruction set: one zmm register, two ymm or four xmm. Including files define
// load_first, store_first and widen_f16 for their instruction set.
#pragma clang diagnostic ignored "-Wpsabi"
// Only explicit calls of fma16 fuse; implicit contraction would make instruction sets round differently.
#pragma STDC FP_CONTRACT OFF

#include <math.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
// For loops of constant length over arrays of vectors, which then live in registers.
#define UNROLL _Pragma("clang loop unroll(full)")
enum { LANES = 16 };

typedef float vf __attribute__((ext_vector_type(16)));
typedef int32_t vi __attribute__((ext_vector_type(16)));
typedef uint32_t vu __attribute__((ext_vector_type(16)));
typedef uint16_t vh __attribute__((ext_vector_type(16)));

INLINE vf splat(float x) { return (vf)(x); }

INLINE vf fma16(vf a, vf b, vf c) { return __builtin_elementwise_fma(a, b, c); }

INLINE vf load(const float *p) {
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void store(float *p, vf v) { memcpy(p, &v, sizeof v); }

INLINE vi lane_is_below(size_t count) {
    const vi lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return lane < (vi)((int32_t)count);
}

// The first `count` lanes of v, `other` in the rest.
INLINE vf keep(vf v, size_t count, vf other) { return lane_is_below(count) ? v : other; }

INLINE vf load_first(const float *p, size_t count);
INLINE void store_first(float *p, vf v, size_t count);
INLINE vf widen_f16(vh bits);

// Up to sixteen floats, zeros beyond `count`. The full vector is the common case and predicts well.
INLINE vf load_some(const float *p, size_t count) { return count >= LANES ? load(p) : load_first(p, count); }

INLINE void store_some(float *p, vf v, size_t count) {
    if (count >= LANES) store(p, v);
    else store_first(p, v, count);
}

INLINE vf widen_bf16(vh bits) { return (vf)(__builtin_convertvector(bits, vu) << 16); }

// Up to sixteen stored elements of p starting at `index`, zeros beyond `count`.
INLINE vf load_stored(ck_type type, const void *p, size_t index, size_t count) {
    if (type == CK_F32) {
        // Bytes, not floats: p may be misaligned for a float.
        float values[LANES] = {0};
        if (count >= LANES) memcpy(values, (const char *)p + 4 * index, sizeof values);
        else memcpy(values, (const char *)p + 4 * index, 4 * count);
        return load(values);
    }
    vh bits = 0;
    if (count >= LANES) memcpy(&bits, (const char *)p + 2 * index, sizeof bits);
    else memcpy(&bits, (const char *)p + 2 * index, 2 * count);
    return type == CK_F16 ? widen_f16(bits) : widen_bf16(bits);
}

INLINE float horizontal_sum(vf v) {
    const __typeof__(v.lo) a = v.lo + v.hi;
    const __typeof__(a.lo) b = a.lo + a.hi;
    return (b[0] + b[2]) + (b[1] + b[3]);
}

INLINE float horizontal_max(vf v) {
    const __typeof__(v.lo) a = v.lo > v.hi ? v.lo : v.hi;
    const __typeof__(a.lo) b = a.lo > a.hi ? a.lo : a.hi;
    const float low = b[0] > b[1] ? b[0] : b[1];
    const float high = b[2] > b[3] ? b[2] : b[3];
    return low > high ? low : high;
}

INLINE size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

// 16 bits of a bfloat16 in each lane, rounded to nearest even; NaN stays NaN.
INLINE vh narrow_bf16(vf v) {
    const vu u = (vu)v;
    const vu rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
    const vu quiet = (u >> 16) | 0x40;
    return __builtin_convertvector((u & 0x7fffffff) > 0x7f800000 ? quiet : rounded, vh);
}

INLINE void store_narrow(uint16_t *p, vf v, size_t count) {
    const vh bits = narrow_bf16(v);
    memcpy(p, &bits, 2 * smaller(count, LANES));
}

// Lanes (a0 b0 a1 b1 ...) of the lower or upper halves.
INLINE vf interleave_low(vf a, vf b) {
    return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
INLINE vf interleave_high(vf a, vf b) {
    return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

// Four perfect shuffles of sixteen vectors transpose them.
INLINE void transpose_16x16(vf a[LANES]) {
    vf b[LANES];
    UNROLL for (size_t round = 0; round < 2; round++) {
        UNROLL for (size_t i = 0; i < 8; i++) {
            b[2 * i] = interleave_low(a[i], a[i + 8]);
            b[2 * i + 1] = interleave_high(a[i], a[i + 8]);
        }
        UNROLL for (size_t i = 0; i < 8; i++) {
            a[2 * i] = interleave_low(b[i], b[i + 8]);
            a[2 * i + 1] = interleave_high(b[i], b[i + 8]);
        }
    }
}

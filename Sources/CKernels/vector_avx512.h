// Sixteen lanes in one register of AVX-512.
#include "vector.h"

INLINE __mmask16 first_lanes(size_t count) { return (__mmask16)((1u << count) - 1); }

INLINE vf load_first(const float *p, size_t count) { return (vf)_mm512_maskz_loadu_ps(first_lanes(count), p); }

INLINE void store_first(float *p, vf v, size_t count) { _mm512_mask_storeu_ps(p, first_lanes(count), (__m512)v); }

INLINE vf widen_f16(vh bits) {
    __m256i words;
    memcpy(&words, &bits, sizeof words);
    return (vf)_mm512_cvtph_ps(words);
}

#include "vector_math.h"

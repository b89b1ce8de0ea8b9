// Elementary functions on sixteen lanes. Polynomials are weighted minimax fits computed for this file; the stated bounds
// are the relative error of the fit, to which rounding adds about one unit in the last place.

// e^x = 2^n e^r with |r| <= ln(2) / 2; the polynomial is within 3.2e-9.
INLINE vf exp16(vf x) {
    const vf high = 89.0f, low = -104.0f;  // beyond these the result is infinite or zero
    x = x > high ? high : x;
    x = x < low ? low : x;
    // Adding 1.5 * 2^23 rounds to the nearest integer and leaves that integer in the low bits.
    const vf magic = 12582912.0f;
    const vf rounded = fma16(x, splat(0x1.715476p+0f), magic);
    const vi n = (vi)rounded - (vi)magic;
    const vf count = rounded - magic;
    vf r = fma16(count, splat(-0x1.62e400p-1f), x);
    r = fma16(count, splat(-0x1.7f7d1cp-20f), r);
    vf p = splat(0x1.6a2254p-10f);
    p = fma16(p, r, splat(0x1.123b02p-7f));
    p = fma16(p, r, splat(0x1.5558f8p-5f));
    p = fma16(p, r, splat(0x1.555490p-3f));
    p = fma16(p, r, splat(0x1.fffffcp-2f));
    p = fma16(p, r * r, r) + splat(1.0f);
    // 2^n in two factors, because n ranges from -150 to 128.
    const vi half = n >> 1;
    return p * (vf)((half + 127) << 23) * (vf)((n - half + 127) << 23);
}

INLINE vf sigmoid_product(vf x, vf z) { return x / (splat(1.0f) + exp16(-z)); }

INLINE vf absolute(vf x) { return (vf)((vi)x & 0x7fffffff); }

// An odd polynomial within 2.9e-9 below 0.6, 1 - 2 / (e^2a + 1) above.
INLINE vf tanh16(vf x) {
    const vf a = absolute(x);
    const vf s = x * x;
    vf p = splat(-0x1.81d8c0p-8f);
    p = fma16(p, s, splat(0x1.549f58p-6f));
    p = fma16(p, s, splat(-0x1.b89574p-5f));
    p = fma16(p, s, splat(0x1.110996p-3f));
    p = fma16(p, s, splat(-0x1.55553ep-2f));
    const vf small = fma16(p * s, x, x);
    const vf large = splat(1.0f) - splat(2.0f) / (exp16(a + a) + splat(1.0f));
    const vf signed_large = (vf)((vi)large | ((vi)x & (int32_t)0x80000000));
    return a < splat(0.6f) ? small : signed_large;
}

// erfc(t) for t >= 0 as z e^(q(z) - t^2), z = 1 / (1 + 0.45 t); q within 1e-8.
INLINE vf erfc16(vf t) {
    const vf z = splat(1.0f) / fma16(t, splat(0.45f), splat(1.0f));
    const vf w = z - splat(0.6f);
    vf q = splat(0x1.78a0cep-3f);
    q = fma16(q, w, splat(-0x1.b8b050p-5f));
    q = fma16(q, w, splat(-0x1.064f7cp-2f));
    q = fma16(q, w, splat(0x1.eda8c4p-4f));
    q = fma16(q, w, splat(0x1.1a080ap-2f));
    q = fma16(q, w, splat(-0x1.76f39ep-3f));
    q = fma16(q, w, splat(-0x1.8fbf84p-2f));
    q = fma16(q, w, splat(0x1.095102p-2f));
    q = fma16(q, w, splat(0x1.7fb09ep+0f));
    q = fma16(q, w, splat(-0x1.3a7960p-1f));
    return z * exp16(fma16(-t, t, q));
}

INLINE vf activate(vf x, ck_activation activation) {
    switch (activation) {
    case CK_NONE: return x;
    case CK_GELU_TANH: {
        // (1 + tanh u) / 2 = sigmoid(2u): one exponential, and no cancellation for negative x.
        const vf cubic = fma16(x * x, splat(0.0713548162726f), splat(1.59576912161f));
        return sigmoid_product(x, x * cubic);
    }
    case CK_GELU: {
        const vf tail = splat(0.5f) * erfc16(absolute(x) * splat(0.70710678118654752f));
        return x * (x > splat(0.0f) ? splat(1.0f) - tail : tail);
    }
    case CK_QUICK_GELU: return sigmoid_product(x, x * splat(1.702f));
    case CK_SILU: return sigmoid_product(x, x);
    case CK_RELU: return x < splat(0.0f) ? splat(0.0f) : x;
    }
    return x;
}

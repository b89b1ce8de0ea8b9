#include "table.h"

#include <stdatomic.h>

static const ck_table *table_of(ck_level level) {
#if defined(__x86_64__)
    if (level == CK_AVX512) return &ck_avx512_table;
    if (level == CK_AVX2) return &ck_avx2_table;
#endif
    (void)level;
    return &ck_portable_table;
}

ck_level ck_best_level(void) {
#if defined(__x86_64__)
    // __builtin_cpu_supports also checks that the operating system saves the wide registers.
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"))
        return __builtin_cpu_supports("avx512f") ? CK_AVX512 : CK_AVX2;
#endif
    return CK_PORTABLE;
}

// -1 until the first call; concurrent first calls store the same value.
static _Atomic int current_level = -1;

ck_level ck_current_level(void) {
    const int level = atomic_load_explicit(&current_level, memory_order_relaxed);
    return level >= 0 ? (ck_level)level : ck_set_level(CK_AVX512);
}

ck_level ck_set_level(ck_level level) {
    const ck_level best = ck_best_level();
    const ck_level chosen = level < best ? level : best;
    atomic_store_explicit(&current_level, chosen, memory_order_relaxed);
    return chosen;
}

#define CK_DISPATCH(name, parameters, arguments) \
    void ck_##name parameters { table_of(ck_current_level())->name arguments; }
CK_KERNELS(CK_DISPATCH)

size_t ck_attention_scratch(size_t dimension, size_t keys) {
    // The transposed keys of one head and the scores of sixteen queries; keys are rounded up to whole vectors.
    return (dimension + 16) * ((keys + 15) / 16 * 16);
}

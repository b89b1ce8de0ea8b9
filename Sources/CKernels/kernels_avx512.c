#if defined(__x86_64__)
#include "table.h"

#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx2,fma,f16c"))), apply_to = function)
#include "vector_avx512.h"

#define CK_TABLE ck_avx512_table
// Tiles of attention: up to five vectors of a row, 25 of the 32 registers.
#define CK_ATTENTION_VECTORS 5
#define CK_ATTENTION_ROWS 10
// A tile of a product: 28 of the 32 registers hold sums.
#define CK_GEMM_ROWS 14
#define CK_GEMM_VECTORS 2

#include "kernels.h"
#pragma clang attribute pop
#endif
